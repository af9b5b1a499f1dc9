package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// sent is what an endpoint got to see of an attempt.
type sent struct {
	backend string
	header  http.Header
	fields  []wire.Field
	host    string
	body    string
}

// scripted is a proxy whose endpoints answer as the test says, and note what
// they got.
type scripted struct {
	p       *Proxy
	mu      sync.Mutex
	sent    []sent
	respond func(backend string, r *http.Request, c *wire.Call) (*http.Response, error)
}

func newScripted(t testing.TB, o Options, names []string, env ...string) *scripted {
	s := new(scripted)
	s.p = testProxy(t, o, func(name string) upstreamFunc {
		return func(r *http.Request, c *wire.Call) (*http.Response, error) { return s.take(name, r, c) }
	}, env...)
	s.p.Update(named(names...))

	return s
}

func (s *scripted) take(name string, r *http.Request, c *wire.Call) (*http.Response, error) {
	got := sent{backend: name, header: r.Header.Clone(), fields: append([]wire.Field(nil), c.Fields...), host: c.Host}
	var resp *http.Response
	var err error
	if s.respond != nil {
		resp, err = s.respond(name, r, c)
	} else {
		resp = answer(200, "from "+name)
	}

	if e, ok := errors.AsType[*wire.Error](err); (!ok || e.Outcome != wire.NotSent) && c.Body != nil {
		body, _ := io.ReadAll(c.Body)
		got.body = string(body)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, got)

	return resp, err
}

// attempts are the backends that were tried, in their order.
func (s *scripted) attempts() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, got := range s.sent {
		names = append(names, got.backend)
	}

	s.sent = nil
	return strings.Join(names, "")
}

// browser sends requests and keeps the cookies that it is given.
type browser struct {
	p       *Proxy
	cookies map[string]string
}

func (b *browser) get(t testing.TB, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := request("GET", path)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}

	w := httptest.NewRecorder()
	b.p.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if b.cookies == nil {
			b.cookies = make(map[string]string)
		}
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}

	return w
}

var cookies = []string{"LB_SESSION_AFFINITY=cookie"}

func TestAffinity_FollowUpsReachTheSameBackend(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a", "b", "c"}, cookies...)
	b := &browser{p: s.p}
	first := b.get(t, "/")
	home := s.attempts()
	if len(b.cookies) != 1 || first.Header().Get("Cache-Control") != "private" {
		t.Fatalf("%v", first.Header())
	}

	follow := func(what string) {
		t.Helper()
		for range 50 {
			if w := b.get(t, "/"); w.Header().Get("Set-Cookie") != "" || w.Header().Get("Cache-Control") != "" {
				t.Fatalf("%s: a cookie that did not change was sent: %v", what, w.Header())
			}
		}

		for _, got := range s.sent {
			if got.backend != home || got.header["Cookie"] != nil {
				t.Fatalf("%s: %s got %v, home is %s", what, got.backend, got.header, home)
			}
		}

		s.attempts()
	}
	follow("at once")
	moved := named("a", "b", "c")
	for i := range moved {
		moved[i].Address = fmt.Sprintf("10.0.0.%d:80", i)
	}

	s.p.Update(moved)
	follow("after every address changed")
	other := newScripted(t, Options{}, []string{"a", "b", "c"}, cookies...)
	b.p, s = other.p, other
	follow("through another process")
}

func TestAffinity_BadCookiesAreReplaced(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a", "b"}, cookies...)
	name := s.p.cfg.Service.Affinity.CookieName

	_, gone := session(t, s.p, "gone")
	for what, value := range map[string]string{"forged": "x", "empty": "", "unknown": strings.TrimPrefix(gone, name+"=")} {
		w := get(s.p, "Cookie", "a=1; "+name+"="+value+"; b=2")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Set-Cookie"), name+"=") {
			t.Errorf("%s: %d %v", what, w.Code, w.Header())
		}

		s.mu.Lock()
		if got := s.sent[len(s.sent)-1].header.Get("Cookie"); got != "a=1; b=2" {
			t.Errorf("%s: the backend saw %q", what, got)
		}

		s.mu.Unlock()
	}
}

