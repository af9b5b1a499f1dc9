package test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// saying returns a condition for log lines with a message about a backend. name
// "" stands for any backend.
func saying(message, name string) func(binary.Line) bool {
	return func(l binary.Line) bool {
		return l.String("message") == message && (name == "" || l.String("backend") == name)
	}
}

// count returns how many log lines match.
func count(p *binary.Process, match func(binary.Line) bool) int {
	n := 0
	for _, l := range p.Lines() {
		if match(l) {
			n++
		}
	}
	return n
}

// percentile returns the time that this share of the replies did not exceed.
func percentile(all []reply, share float64) time.Duration {
	var times []time.Duration
	for _, r := range all {
		times = append(times, r.Took)
	}

	slices.Sort(times)

	return times[min(len(times)-1, int(share*float64(len(times))))]
}

func TestChaos_ABackendThatFailsHalfOfTheTimeIsEjected(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			halfOfTheTime(t, status)
		})
	}
}

func halfOfTheTime(t *testing.T, status int) {
	var n atomic.Int64
	flaky := backend.Start(t, "flaky", func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%2 == 0 {
			w.WriteHeader(status)
		}
	})
	good := backend.StartMany(t, 2)
	p := pillion.Start(t, append(watched, backend.Backends(flaky, good[0], good[1]), "LB_TRUSTED_PROXIES=1")...)
	manyClients := func(i int) question {
		q := asking("GET", "/")(i)
		q.Client = fmt.Sprint("192.0.2.", i%50)
		return q
	}
	c := (&clientLoad{address: p.Address, callers: 16, every: time.Second / 300, ask: manyClients}).start(t)
	begun := time.Now()
	line := p.Line("an ejection", saying("backend ejected", "flaky"))
	ejected := time.Now()
	page := get(t, newClient(t), p.URL("/.lb/state.json"), "Authorization", "Bearer "+statusToken)
	if reason := line.String("reason"); !strings.Contains(page.Text, `"ejected"`) || !strings.Contains(page.Text, reason) {
		t.Errorf("the state page does not say that a backend is ejected, or why (%s): %s", reason, page.Text)
	}

	if took := ejected.Sub(begun); took > 3*time.Second {
		t.Errorf("ejected after %v", took)
	}

	span := lasting(12*time.Second, time.Minute)
	passes(t, span) // of requests
	c.Stop()
	after := since(c.replies.All(), ejected)
	flawed := 0
	for _, r := range after {
		if r.Backend() == "flaky" {
			flawed++
		}
	}

	share := float64(flawed) / float64(len(after))
	t.Logf("ejected after %v (%s); then %d of %d requests (%.1f%%) in %v", ejected.Sub(begun), line.String("reason"),
		flawed, len(after), 100*share, span)
	if n := count(p, saying("backend ejected", "")); n > 2+int(span/(9*time.Second)) {
		t.Errorf("%d lines tell of ejections", n)
	}

	if share >= 0.05 {
		t.Error("that is 5% or more")
	}
	if rate := float64(len(after)) / span.Seconds(); rate < 200 {
		t.Errorf("only %.0f requests a second were made", rate)
	}
}

func TestChaos_AHungBackendIsEjectedAndForgotten(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			workers := startWorkers(t, 3)
			p := pillion.Start(t, targets(workers...), "LB_RESPONSE_TIMEOUT=1s", "LB_PROTOCOL="+protocol)
			c := (&clientLoad{address: p.Address, callers: callers, every: time.Second / 150, ask: asking("GET", "/")}).start(t)
			c.After(t, 150)
			if err := workers[1].Stop(); err != nil {
				t.Fatal(err)
			}

			hung := time.Now()
			p.Line("an ejection", saying("backend ejected", workers[1].Name))
			ejected := time.Now()
			passes(t, 3*time.Second) // the requests that should not see it
			c.Stop()
			if took := ejected.Sub(hung); took > 3*time.Second {
				t.Errorf("ejected after %v", took)
			}

			meanwhile := since(c.replies.All(), hung)
			judgeHang(t, meanwhile)
			later := since(c.replies.All(), ejected.Add(100*time.Millisecond))
			t.Logf("ejected after %v; p99 of %d GETs %v, of %d later ones at most %v",
				ejected.Sub(hung), len(meanwhile), percentile(meanwhile, 0.99), len(later), percentile(later, 1))
			wantAll(t, "after the ejection", later, func(r reply) bool { return r.OK() && r.Took < 900*time.Millisecond })
		})
	}
}

