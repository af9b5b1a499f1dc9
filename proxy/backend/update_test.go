package backend

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/discovery"
)

// many are n backends, sorted by name as discovery publishes them.
func many(n int) []discovery.Backend {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("backend-%04d", i)
	}
	return named(names...)
}

// replaced is a list with one backend at another address.
func replaced(list []discovery.Backend, i int, address string) []discovery.Backend {
	other := slices.Clone(list)
	other[i].Address = address
	return other
}

func TestUpdate_OneReplacedOfAThousandLeavesTheOthersAsTheyAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := testService(t, Options{Logger: new(logBook).Logger()}, nil, "LB_SESSION_AFFINITY=cookie", "LB_EJECT_TIME=5m")
		s, all := p, many(1000)
		s.Update(all)
		before := map[string]*Endpoint{}
		for name, ep := range s.endpoints {
			before[name] = ep
			ep.inFlight.Add(1)
		}

		for range 5 {
			s.report(before["backend-0007"], &Outcome{Result: Broken, Began: time.Now(), Ended: time.Now()})
		}
		if state := serviceState(t, p, "backend-0007").State; state != "ejected" {
			t.Fatalf("a backend that failed five times is %s", state)
		}

		s.Update(replaced(all, 500, "127.0.0.1:2"))
		for _, b := range all {
			ep := s.endpoints[b.Name]
			if kept := ep == before[b.Name]; kept == (b.Name == "backend-0500") {
				t.Errorf("%s kept its endpoint: %v", b.Name, kept)
			}
		}

		if state := serviceState(t, p, "backend-0007").State; state != "ejected" {
			t.Errorf("the ejected backend became %s when another one was replaced", state)
		}
		if n := s.endpoints["backend-0500"].inFlight.Load(); n != 0 {
			t.Errorf("the new endpoint begins with %d requests in flight", n)
		}
	})
}

// BenchmarkUpdate is a publication of a thousand backends: as they are (which
// discovery does not publish), and with one replaced.
func BenchmarkUpdate(b *testing.B) {
	all := many(1000)
	for name, next := range map[string]func(i int) []discovery.Backend{
		"unchanged": func(int) []discovery.Backend { return all },
		"one replaced": func(i int) []discovery.Backend {
			return replaced(all, 500, fmt.Sprintf("127.0.0.1:%d", 2+i%2))
		},
	} {
		b.Run(name, func(b *testing.B) {
			p := testService(b, Options{Logger: new(logBook).Logger()}, nil, "LB_SESSION_AFFINITY=cookie")
			p.Update(all)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Update(next(i))
			}
		})
	}
}

// Departed endpoints whose requests have finished are forgotten, although
// nothing reads the list of departed ones here.
func TestDeparted_NothingIsKeptOfThoseThatFinished(t *testing.T) {
	t.Parallel()
	p := testService(t, Options{}, nil)
	for i := range 100 {
		p.Update(named([]string{"a", "b"}[i%2]))
	}

	if n := len(p.leaving); n > 1 {
		t.Errorf("%d are kept", n)
	}
}
