package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

func TestCookie_AttributesFollowTheClientsSide(t *testing.T) {
	t.Parallel()
	target := backend.StartMany(t, 1)[0].Target()

	https := []string{"X-Forwarded-Proto", "https", "X-Forwarded-For", "203.0.113.9"}
	for name, c := range map[string]struct {
		env    []string
		fields []string
		want   string // attributes in alphabetical order
	}{
		"clear text": {nil, nil, "httponly path=/ samesite=lax"},
		"strict":     {[]string{"LB_AFFINITY_SAMESITE=strict"}, nil, "httponly path=/ samesite=strict"},
		"none": {[]string{"LB_AFFINITY_SAMESITE=none"}, nil,
			"httponly partitioned path=/ samesite=none secure"},
		"https, nobody trusted": {nil, https, "httponly path=/ samesite=lax"},
		"https, trusted":        {[]string{"LB_TRUSTED_PROXIES=127.0.0.0/8"}, https, "httponly path=/ samesite=lax secure"},
		"https, cloudrun":       {[]string{"LB_TRUSTED_PROXIES=cloudrun"}, https, "httponly path=/ samesite=lax secure"},
		"https, one hop, life": {[]string{"LB_TRUSTED_PROXIES=1", "LB_AFFINITY_TTL=1h"}, https,
			"httponly max-age=3600 path=/ samesite=lax secure"},
		"trusted, but clear text": {[]string{"LB_TRUSTED_PROXIES=127.0.0.0/8"}, []string{"X-Forwarded-Proto", "http"},
			"httponly path=/ samesite=lax"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, append(c.env, affine, "LB_BACKENDS="+target+spare)...)
			a := get(t, newClient(t), p.URL("/"), c.fields...)
			lines := a.Header.Values("Set-Cookie")
			if len(lines) != 1 {
				t.Fatalf("Set-Cookie: %q, want one", lines)
			}

			if got := attributesOf(lines[0]); got != c.want {
				t.Errorf("attributes %q, want %q", got, c.want)
			}
		})
	}
}

// attributesOf is the attributes of a Set-Cookie value in lower case and
// alphabetical order. Expires is left out: it says what Max-Age says.
func attributesOf(line string) string {
	var out []string
	for _, a := range strings.Split(line, ";")[1:] {
		a = strings.ToLower(strings.TrimSpace(a))
		if !strings.HasPrefix(a, "expires=") {
			out = append(out, a)
		}
	}

	return strings.Join(slices.Sorted(slices.Values(out)), " ")
}

func TestCookie_NameCanBeChosen(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, "LB_AFFINITY_COOKIE=stay", backend.Backends(backend.StartMany(t, 5)...))
	client := newClient(t)
	first := get(t, client, p.URL("/"))
	cookies := first.Cookies()
	if len(cookies) != 1 || cookies[0].Name != "stay" {
		t.Fatalf("cookies %v, want one called stay", cookies)
	}

	for range 20 {
		if a := get(t, client, p.URL("/"), "Cookie", "stay="+cookies[0].Value); a.Backend() != first.Backend() {
			t.Fatalf("went to %q, want %q", a.Backend(), first.Backend())
		}
	}
}

// answering is a proxy with affinity over one backend that answers whatever the
// query asks for.
func answering(t *testing.T, env ...string) (*binary.Process, *http.Client) {
	t.Helper()
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			for _, v := range values {
				w.Header().Add(name, v)
			}
		}

		switch r.URL.Path {
		case "/304":
			w.WriteHeader(http.StatusNotModified)
		case "/502":
			w.WriteHeader(http.StatusBadGateway)
		case "/503":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/504":
			w.WriteHeader(http.StatusGatewayTimeout)
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
		case "/404":
			w.WriteHeader(http.StatusNotFound)
		case "/103":
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
		}
	})
	return pillion.Start(t, append(env, affine, backend.Backends(b)+spare, "LB_EJECT_ERRORS=0", "LB_EJECT_RATE=0")...),
		newClient(t)
}

