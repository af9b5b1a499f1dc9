package test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// mixed returns requests for short and long answers and POSTs, in turn.
func mixed(i int) question {
	q := question{Method: http.MethodGet, Target: "/short?wait=5ms", Number: fmt.Sprint(i)}
	switch i % 4 {
	case 1:
		q.Target = "/long?long=10ms"
	case 3:
		q.Method, q.Target = http.MethodPost, "/post?wait=10ms"
	}

	return q
}

// A backend is killed five times while clients send requests, over each
// protocol. Only requests that can't be repeated may fail.
func TestChaos_ABackendKilledFiveTimesCostsNoRequestThatCouldBeSaved(t *testing.T) {
	t.Parallel()
	kill := func(w *backend.Worker) { w.Kill() }
	const kills = 5
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		judgeKills(t, loseOneOfThree(t, 10_000, kills, nil, kill), callers*kills, 0)
	})
	t.Run("killed over HTTP/2", func(t *testing.T) {
		t.Parallel()
		judgeKills(t, loseOneOfThree(t, 5000, kills, []string{"LB_PROTOCOL=h2c"}, kill), callers*kills, 2*kills)
	})
}

// A backend that stops closes its idle connections at once, and the others
// after their answers. No request may fail but a POST that the backend received
// on a connection that it was closing.
func TestChaos_ABackendThatLeavesCostsNothing(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{"HTTP/1.1": nil, "HTTP/2": {"LB_PROTOCOL=h2c"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := loseOneOfThree(t, 5000, 5, env, func(w *backend.Worker) {
				if err := w.Leave(); err != nil {
					t.Error(err)
				}
				<-w.Gone()
			})
			seen := numbers(l.workers)
			crossed := 0
			wantAll(t, "while a backend is away", l.whileAway(), reply.OK)

			wantAll(t, "while a backend leaves", l.all, func(r reply) bool {
				if r.Method == http.MethodPost && r.Err == nil && r.Status() == http.StatusBadGateway && seen[r.Number] == 0 {
					crossed++
					return true
				}
				return r.OK() && (r.Method != http.MethodPost || seen[r.Number] == 1)
			})
			t.Logf("%d requests, %d POSTs crossed a close", len(l.all), crossed)
			if crossed > len(l.all)/1000 {
				t.Errorf("%d POSTs failed, want at most %d", crossed, len(l.all)/1000)
			}
		})
	}
}

// callers is the number of concurrent clients.
const callers = 64

// losses is what happened while a backend was stopped and restarted several
// times.
type losses struct {
	all     []reply
	workers []*backend.Worker // all processes, the ended ones included
	away    [][2]time.Time    // the times during which the backend did not run
	settles time.Duration     // the time until its end is noticed
}

// noticed is the time in which a busy process notices that a connection has
// ended. Over HTTP/1.1 it checks before it sends. Over HTTP/2 the goroutine
// that reads the shared connection has to run first.
const noticed = 200 * time.Millisecond

// whileAway returns the replies to requests that were sent while the backend
// was down.
func (l losses) whileAway() []reply {
	var all []reply
	for _, r := range l.all {
		for _, a := range l.away {
			if r.Began.After(a[0].Add(l.settles)) && r.Began.Before(a[1]) {
				all = append(all, r)
			}
		}
	}

	return all
}

// loseOneOfThree makes requests while one of three backends is stopped and
// restarted several times.
func loseOneOfThree(t *testing.T, least int64, times int, env []string, lose func(*backend.Worker)) losses {
	t.Helper()
	l := losses{}
	if len(env) > 0 {
		l.settles = noticed
	}

	workers := startWorkers(t, 3)
	env = append(env, targets(workers...))
	if !*chaosFull {
		env = append(env, "LB_EJECT_TIME=300ms") // otherwise it would still be ejected when it is stopped again
	}

	p := pillion.Start(t, env...)

	// In the full length, the ejections of the restarted backend get longer
	// each time, so the pace of the requests matters.
	c := (&clientLoad{address: p.Address, callers: callers, every: lasting(0, time.Millisecond), ask: mixed}).start(t)
	victim := workers[1]
	l.workers = workers

	for range times {
		c.After(t, 500)
		lose(victim)
		gone := time.Now()
		c.After(t, 200)
		await.Until(t, "the end has been noticed", func() bool { return time.Since(gone) > 2*l.settles })
		l.away = append(l.away, [2]time.Time{gone, time.Now()})
		victim = backend.StartWorker(t, victim.Name, victim.Address)
		l.workers = append(l.workers, victim)
		if !victim.Seen.Wait(2*time.Minute, nil, func(seen []string) bool { return len(seen) >= 50 }) {
			t.Fatal("the restarted backend gets no requests")
		}
	}

	if n := c.served.Load(); n < least {
		c.After(t, least-n)
	}

	c.Stop()
	l.all = c.replies.All()
	return l
}

// numbers stops the workers and counts the requests that they received, by
// number.
func numbers(workers []*backend.Worker) map[string]int {
	seen := map[string]int{}
	for _, w := range workers {
		w.Kill()
		for _, number := range w.Seen.All() {
			seen[number]++
		}
	}

	return seen
}

