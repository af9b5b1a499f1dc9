package proxy

import (
	"testing"
	"testing/synctest"

	"github.com/pillion-lb/pillion/proxy/backend"
)

// row is the line of one backend on the status page; a name may stand there
// twice.
func row(p *Proxy, name, state string) *backend.State {
	for _, b := range p.Backends() {
		if b.Name == name && b.State == state {
			return &b
		}
	}
	return nil
}

// A backend that discovery has given up stays in view while it finishes what it
// has, beside one that took its name.
func TestDeparted_ABackendIsShownUntilItsLastRequestEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a", "b"}, "LB_SESSION_AFFINITY=cookie")
		field, value := session(t, c.p, "a")
		c.send("/1", field, value)
		c.send("/2", field, value)
		c.p.Update(named("b"))
		b := row(c.p, "a", backend.Draining)
		if b == nil || b.InFlight != 2 || b.Requests != 2 || b.Weight != 0 || b.Reason == "" || b.Address == "" ||
			b.Since.IsZero() {
			t.Errorf("%+v", b)
		}

		if n := len(c.p.Backends()); n != 2 {
			t.Errorf("%d endpoints are shown", n)
		}

		moved := named("a", "b")
		moved[0].Address = "127.0.0.1:2"
		c.p.Update(moved)
		if row(c.p, "a", backend.Draining) == nil || row(c.p, "a", backend.Eligible) == nil || len(c.p.Backends()) != 3 {
			t.Errorf("%+v", c.p.Backends())
		}

		close(c.release["a"])
		c.done.Wait()
		if len(c.p.Backends()) != 2 || row(c.p, "a", backend.Draining) != nil {
			t.Errorf("it stays: %+v", c.p.Backends())
		}
	})
}