func TestCookie_MakesAResponsePrivate(t *testing.T) {
	t.Parallel()
	p, client := answering(t)
	for query, want := range map[string]string{
		"":                                    "private",
		"?Cache-Control=private":              "private",
		"?Cache-Control=no-store":             "no-store",
		"?Cache-Control=max-age%3D60,private": "max-age=60,private",
		"?Cache-Control=No-Store":             "No-Store",
	} {
		a := get(t, client, p.URL("/"+query))
		if issued(a) == nil {
			t.Errorf("%q: no cookie", query)
		}
		if got := strings.Join(a.Header.Values("Cache-Control"), ", "); got != want {
			t.Errorf("%q: Cache-Control %q, want %q", query, got, want)
		}
	}
}

func TestCookie_NeverGoesIntoASharedCache(t *testing.T) {
	t.Parallel()
	p, client := answering(t)
	for _, path := range []string{"/", "/304", "/404"} {
		for _, control := range []string{"public", "public,max-age=60", "max-age=60", "s-maxage=60"} {
			a := get(t, client, p.URL(path+"?Cache-Control="+strings.ReplaceAll(control, "=", "%3D")))
			got := strings.ToLower(strings.Join(a.Header.Values("Cache-Control"), ","))
			if issued(a) != nil && (!strings.Contains(got, "private") || strings.Contains(got, "public")) {
				t.Errorf("%s with Cache-Control %q carries a cookie and Cache-Control %q", path, control, got)
			}
		}
	}
}

// A field that is for some caches only decides for them, whatever Cache-Control
// says (RFC 9213 section 2.2).
func TestCookie_NeverGoesIntoACacheThatIsToldApart(t *testing.T) {
	t.Parallel()
	p, client := answering(t)
	for _, name := range []string{"CDN-Cache-Control", "Surrogate-Control", "Cloudflare-CDN-Cache-Control",
		"Netlify-CDN-Cache-Control",
		"Vercel-CDN-Cache-Control", "Akamai-Cache-Control", "Edge-Control", "X-Accel-Expires"} {
		for _, client := range []*http.Client{client, newH2CClient(t)} {
			for _, path := range []string{"/", "/404"} {
				a := get(t, client, p.URL(path+"?Cache-Control=public&"+name+"=max-age%3D600"))
				got := strings.ToLower(strings.Join(a.Header.Values(name), ","))
				if issued(a) != nil && got != "0" && !strings.Contains(got, "no-store") && !strings.Contains(got, "private") {
					t.Errorf("%s%s: a cookie is set beside %s: %q", a.Proto, path, name, got)
				}
			}
		}
	}
}

func TestCookie_LeavesCacheControlAloneWhenItIsNotSet(t *testing.T) {
	t.Parallel()
	p, client := answering(t)
	s := newSession(t, client, p.URL("/"))
	a := get(t, client, p.URL("/?Cache-Control=public"), "Cookie", s.Cookie())
	if got := a.Header.Values("Cache-Control"); len(got) != 1 || got[0] != "public" || issued(a) != nil {
		t.Errorf("a follow-up has Cache-Control %q and the cookie %v", got, issued(a))
	}

	if a := get(t, client, p.URL("/"), "Cookie", s.Cookie()); a.Header.Get("Cache-Control") != "" {
		t.Errorf("a follow-up got Cache-Control %q", a.Header.Get("Cache-Control"))
	}
}

func TestCookie_NeverOnErrorsOfAGateway(t *testing.T) {
	t.Parallel()
	p, client := answering(t)
	for _, path := range []string{"/502", "/503", "/504"} {
		for _, cookie := range []string{"", "__lb_forged=1"} {
			if a := get(t, client, p.URL(path), "Cookie", cookie); issued(a) != nil || "/"+a.Status[:3] != path {
				t.Errorf("%s: %s with the cookie %v", path, a.Status, issued(a))
			}
		}
	}

	if a := get(t, client, p.URL("/404")); issued(a) == nil {
		t.Error("a 404 of the app begins no session")
	}
}

func TestCookie_NeverOnOurOwnErrors(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, "LB_BACKENDS=http://"+backend.Closed(t), "LB_START_HOLD=0s")
	a := get(t, newClient(t), p.URL("/"))
	if a.StatusCode < 500 || len(a.Cookies()) != 0 {
		t.Errorf("%s with %v", a.Status, a.Cookies())
	}
}

