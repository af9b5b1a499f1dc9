package test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// port returns the ":8080" of an address, which in LB_BACKENDS stands for a
// neighbour container.
func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return ":" + port
}

func TestChaos_ANeighbourThatNeverStartedKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	one, three := backend.Start(t, "one", nil), backend.Start(t, "three", nil)
	p := pillion.Start(t, fmt.Sprintf("LB_BACKENDS=%s;%s;%s", port(one.Address), port(backend.Closed(t)),
		port(three.Address)))
	client := &asker{address: p.Address}
	defer client.Close()
	var all []reply

	for i := range 500 {
		q := question{Method: http.MethodGet, Target: "/", Number: fmt.Sprint(i)}
		if i%2 == 1 {
			q.Method = http.MethodPost
		}
		all = append(all, client.Call(q))
	}

	t.Logf("median %v, p99 %v, longest %v", percentile(all, 0.5), percentile(all, 0.99), percentile(all, 1))
	wantAll(t, "beside a closed port", all, func(r reply) bool { return r.OK() && r.Took < 90*time.Millisecond+slack/4 })
	if one.Hits()+three.Hits() != len(all) {
		t.Errorf("%d requests made %d", len(all), one.Hits()+three.Hits())
	}
}

func TestChaos_NeighboursThatStartLateFindTheFirstRequestsWaiting(t *testing.T) {
	t.Parallel()
	addresses := []string{backend.Closed(t), backend.Closed(t), backend.Closed(t)}
	p := pillion.Start(t, fmt.Sprintf("LB_BACKENDS=%s;%s;%s", port(addresses[0]), port(addresses[1]), port(addresses[2])))
	const n = 100
	replies := make(chan reply, n)

	began := time.Now()
	for i := range n {
		go func() {
			c := &asker{address: p.Address}
			defer c.Close()
			q := question{Method: http.MethodGet, Target: "/", Number: fmt.Sprint(i)}
			if i%2 == 1 {
				q.Method = http.MethodPost
			}

			replies <- c.Call(q)
		}()
	}

	passes(t, 4*time.Second)
	if len(replies) > 0 {
		t.Errorf("before any backend was there came %v", <-replies)
	}

	var workers []*backend.Worker
	for i, a := range addresses {
		workers = append(workers, backend.StartWorker(t, string(rune('a'+i)), a))
	}

	worked := processTime(t, p.PID())
	if worked > time.Second+slack/4 {
		t.Errorf("holding %d requests for four seconds cost %v of CPU", n, worked)
	}

	var all []reply
	for range n {
		all = append(all, soon(t, "an answer", replies))
	}

	wantAll(t, "a held request", all, reply.OK)
	t.Logf("all answered %v after the first was sent, the last after %v; holding them cost %v of CPU", time.Since(began),
		percentile(all, 1), worked)
	seen := func() int { return workers[0].Seen.Len() + workers[1].Seen.Len() + workers[2].Seen.Len() }
	await.Until(t, "the backends have reported the requests", func() bool { return seen() >= n })
	if seen() != n {
		t.Errorf("the backends saw %d requests, want %d", seen(), n)
	}
}

// Requests wait for a backend to start only for a limited time. After that they
// get an error.
func TestChaos_NeighboursThatNeverStartAreAnsweredFor(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, fmt.Sprintf("LB_BACKENDS=%s;%s", port(backend.Closed(t)), port(backend.Closed(t))),
		"LB_START_HOLD=1s")
	c := &asker{address: p.Address}
	defer c.Close()
	r := c.Call(question{Method: http.MethodGet, Target: "/", Number: "1"})
	if r.Status() != http.StatusServiceUnavailable || r.Response.Header.Get("Retry-After") == "" {
		t.Errorf("the held request got %v with %v", r, r.Response)
	}

	if r := c.Call(question{Method: http.MethodGet, Target: "/",
		Number: "2"}); r.Status() != http.StatusServiceUnavailable || r.Took > time.Second {
		t.Errorf("after the hold: %v", r)
	}
}
