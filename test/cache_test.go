package test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// caching starts a backend. The body of an answer names its request, and the
// answer has the fields in the request's query: /?Cache-Control=public.
func caching(t *testing.T, then http.HandlerFunc) *backend.Server {
	return backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			for _, v := range values {
				w.Header().Add(name, v)
			}
		}
		if then != nil {
			then(w, r)
			return
		}
		fmt.Fprintf(w, "for %s %s %s", r.Header.Get("Cookie"), r.Header.Get("Authorization"), r.Header.Get("User"))
	})
}

// fresh is a query that asks for an answer that may be stored.
const fresh = "?Cache-Control=max-age%3D60"

func startCache(t *testing.T, b *backend.Server, env ...string) *binary.Process {
	t.Helper()
	return pillion.Start(t, append([]string{"LB_BACKENDS=" + b.Target(), "LB_CACHE=origin"}, env...)...)
}

// clients returns one client for each version of HTTP.
func clients(t *testing.T) map[string]*http.Client {
	return map[string]*http.Client{"HTTP/1.1": newClient(t), "HTTP/2": newH2CClient(t)}
}

// isHit reports whether Cache-Status says that an answer came from the cache.
func isHit(a answer) bool { return strings.HasPrefix(a.Header.Get("Cache-Status"), "pillion; hit") }

func TestCache_AnswersFromMemoryAndSaysSo(t *testing.T) {
	t.Parallel()
	b := caching(t, nil)
	p := startCache(t, b)
	first := get(t, newClient(t), p.URL("/"+fresh))
	if said := first.Header.Get("Cache-Status"); said != "pillion; fwd=uri-miss; stored" || first.Header.Get("Age") != "" {
		t.Errorf("the first: %v", first.Header)
	}

	for version, client := range clients(t) {
		a := get(t, client, p.URL("/"+fresh))
		if a.Text != first.Text || !isHit(a) || a.Header.Get("Date") != first.Header.Get("Date") {
			t.Errorf("%s: %q %v", version, a.Text, a.Header)
		}
		if age, err := strconv.Atoi(a.Header.Get("Age")); err != nil || age > 30 {
			t.Errorf("%s: age %q", version, a.Header.Get("Age"))
		}
		head := send(t, client, newRequest(t, "HEAD", p.URL("/"+fresh), nil))
		if !isHit(head) || head.ContentLength != int64(len(first.Text)) {
			t.Errorf("%s: HEAD: %v", version, head.Header)
		}
		part := get(t, client, p.URL("/"+fresh), "Range", "bytes=0-2")
		if part.StatusCode != 206 || part.Text != "for" || !isHit(part) {
			t.Errorf("%s: a range: %d %q", version, part.StatusCode, part.Text)
		}
	}
	if n := b.Hits(); n != 1 {
		t.Errorf("the backend was asked %d times", n)
	}
}

func TestCache_IsOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	b := caching(t, nil)
	p := pillion.Start(t, "LB_BACKENDS="+b.Target())
	for range 2 {
		if a := get(t, newClient(t), p.URL("/"+fresh)); a.Header.Get("Cache-Status") != "" {
			t.Errorf("%v", a.Header)
		}
	}
	if n := b.Hits(); n != 2 {
		t.Errorf("the backend was asked %d times", n)
	}
}

