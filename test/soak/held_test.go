package soak

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// reach is how soon the end of one side has to reach the other.
const reach = 100 * time.Millisecond

// The side that ends a connection.
const (
	clientsEnd  = ", the client's end"
	backendsEnd = ", the backend's end"
)

// TestHeld_LongConnectionsLeaveNothingBehind keeps WebSockets, event streams
// over HTTP/1.1 and HTTP/2 streams in both directions open, with a word on each
// from time to time. It ends half of each kind from either side.
func TestHeld_LongConnectionsLeaveNothingBehind(t *testing.T) {
	sockets, pause := 100, 500*time.Millisecond
	if *lasting >= time.Minute {
		sockets, pause = 1000, 10*time.Second
	}

	exchange := newExchange()
	var servers []*backend.Server
	for _, name := range []string{"one", "two", "three"} {
		servers = append(servers, backend.Start(t, name, exchange.serve))
	}

	program := start(t, backend.Backends(servers...))
	control := start(t, backend.Backends(servers...))
	for _, s := range []*subject{program, control} {
		s.burst(128)
		hold(t, exchange, s, 20, 0, pause)
		s.settle()
	}

	before := program.settle()
	peak, took := hold(t, exchange, program, sockets, *lasting, pause)
	after := program.wantLevel(before)
	t.Logf("before: %v", before)
	t.Logf("open:   %v", peak)
	t.Logf("after:  %v", after)
	judgeEnds(t, took)
	program.wantGoroutines(control)
}

// hold opens the wanted number of WebSockets, and half as many of each kind of
// stream. It keeps them open for a time and ends them. It returns the level
// with all of them open, and how long the ends took.
func hold(
	t *testing.T, x *exchange, s *subject, sockets int, lasting, pause time.Duration,
) (level, map[string][]time.Duration) {
	t.Helper()
	client := newClient(t, s.Address)
	defer client.close()
	lines := x.open(t, client, map[string]int{webSocket: sockets, eventStream: sockets / 2, duplex: sockets / 2})
	quiet := make(chan struct{})
	var words sync.WaitGroup
	for i, l := range lines {
		words.Go(func() { l.chat(quiet, pause, time.Duration(i)*pause/time.Duration(len(lines))) })
	}

	deadline, used := time.Now().Add(lasting), s.processor()
	await.Until(t, "every connection has carried a word", func() bool {
		return !slices.ContainsFunc(lines, func(l *line) bool { return l.heard.Load() == 0 })
	})
	<-time.After(time.Until(deadline)) // the promise is that nothing breaks in this time
	open := s.now()
	close(quiet)
	words.Wait()

	heard := int64(0)
	for _, l := range lines {
		heard += l.heard.Load()
		if err := l.broken.Load(); err != nil {
			t.Errorf("%s %s broke: %v", l.kind, l.id, *err)
		}
	}

	t.Logf("%d connections, %d words, %v of CPU meanwhile", len(lines), heard, open.CPU-used)
	return open, end(t, lines)
}

// end ends the connections one after the other, every second one at the
// backend. It returns how long the ends took to reach the other side, by kind
// and side.
func end(t *testing.T, lines []*line) map[string][]time.Duration {
	t.Helper()
	took := map[string][]time.Duration{}
	for i, l := range lines {
		what, leave, other := l.kind+clientsEnd, l.leave, l.backendSaw
		if i%2 == 1 {
			what, leave, other = l.kind+backendsEnd, func() { close(l.hangUp) }, l.clientSaw
		}

		began := time.Now()
		leave()
		select {
		case at := <-other:
			took[what] = append(took[what], at.Sub(began))
		case <-time.After(await.Limit):
			t.Fatalf("%s of %s never reached the other side", what, l.id)
		}
	}

	return took
}

// judgeEnds fails the test if the median of a kind is above reach. Single ends
// may take longer on a busy machine.
func judgeEnds(t *testing.T, took map[string][]time.Duration) {
	t.Helper()
	for what, all := range took {
		slices.Sort(all)
		median, most := all[len(all)/2], all[len(all)-1]
		t.Logf("%s: %d, median %v, 99th percentile %v, most %v", what, len(all), since(median), since(all[len(all)*99/100]),
			since(most))
		if median > reach {
			t.Errorf("%s reached the other side after %v in the median, want less", what, median)
		}
	}
}