// judgeKills fails the test for each failed request that could have been
// repeated. inFlight bounds the requests in flight when a backend was killed.
// Over HTTP/2 the head of an answer is sent alone, so headOnly answers may be
// cut behind their heads.
func judgeKills(t *testing.T, l losses, inFlight, headOnly int) {
	t.Helper()
	wantAll(t, "while a backend is dead", l.whileAway(), reply.OK)
	seen := numbers(l.workers)

	cut, lost, crossed, repeated, begun := 0, 0, 0, 0, 0
	for _, r := range l.all {
		n := seen[r.Number]
		if n > 1 {
			repeated++
		}

		switch {
		case r.OK() && n == 0:
			t.Errorf("an answered request that no backend reported: %v", r)
		case r.Method == http.MethodPost && n > 1:
			t.Errorf("backends received this POST %d times, want once at most: %v", n, r)
		case r.OK() && r.Target == "/long?long=10ms" && r.Text != backend.Long:
			t.Errorf("a cut answer of %d bytes looks complete, want %d bytes: %v", len(r.Text), len(backend.Long), r)
		case r.OK():
		case r.Cut() && r.Target == "/long?long=10ms":
			cut++
		case r.Method == http.MethodPost && r.Err == nil && r.Status() == http.StatusBadGateway && n == 1:
			lost++
		case r.Method == http.MethodPost && r.Err == nil && r.Status() == http.StatusBadGateway:
			// It was written to a backend that was killed before it read the
			// request. Pillion can't know that the request was not processed.
			crossed++
		case r.Method == http.MethodGet && n == 1 && begun < headOnly && r.Err == nil && r.Status() == http.StatusBadGateway:
			begun++
		default:
			t.Errorf("seen %d times: %v", n, r)
		}
	}

	t.Logf("%d requests: %d answers cut, %d POSTs cut with a 502, %d POSTs written and never read, %d GETs repeated, "+
		"%d cut behind the head",
		len(l.all), cut, lost, crossed, repeated, begun)
	if cut+lost+crossed+repeated > inFlight {
		t.Errorf("%d requests were cut, lost or repeated, want at most the %d in flight", cut+lost+crossed+repeated,
			inFlight)
	}

	if cut+lost+repeated == 0 {
		t.Error("the kills hit nothing, so they prove nothing")
	}
}

func TestChaos_TwoOfThreeDeadCostNothingAfterASecond(t *testing.T) {
	t.Parallel()
	workers := startWorkers(t, 3)
	p := pillion.Start(t, targets(workers...))
	c := (&clientLoad{address: p.Address, callers: 64, ask: asking("GET", "/")}).start(t)
	c.After(t, 500)
	died := time.Now()
	workers[0].Kill()
	workers[2].Kill()
	var late []reply
	for len(late) < 10_000 {
		c.After(t, 2000)
		late = since(c.replies.All(), died.Add(time.Second))
	}

	c.Stop()
	wantAll(t, "after the first second", late, reply.OK)
	early := 0
	for _, r := range c.replies.All() {
		if !r.OK() {
			early++
		}
	}

	t.Logf("%d requests, %d later than a second after the deaths; %d errors in all", c.served.Load(), len(late), early)
}

// follower is a client with a session.
type follower struct {
	asker
	cookie, home string
	moves        []string // the backends of the session, one after the other
	bad          []reply
}

// visit makes a request of the session and notes which backend answers.
func (f *follower) visit() {
	r := f.Call(question{Method: "GET", Target: "/", Cookie: f.cookie})
	if !r.OK() {
		f.bad = append(f.bad, r)
		return
	}

	if set := issued(answer{Response: r.Response}); set != nil {
		f.cookie = set.Name + "=" + set.Value
		f.moves = append(f.moves, r.Backend())
	}

	f.home = r.Backend()
}

func TestChaos_OnlyTheDeadBackendsSessionsMoveAndEachOnce(t *testing.T) {
	t.Parallel()
	workers := startWorkers(t, 3)
	p := pillion.Start(t, affine, targets(workers...), "LB_EJECT_TIME=300ms")
	followers := make([]*follower, 90)

	homes := map[string]int{}
	for i := range followers {
		followers[i] = &follower{asker: asker{address: p.Address}}
		defer followers[i].Close()
		followers[i].visit()
		homes[followers[i].home]++
	}

	dead := workers[1]
	dead.Kill()
	everybody(followers, 5)
	reborn := backend.StartWorker(t, dead.Name, dead.Address)
	fresh := &follower{asker: asker{address: p.Address}}
	defer fresh.Close()
	for end := time.Now().Add(time.Minute); reborn.Seen.Len() == 0 && time.Now().Before(end); {
		fresh.cookie = ""
		fresh.visit()
	}

	everybody(followers, 5)
	moved := 0
	for i, f := range followers {
		wantAll(t, "a session", f.bad, reply.OK)
		switch {
		case len(f.moves) == 0:
		case f.moves[0] != dead.Name && len(f.moves) == 1 && f.home == f.moves[0]:
		case f.moves[0] == dead.Name && len(f.moves) == 2 && f.moves[1] != dead.Name && f.home == f.moves[1]:
			moved++
		default:
			t.Errorf("session %d was bound to %v and ended on %s", i, f.moves, f.home)
		}
	}

	t.Logf("sessions by backend: %v; %d moved", homes, moved)
	if moved != homes[dead.Name] || moved == 0 {
		t.Errorf("%d sessions moved, the dead backend had %d", moved, homes[dead.Name])
	}
	if reborn.Seen.Len() == 0 {
		t.Error("the restarted backend got no request, so nothing could have moved back")
	}
}

// everybody makes n requests in each session, all sessions in parallel.
func everybody(followers []*follower, n int) {
	done := make(chan struct{})
	for _, f := range followers {
		go func() {
			for range n {
				f.visit()
			}
			done <- struct{}{}
		}()
	}

	for range followers {
		<-done
	}
}