// TestCache_AHundredClientsMakeOneRequest has all clients request the same URL
// at once, over both versions of HTTP. The answer is slow and comes in two
// parts.
func TestCache_AHundredClientsMakeOneRequest(t *testing.T) {
	t.Parallel()
	goOn := make(chan bool)
	b := caching(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "one ")
		http.NewResponseController(w).Flush()
		<-goOn
		_, _ = io.WriteString(w, "two")
	})
	p := startCache(t, b)
	var all sync.WaitGroup
	began := make(chan bool, 100)
	both := clients(t)
	for i := range 100 {
		client := both["HTTP/1.1"]
		if i%2 == 0 {
			client = both["HTTP/2"]
		}
		all.Go(func() {
			r, err := client.Do(newRequest(t, "GET", p.URL("/"+fresh), nil))
			if err != nil {
				t.Error(err)
				began <- false
				return
			}
			defer r.Body.Close()
			start := make([]byte, 4)
			_, err = io.ReadFull(r.Body, start)
			began <- err == nil && string(start) == "one "
			rest, err := io.ReadAll(r.Body)
			if err != nil || string(rest) != "two" {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
	for range 100 { // all of them get the first part before the second is sent
		if !soon(t, "the first part", began) {
			t.Error("the first part is missing")
		}
	}
	close(goOn)
	all.Wait()
	if n := b.Hits(); n != 1 {
		t.Errorf("the backend was asked %d times", n)
	}
}

// TestCache_ALeaderWhoLeavesFailsNoOtherRequest disconnects the client whose
// request was sent to the backend.
func TestCache_ALeaderWhoLeavesFailsNoOtherRequest(t *testing.T) {
	t.Parallel()
	for _, length := range []string{"", "&Content-Length=7"} {
		for version, client := range clients(t) {
			asked, goOn := make(chan bool, 9), make(chan bool)
			b := caching(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "one ")
				http.NewResponseController(w).Flush()
				asked <- true
				<-goOn
				_, _ = io.WriteString(w, "two")
			})
			p := startCache(t, b)
			url := p.URL("/" + fresh + length)

			ctx, leave := context.WithCancel(t.Context())
			first, err := client.Do(newRequest(t, "GET", url, nil).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			soon(t, "the request", asked)
			second, err := client.Do(newRequest(t, "GET", url, nil))
			if err != nil {
				t.Fatal(err)
			}
			leave()
			first.Body.Close()
			time.AfterFunc(200*time.Millisecond, func() { close(goOn) }) // long enough to be noticed
			text, err := io.ReadAll(second.Body)
			if string(text) != "one two" || err != nil || b.Hits() != 1 {
				t.Errorf("%s %s: %q, %v, asked %d times", version, length, text, err, b.Hits())
			}
			if a := get(t, client, url); !isHit(a) {
				t.Errorf("%s %s: it is not stored: %v", version, length, a.Header)
			}
		}
	}
}

// TestCache_ALeaderWhoLeavesBeforeTheHeadFailsNoOtherRequest disconnects the
// client whose request was sent to the backend, while another client waits for
// the head.
func TestCache_ALeaderWhoLeavesBeforeTheHeadFailsNoOtherRequest(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "h2c"} {
		for version, client := range clients(t) {
			asked, goOn, second := make(chan bool, 9), make(chan bool), make(chan bool)
			b := caching(t, func(w http.ResponseWriter, _ *http.Request) {
				asked <- true
				<-goOn
				_, _ = io.WriteString(w, "one ")
				http.NewResponseController(w).Flush()
				<-second
				_, _ = io.WriteString(w, "two")
			})
			p := pillion.Start(t, "LB_BACKENDS="+scheme+"://"+b.Address, "LB_CACHE=origin")
			url := p.URL("/" + fresh)

			ctx, leave := context.WithCancel(t.Context())
			var all sync.WaitGroup
			all.Go(func() {
				if r, err := client.Do(newRequest(t, "GET", url, nil).WithContext(ctx)); err == nil {
					r.Body.Close()
				}
			})
			soon(t, "the request", asked)

			// Each pause is long enough for Pillion to notice what happened
			// before. If it were too short, the second client's request would
			// go to the backend itself, and the test would still be valid.
			time.AfterFunc(200*time.Millisecond, leave)
			time.AfterFunc(400*time.Millisecond, func() { close(goOn) })
			time.AfterFunc(600*time.Millisecond, func() { close(second) })
			r, err := client.Do(newRequest(t, "GET", url, nil))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r.Body)
			if string(text) != "one two" || err != nil {
				t.Errorf("%s backend, %s: %q, %v, asked %d times", scheme, version, text, err, b.Hits())
			}
			r.Body.Close()
			all.Wait()
		}
	}
}

// TestCache_AClientWhoLeavesEndsWhatNobodyElseWants has answers that never end
// by themselves.
func TestCache_AClientWhoLeavesEndsWhatNobodyElseWants(t *testing.T) {
	t.Parallel()
	ended := make(chan bool, 1)
	b := caching(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		ended <- true
	})
	p := startCache(t, b)
	for version, client := range clients(t) {
		for _, target := range []string{"/" + fresh, "/?Content-Type=text%2Fevent-stream"} {
			ctx, leave := context.WithCancel(t.Context())
			r, err := client.Do(newRequest(t, "GET", p.URL(target), nil).WithContext(ctx))
			if err != nil {
				t.Fatalf("%s %s: the head does not come before the body: %v", version, target, err)
			}
			leave()
			r.Body.Close()
			soon(t, "the end of the backend's request, "+version+" "+target, ended)
		}
	}
}

