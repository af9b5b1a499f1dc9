package test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// region is a fake Cloud Run service in one region. Like Cloud Run's front end,
// it keeps sessions by a cookie whose name is the same in all services and
// regions. It sets the cookie on the answer to a client that sends none, or one
// that it does not know.
type region struct {
	*backend.Server
	name    string
	foreign atomic.Int64 // requests with a cookie that it has not issued
	broken  atomic.Bool  // every connection ends without an answer
	given   sync.Map     // the instance of each cookie
	page    string       // the content of /
}

const instances = 3

func startRegion(t *testing.T, name string) *region {
	t.Helper()
	return startSite(t, name, "")
}

// startSite is startRegion for a service with a page.
func startSite(t *testing.T, name, page string) *region {
	t.Helper()
	r := &region{name: name, page: page}
	r.Server = backend.Start(t, name, r.serve)

	return r
}

func (r *region) serve(w http.ResponseWriter, req *http.Request) {
	if r.broken.Load() {
		panic(http.ErrAbortHandler)
	}

	instance := ""
	for _, c := range req.CookiesNamed("GAESA") {
		known, ok := r.given.Load(c.Value)
		if !ok {
			r.foreign.Add(1)
			continue
		}
		instance = known.(string)
	}

	if instance == "" {
		instance = fmt.Sprint(r.name, "-", rand.N(instances))
		value := fmt.Sprintf("CoYBMDBm%x%s", rand.Uint64(), strings.Repeat("aB-_", 48))
		r.given.Store(value, instance)
		expires := time.Now().Add(30 * 24 * time.Hour).UTC().Format(http.TimeFormat)
		w.Header()["Set-Cookie"] = []string{"GAESA=" + value + "; expires=" + expires + "; path=/"}
	}

	w.Header().Set("X-Instance", instance)
	w.Header().Set("X-Cookies", strings.Join(req.Header["Cookie"], "|"))
	if r.page != "" && req.URL.Path == "/" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, r.page)
	}
}

// browser is a session with its own cookies. All browsers share the client's
// connections.
type browser struct {
	*http.Client
	set int // number of Set-Cookie lines received
}

func newBrowser(t *testing.T, transport http.RoundTripper) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}

	return &browser{Client: &http.Client{Transport: transport, Jar: jar, Timeout: time.Minute}}
}

// ask makes a request with the cookies of the session, a cookie of the app, and
// a cookie of a front end before Pillion.
func (b *browser) ask(method, url string) (answer, error) {
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		return answer{}, err
	}
	r.Header["Cookie"] = []string{"app=1; GAESA=of-the-front-end"}

	a, err := exchange(b.Client, r)
	if err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %q", a.Status, a.Text)
	}
	if err == nil {
		b.set += len(a.Header["Set-Cookie"])
	}

	return a, err
}

