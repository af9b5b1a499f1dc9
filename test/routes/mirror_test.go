package routes

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/otlp"
)

// received is a request as a backend received it.
type received struct {
	line, host, body string
	header           http.Header
}

// startRecorder starts a backend that records requests and answers with a
// status.
func startRecorder(t *testing.T, name string, status int) (*backend.Server, *await.Values[received]) {
	t.Helper()
	requests := &await.Values[received]{}
	return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("%s: the body is cut: %v", name, err)
		}
		requests.Add(received{r.Method + " " + r.RequestURI, r.Host, string(body), r.Header.Clone()})
		w.Header().Set("Set-Cookie", "from="+name)
		w.WriteHeader(status)
	}), requests
}

// wait waits for n requests and returns them all.
func wait(t *testing.T, requests *await.Values[received], n int) []received {
	t.Helper()
	if !requests.Wait(await.Limit, nil, func(all []received) bool { return len(all) >= n }) {
		t.Fatalf("%d requests arrived, want %d", requests.Len(), n)
	}

	return requests.All()
}

const statusToken = "0123456789abcdef"

// counted returns the sum of a counter over the lines that contain all of the
// given texts.
func counted(t *testing.T, p *binary.Process, name string, with ...string) (sum int) {
	t.Helper()
	text := get(t, p, "/.lb/metrics", "Authorization: Bearer "+statusToken).text
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, name+"_total") {
			continue
		}
		holds := func(s string) bool { return strings.Contains(line, s) }
		if slices.IndexFunc(with, func(s string) bool { return !holds(s) }) < 0 {
			var n float64
			_, _ = fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &n)
			sum += int(n)
		}
	}

	return sum
}

func clientFor(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	c := client(t)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	c.Transport.(*http.Transport).Protocols = protocols

	return c
}

// A copy is the request that the route's own service receives, without the
// session.
func TestMirror_ACopyEqualsTheRequestOfTheService(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		api, requests := startRecorder(t, "api", 200)
		shadow, copies := startRecorder(t, "shadow", 500)
		p := pillion.Start(t, list("LB_BACKENDS__API", api)+spare, "LB_ROUTE__API=/api/*", "LB_REWRITE__API=/*",
			"LB_MIRROR__API=shadow",
			list("LB_BACKENDS__SHADOW", shadow), "LB_ROUTE__SHADOW=none", "LB_REQUEST_HEADERS__API=X-Api-Key=k;-X-Debug",
			"LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_COOKIE__API=seat", "LB_PROTOCOL__SHADOW=auto")
		c := clientFor(t, http2)
		large := strings.Repeat("0123456789abcdef", 3000)
		cookie := ""
		for i, body := range []io.Reader{nil, strings.NewReader("small"), strings.NewReader(large),
			unsized{strings.NewReader(large)}, unsized{strings.NewReader("")}} {
			method := map[bool]string{true: "GET", false: "POST"}[body == nil]
			r, _ := http.NewRequestWithContext(t.Context(), method, p.URL(fmt.Sprintf("/api/a%%2fb//%d?q=%d", i, i)), body)
			r.Header = http.Header{"Cookie": {"a=b; " + cookie}, "X-Debug": {"1"}, "X-Mine": {"one", "two"}}
			response, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != 200 || response.Header.Get(backend.NameField) != "api" ||
				strings.Contains(fmt.Sprint(response.Header["Set-Cookie"]), "shadow") {
				t.Errorf("status %d, want 200 without cookies of the shadow: %v", response.StatusCode, response.Header)
			}
			for _, set := range response.Cookies() {
				if set.Name == "seat" {
					cookie = "seat=" + set.Value
				}
			}
			original, mirrored := wait(t, requests, i+1)[i], wait(t, copies, i+1)[i]
			if mirrored.line != original.line || mirrored.body != original.body || mirrored.host != original.host {
				t.Errorf("HTTP/2 %v: the shadow received %s to %s with %d bytes, want %s to %s with %d, as the service", http2,
					mirrored.line, mirrored.host, len(mirrored.body), original.line, original.host, len(original.body))
			}
			for _, h := range []http.Header{original.header, mirrored.header} {
				h.Del("Content-Length") // a copy is sent with its whole body, so it always has a length
				h.Del("Transfer-Encoding")
			}
			if got, want := fmt.Sprint(mirrored.header), fmt.Sprint(original.header); got != want ||
				strings.Contains(got, "seat") || mirrored.header.Get("X-Api-Key") != "k" {
				t.Errorf("HTTP/2 %v: the shadow received\n%s\nwant, but for the session, as the service\n%s", http2, got, want)
			}
		}
		if cookie == "" {
			t.Error("the client got no session cookie")
		}
	}
}