// TestCache_UsersNeverSeeEachOthersAnswers tries each field that identifies a
// user.
func TestCache_UsersNeverSeeEachOthersAnswers(t *testing.T) {
	t.Parallel()
	b := caching(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Authorization", "Cookie", "X-Goog-Iap-Jwt-Assertion", "X-Session"} {
			_, _ = io.WriteString(w, r.Header.Get(name))
		}
	})
	p := startCache(t, b, "LB_CACHE_CREDENTIALS=X-Session")
	for version, client := range clients(t) {
		for _, name := range []string{"Authorization", "Cookie", "X-Goog-IAP-JWT-Assertion", "X-Session"} {
			target := p.URL("/" + strings.ToLower(name) + version[5:] + fresh)
			for _, user := range []string{"ann=1", "bob=2", ""} {
				a := answer{}
				if user == "" {
					a = get(t, client, target)
				} else {
					a = get(t, client, target, name, user)
				}
				if a.Text != user {
					t.Errorf("%s, %s: %q got the answer of %q", version, name, user, a.Text)
				}
			}
		}
	}
}

// TestCache_NoCookieComesFromMemory tries cookies of apps and Pillion's own.
func TestCache_NoCookieComesFromMemory(t *testing.T) {
	t.Parallel()
	b := caching(t, nil)
	p := pillion.Start(t, "LB_BACKENDS="+b.Target()+spare, "LB_CACHE=origin", affine, "LB_AFFINITY_COOKIE=ours")
	for version, client := range clients(t) {
		theirs := "/" + version[5:] + fresh + "&Set-Cookie=a%3Db"
		for range 2 {
			if a := get(t, client, p.URL(theirs)); len(a.Header["Set-Cookie"]) != 2 || isHit(a) {
				t.Errorf("%s: %v", version, a.Header)
			}
		}

		plain := p.URL("/plain" + version[5:] + fresh)
		first := get(t, client, plain)
		if len(first.Header["Set-Cookie"]) != 1 || !strings.Contains(first.Header.Get("Cache-Control"), "private") {
			t.Errorf("%s: the first answer binds nobody: %v", version, first.Header)
		}
		second := get(t, client, plain)
		if !isHit(second) || len(second.Header["Set-Cookie"]) != 0 || second.Header.Get("Cache-Control") != "max-age=60" {
			t.Errorf("%s: %v", version, second.Header)
		}
		ours, _, _ := strings.Cut(first.Header.Get("Set-Cookie"), ";")
		if bound := get(t, client, plain, "Cookie", ours); !isHit(bound) {
			t.Errorf("%s: our own cookie makes somebody of nobody: %v", version, bound.Header)
		}
		if bound := get(t, client, p.URL("/bound"+fresh), "Cookie",
			ours); !strings.HasSuffix(bound.Header.Get("Cache-Status"), "stored") && !isHit(bound) {
			t.Errorf("%s: our own cookie keeps an answer from being stored: %v", version, bound.Header)
		}
	}
}

// TestCache_ASiteStaysUpWhileItsServiceIsDown kills the backend.
func TestCache_ASiteStaysUpWhileItsServiceIsDown(t *testing.T) {
	t.Parallel()
	w := backend.StartWorker(t, "one", "127.0.0.1:0")
	p := pillion.Start(t, "LB_BACKENDS="+w.Target(), "LB_CACHE=origin", "LB_START_HOLD=0", "LB_CACHE_STALE_IF_ERROR=2s")
	client := newClient(t)
	stale, strict := p.URL("/?control=max-age%3D1"), p.URL("/?control=max-age%3D1,must-revalidate")
	get(t, client, stale)
	get(t, client, strict)
	w.Kill()
	began := time.Now()
	await.Until(t, "the answer is stale", func() bool {
		a := get(t, client, stale)
		return strings.Contains(a.Header.Get("Cache-Status"), "stale-if-error") && a.Text == "done" && a.StatusCode == 200
	})
	await.Until(t, "must-revalidate forbids it", func() bool { return !isHit(get(t, client, strict)) })
	if a := get(t, client, strict); a.StatusCode < 502 {
		t.Errorf("must-revalidate: %d", a.StatusCode)
	}
	await.Until(t, "the answer is honest", func() bool { return get(t, client, stale).StatusCode >= 502 })
	if d := time.Since(began); d < 2*time.Second {
		t.Errorf("the site stayed up for %v", d)
	}
}