func TestAffinity_ErrorsBindNoSession(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a", "b"}, cookies...)
	for status, want := range map[int]bool{200: true, 302: true, 304: false, 404: true, 500: true, 502: false, 503: false,
		504: false} {
		s.respond = func(string, *http.Request, *wire.Call) (*http.Response, error) { return answer(status, ""), nil }
		if w := get(s.p); w.Code != status || (w.Header().Get("Set-Cookie") != "") != want {
			t.Errorf("%d: %v", status, w.Header())
		}
	}

	s.respond = func(string, *http.Request, *wire.Call) (*http.Response, error) { return nil, noAnswer() }
	if w := get(s.p); w.Code != 502 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("our own error: %v", w.Header())
	}
}

func TestAffinity_RetryLeavesTheEndpointAndBindsToTheWinner(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a", "b"}, cookies...)
	field, value := session(t, s.p, "a")

	s.respond = func(name string, _ *http.Request, _ *wire.Call) (*http.Response, error) {
		if name == "a" {
			return nil, noAnswer()
		}
		return answer(200, ""), nil
	}
	w := get(s.p, field, value)
	if got := s.attempts(); got != "ab" || w.Code != 200 || w.Header().Get("Set-Cookie") == "" {
		t.Errorf("%s %d %v", got, w.Code, w.Header())
	}
}

func TestAffinity_DrainingBackendKeepsItsSessionsAndGetsNoNew(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, nil, cookies...)
	set := named("a", "b")
	set[0].Weight = 0
	s.p.Update(set)
	field, value := session(t, s.p, "a")
	if get(s.p, field, value); s.attempts() != "a" {
		t.Error("the session was moved")
	}

	for range 50 {
		get(s.p)
	}
	if got := s.attempts(); strings.Contains(got, "a") {
		t.Error(got)
	}
}

func TestAffinity_SparesKeepNoSession(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, nil, cookies...)
	set := named("a", "b")
	set[1].Priority = 1
	s.p.Update(set)
	field, value := session(t, s.p, "b")
	if get(s.p, field, value); s.attempts() != "a" {
		t.Error("a session reached what a new one could not")
	}
}

func TestAffinity_StrictIsItsEndpointOrNothing(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a", "b"}, "LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_STRICT=true",
		"LB_START_HOLD=0")
	field, value := session(t, s.p, "a")
	s.respond = func(name string, _ *http.Request, _ *wire.Call) (*http.Response, error) { return nil, noAnswer() }
	if w := get(s.p, field, value); s.attempts() != "a" || w.Code != 502 {
		t.Error(w.Code)
	}

	s.respond = func(string, *http.Request, *wire.Call) (*http.Response, error) { return nil, refused() }
	if w := get(s.p, field, value); strings.Trim(s.attempts(), "a") != "" || w.Code != 503 {
		t.Error(w.Code)
	}

	field, value = session(t, s.p, "gone")
	w := get(s.p, field, value)
	if s.attempts() != "" || w.Code != 503 || !strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestRetry_NothingSentIsFreeForAnyMethod(t *testing.T) {
	t.Parallel()
	for _, dead := range []string{"a", "ab"} {
		s := newScripted(t, Options{}, []string{"a", "b", "c"}, "LB_RETRIES=0", "LB_START_HOLD=0")
		s.respond = func(name string, _ *http.Request, _ *wire.Call) (*http.Response, error) {
			if strings.Contains(dead, name) {
				return nil, refused()
			}
			return answer(200, ""), nil
		}
		for range 500 {
			r := request("POST", "/")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("hello")), 5
			w := httptest.NewRecorder()
			if s.p.ServeHTTP(w, r); w.Code != 200 {
				t.Fatalf("%s dead: %d", dead, w.Code)
			}
		}

		answered := 0
		for _, got := range s.sent {
			if !strings.Contains(dead, got.backend) {
				if answered++; got.body != "hello" {
					t.Fatalf("%q", got.body)
				}
			}
		}

		if answered != 500 {
			t.Errorf("%d deliveries of 500", answered)
		}
	}
}

