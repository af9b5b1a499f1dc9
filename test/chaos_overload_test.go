package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// statusToken is the token for the metrics.
const statusToken = "chaos-status-token-0123456789"

// watched turns the metrics page on.
var watched = []string{"OTEL_METRICS_EXPORTER=prometheus", "LB_STATUS_TOKEN=" + statusToken}

// gauge returns a metric's current value, summed over its labels.
func gauge(t *testing.T, c *http.Client, p *binary.Process, name string) int {
	t.Helper()
	a := get(t, c, p.URL("/.lb/metrics"), "Authorization", "Bearer "+statusToken)
	wantStatus(t, a, http.StatusOK)
	sum := 0
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{[^}]*\})? ([0-9.e+]+)`).FindAllStringSubmatch(a.Text, -1) {
		v, _ := strconv.ParseFloat(m[1], 64)
		sum += int(v)
	}

	return sum
}

// gated starts a backend that answers one request for each value in gate.
func gated(t *testing.T) (b *backend.Server, arrived chan string, gate chan struct{}) {
	t.Helper()
	arrived, gate = make(chan string, 1000), make(chan struct{})
	b = backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.Header.Get(backend.NumberField)
		select {
		case <-gate:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "done")
	})

	return b, arrived, gate
}

func TestChaos_WaitersAreServedInOrderAndTheRestIsTurnedAway(t *testing.T) {
	t.Parallel()
	const limit = 10
	b, arrived, gate := gated(t)
	p := pillion.Start(t, append(watched, backend.Backends(b), fmt.Sprintf("LB_MAX_IN_FLIGHT=%d", limit),
		"LB_QUEUE_TIMEOUT=20s")...)
	client := newClient(t)
	replies := make(chan reply, 10*limit)

	ask := func(i int) {
		go func() {
			c := &asker{address: p.Address}
			defer c.Close()
			replies <- c.Call(question{Method: http.MethodGet, Target: "/", Number: fmt.Sprint(i)})
		}()
	}
	for i := range limit {
		ask(i)
	}

	for range limit {
		soon(t, "a request in flight", arrived)
	}

	for i := range 2 * limit { // the default length of the queue is twice the limit
		ask(limit + i)
		await.Until(t, "the request waits", func() bool { return gauge(t, client, p, "lb_queue_length") == i+1 })
	}

	for i := range 7 * limit {
		ask(3*limit + i)
	}

	for range 7 * limit {
		r := soon(t, "a refusal", replies)
		if r.Status() != http.StatusServiceUnavailable || r.Response.Header.Get("Retry-After") == "" || r.Took > slack {
			t.Errorf("over the queue: %v", r)
		}
	}

	for i := range 2 * limit {
		gate <- struct{}{}
		if number := soon(t, "the next waiter", arrived); number != fmt.Sprint(limit+i) {
			t.Errorf("waiter %s was served when it was the turn of %d", number, limit+i)
		}
	}

	close(gate)
	for range 3 * limit {
		if r := soon(t, "an answer", replies); !r.OK() {
			t.Errorf("%v", r)
		}
	}
}

func TestChaos_AWaiterIsToldInTime(t *testing.T) {
	t.Parallel()
	b, arrived, gate := gated(t)
	defer close(gate)
	p := pillion.Start(t, backend.Backends(b), "LB_MAX_IN_FLIGHT=1")
	go func() {
		c := &asker{address: p.Address}
		c.Call(question{Method: http.MethodGet, Target: "/", Number: "first"})
	}()
	soon(t, "the request in flight", arrived)
	c := &asker{address: p.Address}
	defer c.Close()
	r := c.Call(question{Method: http.MethodPost, Target: "/", Number: "second"})
	if r.Status() != http.StatusServiceUnavailable || r.Response.Header.Get("Retry-After") == "" || r.Took < time.Second ||
		r.Took > time.Second+slack {
		t.Errorf("a waiter got %v, want 503 after the queue's second", r)
	}
}

func TestChaos_TenTimesTheLimitIsBoundedInMemoryAndTime(t *testing.T) {
	t.Parallel()
	const limit, callers = 20, 600 // three backends
	var servers []*backend.Server

	for _, name := range []string{"one", "two", "three"} {
		servers = append(servers, backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
			passes(t, 100*time.Millisecond)
			_, _ = io.WriteString(w, "done")
		}))
	}

	p := pillion.Start(t, backend.Backends(servers...), fmt.Sprintf("LB_MAX_IN_FLIGHT=%d", limit))

	// Each caller makes four requests a second, so that refused callers do not
	// use up the CPU with further requests.
	c := (&clientLoad{address: p.Address, callers: callers, every: 250 * time.Millisecond / callers,
		ask: asking(http.MethodGet, "/")}).start(t)
	passes(t, lasting(3*time.Second, 30*time.Second))
	half := memory(t, p)
	passes(t, lasting(3*time.Second, 30*time.Second))
	full := memory(t, p)
	c.Stop()
	all := c.replies.All()
	served, refused := 0, 0

	wantAll(t, "under overload", all, func(r reply) bool {
		switch {
		case r.OK():
			served++
		case r.Err == nil && r.Status() == http.StatusServiceUnavailable && r.Response.Header.Get("Retry-After") != "":
			refused++
		default:
			return false
		}

		return r.Took < time.Second+slack
	})
	t.Logf("%d requests: %d served, %d refused; longest %v; memory at most %d KiB, then %d KiB", len(all), served, refused,
		percentile(all, 1), half, full)
	if refused == 0 || served == 0 {
		t.Error("that is no overload")
	}

	if !binary.Race && (full > 100<<10 || full > half+half/4+8<<10) {
		t.Errorf("memory grew from %d to %d KiB", half, full)
	}
}

// memory returns the peak resident memory of a process, in KiB.
func memory(t *testing.T, p *binary.Process) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Skip("no /proc here")
	}

	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}

	return n
}

// Clients that disconnect, while waiting or in flight, free their places.
func TestChaos_ClientsThatLeaveGiveTheirPlacesBack(t *testing.T) {
	t.Parallel()
	const limit = 10
	b, _, gate := gated(t)
	p := pillion.Start(t, append(watched, backend.Backends(b), fmt.Sprintf("LB_MAX_IN_FLIGHT=%d", limit),
		"LB_QUEUE_TIMEOUT=20s")...)

	client := newClient(t)
	for range 5 {
		var open []*wire.Conn
		for range 3 * limit {
			c := wire.Dial(t, p.Address)
			c.Get("/")
			open = append(open, c)
		}

		await.Until(t, "all places are taken", func() bool {
			return gauge(t, client, p, "lb_queue_length") == 2*limit && gauge(t, client, p, "lb_endpoint_in_flight") == limit
		})
		for i, c := range open {
			if i%2 == 0 {
				c.Reset()
			} else {
				_ = c.Close()
			}
		}

		await.Until(t, "all places are free", func() bool {
			return gauge(t, client, p, "lb_queue_length") == 0 && gauge(t, client, p, "lb_endpoint_in_flight") == 0
		})
	}

	close(gate)
	wantStatus(t, get(t, client, p.URL("/")), http.StatusOK)
}