func TestCache_VariantsAreToldApart(t *testing.T) {
	t.Parallel()
	b := caching(t, nil)
	p := startCache(t, b, "LB_CACHE_VARY=RSC")
	for version, client := range clients(t) {
		target := p.URL("/" + version[5:] + fresh + "&Vary=User")
		for round := range 2 {
			for _, user := range []string{"ann", "bob"} {
				if a := get(t, client, target, "User", user); a.Text != "for   "+user || isHit(a) != (round == 1) {
					t.Errorf("%s, round %d: %q for %s, %v", version, round, a.Text, user, a.Header)
				}
			}
		}
		if a := get(t, client, target, "User", "ann", "RSC", "1"); isHit(a) {
			t.Errorf("%s: a field of LB_CACHE_VARY does not tell answers apart", version)
		}
	}
}

// TestCache_ValidatesWhatIsStale has a backend that answers 304, and a client
// whose condition gets 304.
func TestCache_ValidatesWhatIsStale(t *testing.T) {
	t.Parallel()
	b := caching(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"a"`)
		if r.Header.Get("If-None-Match") == `"a"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, "whole")
	})
	p := startCache(t, b)
	target := p.URL("/?Cache-Control=no-cache")
	for version, client := range clients(t) {
		get(t, client, target)
		a := get(t, client, target)
		if a.Text != "whole" || a.Header.Get("Cache-Status") != "pillion; fwd=stale; fwd-status=304; stored" {
			t.Errorf("%s: %q %v", version, a.Text, a.Header)
		}
		a = get(t, client, target, "If-None-Match", `W/"a"`)
		if a.StatusCode != 304 || a.Text != "" || a.Header.Get("Etag") != `"a"` {
			t.Errorf("%s: %d %q %v", version, a.StatusCode, a.Text, a.Header)
		}
	}
}

// TestCache_IsPurgedByWhoHasTheToken tests the purge from end to end. Package
// status tests the forms of a purge.
func TestCache_IsPurgedByWhoHasTheToken(t *testing.T) {
	t.Parallel()
	b := caching(t, nil)
	p := startCache(t, b, "LB_STATUS_TOKEN="+watchword)
	client := newClient(t)
	get(t, client, p.URL("/"+fresh))
	purge := func(query string, fields ...string) answer {
		return send(t, client, newRequest(t, "POST", p.URL("/.lb/cache/purge?"+query), nil, fields...))
	}
	if a := purge("all", "Authorization", "Bearer wrong"); a.Backend() != "one" {
		t.Errorf("without the token the path is not the app's: %d %q", a.StatusCode, a.Text)
	}
	if !isHit(get(t, client, p.URL("/"+fresh))) {
		t.Error("a wrong token purges")
	}
	a := purge("prefix="+p.URL("/"), "Authorization", "Bearer "+watchword)
	if !strings.HasPrefix(a.Text, `{"purged":1,"instance":"`) {
		t.Errorf("%d %q", a.StatusCode, a.Text)
	}
	if isHit(get(t, client, p.URL("/"+fresh))) {
		t.Error("it is still there")
	}
	if send(t, client, newRequest(t, "PUT", p.URL("/"+fresh), nil)); isHit(get(t, client, p.URL("/"+fresh))) {
		t.Error("it outlives a PUT")
	}
}

// TestCache_TellsWhatItDoes checks the metrics, the status page's JSON and the
// log.
func TestCache_TellsWhatItDoes(t *testing.T) {
	t.Parallel()
	b := caching(t, nil)
	p := startCache(t, b, "LB_STATUS_TOKEN="+watchword, "LB_ACCESS_LOG=on")
	client := newClient(t)
	get(t, client, p.URL("/"+fresh))
	get(t, client, p.URL("/"+fresh))

	text := metricsText(t, p.URL(""))
	for _, want := range []string{`lb_cache_requests_total{lb_cache_result="hit"`, `lb_cache_objects`, `lb_cache_bytes`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	state := get(t, client, p.URL("/.lb/state.json"), "Authorization", "Bearer "+watchword)
	if !strings.Contains(state.Text, `"hit": 1`) || !strings.Contains(state.Text, `"objects": 1`) {
		t.Errorf("%s", state.Text)
	}
	page := get(t, client, p.URL("/.lb/"), "Authorization", "Bearer "+watchword)
	if !strings.Contains(page.Text, "<dt>requests answered from memory</dt><dd>50 %</dd>") {
		t.Errorf("%s", page.Text)
	}
	line := p.Line("the hit", func(l binary.Line) bool { return l.String("cache") == "hit" })
	request, _ := line.Fields["httpRequest"].(map[string]any)
	if request["cacheLookup"] != true || request["cacheHit"] != true || request["cacheValidatedWithOriginServer"] != nil {
		t.Errorf("%v", request)
	}
	if line.String("backend") != "" || line.Fields["attempts"] != nil {
		t.Errorf("an answer from memory has a backend: %v", line.Fields)
	}
}