func TestRetry_SentPOSTIsNotRepeated(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a", "b", "c"}, "LB_EJECT_ERRORS=0")
	s.respond = func(string, *http.Request, *wire.Call) (*http.Response, error) { return nil, noAnswer() }

	post := func(fields ...string) (int, int) {
		w := httptest.NewRecorder()
		r := request("POST", "/", fields...)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("hello")), 5
		s.p.ServeHTTP(w, r)
		return w.Code, len(s.attempts())
	}
	if code, n := post(); code != 502 || n != 1 {
		t.Errorf("%d after %d deliveries", code, n)
	}

	if code, n := post("Idempotency-Key", "1"); code != 502 || n != 2 {
		t.Errorf("vouched for: %d after %d deliveries", code, n)
	}

	s.respond = func(string, *http.Request, *wire.Call) (*http.Response, error) {
		return nil, &wire.Error{Outcome: wire.NotProcessed, Phase: wire.Head, Err: io.EOF}
	}
	if code, n := post(); code != 502 || n != 2 {
		t.Errorf("not processed: %d after %d deliveries", code, n)
	}
}

func TestRetry_SecondDeliveryHasTheWholeBody(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a", "b"})
	first := true

	s.respond = func(_ string, _ *http.Request, c *wire.Call) (*http.Response, error) {
		if first {
			first = false
			return nil, noAnswer()
		}
		return answer(200, ""), nil
	}
	r := request("PUT", "/")
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("hello, world")), -1
	w := httptest.NewRecorder()
	s.p.ServeHTTP(w, r)
	if len(s.sent) != 2 || s.sent[0].body != "hello, world" || s.sent[1].body != "hello, world" ||
		s.sent[0].backend == s.sent[1].backend {
		t.Errorf("%+v", s.sent)
	}
}

func TestRetry_ByStatusOnlyWhereAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, Options{}, []string{"a", "b"}, "LB_RETRY_STATUS=503")
		s.respond = func(string, *http.Request, *wire.Call) (*http.Response, error) {
			return answer(503, "busy", "Retry-After", "30"), nil
		}
		began := time.Now()
		w := get(s.p)
		if took := time.Since(began); w.Code != 503 || w.Body.String() != "busy" || len(s.attempts()) != 2 ||
			took != 2*time.Second {
			t.Errorf("%d after %v", w.Code, took)
		}

		w = httptest.NewRecorder()
		if s.p.ServeHTTP(w, request("POST", "/")); len(s.attempts()) != 1 {
			t.Error("a POST was repeated for its status")
		}
	})
}

func TestRetry_BudgetEndsAStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, Options{}, []string{"a", "b", "c"}, "LB_EJECT_ERRORS=0", "LB_EJECT_RATE=0")
		s.respond = func(string, *http.Request, *wire.Call) (*http.Response, error) { return nil, noAnswer() }
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { get(s.p) })
		}

		all.Wait()
		if n := len(s.attempts()); n < 1290 || n > 1310 {
			t.Errorf("%d attempts of 1000 requests", n)
		}
	})
}