func TestCarrier_SessionsReachTheirInstance(t *testing.T) {
	t.Parallel()
	one, two := startRegion(t, "one"), startRegion(t, "two")
	p := pillion.Start(t, affine,
		"LB_BACKENDS="+one.Target("host=shop-1.europe-west1.run.app")+";"+two.Target("host=shop-1.us-east1.run.app"))
	over1, over2 := newClient(t).Transport, newH2CClient(t).Transport

	const sessions, requests, callers = 1000, 20, 8
	var next, moved, cookies, foreign atomic.Int64
	var seen sync.Map
	failed := make(chan error, callers)
	session := func(transport http.RoundTripper) error {
		b := newBrowser(t, transport)
		first := ""
		for range requests {
			a, err := b.ask(http.MethodGet, p.URL("/"))
			if err != nil {
				return err
			}
			instance := a.Header.Get("X-Instance")
			if first == "" {
				first = instance
				seen.Store(instance, true)
			}
			if instance != first {
				moved.Add(1)
			}
			if shown := a.Header.Get("X-Cookies"); !strings.HasPrefix(shown, "app=1") || strings.Contains(shown, "__lb") ||
				strings.Contains(shown, "front-end") {
				foreign.Add(1)
			}
		}
		if b.set > 2 {
			cookies.Add(1)
		}
		return nil
	}

	var running sync.WaitGroup
	for i := range callers {
		running.Go(func() {
			for next.Add(1) <= sessions {
				if err := session([]http.RoundTripper{over1, over2}[i%2]); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	running.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}

	n := 0
	seen.Range(func(_, _ any) bool { n++; return true })
	if moved.Load() > 0 || cookies.Load() > 0 || foreign.Load() > 0 || n != 2*instances {
		t.Errorf("%d requests left their instance, %d sessions got more than two cookies, %d requests had odd cookies, %d "+
			"instances were used",
			moved.Load(), cookies.Load(), foreign.Load(), n)
	}
	if f := one.foreign.Load() + two.foreign.Load(); f > 0 {
		t.Errorf("%d requests reached a region with a cookie that is not its own", f)
	}
}

// While a region is down, its sessions move to another region and stay on one
// instance there. Neither region ever sees the other region's cookies.
func TestCarrier_ARetryElsewhereShowsNoForeignCookie(t *testing.T) {
	t.Parallel()
	one, two := startRegion(t, "one"), startRegion(t, "two")
	p := pillion.Start(t, affine, "LB_RETRIES=2",
		"LB_BACKENDS="+one.Target("host=shop-1.europe-west1.run.app")+";"+two.Target("host=shop-1.us-east1.run.app"))
	transport := newClient(t).Transport
	own := map[string]*region{"one": one, "two": two}
	other := map[string]*region{"one": two, "two": one}

	for range 20 {
		b := newBrowser(t, transport)
		a, err := b.ask(http.MethodGet, p.URL("/"))
		if err != nil {
			t.Fatal(err)
		}
		home := a.Backend()
		own[home].broken.Store(true)
		first, err := b.ask(http.MethodGet, p.URL("/"))
		if err != nil || first.Backend() != other[home].name {
			t.Fatalf("with its region broken the session got %v, %v", first.Header, err)
		}
		second, err := b.ask(http.MethodGet, p.URL("/"))
		if err != nil || second.Header.Get("X-Instance") != first.Header.Get("X-Instance") {
			t.Errorf("the moved session went from %s to %s: %v", first.Header.Get("X-Instance"), second.Header.Get("X-Instance"),
				err)
		}
		own[home].broken.Store(false)
	}

	if f := one.foreign.Load() + two.foreign.Load(); f > 0 {
		t.Errorf("%d requests reached a region with a cookie that is not its own", f)
	}
}

// A hedged request goes to two endpoints. Each of them sees only its own
// cookie.
func TestCarrier_AHedgedRequestShowsNoForeignCookie(t *testing.T) {
	t.Parallel()
	for _, delay := range []string{"1m", "1ms"} {
		one, two := startRegion(t, "one"), startRegion(t, "two")
		p := pillion.Start(t, affine, "LB_HEDGE="+delay, "LB_RETRY_BUDGET=100%",
			"LB_BACKENDS="+one.Target("host=shop-1.europe-west1.run.app")+";"+two.Target("host=shop-1.us-east1.run.app"))
		transport := newClient(t).Transport
		for range 10 {
			b, first := newBrowser(t, transport), ""
			for range 20 {
				a, err := b.ask(http.MethodGet, p.URL("/"))
				if err != nil {
					t.Fatal(err)
				}
				instance := a.Header.Get("X-Instance")
				if first == "" {
					first = instance
				}
				if delay == "1m" && instance != first {
					t.Errorf("the session went from %s to %s", first, instance)
				}
			}
		}

		if f := one.foreign.Load() + two.foreign.Load(); f > 0 {
			t.Errorf("%s: %d requests reached a region with a cookie that is not its own", delay, f)
		}
	}
}

// Azure sets its cookie for the backend's own host. A browser that knows only
// the proxy's host would not accept it.
func TestCarrier_ACookieForTheBackendsOwnHostComesBack(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	azure := backend.Start(t, "azure", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("ARRAffinity"); err == nil && c.Value == "abc" {
			seen.Add(1)
			return
		}
		for _, site := range []string{"ARRAffinity=abc;Path=/;HttpOnly;Secure;Domain=shop.azurewebsites.net",
			"ARRAffinitySameSite=abc;Path=/;HttpOnly;SameSite=None;Secure;Domain=shop.azurewebsites.net"} {
			w.Header().Add("Set-Cookie", site)
		}
		w.Header().Add("Set-Cookie", "theirs=1")
	})
	p := pillion.Start(t, affine, "LB_BACKENDS="+azure.Target()+spare,
		"LB_BACKEND_COOKIES=ARRAffinity;ARRAffinitySameSite")
	for _, c := range []*http.Client{newClient(t), newH2CClient(t)} {
		b := newBrowser(t, c.Transport)
		before := seen.Load()
		for range 5 {
			if _, err := b.ask(http.MethodGet, p.URL("/")); err != nil {
				t.Fatal(err)
			}
		}
		if got := seen.Load() - before; got != 4 || b.set != 3 {
			t.Errorf("the backend got its cookie back %d times, and the browser %d lines", got, b.set)
		}
	}
}

// Without affinity, and for backends outside Cloud Run, all cookies pass
// unchanged in both directions.
func TestCarrier_OffIsNothing(t *testing.T) {
	t.Parallel()
	const set = "GAESA=x y; expires=tomorrow; Path=/"
	run := "host=shop-1.us-east1.run.app"
	for name, c := range map[string]struct {
		env    []string
		option string
		own    int // lines of Pillion's own cookie
	}{
		"no affinity":         {nil, run, 0},
		"not Cloud Run":       {[]string{affine}, "weight=1", 1},
		"none":                {[]string{affine, "LB_BACKEND_COOKIES=none"}, run, 1},
		"the list has others": {[]string{affine, "LB_BACKEND_COOKIES=AWSALB"}, run, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Set-Cookie"] = []string{set, "GAESA=2"}
				w.Header().Set("X-Cookies", strings.Join(r.Header["Cookie"], "|"))
			})
			p := pillion.Start(t, append(c.env, "LB_BACKENDS="+b.Target(c.option)+spare)...)
			a := get(t, newClient(t), p.URL("/"), "Cookie", "a=1;GAESA=2 ; b")
			lines := a.Header["Set-Cookie"]
			if got := a.Header.Get("X-Cookies"); got != "a=1;GAESA=2 ; b" || len(lines) != 2+c.own ||
				!slices.Equal(lines[:2], []string{set, "GAESA=2"}) {
				t.Errorf("the backend got %q, the client %q", got, lines)
			}
		})
	}
}

