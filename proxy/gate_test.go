package proxy

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// unreadBody fails the test that reads it.
type unreadBody struct{ t *testing.T }

func (b unreadBody) Read([]byte) (int, error) {
	b.t.Error("the body of a refused request was read")
	return 0, io.EOF
}

func (unreadBody) Close() error { return nil }

func TestGate_ARefusalTouchesNothing(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a"}, "LB_SESSION_AFFINITY=cookie", "LB_ALLOW_METHODS=GET;POST",
		"LB_ALLOW_PATHS=/in/*",
		"LB_DENY_PATHS=/in/not/*", "LB_DENY_FROM=192.0.2.0/24")

	for _, c := range []struct {
		method, target, peer string
		status               int
		fields               []string
	}{
		{"DELETE", "/in/x", "10.0.0.1:1", 405, []string{"Allow", "GET, HEAD, POST"}},
		{"DELETE", "/out", "192.0.2.1:1", 405, nil}, // the method is asked first
		{"POST", "/out", "192.0.2.1:1", 404, nil},   // then the path
		{"POST", "/in/%2e%2e/in/x", "10.0.0.1:1", 404, nil},
		{"POST", "/in/NOT", "10.0.0.1:1", 404, nil},
		{"POST", "/in/x", "192.0.2.1:1", 403, nil}, // then the address
		{"POST", "/in/x", "nonsense", 403, nil},
	} {
		r := request(c.method, c.target)
		r.RemoteAddr, r.Body, r.ContentLength = c.peer, unreadBody{t}, 10
		w := httptest.NewRecorder()
		s.p.ServeHTTP(w, r)

		h := w.Header()
		if w.Code != c.status || h.Get("X-Request-Id") == "" || h["Set-Cookie"] != nil ||
			h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s of %s: %d %v", c.method, c.target, c.peer, w.Code, h)
		}
		if len(c.fields) > 0 && h.Get(c.fields[0]) != c.fields[1] {
			t.Errorf("%s %s: %v", c.method, c.target, h)
		}
	}
	if tried := s.attempts(); tried != "" {
		t.Errorf("backends saw %q", tried)
	}
	if state := stateOf(t, s.p, "a"); state.Requests != 0 || state.Failures != 0 {
		t.Errorf("%+v", state)
	}

	r := request("HEAD", "/in/x")
	r.RemoteAddr = "10.0.0.1:1"
	w := httptest.NewRecorder()
	if s.p.ServeHTTP(w, r); w.Code != 200 {
		t.Errorf("what is allowed got %d", w.Code)
	}
}

func TestGate_GRPCGetsItsOwnStatus(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"LB_ALLOW_METHODS=GET": "12", "LB_DENY_PATHS=/*": "12", "LB_ALLOW_FROM=198.51.100.0/24": "7",
	} {
		s := newScripted(t, Options{}, []string{"a"}, setting)
		r := request("POST", "/pkg.Service/Method", "Content-Type", "application/grpc")
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		w := httptest.NewRecorder()
		if s.p.ServeHTTP(w, r); w.Code != 200 || w.Header().Get("Grpc-Status") != want {
			t.Errorf("%s: %d %v", setting, w.Code, w.Header())
		}
	}
}

func TestGate_TheRecordSaysWhy(t *testing.T) {
	t.Parallel()
	var seen []string
	o := Options{Access: func(r *Record) { seen = append(seen, r.Access+" "+r.Ended) }}
	s := newScripted(t, o, []string{"a"}, "LB_ACCESS_LOG=on", "LB_DENY_PATHS=/no")
	for _, path := range []string{"/no", "/yes"} {
		s.p.ServeHTTP(httptest.NewRecorder(), request("GET", path))
	}
	none := newScripted(t, o, []string{"a"}, "LB_ACCESS_LOG=on")
	none.p.ServeHTTP(httptest.NewRecorder(), request("GET", "/no"))

	if got := strings.Join(seen, ","); got != "path us/access,allowed , " {
		t.Errorf("%q", got)
	}
}

func TestGate_PreflightsThatAreAnsweredNeedNoLeave(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a"}, "LB_CORS_ORIGINS=https://app.example.com", "LB_ALLOW_METHODS=GET",
		"LB_DENY_PATHS=/no")
	preflight := request("OPTIONS", "/no", "Origin", "https://app.example.com", "Access-Control-Request-Method", "GET")
	w := httptest.NewRecorder()
	if s.p.ServeHTTP(w, preflight); w.Code != 204 {
		t.Errorf("a preflight got %d", w.Code)
	}

	// The refusal itself can be read by the script that caused it.
	w = httptest.NewRecorder()
	s.p.ServeHTTP(w, request("GET", "/no", "Origin", "https://app.example.com"))
	if w.Code != 404 || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestGate_ARouteOfItsOwnIsOpen(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a"}, "LB_DENY_PATHS=/hooks/*", "LB_ALLOW_FROM=198.51.100.0/24",
		"LB_ROUTE__HOOKS=/hooks/*",
		"LB_DENY_PATHS__HOOKS=none", "LB_ALLOW_FROM__HOOKS=all", "LB_SERVICE__HOOKS=default", "LB_ROUTE__GONE=/gone",
		"LB_RESPOND__GONE=410")
	for path, want := range map[string]int{"/hooks/x": 200, "/x": 403, "/gone": 403} {
		w := httptest.NewRecorder()
		if s.p.ServeHTTP(w, request("GET", path)); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestGate_TheLogHasOneLineASecondForAReason(t *testing.T) {
	t.Parallel()
	var t0 turnedAway
	now := time.Unix(1000, 0)
	for range 5 {
		t0.count("path", now)
	}
	if _, due := t0.count("method", now); !due {
		t.Error("another reason has no line of its own")
	}
	if _, due := t0.count("path", now.Add(999*time.Millisecond)); due {
		t.Error("two lines within a second")
	}
	if unsaid, due := t0.count("path", now.Add(time.Second)); !due || unsaid != 5 {
		t.Errorf("%d were not said, %v", unsaid, due)
	}
	if _, due := t0.count("path", now.Add(-time.Hour)); !due {
		t.Error("a clock that was set back ended the lines")
	}
}

func TestGate_WhoSharesAnAddressIsWarned(t *testing.T) {
	t.Parallel()
	for setting, level := range map[string]string{"LB_ALLOW_FROM=private": "level=WARN",
		"LB_ALLOW_FROM=all": "level=INFO"} {
		book := new(logBook)
		s := newScripted(t, Options{Logger: book.Logger()}, []string{"a"}, setting)
		r := request("GET", "/", "X-Forwarded-For", "203.0.113.9")
		r.RemoteAddr = "10.0.0.1:1"
		s.p.ServeHTTP(httptest.NewRecorder(), r)
		if book.Count("forwarding fields of an untrusted peer") != 1 || book.Count(level) != 1 {
			t.Errorf("%s: %s", setting, book.String())
		}
	}
}

// Without gates a request does what it did before there were any.
func TestGate_OffCostsNothing(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a"})
	if r := s.p.routing.only; r.gates != nil || !r.plain {
		t.Errorf("%+v", r)
	}
}