// judgeHang checks the GETs that began after a backend had stopped.
func judgeHang(t *testing.T, all []reply) {
	t.Helper()
	failed := 0
	for _, r := range all {
		if !r.OK() {
			failed++
			t.Logf("%v", r)
		}
	}

	// A GET that was written just before others were answered counts as slow,
	// not as hung.
	if failed > 2 {
		t.Errorf("%d GETs failed", failed)
	}
	if p99 := percentile(all, 0.99); p99 > 2500*time.Millisecond {
		t.Errorf("p99 is %v", p99)
	}
}

// A request that is slow while another backend hangs is neither cut nor
// repeated. If the response timeout is shorter, the request is cut but not
// repeated, and its backend is not ejected, because it answers other requests.
func TestChaos_ALegitimatelySlowRequestIsNotTakenForAHungOne(t *testing.T) {
	t.Parallel()
	workers := startWorkers(t, 3)
	patient := pillion.Start(t, targets(workers...))
	hasty := pillion.Start(t, targets(workers[:2]...), "LB_RESPONSE_TIMEOUT=1s")
	busy := (&clientLoad{address: hasty.Address, callers: 4, every: time.Second / 50, ask: asking("GET", "/")}).start(t)
	busy.After(t, 20)
	if err := workers[2].Stop(); err != nil {
		t.Fatal(err)
	}

	replies := make(chan reply, 100)
	ask := func(address, method string, i int, what string) {
		go func() {
			c := &asker{address: address}
			defer c.Close()
			replies <- c.Call(question{Method: method, Target: "/?wait=3s", Number: fmt.Sprint(what, method, i)})
		}()
	}
	for i := range 6 {
		ask(patient.Address, "GET", i, "patient-")
		ask(patient.Address, "POST", i, "patient-")
		ask(hasty.Address, "GET", i, "hasty-")
	}

	seen := map[string]int{}
	await.Until(t, "the slow requests have arrived", func() bool {
		return asked(workers[:2], "hasty-") >= 6
	})
	await.Until(t, "the requests that arrived are answered", func() bool {
		return asked(workers[:2], "patient-") > 0 && len(replies) == 6+asked(workers[:2], "patient-")
	})
	for _, w := range workers[:2] {
		for _, number := range w.Seen.All() {
			seen[number]++
		}
	}

	served, timedOut := 0, 0
	for range len(replies) {
		r := <-replies
		switch {
		case strings.HasPrefix(r.Number, "patient-") && r.OK() && seen[r.Number] == 1:
			served++
		case strings.HasPrefix(r.Number, "hasty-") && r.Status() == http.StatusGatewayTimeout && seen[r.Number] == 1:
			timedOut++
		default:
			t.Errorf("seen %d times: %v", seen[r.Number], r)
		}
	}

	busy.Stop()
	wantAll(t, "a quick request", busy.replies.All(), reply.OK)
	t.Logf("%d of 12 slow requests were served (the others wait on the hung backend), %d of 6 timed out", served, timedOut)
	if served < 2 || timedOut != 6 || asked(workers[:2], "patient-") != served {
		t.Error("that is not what slow requests should get")
	}

	if n := count(hasty, saying("backend ejected", "")); n > 0 {
		t.Error("a backend was ejected for a slow request")
	}
}

// asked returns how many requests with this prefix in their number the workers
// received.
func asked(workers []*backend.Worker, prefix string) int {
	n := 0
	for _, w := range workers {
		for _, number := range w.Seen.All() {
			if strings.HasPrefix(number, prefix) {
				n++
			}
		}
	}

	return n
}

// broken is a way in which a backend fails, with the statuses that clients may
// get.
type broken struct {
	answer   func(*backend.Conn) // what the backend does with a request
	status   int
	attempts int // that a GET may cost
}

func writing(s string) func(*backend.Conn) {
	return func(c *backend.Conn) { _, _ = io.WriteString(c, s) }
}

func reset(c *backend.Conn) { resetConn(c.Conn) }

