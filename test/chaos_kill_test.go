package test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// mixed asks for short and long answers and posts, in turn.
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

// A backend that is killed, over each protocol, and one that is told to go and takes its leave.
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

// What a backend does that is told to go (it ends its idle connections, and its others after their answers) costs a POST
// only where it met a close on the wire.
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
				t.Errorf("%d POSTs failed", crossed)
			}
		})
	}
}

// callers is how many clients ask at once.
const callers = 64

// losses is what happened while a backend was lost and started again some times.
type losses struct {
	all     []reply
	workers []*backend.Worker // all that ever were
	away    [][2]time.Time    // from when to when there was nobody in its place
	settles time.Duration     // after which its end is noticed
}

// noticed is the time in which a busy proxy sees that a connection ended: over HTTP/1.1 it looks before it sends, but
// HTTP/2 shares connections with a reader that has to have come round to it.
const noticed = 200 * time.Millisecond

// whileAway is the replies to requests that began when nobody was in the lost backend's place.
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

// loseOneOfThree makes requests while one of three backends is lost and started again some times.
func loseOneOfThree(t *testing.T, least int64, times int, env []string, lose func(*backend.Worker)) losses {
	t.Helper()
	l := losses{}
	if len(env) > 0 {
		l.settles = noticed
	}
	workers := startWorkers(t, 3)
	env = append(env, targets(workers...))
	if !*chaosFull {
		env = append(env, "LB_EJECT_TIME=300ms") // or it would be lost when nobody uses it
	}
	p := pillion.Start(t, env...)
	// In full length the restarted backend serves out longer and longer ejections, so that the pace matters.
	c := (&crowd{address: p.Address, callers: callers, every: lasting(0, time.Millisecond), ask: mixed}).start(t)
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

// numbers ends the workers and counts the requests that they saw, by number.
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

// judgeKills fails the test for what HTTP would have allowed to save. At most so many requests were in flight when a
// backend was killed. An answer's head travels alone in HTTP/2, so a few answers may be cut behind it, before the client
// got any of it.
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
			t.Errorf("nobody saw %v", r)
		case r.Method == http.MethodPost && n > 1:
			t.Errorf("seen %d times: %v", n, r)
		case r.OK() && r.Target == "/long?long=10ms" && r.Text != backend.Long:
			t.Errorf("a cut answer looks whole: %d bytes, %v", len(r.Text), r)
		case r.OK():
		case r.Cut() && r.Target == "/long?long=10ms":
			cut++
		case r.Method == http.MethodPost && r.Err == nil && r.Status() == http.StatusBadGateway && n == 1:
			lost++
		case r.Method == http.MethodPost && r.Err == nil && r.Status() == http.StatusBadGateway:
			crossed++ // it was written to a backend that was killed before it read it, which nobody can tell
		case r.Method == http.MethodGet && n == 1 && begun < headOnly && r.Err == nil && r.Status() == http.StatusBadGateway:
			begun++
		default:
			t.Errorf("seen %d times: %v", n, r)
		}
	}
	t.Logf("%d requests: %d answers cut, %d POSTs cut with a 502, %d POSTs written and never read, %d GETs repeated, %d cut behind the head",
		len(l.all), cut, lost, crossed, repeated, begun)
	if cut+lost+crossed+repeated > inFlight {
		t.Errorf("more trouble than the %d requests in flight explain", inFlight)
	}
	if cut+lost+repeated == 0 {
		t.Error("the kills hit nothing, so they prove nothing")
	}
}

func TestChaos_TwoOfThreeDeadCostNothingAfterASecond(t *testing.T) {
	t.Parallel()
	workers := startWorkers(t, 3)
	p := pillion.Start(t, targets(workers...))
	c := (&crowd{address: p.Address, callers: 64, ask: asking("GET", "/")}).start(t)
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

// follower is a session as a browser sees it.
type follower struct {
	asker
	cookie, home string
	moves        []string // the backends that it was bound to, one after the other
	bad          []reply
}

// visit makes one request of the session and notes where it ends up.
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

// everybody lets all sessions make n requests, at once.
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
