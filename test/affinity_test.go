package test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// affine turns session affinity on. Every affinity test sets it.
const affine = "LB_SESSION_AFFINITY=cookie"

// spare is a second backend with weight 0, which gets no requests. Pillion sets
// no affinity cookie until a second backend was published.
const spare = ";http://127.0.0.1:1?name=spare&weight=0"

// secret is a key that must never be printed.
const secret = "correct-horse-battery-staple-7319"

// session is an affinity cookie, and the backend that it belongs to.
type session struct {
	Name, Value string
	Backend     string
}

// Cookie returns the value of a Cookie field for the session.
func (s session) Cookie() string { return s.Name + "=" + s.Value }

// issued returns Pillion's cookie in a response, or nil.
func issued(a answer) *http.Cookie {
	for _, c := range a.Cookies() {
		if strings.HasPrefix(c.Name, "__lb_") {
			return c
		}
	}
	return nil
}

// newSession makes a request without a cookie and returns the session that it
// gets.
func newSession(t *testing.T, c *http.Client, url string) session {
	t.Helper()
	a := get(t, c, url)
	cookie := issued(a)
	if cookie == nil {
		t.Fatalf("a first answer (%d) without our cookie: %v", a.StatusCode, a.Header)
	}

	return session{Name: cookie.Name, Value: cookie.Value, Backend: a.Backend()}
}

// sessionOn starts sessions until one is on the named backend.
func sessionOn(t *testing.T, c *http.Client, url, name string) session {
	t.Helper()
	for range 500 {
		if s := newSession(t, c, url); s.Backend == name {
			return s
		}
	}

	t.Fatalf("500 sessions and none on %s", name)
	return session{}
}

// wantKept fails unless n requests with the cookie reach the session's backend
// and no cookie is set again.
func wantKept(t *testing.T, c *http.Client, url string, s session, n int) {
	t.Helper()
	for i := range n {
		a := get(t, c, url, "Cookie", s.Cookie())
		if a.StatusCode != http.StatusOK || a.Backend() != s.Backend {
			t.Fatalf("follow-up %d: %d from %q, want %q", i, a.StatusCode, a.Backend(), s.Backend)
		}
		if cookie := issued(a); cookie != nil {
			t.Fatalf("follow-up %d set the cookie again: %v", i, cookie)
		}
	}
}

func TestAffinity_FollowUpsReachTheSameBackend(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, backend.Backends(backend.StartMany(t, 7)...))
	client := newClient(t)
	for range 3 {
		wantKept(t, client, p.URL("/"), newSession(t, client, p.URL("/")), 50)
	}
}

func TestAffinity_FollowUpsOverHTTP2ReachTheSameBackend(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, backend.Backends(backend.StartMany(t, 5)...))
	client := newH2CClient(t)
	s := newSession(t, client, p.URL("/"))
	wantKept(t, client, p.URL("/"), s, 50)

	// HTTP/2 clients may split the field, one cookie in each (RFC 9113 section
	// 8.2.3)
	for range 20 {
		a := get(t, client, p.URL("/"), "Cookie", "a=1", "Cookie", s.Cookie(), "Cookie", "b=2")
		if a.Backend() != s.Backend {
			t.Fatalf("a split Cookie field reached %q, want %q", a.Backend(), s.Backend)
		}
	}
}

func TestAffinity_OffSetsNothing(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, backend.Backends(backend.StartMany(t, 2)...))
	a := get(t, newClient(t), p.URL("/"))
	if len(a.Cookies()) != 0 || a.Header.Get("Cache-Control") != "" {
		t.Errorf("without affinity the answer carries %v", a.Header)
	}
}

func TestAffinity_HoldsThroughASecondProcess(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"without a secret": {affine},
		"with a secret":    {affine, "LB_AFFINITY_SECRET=" + secret},
		"on Cloud Run":     {affine, "K_SERVICE=shop", "GCE_METADATA_HOST=" + backend.Closed(t)},
		"by service name":  {affine, "OTEL_SERVICE_NAME=shop"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := append(env, backend.Backends(backend.StartMany(t, 7)...))
			first, second := pillion.Start(t, env...), pillion.Start(t, env...)
			client := newClient(t)
			for range 3 {
				s := newSession(t, client, first.URL("/"))
				wantKept(t, client, second.URL("/"), s, 50)
				wantKept(t, client, first.URL("/"), s, 5)
			}
		})
	}
}

