package discovery

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/test/fakegoogle"
)

// closing is a transport that counts how often its idle connections are closed.
type closing struct {
	http.RoundTripper
	closed atomic.Int64
	broken atomic.Bool
}

func (c *closing) CloseIdleConnections() { c.closed.Add(1) }

func (c *closing) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.broken.Load() {
		return nil, errors.New("the connection is dead")
	}
	return c.RoundTripper.RoundTrip(r)
}

// Connections may be dead without a sign of it: those over which a question
// failed, and those that were idle for long, as after a freeze. Others stay.
func TestGoogle_DeadConnectionsAreLeft(t *testing.T) {
	t.Parallel()
	for interval, want := range map[time.Duration]int64{30 * time.Second: 0, 2 * time.Minute: 4} {
		synctest.Test(t, func(t *testing.T) {
			g, cfg, opts, _ := googleOf(t)
			g.SetNEG("p-1", "us-east1-b", "pods",
				fakegoogle.NEG{Endpoints: []fakegoogle.Endpoint{{Address: "10.0.0.1", Port: 80}}})
			c := &closing{RoundTripper: opts.Transport}
			opts.Transport, cfg.Service.DiscoveryInterval = c, interval
			next(run(t, cfg, opts, "gce+neg://pods.us-east1-b.p-1"), time.Second)

			before := c.closed.Load()
			time.Sleep(10 * time.Minute)
			if n := c.closed.Load() - before; n < want || n > 2*want {
				t.Errorf("every %v: closed %d times in ten minutes", interval, n)
			}
			if before = c.closed.Load(); interval > idleLimit {
				return
			}
			c.broken.Store(true)
			time.Sleep(time.Minute)
			if c.closed.Load() == before {
				t.Error("a question failed, and its connection is kept")
			}
		})
	}
}

// wantRefusal fails unless an error response of the API is logged once with its
// message and its remedy, other sources work meanwhile, and the source recovers
// when the error is over. setUp prepares the API for item; healthy names the
// backends after the recovery.
func wantRefusal(t *testing.T, f fakegoogle.Fault, remedy, item, healthy string, setUp func(*fakegoogle.Server)) {
	synctest.Test(t, func(t *testing.T) {
		g, cfg, opts, logs := googleOf(t)
		setUp(g)
		g.SetFault(&f)

		sets := run(t, cfg, opts, item, "http://other")
		if set, _ := next(sets, 10*time.Second); names(set.Backends) != "other" ||
			!strings.Contains(logs.String(), remedy) || !strings.Contains(logs.String(), f.Message) {
			t.Errorf("%s: published %+v, logged %s", remedy, set, logs)
		}

		g.SetFault(nil)
		if set, _ := next(sets, 10*time.Minute); names(set.Backends) != healthy {
			t.Errorf("%s: afterwards %+v", remedy, set)
		}
		if n := strings.Count(logs.String(), "discovery failed"); n != 1 {
			t.Errorf("%s: logged %d failures", remedy, n)
		}
	})
}
