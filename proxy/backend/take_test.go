package backend

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// claim is a claim that has begun.
func claim(t testing.TB, s *Service) *Claim {
	t.Helper()

	c := &Claim{Context: t.Context(), Start: time.Now()}
	if err := s.Begin(c, nil); err != nil {
		t.Fatal(err)
	}

	return c
}

// taken is a place that a claim got.
func taken(t testing.TB, s *Service, c *Claim) Place {
	t.Helper()

	p, err := s.Take(c)
	if err != nil {
		t.Fatal(err)
	}

	return p
}

// why is the refusal that an error says.
func why(err error) Refusal {
	if r, ok := errors.AsType[*Refused](err); ok {
		return r.Why
	}

	return 0
}

func TestTake_EveryEndpointOnceThenExhausted(t *testing.T) {
	t.Parallel()

	s := unused(t, Options{}, []string{"a", "b", "c"})
	c := claim(t, s)
	seen := map[string]bool{}
	for range 3 {
		p := taken(t, s, c)
		seen[p.Name] = true
		p.Release()
	}

	if len(seen) != 3 {
		t.Errorf("only %v were tried", seen)
	}
	if _, err := s.Take(c); why(err) != Exhausted {
		t.Error(err)
	}
}

func TestTake_NoBackendMayBeChosen(t *testing.T) {
	t.Parallel()

	s := unused(t, Options{}, nil)
	if _, err := s.Take(claim(t, s)); why(err) != NoBackend {
		t.Error(err)
	}
}

// Two services stand beside each other in one process, with settings of their
// own, and share nothing.
func TestService_TwoShareNothing(t *testing.T) {
	t.Parallel()

	answers := func(string) upstreamFunc {
		return func(*http.Request, *wire.Call) (*http.Response, error) { return answer(200, ""), nil }
	}
	shop := testService(t, Options{}, answers, "LB_EJECT_ERRORS=1")
	blog := testService(t, Options{}, answers, "LB_EJECT_ERRORS=0", "LB_EJECT_RATE=0", "LB_MAX_IN_FLIGHT=1",
		"LB_QUEUE_TIMEOUT=1ms")
	for _, s := range []*Service{shop, blog} {
		s.Update(named("a", "b"))
		traffic(s, "a", false, 10)
	}

	if got := serviceState(t, shop, "a").State; got != Ejected {
		t.Errorf("the one that ejects has it %s", got)
	}
	if got := serviceState(t, blog, "a").State; got != Eligible {
		t.Errorf("the one that does not has it %s", got)
	}

	for _, s := range []*Service{shop, blog} {
		for range 2 {
			defer new(taken(t, s, claim(t, s))).Release()
		}
	}

	if _, err := blog.Take(claim(t, blog)); why(err) != Full {
		t.Error(err)
	}

	if p, err := shop.Take(claim(t, shop)); err != nil {
		t.Error(err)
	} else {
		p.Release()
	}
}

func TestTake_AnEndpointThatIsWellAgainTakesThoseWhoWait(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		s := unused(t, Options{}, []string{"a", "b"},
			"LB_MAX_IN_FLIGHT=1", "LB_QUEUE_TIMEOUT=1h", "LB_HEALTH_CHECK=tcp", "LB_HEALTH_CHECK_HEALTHY=1")
		probe := func(ok bool) { s.judge(s.endpoints["b"], ok, "", time.Now(), time.Now()) }

		probe(false)
		first := taken(t, s, claim(t, s))
		got := make(chan Place, 1)
		c := claim(t, s)
		go func() {
			p, _ := s.Take(c)
			got <- p
		}()
		synctest.Wait()
		probe(true)

		if p := <-got; first.Name != "a" || p.Name != "b" || s.Waiting() != 0 {
			t.Errorf("%s and %s, %d wait", first.Name, p.Name, s.Waiting())
		}
	})
}