// Cookies on interim responses and upgrades are handled too.
func TestCarrier_AnUpgradeCarries(t *testing.T) {
	t.Parallel()
	const handshake = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: " +
		"websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Set-Cookie"] = []string{"GAESA=1; path=/"}
		w.WriteHeader(http.StatusEarlyHints)
		if r.Header.Get("Upgrade") == "" {
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: "+
			"GAESA=1; path=/\r\nX-Cookies: "+r.Header.Get("Cookie")+"\r\n\r\n")
	})
	p := pillion.Start(t, affine, "LB_BACKENDS="+b.Target()+spare, "LB_BACKEND_COOKIES=GAESA")
	ask := func(more string) string {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.URL(""), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, handshake+more+"\r\n")
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		var all strings.Builder
		buffer := make([]byte, 4096)
		for !strings.Contains(all.String(), "X-Cookies") || !strings.HasSuffix(all.String(), "\r\n\r\n") {
			n, err := c.Read(buffer)
			all.Write(buffer[:n])
			if err != nil {
				break
			}
		}
		return all.String()
	}

	first := ask("")
	var pairs []string
	for line := range strings.Lines(first) {
		if v, ok := strings.CutPrefix(strings.ToLower(line[:min(len(line), 12)]), "set-cookie: "); ok && v == "" {
			pair, _, _ := strings.Cut(line[12:], ";")
			pairs = append(pairs, pair)
		}
	}
	if len(pairs) != 2 || strings.Contains(first, "Set-Cookie: GAESA") || strings.Contains(first, "set-cookie: GAESA") {
		t.Fatalf("the first answer is %q", first)
	}
	if second := ask("Cookie: " + strings.Join(pairs, "; ") + "\r\n"); !strings.Contains(second,
		"X-Cookies: GAESA=1\r\n") || strings.Contains(second, "_b=") {
		t.Errorf("the second answer is %q", second)
	}
}

func TestCarrier_AListThatHasNoEffectIsRefused(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{
		{"LB_BACKEND_COOKIES=GAESA"}, {affine, "LB_BACKEND_COOKIES=a b"},
		{affine, "LB_AFFINITY_COOKIE=x", "LB_BACKEND_COOKIES=x"},
		{affine, "LB_BACKEND_COOKIES=a;a"},
	} {
		if r := pillion.Run(t, append(env, "LB_BACKENDS=:8081"), "check"); r.Code != 78 ||
			!strings.Contains(r.Output(), "LB_BACKEND_COOKIES") {
			t.Errorf("%q: exit code %d, it printed %q", env, r.Code, r.Output())
		}
	}
}
