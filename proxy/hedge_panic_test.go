package proxy

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// A fault that one request meets is that request's, also where its attempts run
// in goroutines of their own.
func TestHedge_APanicIsTheRequestsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		upstreams, sent, _ := inOrder(after(time.Hour, 200, "late"), func(*http.Request, *wire.Call) (*http.Response, error) {
			panic("a fault")
		})
		p := testProxy(t, Options{}, upstreams, "LB_HEDGE=100ms", "LB_RETRIES=0")
		p.Update(named("a", "b"))
		go func() { _ = p.Run(t.Context()) }()
		synctest.Wait()

		func() {
			defer func() {
				if v := recover(); v != "a fault" {
					t.Errorf("ServeHTTP ended with %v", v)
				}
			}()
			p.ServeHTTP(httptest.NewRecorder(), request("GET", "/"))
		}()
		synctest.Wait()

		if sent.Load() != 2 {
			t.Errorf("%d attempts", sent.Load())
		}
		for _, name := range []string{"a", "b"} {
			if state := stateOf(t, p, name); state.InFlight != 0 {
				t.Errorf("%s has %d in flight", name, state.InFlight)
			}
		}
	})
}
