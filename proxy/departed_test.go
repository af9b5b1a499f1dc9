package proxy

import (
	"testing"
	"testing/synctest"

	"github.com/pillion-lb/pillion/proxy/status"
)

// row is the line of one backend on the status page; a name may stand there twice.
func row(p *Proxy, name, state string) *status.Backend {
	for _, b := range p.Backends() {
		if b.Name == name && b.State == state {
			return &b
		}
	}
	return nil
}

// A backend that discovery has given up stays in view while it finishes what it has, beside one that took its name.
func TestDeparted_ABackendIsShownUntilItsLastRequestEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, []string{"a", "b"}, "LB_SESSION_AFFINITY=cookie")
		field, value := session(t, c.p, "a")
		c.come("/1", field, value)
		c.come("/2", field, value)
		c.p.Update(named("b"))
		b := row(c.p, "a", draining)
		if b == nil || b.InFlight != 2 || b.Requests != 2 || b.Weight != 0 || b.Reason == "" || b.Address == "" || b.Since.IsZero() {
			t.Errorf("%+v", b)
		}
		if n := len(c.p.Endpoints()); n != 1 {
			t.Errorf("%d endpoints are published", n)
		}
		moved := named("a", "b")
		moved[0].Address = "127.0.0.1:2"
		c.p.Update(moved)
		if row(c.p, "a", draining) == nil || row(c.p, "a", eligible) == nil || len(c.p.Backends()) != 3 {
			t.Errorf("%+v", c.p.Backends())
		}
		close(c.release["a"])
		c.done.Wait()
		if len(c.p.Backends()) != 2 || row(c.p, "a", draining) != nil {
			t.Errorf("it stays: %+v", c.p.Backends())
		}
	})
}

// Nobody may ever look: what has finished is forgotten all the same.
func TestDeparted_NothingIsKeptOfThoseThatFinished(t *testing.T) {
	t.Parallel()
	p := testProxy(t, Options{}, nil)
	for i := range 100 {
		p.Update(named([]string{"a", "b"}[i%2]))
	}
	if n := len(p.service.departed); n > 1 {
		t.Errorf("%d are kept", n)
	}
}
