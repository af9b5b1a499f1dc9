package routes

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

func TestRoutes_HeaderRulesAreOnEveryAnswer(t *testing.T) {
	t.Parallel()
	api := backend.Start(t, "api", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", "secret/1.0") })
	p := pillion.Start(t, list("LB_BACKENDS", api), "LB_BACKENDS__GONE=http://127.0.0.1:1", "LB_ROUTE__GONE=/gone",
		"LB_START_HOLD__GONE=0s",
		"LB_ROUTE__MOVED=/moved", "LB_REDIRECT__MOVED=/x", "LB_ROUTE__FIXED=/fixed", "LB_RESPOND__FIXED=204",
		"LB_RESPONSE_HEADERS=Strict-Transport-Security=max-age=31536000%3B includeSubDomains;-Server;?X-Frame-Options=DENY",
		"LB_RESPONSE_HEADERS__FIXED=X-Frame-Options=SAMEORIGIN;+X-More=1")
	for target, status := range map[string]int{"/": 200, "/gone": 503, "/moved": 302, "/fixed": 204, "/a/..%2fgone": 400} {
		a := get(t, p, target)
		if a.StatusCode != status || a.Header.Get("Strict-Transport-Security") != "max-age=31536000; includeSubDomains" ||
			a.Header["Server"] != nil {
			t.Errorf("%s: status %d, want %d with Strict-Transport-Security and without Server: %v", target, a.StatusCode,
				status, a.Header)
		}
		frame, more := "DENY", ""
		if target == "/fixed" {
			frame, more = "SAMEORIGIN", "1"
		}
		if a.Header.Get("X-Frame-Options") != frame || a.Header.Get("X-More") != more {
			t.Errorf("%s: want X-Frame-Options %q and X-More %q: %v", target, frame, more, a.Header)
		}
	}
}

func TestRoutes_RequestHeaderRulesApplyToTheirRoute(t *testing.T) {
	t.Parallel()
	ui, api := startEcho(t, "ui"), startEcho(t, "api")
	p := pillion.Start(t, list("LB_BACKENDS", ui), list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*",
		"LB_REQUEST_HEADERS=X-All=1;-X-Debug", "LB_REQUEST_HEADERS__API=X-Api-Key=hush%3B;?Accept-Language=en;+X-All=2")
	a := get(t, p, "/api/x", "X-Debug: 1", "X-Api-Key: forged", "X-All: forged")
	if a.saw("X-Api-Key") != "hush;" || a.saw("X-Debug") != "" || a.saw("Accept-Language") != "en" ||
		!strings.Contains(a.text, "X-All: 1\nX-All: 2\n") || strings.Contains(a.text, "forged") {
		t.Errorf("the API received other fields than the rules say:\n%s", a.text)
	}
	a = get(t, p, "/x", "X-Debug: 1", "Accept-Language: de")
	if a.saw("X-Api-Key") != "" || a.saw("X-All") != "1" || a.saw("X-Debug") != "" || a.saw("Accept-Language") != "de" {
		t.Errorf("the UI received other fields than the rules say:\n%s", a.text)
	}
}

// A script that may not read an error takes it for one of CORS, so that errors
// from before the checks of a route say who may read them, too.
func TestRoutes_ErrorsMayBeReadByTheOriginsOfCORS(t *testing.T) {
	t.Parallel()
	app := startEcho(t, "app")
	p := pillion.Start(t, list("LB_BACKENDS__APP", app), "LB_ROUTE__APP=/app/*", "LB_MAX_BODY_BYTES=1B",
		"LB_CORS_ORIGINS=https://app.example.com", "LB_ROUTE__SECRET=/secret/*", "LB_SERVICE__SECRET=app",
		"LB_BASIC_AUTH__SECRET=ann:correct horse", "LB_ROUTE__OTHER=/other", "LB_SERVICE__OTHER=app",
		"LB_CORS_ORIGINS__OTHER=https://other.example.com")
	for request, want := range map[string]int{
		"POST /app/x": 413, "GET /app/../secret/x": 400, "GET /nowhere": 404, "GET /secret/x": 401, "GET /app/x": 200,
	} {
		fields := []string{"Origin: https://app.example.com"}
		if want == 413 {
			fields = append(fields, "Content-Length: 2")
		}
		a := raw(t, p, request, fields...)
		if allowed := a.Header.Get("Access-Control-Allow-Origin"); a.StatusCode != want ||
			allowed != "https://app.example.com" || a.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: got %d with %v, want %d that the origin may read", request, a.StatusCode, a.Header, want)
		}
	}
	a := get(t, p, "/other", "Origin: https://app.example.com")
	if a.StatusCode != 200 || a.Header["Access-Control-Allow-Origin"] != nil {
		t.Errorf("%d, %v", a.StatusCode, a.Header)
	}
}

