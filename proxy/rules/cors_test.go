package rules

import (
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/config"
)

func cors(t testing.TB, origins string, change func(*config.CORS)) *CORS {
	t.Helper()
	c := config.CORS{Methods: []string{"GET", "HEAD", "POST"}, MaxAge: 5 * time.Second}
	if err := c.Origins.EnvDecode(origins); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&c)
	}
	return NewCORS(c)
}

// fields makes a map of names and values in turn.
func fields(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h[textproto.CanonicalMIMEHeaderKey(pairs[i])] = []string{pairs[i+1]}
	}
	return h
}

func TestCORS_AdmitsTheOriginsGivenAndNoOther(t *testing.T) {
	t.Parallel()
	c := cors(t, "https://app.example.com;https://*.shop.example;http://localhost:5173;https://*.port.example:8443", nil)
	for origin, want := range map[string]bool{
		"https://app.example.com": true, "https://a.shop.example": true, "https://b.a.shop.example": true,
		"http://localhost:5173": true, "https://a.port.example:8443": true,
		"http://app.example.com": false, "https://app.example.com:444": false,
		"https://app.example.com.evil.example": false, "https://evil.example/app.example.com": false,
		"https://shop.example": false, "https://.shop.example": false, "https://evilshop.example": false,
		"https://evil.example/.shop.example": false, "https://evil.example:.shop.example": false,
		"https://a.shop.example:1": false, "null": false, "": false, "https://": false, "http://localhost": false,
		"https://a.port.example": false, "https://x@a.shop.example": false, "https://a..shop.example:99999": false,
	} {
		h := http.Header{}
		c.Apply([]string{origin}, h, nil)
		if got := h.Get("Access-Control-Allow-Origin"); (got == origin && got != "") != want || got != "" && !want {
			t.Errorf("%s: %q", origin, got)
		}
		if h.Get("Vary") != "Origin" {
			t.Errorf("%s: Vary %q", origin, h.Get("Vary"))
		}
	}
}

func TestCORS_OursReplacesTheServicesOwn(t *testing.T) {
	t.Parallel()
	c := cors(t, "https://a.example",
		func(c *config.CORS) { c.Credentials, c.Expose = true, []string{"X-Total", "X-Page"} })
	for _, origin := range []string{"https://a.example", "https://b.example"} {
		over, under := http.Header{},
			fields("Access-Control-Allow-Origin", "*", "Access-Control-Max-Age", "9", "Access-Control-Anything", "x",
				"Vary", "Accept-Encoding", "X-Total", "7")
		c.Apply([]string{origin}, over, under)
		want := fields("Access-Control-Allow-Origin", origin, "Access-Control-Allow-Credentials", "true",
			"Access-Control-Expose-Headers", "X-Total, X-Page")
		if origin == "https://b.example" {
			want = http.Header{}
		}
		want["Vary"] = []string{"Accept-Encoding", "Origin"}
		if !reflect.DeepEqual(over, want) || !reflect.DeepEqual(under, fields("Vary", "Accept-Encoding", "X-Total", "7")) {
			t.Errorf("%s: %v over %v", origin, over, under)
		}
	}
}

func TestCORS_AnAnswerThatIsTheSameForAllDoesNotVary(t *testing.T) {
	t.Parallel()
	for _, origin := range [][]string{nil, {"https://a.example"}, {"null"}} {
		h := http.Header{}
		cors(t, "*", nil).Apply(origin, h, nil)
		if !reflect.DeepEqual(h, fields("Access-Control-Allow-Origin", "*")) {
			t.Errorf("%q: %v", origin, h)
		}
	}
}

func TestCORS_VaryIsSaidOnce(t *testing.T) {
	t.Parallel()
	c := cors(t, "https://a.example", nil)
	for _, vary := range []string{"Origin", "accept, ORIGIN", "*"} {
		over, under := http.Header{}, fields("Vary", vary)
		c.Apply(nil, over, under)
		if over["Vary"] != nil || under.Get("Vary") != vary {
			t.Errorf("%s: %v over %v", vary, over, under)
		}
	}
}

func TestCORS_PreflightsAreAnswered(t *testing.T) {
	t.Parallel()
	listed := func(c *config.CORS) { c.Headers = []string{"X-Token", "Content-Type"} }
	wild := func(c *config.CORS) { c.Methods, c.Headers = []string{"*"}, []string{"*"} }
	wildWithCookies := func(c *config.CORS) { wild(c); c.Credentials = true }
	for _, c := range []struct {
		origins string
		change  func(*config.CORS)
		want    http.Header
	}{
		{"https://a.example", listed,
			fields("Access-Control-Allow-Origin", "https://a.example", "Access-Control-Allow-Methods", "GET, HEAD, POST",
				"Access-Control-Allow-Headers", "X-Token, Content-Type", "Access-Control-Max-Age", "5", "Vary", "Origin")},
		{"*", nil, fields("Access-Control-Allow-Origin", "*", "Access-Control-Allow-Methods", "GET, HEAD, POST",
			"Access-Control-Max-Age", "5")},
		{"*", wild, fields("Access-Control-Allow-Origin", "*", "Access-Control-Allow-Methods", "*",
			"Access-Control-Allow-Headers", "*",
			"Access-Control-Max-Age", "5")},
		{"https://a.example", wildWithCookies,
			fields("Access-Control-Allow-Origin", "https://a.example", "Access-Control-Allow-Methods", "PATCH",
				"Access-Control-Allow-Headers", "x-token,authorization", "Access-Control-Allow-Credentials", "true",
				"Access-Control-Max-Age", "5", "Vary", "Origin")},
		{"https://b.example", listed, fields("Vary", "Origin")},
	} {
		r := httptest.NewRequest(http.MethodOptions, "/", nil)
		r.Header = fields("Origin", "https://a.example", "Access-Control-Request-Method", "PATCH",
			"Access-Control-Request-Headers", "x-token,authorization")
		resp := cors(t, c.origins, c.change).Preflight(r)
		if resp.StatusCode != http.StatusNoContent || !reflect.DeepEqual(resp.Header, c.want) {
			t.Errorf("%s: %d %v", c.origins, resp.StatusCode, resp.Header)
		}
	}
}

func TestCORS_OnlyAPreflightIsOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method string
		header http.Header
		want   bool
	}{
		{"OPTIONS", fields("Origin", "https://a", "Access-Control-Request-Method", "GET"), true},
		{"GET", fields("Origin", "https://a", "Access-Control-Request-Method", "GET"), false},
		{"OPTIONS", fields("Origin", "https://a"), false},
		{"OPTIONS", fields("Access-Control-Request-Method", "GET"), false},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		r.Header = c.header
		if IsPreflight(r) != c.want {
			t.Errorf("%s %v", c.method, c.header)
		}
	}
	if NewCORS(config.CORS{}) != nil {
		t.Error("rules without origins")
	}
}

// FuzzCORS wants that no origin outside of example.com is admitted below it.
func FuzzCORS(f *testing.F) {
	for _, seed := range []string{"https://a.example.com", "https://evil/.example.com", "https://a:1.example.com",
		"https://x@a.example.com"} {
		f.Add(seed)
	}
	c := cors(f, "https://*.example.com", nil)
	f.Fuzz(func(t *testing.T, origin string) {
		host, ok := strings.CutPrefix(origin, "https://")
		name := strings.TrimSuffix(host, ".example.com")
		if c.admits(origin) && (!ok || name == host || name == "" || strings.ContainsAny(name, "/@:?#\\[] %")) {
			t.Errorf("%q was admitted", origin)
		}
	})
}