func TestCookie_NeverOnInformationalResponses(t *testing.T) {
	t.Parallel()
	p, _ := answering(t)
	c := wire.Dial(t, p.Address)
	c.Get("/103")
	if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 103 ") || strings.Contains(head, "Set-Cookie") ||
		strings.Contains(head, "Cache-Control") {
		t.Errorf("early hints are %q", head)
	}

	if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") || strings.Count(head, "Set-Cookie: __lb_") != 1 {
		t.Errorf("the final head is %q", head)
	}
}

func TestCookie_StandsBesideTheAppsOwn(t *testing.T) {
	t.Parallel()
	p, client := answering(t)
	a := get(t, client, p.URL("/?Set-Cookie=a%3D1%3B+Path%3D/x&Set-Cookie=b%3D2"))
	lines := a.Header.Values("Set-Cookie")
	var rest []string
	for _, l := range lines {
		if !strings.HasPrefix(l, "__lb_") {
			rest = append(rest, l)
		}
	}

	if len(lines) != 3 || len(rest) != 2 || rest[0] != "a=1; Path=/x" || rest[1] != "b=2" {
		t.Errorf("Set-Cookie: %q", lines)
	}
}

func TestCookie_BackendSeesEveryCookieButOurs(t *testing.T) {
	t.Parallel()
	raw := backend.StartScript(t, "one", func(backend.Request) string { return backend.Answer(200, "") })
	p := pillion.Start(t, affine, raw.Environment()+spare)
	s := newSession(t, newClient(t), p.URL("/"))
	ours := s.Cookie()

	c := wire.Dial(t, p.Address)
	for _, e := range []struct{ sent, want []string }{
		{[]string{ours}, nil},
		{[]string{"a=1; " + ours}, []string{"a=1"}},
		{[]string{ours + "; a=1"}, []string{"a=1"}},
		{[]string{"a=1; " + ours + "; b=2"}, []string{"a=1; b=2"}},
		{[]string{ours + "; a=1; " + ours}, []string{"a=1"}},
		{[]string{"a=1", ours, "b=2"}, []string{"a=1", "b=2"}},
		{[]string{s.Name + "=forged; a=1"}, []string{"a=1"}},
		{[]string{"a=1; " + s.Name + "=; b=2"}, []string{"a=1; b=2"}},
		{[]string{"a=1; x" + ours + "; " + s.Name + "x=2"}, []string{"a=1; x" + ours + "; " + s.Name + "x=2"}},
		{[]string{"a=" + ours}, []string{"a=" + ours}},
		{[]string{`a="x, y z";b=;c==;;  d=` + "\xc3\xa9\xff" + `; e`},
			[]string{`a="x, y z";b=;c==;;  d=` + "\xc3\xa9\xff" + `; e`}},
		{[]string{`a="x;y"; ` + ours + `; é=%20`}, []string{`a="x;y"; é=%20`}},
	} {
		n := raw.Requests.Len()
		var fields []string
		for _, v := range e.sent {
			fields = append(fields, "Cookie: "+v)
		}

		c.Get("/", fields...)
		if r, _ := c.Response("GET"); r.StatusCode != 200 {
			t.Fatalf("Cookie %q: status %d", e.sent, r.StatusCode)
		}

		got := raw.Requests.All()[n].Fields("Cookie")
		if strings.Join(got, "\n") != strings.Join(e.want, "\n") {
			t.Errorf("Cookie %q reached the backend as %q, want %q", e.sent, got, e.want)
		}
	}
}

func TestCookie_OfOneRequestTwiceIsNoError(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, backend.Backends(backend.StartMany(t, 7)...))
	client := newClient(t)

	s := newSession(t, client, p.URL("/"))
	for range 20 {
		a := get(t, client, p.URL("/"), "Cookie", s.Cookie()+"; "+s.Cookie())
		if a.Backend() != s.Backend || issued(a) != nil {
			t.Fatalf("the same cookie twice went to %q with the cookie %v, want %q", a.Backend(), issued(a), s.Backend)
		}
	}

	for _, pair := range []string{s.Cookie() + "; " + s.Name + "=forged", s.Name + "=forged; " + s.Cookie()} {
		wantStatus(t, get(t, client, p.URL("/"), "Cookie", pair), http.StatusOK)
	}
}