// unsized hides the length of a body, so that it is sent in chunks.
type unsized struct{ io.Reader }

// A retry of the original makes no second copy, and a copy is never retried.
func TestMirror_APostIsCopiedOnce(t *testing.T) {
	t.Parallel()
	down, tries := startRecorder(t, "down", 503)
	also, more := startRecorder(t, "also", 503)
	shadow, copies := startRecorder(t, "shadow", 503)
	other, others := startRecorder(t, "other", 503)
	p := pillion.Start(t, list("LB_BACKENDS", down, also), "LB_MIRROR=shadow", list("LB_BACKENDS__SHADOW", shadow, other),
		"LB_ROUTE__SHADOW=none",
		"LB_RETRIES=3", "LB_RETRY_STATUS=503", "LB_EJECT_ERRORS=0", "LB_STATUS_TOKEN="+statusToken)
	const requests = 20
	for i := range requests {
		r, _ := http.NewRequestWithContext(t.Context(), "POST", p.URL("/"), strings.NewReader("body"))
		r.Header.Set("Idempotency-Key", fmt.Sprint(i))
		response, err := client(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	await.Until(t, "all copies were answered",
		func() bool { return counted(t, p, "lb_mirrors", `"answered"`) >= requests })
	if n := tries.Len() + more.Len(); n < 2*requests {
		t.Errorf("%d attempts, want %d at least, because each original is retried", n, 2*requests)
	}
	if n := copies.Len() + others.Len(); n != requests {
		t.Errorf("%d copies, want one for each of %d requests", n, requests)
	}
}

// A shadow that is down, silent or breaks off changes nothing for the client.
func TestMirror_NeverDelaysOrFailsTheOriginal(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	silent := backend.Start(t, "silent", func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	cut := backend.Start(t, "cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "short")
	})
	for name, target := range map[string]string{"down": "http://" + backend.Closed(t), "silent": silent.Target(),
		"cut": cut.Target()} {
		ui := startEcho(t, "ui")
		p := pillion.Start(t, list("LB_BACKENDS", ui), "LB_MIRROR=shadow", "LB_BACKENDS__SHADOW="+target,
			"LB_ROUTE__SHADOW=none",
			"LB_STATUS_TOKEN="+statusToken, "LB_EJECT_ERRORS__SHADOW=0")
		wantUntouched(t, p, 150)
		switch name {
		case "silent":
			if n := counted(t, p, "lb_mirrors", `"full"`); n != 50 {
				t.Errorf("%d copies were left out because too many were in progress, want 50", n)
			}
		case "down":
			await.Until(t, "all are counted", func() bool {
				return counted(t, p, "lb_mirrors", `"connect"`)+counted(t, p, "lb_mirrors", `"full"`) == 150
			})
		case "cut":
			await.Until(t, "all are counted", func() bool {
				return counted(t, p, "lb_mirrors", `"broken_answer"`)+counted(t, p, "lb_mirrors", `"full"`) == 150
			})
		}
		if name != "silent" {
			continue
		}
		p.Signal(syscall.SIGTERM)
		if code := p.Wait(10 * time.Second); code != 0 {
			t.Errorf("with copies in progress the exit code is %d, want 0", code)
		}
	}
}

func TestMirror_RequestsThatCannotBeCopiedAreCounted(t *testing.T) {
	t.Parallel()
	ui, _ := startRecorder(t, "ui", 200)
	shadow, copies := startRecorder(t, "shadow", 200)
	p := pillion.Start(t, list("LB_BACKENDS", ui), "LB_MIRROR=shadow", list("LB_BACKENDS__SHADOW", shadow),
		"LB_ROUTE__SHADOW=none",
		"LB_RETRY_BUFFER=1KiB", "LB_STATUS_TOKEN="+statusToken, "LB_ROUTE__NONE=/none/*", "LB_MIRROR__NONE=shadow?share=0%",
		"LB_SERVICE__NONE=default")
	body := bytes.Repeat([]byte("x"), 1025)
	for _, http2 := range []bool{false, true} {
		for _, r := range []*http.Request{
			httptest.NewRequest("POST", p.URL("/long"), bytes.NewReader(body)),
			httptest.NewRequest("POST", p.URL("/chunked"), unsized{bytes.NewReader(body)}),
			httptest.NewRequest("GET", p.URL("/none/x"), nil),
		} {
			r.RequestURI = ""
			response, err := clientFor(t, http2).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
	}
	get(t, p, "/ws", "Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
	call := httptest.NewRequest("POST", p.URL("/shop.Cart/Add"), unsized{strings.NewReader("\x00\x00\x00\x00\x00")})
	call.RequestURI, call.Header = "", http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	response, err := clientFor(t, true).Do(call)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()

	for outcome, want := range map[string]int{"body": 4, "upgrade": 1, "stream": 1} {
		await.Until(t, "they are counted as "+outcome, func() bool {
			return counted(t, p, "lb_mirrors", `"`+outcome+`"`, `lb_service_name="shadow"`) == want
		})
	}
	if n := copies.Len(); n != 0 {
		t.Errorf("%d copies, want none: %v", n, copies.All())
	}
}

// A copy has a token for its own service and its own span.
func TestMirror_HasItsOwnTokenAndSpan(t *testing.T) {
	t.Parallel()
	metadata := httptest.NewServer(server.New(server.Identity{}))
	t.Cleanup(metadata.Close)
	authority := backend.NewAuthority(t)
	requests := &await.Values[received]{}
	serve := func(name string) *backend.Server {
		return backend.StartTLS(t, name, authority, func(_ http.ResponseWriter, r *http.Request) {
			requests.Add(received{line: name, header: r.Header.Clone()})
		})
	}
	receiver := otlp.Start(t)
	p := pillion.Start(t, append(receiver.Environment(), list("LB_BACKENDS", serve("api")), "LB_MIRROR=shadow",
		list("LB_BACKENDS__SHADOW", serve("shadow")), "LB_ROUTE__SHADOW=none",
		"GCE_METADATA_HOST="+strings.TrimPrefix(metadata.URL, "http://"),
		"LB_CA_FILE="+authority.File, "LB_IDENTITY=https://api.example", "LB_IDENTITY__SHADOW=https://shadow.example")...)
	get(t, p, "/")
	for _, s := range wait(t, requests, 2) {
		token := s.header.Get("X-Serverless-Authorization")
		if !hasAudience(token, "https://"+s.line+".example") {
			t.Errorf("%s received a token for another audience than its own", s.line)
		}
		parts := strings.Split(s.header.Get("Traceparent"), "-")
		spans := receiver.Trace(t, parts[1], 3)
		own := slices.IndexFunc(spans, func(span *otlp.Span) bool { return span.ID == parts[2] })
		if own < 0 || !spans[own].Client || spans[own].Attributes["lb.backend.name"] != s.line {
			t.Fatalf("%s: there is no CLIENT span %s of this backend", s.line, parts[2])
		}
		if reason := spans[own].Attributes["lb.pick.reason"]; (reason == "mirror") != (s.line == "shadow") {
			t.Errorf("the reason to choose %s is %v, want mirror for the shadow only", s.line, reason)
		}
	}
}

// An answer from the cache reaches no service, so it is not copied.
func TestMirror_AHitOfTheCacheIsNotCopied(t *testing.T) {
	t.Parallel()
	ui := backend.Start(t, "ui", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
	})
	shadow, copies := startRecorder(t, "shadow", 200)
	p := pillion.Start(t, list("LB_BACKENDS", ui), "LB_MIRROR=shadow", list("LB_BACKENDS__SHADOW", shadow),
		"LB_ROUTE__SHADOW=none", "LB_CACHE=origin")
	for range 5 {
		get(t, p, "/kept")
	}
	get(t, p, "/last")
	all := wait(t, copies, 2)
	if len(all) != 2 {
		t.Errorf("%d copies, want 2: %v", len(all), all)
	}
}

// Many clients and shadows at once. The race detector watches the process.
func TestMirror_ManyAtOnce(t *testing.T) {
	t.Parallel()
	ui, _ := startRecorder(t, "ui", 200)
	shadow, _ := startRecorder(t, "shadow", 200)
	p := pillion.Start(t, list("LB_BACKENDS", ui), "LB_MIRROR=shadow?share=50%", list("LB_BACKENDS__SHADOW", shadow),
		"LB_ROUTE__SHADOW=none",
		"LB_STATUS_TOKEN="+statusToken, "LB_MAX_IN_FLIGHT__SHADOW=4")
	var clients sync.WaitGroup
	for n := range 16 {
		c := clientFor(t, n%2 == 0)
		clients.Go(func() {
			for i := range 25 {
				body := strings.Repeat("x", i*n*10)
				response, err := c.Post(p.URL("/"), "text/plain", unsized{strings.NewReader(body)})
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
			}
		})
	}
	clients.Wait()
	await.Until(t, "every drawn request is counted", func() bool {
		n := counted(t, p, "lb_mirrors")
		return n > 120 && n < 280 && counted(t, p, "lb_mirrors", `"answered"`)+counted(t, p, "lb_mirrors", `"full"`) == n
	})
}

func TestMirror_MistakesAreErrorsAtTheStart(t *testing.T) {
	t.Parallel()
	base := []string{"LB_BACKENDS=http://a:1", "LB_BACKENDS__SHADOW=http://b:1", "LB_ROUTE__SHADOW=none"}
	for given, want := range map[string]string{
		"LB_MIRROR=shadw":                `"shadw" is no service; the nearest is shadow`,
		"LB_MIRROR=default":              "names the service that answers: it would get every request twice",
		"LB_MIRROR=shadow;default":       "names several services: a route has one mirror",
		"LB_MIRROR=shadow?share=10":      `has "share=10" behind the service: write share=10%`,
		"LB_MIRROR=shadow?share=101%":    "which is not from 0% to 100% in steps of 0.01%",
		"LB_MIRROR=shadow?share=100.01%": "which is more than 100%",
		"LB_MIRROR=shadow?share=0.001%":  "which is not from 0% to 100% in steps of 0.01%",
		"LB_MIRROR=Shadow":               "is written in small letters",
		"LB_MIRROR__X=shadow":            "no service or route is called x",
	} {
		r := pillion.Run(t, append(base, given), "check")
		if r.Code != 78 || !strings.Contains(r.Output(), want) {
			t.Errorf("%s: exit code %d, want 78 and %q:\n%s", given, r.Code, want, r.Output())
		}
	}
	r := pillion.Run(t, append(base, "LB_ROUTE__X=/x", "LB_RESPOND__X=204", "LB_MIRROR__X=shadow"), "check")
	if r.Code != 78 || !strings.Contains(r.Output(), "the route answers by itself") {
		t.Errorf("a route without a service: exit code %d, want 78 and the reason:\n%s", r.Code, r.Output())
	}
	for _, good := range []string{"none", "shadow?share=0%", "shadow?share=12.5%", "shadow?share=100%"} {
		r := pillion.Run(t, append(base, "LB_MIRROR="+good), "routes")
		want := ", mirror " + strings.TrimSuffix(good, "?share=100%")
		if r.Code != 0 || strings.Contains(r.Stdout, want) != (good != "none") {
			t.Errorf("%s: exit code %d, want 0 and the mirror in the text unless it is none:\n%s", good, r.Code, r.Output())
		}
	}
}