// A field that a rule sets or removes reaches the app in no other way: neither
// in another spelling nor as a trailer. A rule may set Authorization after
// Pillion has verified a password in it.
func TestRoutes_RequestHeaderRulesHaveTheLastWord(t *testing.T) {
	t.Parallel()
	app := backend.Start(t, "app", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "app\n%s %s\n", r.Method, r.RequestURI)
		for _, fields := range []http.Header{r.Header, r.Trailer} {
			for _, field := range slices.Sorted(maps.Keys(fields)) {
				fmt.Fprintf(w, "%s: %s\n", field, strings.Join(fields[field], "; "))
			}
		}
	})
	password := base64.StdEncoding.EncodeToString([]byte("ann:correct horse"))
	for _, protocol := range []string{"http1", "h2c"} {
		p := pillion.Start(t, list("LB_BACKENDS", app), "LB_BASIC_AUTH=ann:correct horse", "LB_PROTOCOL="+protocol,
			"LB_REQUEST_HEADERS=Authorization=Bearer of-the-app;X-Key=right;-X-Debug")
		conn, err := net.Dial("tcp", p.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Basic %s\r\n"+
			"X_Key: wrong\r\nX.Debug: wrong\r\nX-Debug: wrong\r\n"+
			"Transfer-Encoding: chunked\r\nTrailer: X-Key, X-Kept\r\n\r\n"+
			"1\r\nx\r\n0\r\nX-Key: wrong\r\nX_Key: wrong\r\nX-Debug: wrong\r\nX-Kept: kept\r\n\r\n", password)
		a := read(t, conn, "POST")
		if a.saw("Authorization") != "Bearer of-the-app" || a.saw("X-Key") != "right" || a.saw("X-Kept") != "kept" ||
			strings.Contains(a.text, "wrong") {
			t.Errorf("%s: status %d, want the fields of the rules, X-Kept, and nothing wrong:\n%s", protocol, a.StatusCode,
				a.text)
		}
	}
}

func TestRoutes_PillionAnswersCORSPreflights(t *testing.T) {
	t.Parallel()
	api := backend.Start(t, "api", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	})
	p := pillion.Start(t, list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*",
		"LB_CORS_ORIGINS__API=https://app.example.com", "LB_CORS_METHODS__API=GET;PUT", "LB_CORS_CREDENTIALS__API=true")
	preflight := raw(t, p, "OPTIONS /api/x", "Origin: https://app.example.com", "Access-Control-Request-Method: PUT")
	if preflight.from() != "" || preflight.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
		!strings.Contains(preflight.Header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("preflight: status %d, want an answer of Pillion that allows PUT: %v", preflight.StatusCode,
			preflight.Header)
	}
	for origin, want := range map[string]string{"https://app.example.com": "https://app.example.com",
		"https://evil.example": ""} {
		a := get(t, p, "/api/x", "Origin: "+origin)
		if a.from() != "api" || a.Header.Get("Access-Control-Allow-Origin") != want ||
			len(a.Header["Access-Control-Allow-Origin"]) > 1 {
			t.Errorf("origin %s: want Access-Control-Allow-Origin %q, once: %v", origin, want, a.Header)
		}
	}
}