func TestAffinity_HoldsWhenEveryAddressChanged(t *testing.T) {
	t.Parallel()
	before := pillion.Start(t, affine, backend.Backends(backend.StartMany(t, 5)...))
	after := pillion.Start(t, affine, backend.Backends(backend.StartMany(t, 5)...))
	client := newClient(t)
	for range 5 {
		wantKept(t, client, after.URL("/"), newSession(t, client, before.URL("/")), 50)
	}
}

func TestAffinity_HoldsWhenTheListGrowsAndIsReordered(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 6)
	before := pillion.Start(t, affine, backend.Backends(s[0], s[1], s[2]))
	after := pillion.Start(t, affine, backend.Backends(s[5], s[2], s[4], s[1], s[3], s[0]))
	client := newClient(t)
	for range 3 {
		wantKept(t, client, after.URL("/"), newSession(t, client, before.URL("/")), 20)
	}
}

// wantReplaced fails unless an invalid cookie is ignored: a backend answers
// with success, and the answer sets a new cookie.
func wantReplaced(t *testing.T, c *http.Client, url, cookie string) {
	t.Helper()
	a := get(t, c, url, "Cookie", cookie)
	if a.StatusCode != http.StatusOK || a.Backend() == "" {
		t.Errorf("Cookie %q: %d from %q", cookie, a.StatusCode, a.Backend())
	}

	if issued(a) == nil {
		t.Errorf("Cookie %q was answered without a new one", cookie)
	}
}

func TestAffinity_BadCookiesAreReplacedNeverAnError(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, "LB_AFFINITY_SECRET="+secret, backend.Backends(backend.StartMany(t, 3)...))
	client := newClient(t)
	s := newSession(t, client, p.URL("/"))
	long := strings.Repeat("A", 4000)
	values := []string{
		"", "=", "x", "1", "null", `""`, long, "%00%0d%0a", "../../etc/passwd", "é", "\x80\xff", "a=b", "a b",
		s.Value + "A", "A" + s.Value, s.Value + s.Value, strings.ToLower(s.Value) + "x", `"` + s.Value + `x"`,
		base64.RawURLEncoding.EncodeToString(make([]byte, 16)), base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
	}
	for i := range s.Value { // cut at each length
		values = append(values, s.Value[:i])
	}

	for _, v := range values {
		wantReplaced(t, client, p.URL("/"), s.Name+"="+v)
	}

	wantKept(t, client, p.URL("/"), s, 1)
}

// A changed character makes the cookie invalid, unless it changes only bits
// that base64 does not use. So each position is tried with several characters,
// and at least one of them must be refused.
func TestAffinity_AChangedCharacterIsAForgery(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, "LB_AFFINITY_SECRET="+secret, backend.Backends(backend.StartMany(t, 2)...))
	client := newClient(t)

	s := newSession(t, client, p.URL("/"))
	for i := range s.Value {
		refused := false
		for _, c := range "Aq7_" {
			if byte(c) == s.Value[i] {
				continue
			}
			a := get(t, client, p.URL("/"), "Cookie", s.Name+"="+s.Value[:i]+string(c)+s.Value[i+1:])
			wantStatus(t, a, http.StatusOK)
			refused = refused || issued(a) != nil
		}

		if !refused {
			t.Errorf("character %d of %q can be anything", i, s.Value)
		}
	}
}

func TestAffinity_ForeignCookiesAreReplaced(t *testing.T) {
	t.Parallel()
	servers := backend.Backends(backend.StartMany(t, 3)...)
	name := "LB_AFFINITY_COOKIE=__lb_x"
	ours := pillion.Start(t, affine, name, servers, "LB_AFFINITY_SECRET="+secret)

	client := newClient(t)
	for what, env := range map[string]string{
		"another secret": "LB_AFFINITY_SECRET=another-secret-of-enough-bytes",
		"no secret":      "OTEL_SERVICE_NAME=shop",
	} {
		theirs := pillion.Start(t, affine, name, servers, env)
		t.Run(what, func(t *testing.T) {
			wantReplaced(t, client, ours.URL("/"), newSession(t, client, theirs.URL("/")).Cookie())
			wantReplaced(t, client, theirs.URL("/"), newSession(t, client, ours.URL("/")).Cookie())
		})
	}
}

func TestAffinity_ServicesOfOtherNamesDoNotCollide(t *testing.T) {
	t.Parallel()
	servers := backend.Backends(backend.StartMany(t, 2)...)
	shop := pillion.Start(t, affine, servers, "OTEL_SERVICE_NAME=shop")
	blog := pillion.Start(t, affine, servers, "OTEL_SERVICE_NAME=blog")
	client := newClient(t)
	a, b := newSession(t, client, shop.URL("/")), newSession(t, client, blog.URL("/"))
	if a.Name == b.Name {
		t.Errorf("both services call their cookie %s", a.Name)
	}

	wantReplaced(t, client, blog.URL("/"), b.Name+"="+a.Value)
}

