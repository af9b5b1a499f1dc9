package proxy

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/backend"
)

// slowTokens has no token for anybody, and says so only when the request's
// deadline has come.
type slowTokens struct{ oneToken }

func (slowTokens) Token(ctx context.Context, _ string) (string, error) {
	end, _ := ctx.Deadline()
	time.Sleep(time.Until(end))
	return "", errors.New("no metadata")
}

// identified and plain are backends of which only the first needs a token.
func identified(name string) discovery.Backend {
	return discovery.Backend{Name: name, Address: "10.0.0.1:443", Host: name + ".run.app", TLS: true, Run: true,
		Audience: "https://" + name, Weight: 1}
}

func plain(name string) discovery.Backend {
	return discovery.Backend{Name: name, Address: "10.0.0.2:80", Host: name, Weight: 1}
}

func post(p *Proxy, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://shop.example/", strings.NewReader(body))
	r.RequestURI, r.RemoteAddr = "/", "192.0.2.7:1234"
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// An endpoint whose token is missing was sent nothing, so the request goes on
// to another, whatever its method, and the endpoint is not to blame.
func TestIdentify_WithoutATokenTheRequestGoesToAnotherEndpoint(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{Tokens: forAll(noToken{})}, nil, "LB_EJECT_ERRORS=1", "LB_RETRIES=0")
	s.p.Update([]discovery.Backend{identified("A"), identified("B"), plain("c")})
	body := strings.Repeat("x", 100_000) // more than can be sent twice
	for range 30 {
		if w := post(s.p, body); w.Code != http.StatusOK {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
	}

	for _, got := range s.sent {
		if got.backend != "c" {
			t.Errorf("%s was sent a request", got.backend)
		}
	}

	for _, name := range []string{"A", "B"} {
		if st := stateOf(t, s.p, name); st.State != backend.Eligible || st.Failures != 0 || st.InFlight != 0 ||
			st.Requests == 0 {
			t.Errorf("%+v", st)
		}
	}
}

func TestIdentify_NoEndpointLeftIs502(t *testing.T) {
	t.Parallel()
	var record Record
	s := newScripted(t, Options{Tokens: forAll(noToken{}), Access: func(r *Record) { record = *r }}, nil)
	s.p.Update([]discovery.Backend{identified("A"), identified("B")})
	w := post(s.p, "x")
	if w.Code != http.StatusBadGateway || bytes.Contains(w.Body.Bytes(), []byte("token")) || len(s.sent) != 0 {
		t.Errorf("%d %s, sent %d", w.Code, w.Body, len(s.sent))
	}

	if record.Ended != "us/identity" || record.Attempts != 2 || record.Detail == "" {
		t.Errorf("%+v", record)
	}
}

// A session that may go nowhere else has nobody else to ask.
func TestIdentify_StrictSessionStaysWithoutAToken(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{Tokens: forAll(noToken{})}, nil, "LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_STRICT=true")
	s.p.Update([]discovery.Backend{identified("A"), plain("c")})
	field, value := session(t, s.p, "A")
	w := httptest.NewRecorder()
	s.p.ServeHTTP(w, request("GET", "/", field, value))
	if w.Code != http.StatusBadGateway || len(s.sent) != 0 {
		t.Errorf("%d, sent %d", w.Code, len(s.sent))
	}
}

func TestIdentify_TheRequestsDeadlineEndsTheWaitForAToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var record Record
		s := newScripted(t, Options{Tokens: forAll(slowTokens{}), Access: func(r *Record) { record = *r }}, nil,
			"LB_REQUEST_TIMEOUT=2s")
		s.p.Update([]discovery.Backend{identified("A")})
		began := time.Now()
		if w := get(s.p); w.Code != http.StatusGatewayTimeout || time.Since(began) != 2*time.Second ||
			record.Ended != "us/identity" {
			t.Errorf("%d after %v, %+v", w.Code, time.Since(began), record)
		}
	})
}

// forAll are the tokens of every service.
func forAll(t backend.Tokens) func(string) backend.Tokens {
	return func(string) backend.Tokens { return t }
}