func TestRoutes_HTTPSRedirectAppliesToRequestsThatCameByHTTP(t *testing.T) {
	t.Parallel()
	ui := startEcho(t, "ui")
	p := pillion.Start(t, list("LB_BACKENDS", ui), "LB_HTTPS_REDIRECT=true", "LB_TRUSTED_PROXIES=1")
	a := get(t, p, "shop.example:8080/a//b?c=d", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http")
	if a.StatusCode != 308 || a.Header.Get("Location") != "https://shop.example/a//b?c=d" {
		t.Errorf("status %d, want 308 to https://shop.example/a//b?c=d: %v", a.StatusCode, a.Header)
	}
	for target, fields := range map[string][]string{
		"/x":                            {"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"},
		"/y":                            nil, // the client's scheme is unknown
		"/.well-known/acme-challenge/z": {"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http"},
	} {
		if a := get(t, p, target, fields...); a.StatusCode != 200 || a.from() != "ui" {
			t.Errorf("%s: status %d, want 200 from the UI: %v", target, a.StatusCode, a.Header)
		}
	}
	if a := get(t, p, "/.lb/live", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http"); a.StatusCode != 200 {
		t.Errorf("a probe got status %d, want 200", a.StatusCode)
	}
}

// Each attempt has the fields of its own backend and of the route, and no field
// of another attempt. The same holds for a mirror.
func TestRoutes_EachAttemptHasItsOwnFields(t *testing.T) {
	t.Parallel()
	bad, tried := startRecorder(t, "bad", http.StatusServiceUnavailable)
	good, answered := startRecorder(t, "good", http.StatusOK)
	shadow, copies := startRecorder(t, "shadow", http.StatusOK)
	p := pillion.Start(t, "LB_BACKENDS="+bad.Target("host=bad.example", "weight=200")+";"+good.Target("host=good.example"),
		"LB_HOST_HEADER=backend", "LB_RETRY_STATUS=503", "LB_MIRROR=shadow", "LB_REQUEST_HEADERS=X-Rule=1;-X-Debug",
		"LB_BACKENDS__SHADOW="+shadow.Target("host=shadow.example"), "LB_ROUTE__SHADOW=none", "LB_EJECT_ERRORS=0")
	for tried.Len() == 0 { // the weights make it nearly always the first choice
		get(t, p, "/", "X-Debug: 1", "X-Rule: forged")
	}
	wait(t, answered, 1)
	wait(t, copies, answered.Len())
	for host, requests := range map[string]*await.Values[received]{"bad.example": tried, "good.example": answered,
		"shadow.example": copies} {
		for _, s := range requests.All() {
			if s.host != host || fmt.Sprint(s.header["X-Rule"]) != "[1]" || s.header["X-Debug"] != nil {
				t.Errorf("%s received Host %s and %v, want its own host and the rules once", host, s.host, s.header)
			}
		}
	}
}

// Header rules apply once to an answer from the cache, to Pillion's own 502,
// and to a gRPC answer without messages, whose trailers are in its header.
func TestRoutes_HeaderRulesApplyToCachedFailedAndGRPCAnswers(t *testing.T) {
	t.Parallel()
	kept := backend.Start(t, "kept", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("Server", "secret/1.0")
	})
	broken := backend.StartRaw(t, "broken", func(c *backend.Conn) { _, _ = c.ReadRequest() })
	_, target, _ := strings.Cut(broken.Environment(), "=")
	call := backend.Start(t, "call", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"application/grpc"}
		w.Header()["Grpc-Status"] = []string{"5"}
		w.Header()["Server"] = []string{"secret"}
	})
	p := pillion.Start(t, list("LB_BACKENDS", kept), "LB_CACHE=origin", "LB_BACKENDS__BROKEN="+target,
		"LB_ROUTE__BROKEN=/broken",
		"LB_RETRIES=0", "LB_BACKENDS__CALL=h2c://"+call.Address, "LB_ROUTE__CALL=/shop.Cart/*",
		"LB_RESPONSE_HEADERS=X-Frame-Options=DENY;+X-Added=1;-Server")
	check := func(what string, h http.Header) {
		if fmt.Sprint(h["X-Frame-Options"], h["X-Added"]) != "[DENY] [1]" || h["Server"] != nil {
			t.Errorf("%s: want the rules once and no Server: %v", what, h)
		}
	}
	for range 3 {
		a := get(t, p, "/kept")
		check("a 200, then from memory", a.Header)
	}
	if kept.Hits() != 1 {
		t.Errorf("%d requests reached the service, want 1 and the others from the cache", kept.Hits())
	}
	a := get(t, p, "/broken")
	if a.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d, want 502", a.StatusCode)
	}
	check("our 502", a.Header)

	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://a/shop.Cart/Add", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	response, err := dialHTTP2(t, p.Address).conn.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.Header.Get("Grpc-Status") != "5" {
		t.Errorf("want Grpc-Status 5: %v", response.Header)
	}
	check("a gRPC call without messages", response.Header)
}