func TestAffinity_UnknownBackendIsReplaced(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 4)
	before := pillion.Start(t, affine, backend.Backends(s[0], s[1]))
	after := pillion.Start(t, affine, backend.Backends(s[2], s[3]))
	client := newClient(t)
	wantReplaced(t, client, after.URL("/"), newSession(t, client, before.URL("/")).Cookie())
}

func TestAffinity_KeysCanBeRotated(t *testing.T) {
	t.Parallel()
	servers := backend.Backends(backend.StartMany(t, 7)...)
	const fresh = "a-fresh-key-of-more-than-16-bytes"
	before := pillion.Start(t, affine, servers, "LB_AFFINITY_SECRET="+secret)
	during := pillion.Start(t, affine, servers, "LB_AFFINITY_SECRET="+fresh+";"+secret)
	after := pillion.Start(t, affine, servers, "LB_AFFINITY_SECRET="+fresh)

	client := newClient(t)
	for range 5 {
		old := newSession(t, client, before.URL("/"))
		a := get(t, client, during.URL("/"), "Cookie", old.Cookie())
		if a.Backend() != old.Backend {
			t.Fatalf("the old key's session went to %q, want %q", a.Backend(), old.Backend)
		}

		wantReplaced(t, client, after.URL("/"), old.Cookie())
		wantKept(t, client, after.URL("/"), newSession(t, client, during.URL("/")), 10)
	}
}

func TestAffinity_ADeadBackendsSessionMovesOnceAndStays(t *testing.T) {
	t.Parallel()
	servers := backend.StartMany(t, 5)
	p := pillion.Start(t, affine, backend.Backends(servers...))
	client := newClient(t)
	kept, moved := map[string]session{}, sessionOn(t, client, p.URL("/"), "one")
	for _, s := range servers[1:] {
		kept[s.Name] = sessionOn(t, client, p.URL("/"), s.Name)
	}

	servers[0].Close()
	a := get(t, client, p.URL("/"), "Cookie", moved.Cookie())
	cookie := issued(a)
	if a.StatusCode != http.StatusOK || a.Backend() == "one" || cookie == nil {
		t.Fatalf("after the backend's death: %d from %q with the cookie %v", a.StatusCode, a.Backend(), cookie)
	}

	wantKept(t, client, p.URL("/"), session{cookie.Name, cookie.Value, a.Backend()}, 50)
	for _, s := range kept {
		wantKept(t, client, p.URL("/"), s, 10)
	}
}

func TestAffinity_AMovedSessionStaysWhenItsFirstBackendReturns(t *testing.T) {
	t.Parallel()
	one := backend.StartWorker(t, "one", "127.0.0.1:0")
	others := backend.StartMany(t, 3)[1:]
	p := pillion.Start(t, affine, "LB_BACKENDS="+one.Target()+";"+others[0].Target()+";"+others[1].Target(),
		"LB_EJECT_ERRORS=0", "LB_EJECT_RATE=0")
	client := newClient(t)
	s := sessionOn(t, client, p.URL("/"), "one")
	one.Kill()
	a := get(t, client, p.URL("/"), "Cookie", s.Cookie())
	cookie := issued(a)
	if a.StatusCode != http.StatusOK || cookie == nil {
		t.Fatalf("after the kill: %d with the cookie %v", a.StatusCode, cookie)
	}

	backend.StartWorker(t, "one", one.Address)
	await.Until(t, "the restarted backend gets new sessions", func() bool {
		return get(t, client, p.URL("/")).Backend() == "one"
	})
	wantKept(t, client, p.URL("/"), session{cookie.Name, cookie.Value, a.Backend()}, 50)
}

func TestAffinity_ADrainingBackendKeepsItsSessions(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 3)
	before := pillion.Start(t, affine, backend.Backends(s...))
	after := pillion.Start(t, affine, "LB_BACKENDS="+s[0].Target("weight=0")+";"+s[1].Target()+";"+s[2].Target())
	client := newClient(t)
	old := sessionOn(t, client, before.URL("/"), "one")
	wantKept(t, client, after.URL("/"), old, 50)
	for range 100 {
		if got := newSession(t, client, after.URL("/")); got.Backend == "one" {
			t.Fatal("the draining backend got a new session")
		}
	}
}
