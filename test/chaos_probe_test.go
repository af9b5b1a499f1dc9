package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// quickly sets short intervals for probes.
var quickly = []string{"LB_HEALTH_CHECK_INTERVAL=200ms", "LB_HEALTH_CHECK_TIMEOUT=1s"}

// wantVerdict waits for the n-th log line with a message about a backend, and
// compares its reason.
func wantVerdict(t *testing.T, p *binary.Process, message, name, reason string, n int) {
	t.Helper()
	p.Line(fmt.Sprintf("%q of %s for the %d. time because of %q", message, name, n, reason), func(binary.Line) bool {
		return count(p, func(l binary.Line) bool {
			return saying(message, name)(l) && strings.Contains(l.String("reason"), reason)
		}) >= n
	})
}

// sick starts a backend whose health check answers with the status in status.
func sick(t *testing.T, name string, status *atomic.Int64) *backend.Server {
	t.Helper()
	return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			if status.Load() == http.StatusFound {
				w.Header().Set("Location", "/fine")
			}
			w.WriteHeader(int(status.Load()))
			return
		}

		_, _ = io.WriteString(w, name)
	})
}

// wantNone fails the test if any of a hundred requests fails or reaches the
// named backend.
func wantNone(t *testing.T, p *binary.Process, name string) {
	t.Helper()
	client := newClient(t)
	for range 100 {
		a := get(t, client, p.URL("/"))
		if a.StatusCode != http.StatusOK || a.Backend() == name {
			t.Fatalf("status %d from %s", a.StatusCode, a.Backend())
		}
	}
}

func TestChaos_ProbesTakeABackendOutAndIn(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	status.Store(200)
	good, app := backend.Start(t, "good", nil), sick(t, "app", &status)
	p := pillion.Start(t, append(quickly, backend.Backends(good, app), "LB_HEALTH_CHECK=/healthz",
		"LB_HEALTH_CHECK_STATUS=200-299")...)
	client := newClient(t)
	wantVerdict(t, p, "backend healthy", "app", "status 200", 1)

	for i, s := range []int64{503, 302} {
		status.Store(s)
		wantVerdict(t, p, "backend unhealthy", "app", fmt.Sprint("status ", s), 1)
		wantNone(t, p, "app")
		status.Store(200)
		wantVerdict(t, p, "backend healthy", "app", "status 200", i+2)
		await.Until(t, "the backend is used again", func() bool { return get(t, client, p.URL("/")).Backend() == "app" })
	}

	if n := count(p, saying("backend unhealthy", "")); n != 2 {
		t.Errorf("%d lines tell of two changes", n)
	}
}

func TestChaos_TheFirstProbeDecides(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	status.Store(500)
	app := sick(t, "app", &status)
	p := pillion.Start(t, backend.Backends(backend.Start(t, "good", nil), app), "LB_HEALTH_CHECK=/healthz",
		"LB_HEALTH_CHECK_INTERVAL=60s")
	wantVerdict(t, p, "backend unhealthy", "app", "status 500", 1)
	wantNone(t, p, "app")
	if n := app.Hits(); n != 1 {
		t.Errorf("the backend got %d requests, want one probe", n)
	}
}

func TestChaos_ProbesSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	hangs := backend.StartRaw(t, "hangs", func(c *backend.Conn) { _, _ = io.Copy(io.Discard, c) })
	resets := backend.StartRaw(t, "resets", func(c *backend.Conn) {
		_, _ = c.ReadRequest()
		resetConn(c.Conn)
	})
	p := pillion.Start(t, append(quickly, "LB_HEALTH_CHECK=/healthz",
		fmt.Sprintf("LB_BACKENDS=%s;%s;http://%s?name=closed;%s",
			hangs.Target(), resets.Target(), backend.Closed(t), backend.Start(t, "good", nil).Target()))...)
	for name, reason := range map[string]string{"hangs": "timeout", "resets": "connection reset",
		"closed": "connection refused"} {
		wantVerdict(t, p, "backend unhealthy", name, reason, 1)
	}

	for name := range map[string]bool{"hangs": true, "resets": true, "closed": true} {
		wantNone(t, p, name)
	}
}

func TestChaos_ATCPCheckAsksForAConnection(t *testing.T) {
	t.Parallel()
	worker := backend.StartWorker(t, "worker", "127.0.0.1:0")
	good := backend.Start(t, "good", nil)
	p := pillion.Start(t, append(quickly, "LB_HEALTH_CHECK=tcp", "LB_BACKENDS="+worker.Target()+";"+good.Target())...)
	wantVerdict(t, p, "backend healthy", "worker", "connection accepted", 1)
	worker.Kill()
	wantVerdict(t, p, "backend unhealthy", "worker", "connection refused", 1)
	wantNone(t, p, "worker")
	backend.StartWorker(t, "worker", worker.Address)
	wantVerdict(t, p, "backend healthy", "worker", "connection accepted", 2)
}

