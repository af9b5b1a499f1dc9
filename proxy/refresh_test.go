package proxy

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// A refresh in the background adds the same fields to its request as the
// route's rules add to a client's request, because its answer is stored for all
// clients.
func TestRefresh_SaysWhatTheRouteSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := testProxy(t, Options{}, func(string) upstreamFunc {
			return func(r *http.Request, _ *wire.Call) (*http.Response, error) {
				a := answer(200, "tenant="+r.Header.Get("X-Tenant"))
				a.Header.Set("Cache-Control", "max-age=1, stale-while-revalidate=30")
				a.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
				return a, nil
			}
		}, "LB_CACHE=origin", "LB_REQUEST_HEADERS=X-Tenant=a")
		p.Update(named("a"))
		go func() { _ = p.Run(t.Context()) }()
		synctest.Wait()

		for n := range 3 {
			w := httptest.NewRecorder()
			p.ServeHTTP(w, request("GET", "/x"))
			if w.Body.String() != "tenant=a" {
				t.Errorf("answer %d: %q, %q", n+1, w.Body.String(), w.Header().Get("Cache-Status"))
			}
			synctest.Wait()
			time.Sleep(2 * time.Second)
		}
	})
}