func TestChaos_AllThreeFailingAreHonestAndRecover(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]broken{
		"500":       {writing(backend.Answer(500, "sorry", "Connection: close")), 500, 1},
		"reset":     {reset, 502, 2},
		"no answer": {func(*backend.Conn) {}, 502, 2},
		"half head": {writing("HTTP/1.1 200 OK\r\nConte"), 502, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failing atomic.Bool
			failing.Store(true)
			var attempts atomic.Int64
			var items []string
			for _, name := range []string{"one", "two", "three"} {
				items = append(items, startFailing(t, name, &failing, &attempts, b.answer).Target())
			}

			p := pillion.Start(t, "LB_BACKENDS="+strings.Join(items, ";"))
			c := (&clientLoad{address: p.Address, callers: 8, every: time.Second / 100, ask: asking("GET", "/")}).start(t)
			c.After(t, 200)
			made, n := attempts.Load(), c.served.Load()
			if most := int64(b.attempts) * (n + 8); made > most {
				t.Errorf("%d attempts for %d requests, want at most %d", made, n, most)
			}

			wantAll(t, "while all fail", c.replies.All(), func(r reply) bool { return r.Err == nil && r.Status() == b.status })
			switched := time.Now()
			failing.Store(false)
			var first reply

			c.replies.Wait(await.Limit, nil, func(all []reply) bool {
				i := slices.IndexFunc(all, reply.OK)
				if i >= 0 {
					first = all[i]
				}
				return i >= 0
			})
			passes(t, 3*time.Second) // the recovery, and requests after it
			c.Stop()
			recovered := since(c.replies.All(), first.Began.Add(first.Took+2*time.Second))
			wantAll(t, "two seconds after the first good answer", recovered, reply.OK)
			shares := map[string]int{}
			for _, r := range recovered {
				shares[r.Backend()]++
			}

			t.Logf("%d attempts for %d failing requests; first good answer after %v; shares later: %v", made, n,
				first.Began.Add(first.Took).Sub(switched), shares)
			if len(shares) < 2 { // a backend whose trial has just failed may stay ejected for longer
				t.Errorf("two seconds later only %v serve", shares)
			}
		})
	}
}

// startFailing starts a backend that fails while failing is true, and counts
// its requests.
func startFailing(t *testing.T, name string, failing *atomic.Bool, attempts *atomic.Int64,
	fail func(*backend.Conn)) *backend.Raw {
	t.Helper()
	return backend.StartRaw(t, name, func(c *backend.Conn) {
		for {
			if _, err := c.ReadRequest(); err != nil {
				return
			}

			attempts.Add(1)
			if failing.Load() {
				fail(c)
				return
			}

			if _, err := io.WriteString(c, backend.Answer(200, name, backend.NameField+": "+name)); err != nil {
				return
			}
		}
	})
}

func TestChaos_AllThreeDeadMakeErrorsAndRecover(t *testing.T) {
	t.Parallel()
	workers := startWorkers(t, 3)
	p := pillion.Start(t, targets(workers...))
	c := (&clientLoad{address: p.Address, callers: 8, every: time.Second / 100, ask: asking("GET", "/")}).start(t)
	c.After(t, 50)
	for _, w := range workers {
		w.Kill()
	}

	dead := time.Now()
	c.After(t, 100)
	worked := processTime(t, p.PID())
	c.After(t, 200)
	worked = processTime(t, p.PID()) - worked
	if worked > time.Second {
		t.Errorf("two seconds without any backend cost %v of CPU", worked)
	}

	wantAll(t, "while all are dead", since(c.replies.All(), dead), func(r reply) bool {
		return r.Err == nil && (r.Status() == http.StatusBadGateway || r.Status() == http.StatusServiceUnavailable)
	})
	back := time.Now()
	for i, w := range workers {
		workers[i] = backend.StartWorker(t, w.Name, w.Address)
	}

	var first reply
	c.replies.Wait(await.Limit, nil, func(all []reply) bool {
		i := slices.IndexFunc(all, func(r reply) bool { return r.OK() && r.Began.After(dead) })
		if i >= 0 {
			first = all[i]
		}
		return i >= 0
	})
	passes(t, 3*time.Second) // the recovery, and requests after it
	c.Stop()
	good := first.Began.Add(first.Took)
	recovered := since(c.replies.All(), good.Add(2*time.Second))
	wantAll(t, "two seconds after the first good answer", recovered, reply.OK)
	seen := []int{workers[0].Seen.Len(), workers[1].Seen.Len(), workers[2].Seen.Len()}
	t.Logf("%v of CPU for 200 refusals; first good answer %v after the restart; then %v", worked, good.Sub(back), seen)
}