func TestCookie_EndsWithItsLife(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, "LB_AFFINITY_TTL=3s", backend.Backends(backend.StartMany(t, 5)...))
	client := newClient(t)
	began := time.Now()
	s := newSession(t, client, p.URL("/"))
	wantExpiry(t, client, p.URL("/"), s, began, 3*time.Second)
}

// The last-seen date inside the cookie counts, so a cookie that is sent all the
// time but never renewed grows idle too.
func TestCookie_EndsWhenIdle(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, "LB_AFFINITY_IDLE=3s", backend.Backends(backend.StartMany(t, 5)...))
	client := newClient(t)
	began := time.Now()
	s := newSession(t, client, p.URL("/"))
	wantExpiry(t, client, p.URL("/"), s, began, 3*time.Second)
}

// wantExpiry sends one cookie until it leads elsewhere, which must not happen
// more than a second (the dates' resolution) before its end.
func wantExpiry(t *testing.T, c *http.Client, url string, s session, began time.Time, life time.Duration) {
	t.Helper()
	await.Until(t, "the cookie expires", func() bool {
		a := get(t, c, url, "Cookie", s.Cookie())
		wantStatus(t, a, http.StatusOK)
		return a.Backend() != s.Backend
	})
	if lived := time.Since(began); lived < life-time.Second {
		t.Errorf("the cookie lived %v, want %v", lived, life)
	}
}

func TestCookie_InUseIsRenewedAndNeverGrowsIdle(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, "LB_AFFINITY_IDLE=8s", backend.Backends(backend.StartMany(t, 5)...))
	client := newClient(t)
	s := newSession(t, client, p.URL("/"))
	renewed := 0

	await.Until(t, "the cookie is renewed twice", func() bool {
		a := get(t, client, p.URL("/"), "Cookie", s.Cookie())
		if a.Backend() != s.Backend {
			t.Fatalf("a renewed session moved from %q to %q", s.Backend, a.Backend())
		}

		if cookie := issued(a); cookie != nil {
			s.Value = cookie.Value
			renewed++
		}

		return renewed == 2
	})
}

func TestStrict_KeepsTheSessionOrAnswers503(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 3)
	strict := "LB_AFFINITY_STRICT=true"
	before := pillion.Start(t, affine, strict, backend.Backends(s[0], s[1]))
	gone := pillion.Start(t, affine, strict, backend.Backends(s[1], s[2]))
	client := newClient(t)
	wantKept(t, client, before.URL("/"), newSession(t, client, before.URL("/")), 20)
	old := sessionOn(t, client, before.URL("/"), "one")
	a := get(t, client, gone.URL("/"), "Cookie", old.Cookie())
	wantStatus(t, a, http.StatusServiceUnavailable)
	if cookie := issued(a); cookie == nil || cookie.MaxAge >= 0 || cookie.Name != old.Name || cookie.Path != "/" {
		t.Errorf("a name that is gone answers with the cookie %v, want its deletion", cookie)
	}

	wantKept(t, client, gone.URL("/"), sessionOn(t, client, before.URL("/"), "two"), 5)
}

func TestStrict_NeverLeavesADeadBackend(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 2)
	p := pillion.Start(t, affine, "LB_AFFINITY_STRICT=true", backend.Backends(s...), "LB_START_HOLD=0s")
	client := newClient(t)
	one := sessionOn(t, client, p.URL("/"), "one")
	s[0].Close()

	hits := s[1].Hits()
	for range 10 {
		a := get(t, client, p.URL("/"), "Cookie", one.Cookie())
		if a.StatusCode != http.StatusBadGateway && a.StatusCode != http.StatusServiceUnavailable || issued(a) != nil {
			t.Fatalf("%d from %q with the cookie %v", a.StatusCode, a.Backend(), issued(a))
		}
	}

	if s[1].Hits() != hits {
		t.Error("the other backend saw requests of the session")
	}
}
