package test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// recorded starts Pillion with one backend, which records requests and answers
// 200 with the given fields.
func recorded(t *testing.T, env []string, fields ...string) (*binary.Process, *backend.Raw) {
	t.Helper()
	raw := backend.StartScript(t, "one", func(backend.Request) string { return backend.Answer(200, "ok", fields...) })
	return pillion.Start(t, append(env, raw.Environment())...), raw
}

// pass sends a GET with field lines as written. It returns the request that the
// backend received and the response that the client got.
func pass(t *testing.T, p *binary.Process, raw *backend.Raw, fields ...string) (backend.Request, *http.Response) {
	t.Helper()
	n := raw.Requests.Len()
	c := wire.Dial(t, p.Address)
	c.Get("/", fields...)
	response, body := c.Response("GET")
	all := raw.Requests.All()
	if response.StatusCode != http.StatusOK || len(all) != n+1 {
		t.Fatalf("%q: status %d %q, and the backend saw %d requests", fields, response.StatusCode, body, len(all)-n)
	}

	return all[n], response
}

// wantFields fails unless the backend saw exactly the values of each name; no
// values means no such field.
func wantFields(t *testing.T, seen backend.Request, want map[string][]string) {
	t.Helper()
	for name, values := range want {
		if got := seen.Fields(name); !slices.Equal(got, values) {
			t.Errorf("the backend saw %s: %q, want %q", name, got, values)
		}
	}
}

func TestHygiene_HopByHopFieldsEndHere(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil, "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic", "Connection: X-Inner, keep-alive",
		"X-Inner: 1", "X-Outer: 2")
	seen, response := pass(t, p, raw, "Connection: keep-alive, X-Mine, x-other", "X-Mine: 1", "X-Other: 2",
		"Keep-Alive: 300",
		"Proxy-Authorization: Basic eA==", "Proxy-Connection: keep-alive", "TE: deflate", "Upgrade: h2c",
		"HTTP2-Settings: AAMAAABk", "X-End: 3")
	wantFields(t, seen, map[string][]string{
		"X-Mine": nil, "X-Other": nil, "Keep-Alive": nil, "Proxy-Authorization": nil, "Proxy-Connection": nil,
		"Te": nil, "Upgrade": nil, "Http2-Settings": nil, "Proxy-Authenticate": nil, "X-End": {"3"},
	})
	for _, name := range []string{"Keep-Alive", "X-Inner", "Upgrade"} {
		if v := response.Header.Values(name); len(v) != 0 {
			t.Errorf("the client got %s: %q", name, v)
		}
	}

	if response.Header.Get("X-Outer") != "2" {
		t.Error("an end-to-end field of the response was lost")
	}
}

// A client that names a field in Connection must not remove a field that
// Pillion itself writes or needs.
func TestHygiene_ConnectionCannotRemoveWhatWeWrite(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	seen, _ := pass(t, p, raw, "Connection: close, X-Forwarded-For, X-Request-Id, Host, CDN-Loop, Cookie", "Cookie: a=1")
	for _, name := range []string{"Host", "X-Forwarded-For", "X-Request-Id", "CDN-Loop"} {
		if len(seen.Fields(name)) != 1 {
			t.Errorf("the backend saw %s: %q", name, seen.Fields(name))
		}
	}
}

func TestHygiene_TrailersFieldOfTESurvives(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	seen, _ := pass(t, p, raw, "TE: trailers, deflate", "Connection: TE")
	wantFields(t, seen, map[string][]string{"Te": {"trailers"}})
}

func TestHygiene_EndToEndFieldsPassAsTheyAre(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	want := map[string][]string{
		"Authorization": {"Bearer a.b.c"}, "Accept": {"text/html,*/*;q=0.8"}, "Accept-Encoding": {"gzip, br"},
		"X-Empty": {""}, "X-Twice": {"1", "2"}, "User-Agent": {"probe/1 (é)"}, "If-None-Match": {`W/"x"`},
		"Range": {"bytes=0-1"},
	}
	var fields []string
	for name, values := range want {
		for _, v := range values {
			fields = append(fields, name+": "+v)
		}
	}

	seen, _ := pass(t, p, raw, fields...)
	wantFields(t, seen, want)
	seen, _ = pass(t, p, raw)
	wantFields(t, seen, map[string][]string{"User-Agent": nil, "Accept-Encoding": nil, "Via": nil, "Accept": nil,
		"Cookie": nil})
}

func TestHygiene_TheTargetPassesAsItIs(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)

	c := wire.Dial(t, p.Address)
	for i, target := range []string{"/", "/a//b/../c/./d", "/%2e%2E/%2f?x=%00&y=a;b&z", "/a?", "/?a?b", "//host/path",
		"/a|b\"c<d>"} {
		c.Get(target)
		response, _ := c.Response("GET")
		all := raw.Requests.All()
		if len(all) != i+1 {
			t.Fatalf("%s: status %d, not forwarded", target, response.StatusCode)
		}

		if line, _, _ := strings.Cut(all[i].Head, "\r\n"); line != "GET "+target+" HTTP/1.1" {
			t.Errorf("%s reached the backend as %q", target, line)
		}
	}
}