// A response timeout counts as a failure of the backend only if the backend
// answered no other request meanwhile.
func TestTimeout_SlowRequestIsNotAHungBackend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, Options{}, []string{"a", "b"})
		late := func(c *wire.Call) (*http.Response, error) {
			c.Written = time.Now()
			time.Sleep(c.ResponseTimeout)
			return nil, &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Timeout: true, Err: errors.New("timeout")}
		}
		s.respond = func(_ string, r *http.Request, c *wire.Call) (*http.Response, error) {
			if r.URL.Path == "/slow" {
				return late(c)
			}
			return answer(200, ""), nil
		}
		w := httptest.NewRecorder()
		var slow sync.WaitGroup
		slow.Go(func() { s.p.ServeHTTP(w, request("GET", "/slow")) })
		time.Sleep(time.Second)
		for range 50 {
			get(s.p)
		}

		slow.Wait()
		n := strings.Count(s.attempts(), "") - 1 - 50
		if w.Code != 504 || n != 1 || stateOf(t, s.p, "a").Failures+stateOf(t, s.p, "b").Failures != 0 {
			t.Errorf("%d after %d attempts, %+v", w.Code, n, s.p.Backends())
		}

		w = httptest.NewRecorder()
		s.p.ServeHTTP(w, request("GET", "/slow"))
		if n := len(s.attempts()); w.Code != 504 || n != 2 {
			t.Errorf("hung: %d after %d attempts", w.Code, n)
		}
	})
}

// What an attempt carries stays with it: a token for one backend never goes to
// another.
func TestAttempt_OverlaysDoNotLeak(t *testing.T) {
	t.Parallel()
	secret := discovery.Backend{Name: "secret", Address: "10.0.0.1:443", Host: "secret.run.app", TLS: true, Run: true,
		Audience: "https://secret", Weight: 1}

	plain := discovery.Backend{Name: "plain", Address: "10.0.0.2:80", Host: "plain", Weight: 1}
	for _, first := range []string{"secret", "plain"} {
		s := newScripted(t, Options{Tokens: forAll(oneToken{})}, nil)
		s.p.Update([]discovery.Backend{plain, secret})
		s.respond = func(name string, _ *http.Request, _ *wire.Call) (*http.Response, error) {
			if name == first {
				return nil, noAnswer()
			}
			return answer(200, ""), nil
		}

		for s.attempts(); len(s.sent) != 2; s.attempts() {
			get(s.p)
			if len(s.sent) == 2 {
				break
			}
		}

		for _, got := range s.sent {
			fields := fmt.Sprint(got.fields)
			if got.backend == "plain" && (strings.Contains(fields, "token") || got.host != "") {
				t.Errorf("plain got %s as %q", fields, got.host)
			}
			if got.backend == "secret" && (!strings.Contains(fields, "token-for-https://secret") ||
				got.host != "secret.run.app") {
				t.Errorf("secret got %s as %q", fields, got.host)
			}
		}
	}
}

func TestFail_TellsStatusAndRequestIDAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a"}, "LB_START_HOLD=0")
	s.respond = func(string, *http.Request, *wire.Call) (*http.Response, error) { return nil, refused() }
	w := get(s.p)
	id := w.Header().Get("X-Request-Id")
	if w.Code != 503 || w.Body.String() != "503 Service Unavailable\nrequest id: "+id+"\n" || len(id) != 32 ||
		w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestStart_RequestsWaitFiveSecondsForTheFirstBackends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := testProxy(t, Options{}, func(string) upstreamFunc {
			return func(*http.Request, *wire.Call) (*http.Response, error) { return answer(200, ""), nil }
		})
		began := time.Now()
		if w := get(p); w.Code != 503 || time.Since(began) != 5*time.Second {
			t.Errorf("%d after %v", w.Code, time.Since(began))
		}

		p.routing.only.RequestTimeout = time.Second
		if w := get(p); w.Code != 504 || time.Since(began) != 6*time.Second {
			t.Errorf("with a deadline of its own %d after %v", w.Code, time.Since(began))
		}

		p.routing.only.RequestTimeout = 0
		time.AfterFunc(2*time.Second, func() { p.Update(named("a")) })
		if w := get(p); w.Code != 200 {
			t.Error(w.Code)
		}

		p.Update(nil)
		if w := get(p); w.Code != 503 {
			t.Errorf("with no backend %d", w.Code)
		}
	})
}

// Over net/http's server.

