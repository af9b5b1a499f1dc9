package proxy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// Backends come, go, fall ill and are ejected while requests are on their way, and none is lost.
func TestUpdate_UnderLoad(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	p := testProxy(t, Options{}, func(name string) upstreamFunc {
		return func(r *http.Request, c *h1.Call) (*http.Response, error) {
			if name == "bad" && n.Add(1)%3 > 0 {
				return nil, refused()
			}
			return answer(200, name), nil
		}
	}, "LB_SESSION_AFFINITY=cookie", "LB_HEALTH_CHECK=/", "LB_HEALTH_CHECK_INTERVAL=10ms", "LB_EJECT_TIME=1ms", "LB_MAX_IN_FLIGHT=8", "LB_QUEUE_TIMEOUT=1h", "LB_SLOW_START=5ms")
	p.Update(named("a", "bad"))
	ctx, cancel := context.WithCancel(t.Context())
	var background, clients sync.WaitGroup
	background.Go(func() { p.Run(ctx) })
	background.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			set := [][]string{{"a", "bad"}, {"a", "b", "bad"}, {"b", "bad", "c"}, {"a", "c"}}[i%4]
			slices.Sort(set)
			p.Update(named(set...))
			p.Endpoints()
			time.Sleep(100 * time.Microsecond)
		}
	})
	for range 8 {
		clients.Go(func() {
			b := &browser{p: p}
			for range 300 {
				if w := b.get(t, "/"); w.Code != 200 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	clients.Wait()
	cancel()
	background.Wait()
	if requests, _ := p.Active(); requests != 0 {
		t.Errorf("%d requests never ended", requests)
	}
}

func TestUpdate_VanishedBackendFinishesWhatItHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, []string{"a", "b"})
		p := c.p
		p.Update(named("a"))
		w := c.come("/")
		p.Update(named("b"))
		other := c.come("/2")
		if got := c.arrived(); !slices.Equal(got, []string{"/@a", "/2@b"}) {
			t.Error(got)
		}
		close(c.release["a"])
		close(c.release["b"])
		c.done.Wait()
		if w.Code != 200 || other.Code != 200 {
			t.Error(w.Code, other.Code)
		}
	})
}

func TestState_SaysWhatAnEndpointIsAndWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, []string{"a", "b"})
		if New(testConfig(t), Options{}).Endpoints() != nil {
			t.Error("endpoints before the first publication")
		}
		set := named("a", "b")
		set[0].Weight, set[0].Source = 0, "http://a?weight=0"
		c.p.Update(set)
		a := stateOf(t, c.p, "a")
		if a.State != "draining" || a.Reason != "weight 0: no new sessions" || a.Address != "127.0.0.1:1" || a.Source != "http://a?weight=0" || !a.Since.Equal(time.Now()) {
			t.Errorf("%+v", a)
		}
		c.come("/")
		if b := stateOf(t, c.p, "b"); b.State != "eligible" || b.Reason != "" || b.InFlight != 1 || b.Requests != 1 || b.Weight != 1 {
			t.Errorf("%+v", b)
		}
		close(c.release["b"])
		c.done.Wait()
		c.p.Update(named("a", "b"))
		time.Sleep(time.Minute)
		traffic(c.p, "a", false, 5)
		a = stateOf(t, c.p, "a")
		until := a.EjectedUntil.UTC().Format(time.RFC3339)
		if a.State != "ejected" || a.Reason != "5 failures in a row; ejected until "+until || !a.Since.Equal(time.Now()) {
			t.Errorf("%+v", a)
		}
		time.Sleep(time.Minute)
		if a = stateOf(t, c.p, "a"); a.Reason != "5 failures in a row; waiting for a trial request" {
			t.Errorf("%+v", a)
		}
	})
}

func TestRecord_IsOfTheWholeRequest(t *testing.T) {
	t.Parallel()
	var got Record
	p := testProxy(t, Options{Access: func(r *Record) { got = *r }}, func(name string) upstreamFunc {
		return func(*http.Request, *h1.Call) (*http.Response, error) {
			if name == "a" {
				return nil, refused()
			}
			return answer(200, "hello"), nil
		}
	}, "LB_SESSION_AFFINITY=cookie", "LB_START_HOLD=0")
	p.Update(named("a", "b"))
	field, value := session(t, p, "a")
	p.ServeHTTP(httptest.NewRecorder(), request("GET", "/x?sig=secret&a=1", field, value, "User-Agent", "test"))
	if got.Status != 200 || got.Attempts != 2 || got.Retry != "not_sent" || got.Backend != "b" || got.Reason != "retry" || got.Cookie != "moved" ||
		got.BytesOut != 5 || got.Client != "192.0.2.7" || got.Agent != "test" || got.Ended != "" || got.URL() != "http://shop.example/x?sig=REDACTED&a=1" {
		t.Errorf("%+v %s", got, got.URL())
	}
}