// serving starts a gRPC backend whose health service answers with the serving
// status in status.
func serving(t *testing.T, name string, status *atomic.Int64, services chan<- string) *backend.Server {
	t.Helper()
	return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/grpc.health.v1.Health/Check" {
			_, _ = io.WriteString(w, name)
			return
		}

		question, _ := io.ReadAll(r.Body)
		select {
		case services <- string(question):
		default:
		}

		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write([]byte{0, 0, 0, 0, 2, 1 << 3, byte(status.Load())})
		w.Header().Set("Grpc-Status", "0")
	})
}

func TestChaos_AGRPCCheckAsksTheHealthService(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	status.Store(1)
	questions := make(chan string, 1)
	app := serving(t, "app", &status, questions)
	var fine atomic.Int64
	fine.Store(1)
	good := serving(t, "good", &fine, nil)
	p := pillion.Start(t, append(quickly, backend.Backends(app, good), "LB_HEALTH_CHECK=grpc:shop.Cart")...)
	wantVerdict(t, p, "backend healthy", "app", "serving", 1)
	if got, want := soon(t, "a question", questions), "\x00\x00\x00\x00\x0b\x0a\x09shop.Cart"; got != want {
		t.Errorf("the health service was asked %q, want %q", got, want)
	}

	status.Store(2)
	wantVerdict(t, p, "backend unhealthy", "app", "not_serving", 1)
	wantNone(t, p, "app")
	status.Store(1)
	wantVerdict(t, p, "backend healthy", "app", "serving", 2)
}

func TestChaos_PanicIsSaid(t *testing.T) {
	t.Parallel()
	var one, two atomic.Int64
	one.Store(500)
	two.Store(500)
	a, b := sick(t, "a", &one), sick(t, "b", &two)
	p := pillion.Start(t, append(quickly, backend.Backends(a, b), "LB_HEALTH_CHECK=/healthz", "LB_ACCESS_LOG=on")...)
	p.Line("about too few backends", saying("too few backends are usable, using all of them", ""))
	client := newClient(t)
	used := map[string]bool{}

	await.Until(t, "both unhealthy backends are used", func() bool {
		r := get(t, client, p.URL("/"))
		wantStatus(t, r, http.StatusOK)
		used[r.Backend()] = true
		return len(used) == 2
	})
	p.Line("an access line that says why", func(l binary.Line) bool {
		return statusOf(l) == http.StatusOK && strings.Contains(l.Text, `"panic"`)
	})
	one.Store(200)
	p.Line("about enough backends", saying("enough backends are usable again", ""))
	wantNone(t, p, "b")
	if n := count(p, saying("too few backends are usable, using all of them", "")); n != 1 {
		t.Errorf("panic was said %d times", n)
	}
}

// One of three backends is broken in some way. Requests that may be repeated
// succeed, and the others get a correct error.
func TestChaos_OneBrokenBackendOfThree(t *testing.T) {
	t.Parallel()
	half := "HTTP/1.1 200 OK\r\nBackend: bad\r\nContent-Length: 100\r\n\r\nhalf"

	chunk := "HTTP/1.1 200 OK\r\nBackend: bad\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
	for name, c := range map[string]struct {
		fail   func(*backend.Conn)
		honest func(reply) bool // reports whether a client may get this reply from the broken backend
	}{
		"reset":       {func(c *backend.Conn) { resetConn(c.Conn) }, nil},
		"close":       {func(*backend.Conn) {}, nil},
		"half a head": {writing("HTTP/1.1 200 OK\r\nConte"), func(r reply) bool { return r.Err == nil && r.Status() == 502 }},
		"half a body": {writing(half), reply.Cut},
		"half chunks": {writing(chunk), reply.Cut},
		"503": {writing(backend.Answer(503, "sorry", "Connection: close")),
			func(r reply) bool { return r.Err == nil && r.Status() == 503 }},
		"hang": {func(c *backend.Conn) { _, _ = io.Copy(io.Discard, c) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failing atomic.Bool
			failing.Store(true)
			var attempts atomic.Int64
			bad := startFailing(t, "bad", &failing, &attempts, c.fail)
			good := backend.StartMany(t, 2)
			p := pillion.Start(t, "LB_RESPONSE_TIMEOUT=500ms",
				"LB_BACKENDS="+bad.Target()+";"+good[0].Target()+";"+good[1].Target())
			load := (&clientLoad{address: p.Address, callers: 16, ask: asking(http.MethodGet, "/")}).start(t)
			p.Line("an ejection", saying("backend ejected", "bad"))
			ejected := time.Now()
			load.After(t, 1000)
			load.Stop()
			told := 0

			wantAll(t, "a GET", load.replies.All(), func(r reply) bool {
				if !r.OK() && c.honest != nil && c.honest(r) {
					told++
					return true
				}
				return r.OK() && r.Backend() != "bad"
			})
			wantAll(t, "after the ejection", since(load.replies.All(), ejected.Add(time.Second)), reply.OK)
			t.Logf("%d requests, %d attempts at the broken backend, %d broken answers passed on", load.served.Load(),
				attempts.Load(), told)
			if int64(told) > attempts.Load() || c.honest != nil && told == 0 {
				t.Errorf("%d broken answers of %d attempts", told, attempts.Load())
			}
		})
	}
}
