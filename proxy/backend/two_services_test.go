package backend_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// answering is the transport of a backend that answers every request.
type answering struct{}

func (answering) Send(*http.Request, *wire.Call) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
}
func (answering) MovesBody() bool { return false }
func (answering) Idle() int       { return 0 }
func (answering) CloseIdle()      {}

// serviceOf makes a service by what the package exports alone, as package proxy
// does.
func serviceOf(t *testing.T, backends string, env ...string) *backend.Service {
	t.Helper()
	cfg, problems := config.Load(append(env, "LB_BACKENDS="+backends))
	for _, p := range problems {
		t.Fatal(p.String())
	}

	s := backend.New(cfg.Service, backend.Options{
		Dial: func(discovery.Backend) (backend.Transport, backend.Transport) {
			return answering{}, answering{}
		},
	})
	var list []discovery.Backend
	for _, address := range strings.Split(backends, ";") {
		name := strings.TrimPrefix(address, "http://")
		list = append(list, discovery.Backend{Name: name, Address: name, Host: name, Weight: 1})
	}

	s.Update(list)

	return s
}

// claimOf begins a claim for a request that starts now.
func claimOf(t *testing.T, s *backend.Service) *backend.Claim {
	t.Helper()
	c := &backend.Claim{Context: context.Background(), Start: time.Now()}
	if err := s.Begin(c, nil); err != nil {
		t.Fatal(err)
	}

	return c
}

// Two services with other settings share nothing, not even the health of a
// backend that both have.
func TestService_TwoOfThemShareNothing(t *testing.T) {
	t.Parallel()
	orders := serviceOf(t, "http://a:80;http://b:80", "LB_POLICY=round_robin", "LB_EJECT_ERRORS=2",
		"LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_COOKIE=orders", "LB_MAX_IN_FLIGHT=1", "LB_QUEUE_TIMEOUT=10ms")
	images := serviceOf(t, "http://a:80;http://b:80;http://c:80", "LB_POLICY=least_requests", "LB_EJECT_ERRORS=0")

	// Requests go through both of them.
	var places []backend.Place
	for _, s := range []*backend.Service{orders, images} {
		claim := claimOf(t, s)
		place, err := s.Take(claim)
		if err != nil {
			t.Fatal(err)
		}

		r, _ := http.NewRequest(http.MethodGet, "/", nil)
		if _, err := place.Send(r, &wire.Call{Began: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if want := string(s.Config().Policy); string(place.Reason) != want {
			t.Errorf("chosen by %s, not by %s", place.Reason, want)
		}

		places = append(places, place)
	}

	// Each has limits, cookies and a retry budget of its own.
	second, err := orders.Take(claimOf(t, orders))
	if err != nil {
		t.Fatal(err)
	}

	var refused *backend.Refused
	if _, err := orders.Take(claimOf(t, orders)); !errors.As(err, &refused) || refused.Why != backend.Full {
		t.Errorf("a third request in flight at two backends with one place each: %v", err)
	}

	for range 10 {
		place, err := images.Take(claimOf(t, images))
		if err != nil {
			t.Fatalf("the other service has a limit as well: %v", err)
		}
		defer place.Release()
	}

	second.Release()

	claim := claimOf(t, orders)
	if line := orders.SetCookie(claim, places[0].Endpoint, false); !strings.HasPrefix(line, "orders=") {
		t.Errorf("the cookie is %q", line)
	}

	if line := images.SetCookie(claimOf(t, images), places[1].Endpoint, false); line != "" {
		t.Errorf("the service without affinity sets the cookie %q", line)
	}

	now := time.Now()
	for orders.Spend(now) {
	}
	if !images.Spend(now) {
		t.Error("the retries of one service are paid by the other")
	}

	// A backend that fails for one of them is as good as before for the other.
	for range 2 {
		o := &backend.Outcome{Result: backend.Broken, Began: time.Now(), Ended: time.Now()}
		places[0].Report(o)
	}

	for s, want := range map[*backend.Service]int{orders: 1, images: 0} {
		ejected := 0
		for _, state := range s.States() {
			if state.State == backend.Ejected {
				ejected++
			}
		}

		if ejected != want {
			t.Errorf("%d backends are ejected, want %d", ejected, want)
		}
	}

	for _, place := range places {
		place.Release()
	}
}
