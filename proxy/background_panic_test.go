package proxy

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// A fault in work that no client waits for ends that work alone. It gives back
// what it held, so that the next piece of work finds it.
func TestBackground_APanicEndsThatWorkAlone(t *testing.T) {
	t.Parallel()
	for w, env := range map[work][]string{
		refreshing: {"LB_CACHE=origin"},
		mirrorWork: {"LB_BACKENDS__SHADOW=http://shadow:1", "LB_ROUTE__SHADOW=none", "LB_MIRROR=shadow"},
	} {
		t.Run(string(w), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log, faults := new(logBook), 0
				p := testProxy(t, Options{Logger: log.Logger()}, func(name string) upstreamFunc {
					served := 0
					return func(*http.Request, *wire.Call) (*http.Response, error) {
						served++
						if name == "shadow" || w == refreshing && served > 1 {
							faults++
							panic("a fault")
						}
						a := answer(200, "fine")
						a.Header.Set("Cache-Control", "max-age=1, stale-while-revalidate=3600")
						a.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
						return a, nil
					}
				}, env...)
				p.Update(named("a"))
				p.UpdateService("shadow", named("shadow"))
				go func() { _ = p.Run(t.Context()) }()
				synctest.Wait()

				for n := range 3 {
					rec := httptest.NewRecorder()
					p.ServeHTTP(rec, request("GET", "/x"))
					if rec.Code != 200 || rec.Body.String() != "fine" {
						t.Errorf("answer %d: %d %q", n+1, rec.Code, rec.Body.String())
					}
					synctest.Wait()
					time.Sleep(2 * time.Second)
				}
				if faults < 2 || log.Count("work in the background panicked") != faults ||
					log.Count("work="+string(w)) != faults {
					t.Errorf("%d faults, and the log says\n%s", faults, log.String())
				}
				for _, state := range p.Backends() {
					if state.InFlight != 0 {
						t.Errorf("%s has %d in flight", state.Name, state.InFlight)
					}
				}
				if w == mirrorWork && p.routing.routes[0].mirror.inFlight.Load() != 0 {
					t.Error("copies are in flight")
				}
			})
		})
	}
}