func TestRelay_TrailersInterimAndCutAnswers(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a"})
	server := httptest.NewServer(s.p)
	defer server.Close()

	s.respond = func(_ string, r *http.Request, c *wire.Call) (*http.Response, error) {
		c.Informational(103, http.Header{"Link": {"</x.css>"}})
		resp := answer(200, "hello", "X-End", "1")
		if r.URL.Path == "/cut" {
			resp.ContentLength = 10
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("half"), brokenReader{}))
			return resp, nil
		}

		resp.ContentLength = -1
		resp.Trailer = http.Header{"X-Sum": {"5"}, "X-Unannounced": {"6"}}
		return resp, nil
	}
	var hints http.Header
	r, _ := http.NewRequest("GET", server.URL, nil)
	r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { hints = http.Header(h).Clone(); return nil },
	}))
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}

	body, err := io.ReadAll(resp.Body)
	if string(body) != "hello" || err != nil || resp.Header.Get("Link") != "" || resp.Header.Get("X-End") != "1" {
		t.Errorf("%q %v %v", body, err, resp.Header)
	}
	if hints.Get("Link") != "</x.css>" {
		t.Errorf("interim response %v", hints)
	}

	if resp.Trailer.Get("X-Sum") != "5" || resp.Trailer.Get("X-Unannounced") != "6" {
		t.Errorf("trailers %v", resp.Trailer)
	}

	resp, err = server.Client().Get(server.URL + "/cut")
	if err == nil {
		body, err = io.ReadAll(resp.Body)
	}
	if err == nil {
		t.Errorf("a cut answer looks whole: %q", body)
	}
}

// Over our own server.
func TestRelay_AnAnswerThatBreaksBeforeAnyOfItLeftIsAnError(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a", "b"}, "LB_SESSION_AFFINITY=cookie")
	s.respond = func(_ string, _ *http.Request, c *wire.Call) (*http.Response, error) {
		resp := answer(200, "", "X-End", "1")
		resp.ContentLength, resp.Body = 10, io.NopCloser(brokenReader{})
		return resp, nil
	}
	address := serveOwn(t, s.p)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("http://"+address, "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}

	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusBadGateway || !strings.HasPrefix(string(body), "502 Bad Gateway\nrequest id: ") ||
		err != nil {
		t.Errorf("%d %q %v", resp.StatusCode, body, err)
	}
	if resp.Header.Get("X-End") != "" || resp.Header.Get("Set-Cookie") != "" {
		t.Errorf("of the answer that broke: %v", resp.Header)
	}
}

// brokenReader is a backend that is gone.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) {
	return 0, &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Err: io.ErrUnexpectedEOF}
}

func TestTunnel_CarriesBothWaysAndEndsWith1001(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a"})
	server := httptest.NewServer(s.p)
	defer server.Close()
	ours, theirs := net.Pipe()

	s.respond = func(_ string, _ *http.Request, c *wire.Call) (*http.Response, error) {
		if !c.Upgrade {
			t.Error("no upgrade was asked for")
		}

		resp := answer(101, "", "Sec-Websocket-Accept", "x")
		resp.Body = ours

		return resp, nil
	}
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	early := []byte("\x81\x85\x00\x00\x00\x00early") // a text frame, masked with zeros
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"+string(early))
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" ||
		resp.Header.Get("Sec-Websocket-Accept") != "x" {
		t.Fatal(resp, err)
	}

	read := func(from io.Reader, want []byte) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(from, got); err != nil || string(got) != string(want) {
			t.Fatalf("%x %v, not %x", got, err, want)
		}
	}
	read(theirs, early)
	hello := []byte("\x81\x05hello")
	go theirs.Write(hello)
	read(in, hello)
	if requests, tunnels := s.p.Active(); requests != 0 || tunnels != 1 {
		t.Errorf("%d requests, %d tunnels", requests, tunnels)
	}

	go s.p.tunnels.End()
	read(in, []byte{0x88, 2, 0x03, 0xe9}) // 1001, going away
	read(theirs, []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9})
}