func TestHygiene_NoViaIsAdded(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	seen, response := pass(t, p, raw)
	if len(seen.Fields("Via")) != 0 || len(response.Header.Values("Via")) != 0 || response.Header.Get("Server") != "" {
		t.Errorf("Via %q to the backend; %v to the client", seen.Fields("Via"), response.Header)
	}
}

func TestHygiene_IdentityFieldNeverComesFromOutside(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	seen, _ := pass(t, p, raw, "X-Serverless-Authorization: Bearer stolen", "X_Serverless_Authorization: Bearer stolen",
		"x-serverless_authorization: Bearer stolen", "Authorization: Bearer mine")
	if strings.Contains(seen.Head, "stolen") {
		t.Errorf("the backend saw %q", seen.Head)
	}

	wantFields(t, seen, map[string][]string{"Authorization": {"Bearer mine"}})
}

func TestHygiene_RequestIDIsOneForTheWholeWay(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	id := regexp.MustCompile(`^[0-9a-f]{32}$`)
	seen, _ := pass(t, p, raw, "X-Request-Id: chosen-by-a-stranger", "X_Request_Id: by-another")
	first := seen.Fields("X-Request-Id")
	if len(first) != 1 || !id.MatchString(first[0]) || strings.Contains(seen.Head, "by-a") {
		t.Errorf("a stranger's id: the backend saw %q", seen.Head)
	}

	from := newCaller() // an untrusted client can't choose the id by its trace either
	seen, _ = pass(t, p, raw, "Traceparent: "+from.Field())
	if got := seen.Fields("X-Request-Id"); len(got) != 1 || !id.MatchString(got[0]) || got[0] == from.Trace {
		t.Errorf("a stranger's trace: the backend saw %q", got)
	}

	seen, _ = pass(t, p, raw)
	if second := seen.Fields("X-Request-Id"); len(second) != 1 || !id.MatchString(second[0]) || second[0] == first[0] {
		t.Errorf("the second id %q after %q", second, first)
	}

	trusting, raw := recorded(t, []string{"LB_TRUSTED_PROXIES=127.0.0.0/8"})
	seen, _ = pass(t, trusting, raw, "X-Request-Id: chosen-by-a-peer")
	wantFields(t, seen, map[string][]string{"X-Request-Id": {"chosen-by-a-peer"}})

	seen, _ = pass(t, trusting, raw, "Traceparent: "+from.Field())
	wantFields(t, seen, map[string][]string{"X-Request-Id": {from.Trace}})

	// HTTP/1.1 has no blanks around a value
	get(t, newH2CClient(t), trusting.URL("/"), "Traceparent", " \t"+from.Field())
	all := raw.Requests.All()
	wantFields(t, all[len(all)-1], map[string][]string{"X-Request-Id": {from.Trace}})
}

func TestHygiene_LoopsEndAtTheThirdEntryOfOurOwn(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	seen, _ := pass(t, p, raw, "CDN-Loop: foreign; v=1")
	loop := strings.Join(seen.Fields("CDN-Loop"), ", ")
	own := regexp.MustCompile(`pillion-[0-9a-z]+`).FindString(loop)
	if own == "" || !strings.HasPrefix(loop, "foreign; v=1, ") {
		t.Fatalf("the backend saw CDN-Loop %q", loop)
	}

	seen, _ = pass(t, p, raw, "CDN-Loop: "+own, "CDN-Loop: "+own)
	if n := strings.Count(strings.Join(seen.Fields("CDN-Loop"), ", "), own); n != 3 {
		t.Errorf("the third pass shows %d entries of ours", n)
	}

	n := raw.Requests.Len()
	for _, fields := range [][]string{
		{"CDN-Loop: " + own + ", other, " + own + "," + own}, {"CDN-Loop: " + own, "CDN-Loop: " + own, "CDN-Loop: " + own},
	} {
		c := wire.Dial(t, p.Address)
		c.Get("/", fields...)
		if response, _ := c.Response("GET"); response.StatusCode != http.StatusLoopDetected {
			t.Errorf("%q: status %d, want 508", fields, response.StatusCode)
		}
	}

	if raw.Requests.Len() != n {
		t.Error("the backend saw a request of a loop")
	}

	pass(t, p, raw, "CDN-Loop: "+own+"x, "+own+"y, "+own+"z")
}

func TestHygiene_AProcessInFrontOfItselfAnswers508(t *testing.T) {
	t.Parallel()
	l := backend.Listen(t)
	address := l.Addr().String()
	_ = l.Close() // Pillion listens on this port, which has to be known before it starts
	p := pillion.Start(t, "LB_LISTEN="+address, "LB_BACKENDS=http://"+address)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusLoopDetected)
}
