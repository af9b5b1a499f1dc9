package proxy

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestHygiene_HopByHopFieldsGo(t *testing.T) {
	t.Parallel()
	h, _ := cleaned(t, nil, request("GET", "/",
		"Connection", "close, X-Hop ,x-other", "Connection", "Keep-Alive", "X-Hop", "1", "X-Other", "1", "Keep-Alive", "timeout=5", "Proxy-Connection", "close",
		"Proxy-Authorization", "Basic x", "Te", "trailers, gzip", "Transfer-Encoding", "chunked", "Upgrade", "h2c", "Http2-Settings", "x", "Trailer", "X",
		"X-Serverless-Authorization", "Bearer stolen", "Authorization", "Bearer own", "X-End", "1"))
	for name := range h {
		switch name {
		case "Authorization", "X-End", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "Cdn-Loop":
		case "Te":
			if h.Get("Te") != "trailers" {
				t.Errorf("Te: %q", h["Te"])
			}
		default:
			t.Errorf("%s: %q came through", name, h[name])
		}
	}
}

// A client can't use Connection to take away what others rely on.
func TestHygiene_ConnectionTakesNoGuardedField(t *testing.T) {
	t.Parallel()
	guarded := []string{"Host", "Content-Length", "Content-Type", "Cookie", "Authorization", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id", "Cdn-Loop"}
	h, _ := cleaned(t, nil, request("POST", "/", "Connection", strings.Join(guarded, ", "), "Content-Type", "text/plain", "Cookie", "a=1", "Authorization", "x", "Content-Length", "0"))
	for _, name := range guarded {
		if name != "Host" && h[name] == nil {
			t.Errorf("%s is gone", name)
		}
	}
}

func TestHygiene_IdentityHeaderNeverComesIn(t *testing.T) {
	t.Parallel()
	h, _ := cleaned(t, []string{"LB_IDENTITY_HEADER=X-Backend-Token"}, request("GET", "/", "X-Backend-Token", "Bearer stolen", "X_backend_token", "Bearer stolen"))
	for name, v := range h {
		if strings.Contains(v[0], "stolen") {
			t.Errorf("%s came through", name)
		}
	}
	h, _ = cleaned(t, []string{"LB_IDENTITY_HEADER=Authorization"}, request("GET", "/", "Authorization", "Bearer own"))
	if h.Get("Authorization") != "Bearer own" {
		t.Error("the caller's own Authorization is gone")
	}
}

func TestHygiene_OnlyWebSocketsAreUpgrades(t *testing.T) {
	t.Parallel()
	ask := func(change func(*http.Request), fields ...string) bool {
		r := request("GET", "/", fields...)
		if change != nil {
			change(r)
		}
		return wantsWebSocket(r)
	}
	ws := []string{"Connection", "keep-alive, Upgrade", "Upgrade", "WebSocket"}
	if !ask(nil, ws...) {
		t.Error("a WebSocket is refused")
	}
	for name, got := range map[string]bool{
		"h2c":           ask(nil, "Connection", "Upgrade", "Upgrade", "h2c"),
		"two protocols": ask(nil, "Connection", "Upgrade", "Upgrade", "websocket, h2c"),
		"two fields":    ask(nil, append(ws, "Upgrade", "h2c")...),
		"no connection": ask(nil, "Upgrade", "websocket"),
		"a POST":        ask(func(r *http.Request) { r.Method = "POST" }, ws...),
		"a body":        ask(func(r *http.Request) { r.ContentLength = 5 }, ws...),
		"HTTP/1.0":      ask(func(r *http.Request) { r.ProtoMinor = 0 }, ws...),
		"HTTP/2":        ask(func(r *http.Request) { r.ProtoMajor = 2 }, ws...),
	} {
		if got {
			t.Errorf("%s passes for a WebSocket", name)
		}
	}
}

func TestHygiene_ResponseFieldsOfTheHopStay(t *testing.T) {
	t.Parallel()
	to := http.Header{}
	copyResponse(to, http.Header{
		"Connection": {"X-Hop, Set-Cookie, Content-Length"}, "X-Hop": {"1"}, "Keep-Alive": {"timeout=5"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"h2c"},
		"Proxy-Authenticate": {"Basic"}, "Trailer": {"X"}, "Set-Cookie": {"a=1", "b=2"}, "Content-Length": {"3"}, "Www-Authenticate": {"Basic"},
	})
	if len(to) != 3 || !slices.Equal(to["Set-Cookie"], []string{"a=1", "b=2"}) || to.Get("Content-Length") != "3" || to.Get("Www-Authenticate") != "Basic" {
		t.Errorf("%v", to)
	}
}

func TestLoop_EndsAtTheThirdPass(t *testing.T) {
	t.Parallel()
	p := New(testConfig(t, "K_SERVICE=shop"), Options{})
	h := http.Header{"Cdn-Loop": {"other; v=1"}}
	for pass := range 4 {
		if got := p.looped(h); got != (pass >= 3) {
			t.Errorf("pass %d: %v", pass, got)
		}
		x := new(exchange)
		p.markLoop(x, h)
		applied(x, h)
	}
	if !strings.HasPrefix(h.Get("Cdn-Loop"), "other; v=1, pillion-") {
		t.Error(h)
	}
	if New(testConfig(t, "K_SERVICE=api"), Options{}).looped(h) {
		t.Error("another service's passes count")
	}
}

func TestRequestID_TrustedElseTraceElseRandom(t *testing.T) {
	t.Parallel()
	trust := []string{"LB_TRUSTED_PROXIES=1"}
	h, x := cleaned(t, trust, request("GET", "/", "X-Request-Id", "theirs-1"))
	if h.Get("X-Request-Id") != "theirs-1" || x.record.RequestID != "theirs-1" {
		t.Error(h)
	}
	h, _ = cleaned(t, nil, request("GET", "/", "X-Request-Id", "theirs-1"))
	if id := h.Get("X-Request-Id"); len(id) != 32 || id == "theirs-1" {
		t.Errorf("of an untrusted peer: %q", id)
	}
	h, x = cleaned(t, nil, request("GET", "/", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	if h.Get("X-Request-Id") != "0af7651916cd43dd8448eb211c80319c" || !x.record.TraceID.IsValid() {
		t.Error(h)
	}
	for _, bad := range []string{"", "a b", "a\"b", `a\b`, "a\x7f", "é", strings.Repeat("a", 129)} {
		if goodID(bad) {
			t.Errorf("%q passes for an id", bad)
		}
	}
}

func TestHost_LocationOfTheBackendBecomesTheClients(t *testing.T) {
	t.Parallel()
	ep := &endpoint{host: "app-xyz.run.app", origin: "https://app-xyz.run.app"}
	x := &exchange{clientHost: "www.example", secure: true}
	for in, want := range map[string]string{
		"https://app-xyz.run.app/next?a=1": "https://www.example/next?a=1",
		"HTTPS://APP-XYZ.run.app#x":        "https://www.example#x",
		"https://app-xyz.run.app":          "https://www.example",
		"https://app-xyz.run.app.evil/":    "https://app-xyz.run.app.evil/",
		"https://app-xyz.run.app:444/":     "https://app-xyz.run.app:444/",
		"http://app-xyz.run.app/":          "http://app-xyz.run.app/",
		"https://login.example/":           "https://login.example/",
		"/relative":                        "/relative",
	} {
		h := http.Header{"Location": {in}, "Content-Location": {in}}
		if x.rewriteLocation(ep, h, h); h.Get("Location") != want || h.Get("Content-Location") != want {
			t.Errorf("%s: %v", in, h)
		}
	}
	h := http.Header{"Location": {"https://app-xyz.run.app/"}}
	if x.rewriteLocation(&endpoint{origin: "https://app-xyz.run.app"}, h, h); h.Get("Location") != "https://app-xyz.run.app/" {
		t.Error("rewritten although Host was the client's")
	}
}

func TestSession_SharedCachesAreKeptOut(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                  "private",
		"public, max-age=60":                "private, max-age=60",
		"max-age=60, s-maxage=600":          "private, max-age=60",
		"no-store":                          "no-store",
		"private, max-age=1":                "private, max-age=1",
		`Private="x"`:                       `Private="x"`,
		"no-cache":                          "private, no-cache",
		"proxy-revalidate, must-revalidate": "private, must-revalidate",
	} {
		h := http.Header{}
		if in != "" {
			h.Set("Cache-Control", in)
		}
		if keepPrivate(h["Cache-Control"], h); h.Get("Cache-Control") != want {
			t.Errorf("%q becomes %q, not %q", in, h.Get("Cache-Control"), want)
		}
	}
}
