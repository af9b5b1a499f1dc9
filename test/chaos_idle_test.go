package test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// sleepy is a backend that closes connections after an idle time. It counts the
// requests that arrived at the same moment.
type sleepy struct {
	*backend.Raw
	closed  atomic.Int64 // idle connections that it closed
	crossed atomic.Int64 // POSTs that arrived while the connection was being closed
}

// startSleepy starts such a backend. If told is true, its answers announce the
// idle time in Keep-Alive.
func startSleepy(t *testing.T, name string, idle time.Duration, told bool) *sleepy {
	t.Helper()
	s := &sleepy{}
	reply := backend.Answer(200, "done", backend.NameField+": "+name)
	if told {
		reply = backend.Answer(200, "done", backend.NameField+": "+name,
			fmt.Sprintf("Keep-Alive: timeout=%d", int(idle.Seconds())))
	}

	s.Raw = backend.StartRaw(t, name, func(c *backend.Conn) {
		for {
			_ = c.SetReadDeadline(time.Now().Add(idle))
			if _, err := c.In.Peek(1); err != nil {
				s.leave(c, err)
				return
			}

			_ = c.SetReadDeadline(time.Time{})
			if _, err := c.ReadRequest(); err != nil {
				return
			}
			if _, err := c.Write([]byte(reply)); err != nil {
				return
			}
		}
	})
	return s
}

// leave closes an idle connection, and counts a request that was on its way at
// that moment.
func (s *sleepy) leave(c *backend.Conn, err error) {
	if timed, ok := err.(net.Error); !ok || !timed.Timeout() {
		return
	}

	s.closed.Add(1)
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	if head, err := c.ReadHead(); err == nil && head[:4] == "POST" {
		s.crossed.Add(1)
	}
}

// closing is Pillion in front of two backends that close idle connections.
type closing struct {
	name     string
	idle     time.Duration
	address  string
	backends [2]*sleepy
}

// The cases run in parallel, because they mostly wait.
func TestChaos_BackendsThatCloseIdleConnectionsCostNothing(t *testing.T) {
	t.Parallel()
	idles := []time.Duration{time.Second, 2 * time.Second}
	if *chaosFull {
		idles = append(idles, 5*time.Second)
	}

	var all []closing
	for _, idle := range idles {
		for _, told := range []bool{true, false} {
			one, two := startSleepy(t, "one", idle, told), startSleepy(t, "two", idle, told)
			p := pillion.Start(t, "LB_BACKENDS="+one.Target()+";"+two.Target())
			all = append(all, closing{fmt.Sprintf("idle %v, told %v", idle, told), idle, p.Address, [2]*sleepy{one, two}})
		}
	}

	var running sync.WaitGroup
	for _, c := range all {
		running.Go(func() { c.judge(t, visitSparsely(c.address, 24, c.idle, lasting(12*time.Second, 5*time.Minute))) })
	}

	running.Wait()
}

// visitSparsely has clients that make a request after about the idle time of
// the backends: a little less, or a little more.
func visitSparsely(address string, clients int, idle, lasts time.Duration) []reply {
	var mu sync.Mutex
	var all []reply
	var running sync.WaitGroup

	end := time.Now().Add(lasts)
	for n := range clients {
		running.Go(func() {
			c := &asker{address: address}
			defer c.Close()
			for i := 0; time.Now().Before(end); i++ {
				q := question{Method: http.MethodGet, Target: "/", Number: fmt.Sprint(n, "-", i)}
				if i%2 == 1 {
					q.Method = http.MethodPost
				}

				r := c.Call(q)
				mu.Lock()
				all = append(all, r)
				mu.Unlock()
				pause := idle - 30*time.Millisecond + rand.N(60*time.Millisecond)
				if i%4 == 3 {
					pause = rand.N(idle / 2)
				}

				time.Sleep(pause) // the pause only makes the traffic sparse
			}
		})
	}

	running.Wait()
	return all
}

// judge fails the test for every failed request, except POSTs that were on
// their way when the backend closed the connection.
func (s closing) judge(t *testing.T, all []reply) {
	t.Helper()
	closed, crossed, posts, lost := int64(0), int64(0), 0, int64(0)
	for _, b := range s.backends {
		b.Close()
		closed += b.closed.Load()
		crossed += b.crossed.Load()
	}

	for _, r := range all {
		switch {
		case r.Method == http.MethodGet && !r.OK():
			t.Errorf("%s: %v", s.name, r)
		case r.Method == http.MethodPost:
			posts++
			if !r.OK() {
				lost++
				t.Logf("%s: %v", s.name, r)
			}
		}
	}

	t.Logf("%s: %d requests, %d of them POSTs; %d idle connections closed by the backends, %d POSTs crossed a close, "+
		"%d failed",
		s.name, len(all), posts, closed, crossed, lost)
	if lost > crossed {
		t.Errorf("%s: %d POSTs failed, and only %d crossed a close on the wire", s.name, lost, crossed)
	}

	if lost > int64(max(1, posts/1000)) {
		t.Errorf("%s: %d of %d POSTs failed", s.name, lost, posts)
	}
}

// A platform that stops the CPU between requests stops Pillion's timers too.
// Connections that died in that time are still detected.
func TestChaos_AProxyThatWasFrozenCostsNothing(t *testing.T) {
	t.Parallel()
	one, two := startSleepy(t, "one", time.Second, false), startSleepy(t, "two", time.Second, false)
	p := pillion.Start(t, "LB_BACKENDS="+one.Target()+";"+two.Target())
	var all []reply

	for range 3 {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			c := (&clientLoad{address: p.Address, callers: 32, ask: asking(method, "/")}).start(t)
			c.After(t, 200)
			c.Stop()
			all = append(all, c.replies.All()...)
		}

		before := one.closed.Load() + two.closed.Load()
		p.Signal(syscall.SIGSTOP)
		await.Until(t, "the backends have closed idle connections",
			func() bool { return one.closed.Load()+two.closed.Load() >= before+2 })
		p.Signal(syscall.SIGCONT)
	}

	closing{name: "frozen", backends: [2]*sleepy{one, two}}.judge(t, all)
}

// A backend that closes each connection after its answer, without announcing
// it, leaves connections in the pool that have just been closed. A few requests
// have to be sent again, and no request fails.
func TestChaos_BackendsThatCloseWithoutAWordCostNothing(t *testing.T) {
	t.Parallel()
	var all []*backend.Raw
	for _, name := range []string{"one", "two", "three"} {
		all = append(all, backend.StartRaw(t, name, func(c *backend.Conn) {
			if _, err := c.ReadRequest(); err == nil {
				_, _ = c.Write([]byte(backend.Answer(200, name, backend.NameField+": "+name)))
			}
		}))
	}

	p := pillion.Start(t, targets(all...))
	c := (&clientLoad{address: p.Address, callers: 32, ask: asking(http.MethodGet, "/")}).start(t)
	c.After(t, 5000)
	c.Stop()
	failed := 0
	for _, r := range c.replies.All() {
		if !r.OK() {
			failed++
		}
	}

	if ejections := count(p, saying("backend ejected", "")); failed > 5 || ejections > len(all) {
		t.Errorf("%d of %d GETs failed, %d ejections", failed, c.served.Load(), ejections)
	}
}
