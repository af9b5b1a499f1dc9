package proxy

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
		p := testProxy(t, Options{Logger: new(logBook).logger()}, nil, "LB_SESSION_AFFINITY=cookie", "LB_EJECT_TIME=5m")
		s, all := p.service, many(1000)
		s.Update(all)
		before := map[string]*endpoint{}
		for name, ep := range s.endpoints {
			before[name] = ep
			ep.inFlight.Add(1)
		}
		for range 5 {
			s.report(before["backend-0007"], false, time.Now(), time.Now())
		}
		if state := stateOf(t, p, "backend-0007").State; state != "ejected" {
			t.Fatalf("a backend that failed five times is %s", state)
		}
		s.Update(replaced(all, 500, "127.0.0.1:2"))
		for _, b := range all {
			ep := s.endpoints[b.Name]
			if kept := ep == before[b.Name]; kept == (b.Name == "backend-0500") {
				t.Errorf("%s kept its endpoint: %v", b.Name, kept)
			}
		}
		if state := stateOf(t, p, "backend-0007").State; state != "ejected" {
			t.Errorf("the ejected backend became %s when another one was replaced", state)
		}
		if n := s.endpoints["backend-0500"].inFlight.Load(); n != 0 {
			t.Errorf("the new endpoint begins with %d requests in flight", n)
		}
	})
}

// BenchmarkUpdate is a publication of a thousand backends: as they are (which discovery does not publish), and with one
// replaced.
func BenchmarkUpdate(b *testing.B) {
	all := many(1000)
	for name, next := range map[string]func(i int) []discovery.Backend{
		"unchanged": func(int) []discovery.Backend { return all },
		"one replaced": func(i int) []discovery.Backend {
			return replaced(all, 500, fmt.Sprintf("127.0.0.1:%d", 2+i%2))
		},
	} {
		b.Run(name, func(b *testing.B) {
			p := New(testConfig(b, "LB_SESSION_AFFINITY=cookie"), Options{Logger: new(logBook).logger()})
			p.service.Update(all)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.service.Update(next(i))
			}
		})
	}
}
