package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// probedBackend is a backend whose answer to probes a test decides, and that
// notes when it was asked.
type probedBackend struct {
	mu     sync.Mutex
	status int
	slow   time.Duration
	asked  []time.Time
}

func (b *probedBackend) send(_ *http.Request, c *wire.Call) (*http.Response, error) {
	b.mu.Lock()
	status, slow := b.status, b.slow
	b.asked = append(b.asked, time.Now())
	b.mu.Unlock()

	if slow > 0 {
		limit := time.Until(c.Deadline)
		time.Sleep(min(slow, limit))
		if slow > limit {
			return nil, &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Timeout: true, Err: errors.New("timeout")}
		}
	}

	return answer(status, "ok"), nil
}

func (b *probedBackend) set(status int, slow time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status, b.slow = status, slow
}

func (b *probedBackend) times() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]time.Time(nil), b.asked...)
}

// probedService is a service with one probedBackend per name, whose probes run
// until the test's end.
func probedService(
	t *testing.T, log *logBook, names []string, env ...string,
) (*Service, map[string]*probedBackend, func()) {
	probed := make(map[string]*probedBackend)
	for _, name := range names {
		probed[name] = &probedBackend{status: 200}
	}

	p := testService(t, Options{Logger: log.Logger()}, func(name string) upstreamFunc { return probed[name].send },
		append([]string{"LB_HEALTH_CHECK=/healthz"}, env...)...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()

	return p, probed, func() { cancel(); <-done }
}

func TestProbe_FirstOneDecides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBook)
		p, probed, stop := probedService(t, log, []string{"a", "b"})
		defer stop()
		probed["b"].set(503, 0)
		p.Update(named("a", "b"))
		synctest.Wait()
		if st := serviceState(t, p, "a"); st.State != "eligible" || !st.LastProbe.Healthy ||
			st.LastProbe.Result != "status 200" {
			t.Errorf("a: %+v", st)
		}

		if st := serviceState(t, p, "b"); st.State != "unhealthy" || st.Reason != "probe: status 503" {
			t.Errorf("b: %+v", st)
		}
		if n := log.Count(`"backend unhealthy" backend=b reason="status 503"`); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

func TestProbe_VerdictChangesAtItsThresholdAfterQuickProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBook)
		p, probed, stop := probedService(t, log, []string{"a", "b"})
		defer stop()
		p.Update(named("a", "b"))
		synctest.Wait()
		probed["a"].set(500, 0)
		sick := time.Now()
		for serviceState(t, p, "a").State == "eligible" {
			time.Sleep(100 * time.Millisecond)
		}

		bad := probed["a"].times()[1:]
		if len(bad) != 3 || bad[1].Sub(bad[0]) != time.Second || bad[2].Sub(bad[1]) != time.Second {
			t.Errorf("failed probes after %v", since(sick, bad))
		}

		probed["a"].set(200, 0)
		well := len(probed["a"].times())
		for serviceState(t, p, "a").State == "unhealthy" {
			time.Sleep(100 * time.Millisecond)
		}

		good := probed["a"].times()[well:]
		if len(good) != 2 || good[1].Sub(good[0]) != time.Second {
			t.Errorf("passed probes after %v", since(sick, good))
		}
		if log.Count("backend unhealthy") != 1 || log.Count(`"backend healthy" backend=a`) != 2 {
			t.Error("each change is said once")
		}
	})
}

func TestProbe_OneFailureIsForgiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBook)
		p, probed, stop := probedService(t, log, []string{"a"})
		defer stop()
		p.Update(named("a"))
		synctest.Wait()

		for range 5 {
			probed["a"].set(500, 0)
			for n := len(probed["a"].times()); len(probed["a"].times()) < n+2; {
				time.Sleep(50 * time.Millisecond)
			}
			probed["a"].set(200, 0)
			time.Sleep(7 * time.Second)
		}

		if log.Count("unhealthy") != 0 || serviceState(t, p, "a").State != "eligible" {
			t.Error("two failures in a row made a verdict of three")
		}
	})
}

func TestProbe_IntervalHasJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, probed, stop := probedService(t, new(logBook), []string{"a"})
		defer stop()
		p.Update(named("a"))
		time.Sleep(10 * time.Minute)
		times := probed["a"].times()
		low, high := time.Hour, time.Duration(0)
		for i := range times[1:] {
			gap := times[i+1].Sub(times[i])
			low, high = min(low, gap), max(high, gap)
		}

		if low < 4*time.Second || low > 4400*time.Millisecond || high > 6*time.Second || high < 5600*time.Millisecond {
			t.Errorf("pauses from %v to %v", low, high)
		}
	})
}

func TestProbe_StateOutlivesPublicationsAndVanishedAreLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, probed, stop := probedService(t, new(logBook), []string{"a", "b", "c"})
		defer stop()
		probed["a"].set(503, 0)
		p.Update(named("a", "b"))
		synctest.Wait()
		p.Update(named("a", "c"))
		synctest.Wait()
		if st := serviceState(t, p, "a"); st.State != "unhealthy" {
			t.Errorf("a lost its verdict: %+v", st)
		}

		if n := len(probed["c"].times()); n != 1 {
			t.Errorf("the new one was probed %d times at once", n)
		}
		if n := len(probed["a"].times()); n != 1 {
			t.Errorf("a was probed %d times", n)
		}

		left := len(probed["b"].times())
		time.Sleep(time.Minute)
		if n := len(probed["b"].times()); n != left {
			t.Error("a vanished backend is still probed")
		}
	})
}

func TestProbe_OldVerdictIsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, probed, stop := probedService(t, new(logBook), []string{"a", "b"})
		probed["a"].set(503, 0)
		p.Update(named("a", "b"))
		synctest.Wait()
		stop() // as if the platform had stopped us
		time.Sleep(14 * time.Second)
		if st := serviceState(t, p, "a"); st.State != "unhealthy" {
			t.Errorf("after 14 s: %+v", st)
		}

		time.Sleep(2 * time.Second)
		if st := serviceState(t, p, "a"); st.State != "eligible" {
			t.Errorf("after 16 s: %+v", st)
		}
		if n := p.current(time.Now()).eligible(); n != 2 {
			t.Errorf("%d may be chosen", n)
		}
	})
}

// A probe that comes back long after its time limit was frozen with us.
func TestProbe_FailureOfAFrozenProbeSaysNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var froze atomic.Bool
		p := testService(t, Options{}, func(string) upstreamFunc {
			return func(*http.Request, *wire.Call) (*http.Response, error) {
				if froze.CompareAndSwap(false, true) {
					time.Sleep(time.Hour)
					return nil, &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Timeout: true, Err: errors.New("timeout")}
				}
				return answer(200, ""), nil
			}
		}, "LB_HEALTH_CHECK=/healthz")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go p.Run(ctx)
		p.Update(named("a"))
		time.Sleep(time.Hour + time.Millisecond)
		if st := serviceState(t, p, "a"); st.State != "eligible" || !st.LastProbe.At.IsZero() {
			t.Errorf("%+v", st)
		}

		time.Sleep(time.Second)
		if st := serviceState(t, p, "a"); !st.LastProbe.Healthy {
			t.Errorf("%+v", st)
		}
	})
}

func TestProbe_HangingBackendTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, probed, stop := probedService(t, new(logBook), []string{"a", "b"})
		defer stop()
		probed["a"].set(200, time.Hour)
		p.Update(named("a", "b"))
		time.Sleep(2*time.Second + time.Millisecond)
		if st := serviceState(t, p, "a"); st.State != "unhealthy" || st.LastProbe.Result != "timeout" {
			t.Errorf("%+v", st)
		}
	})
}

func TestProbe_ManyAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		p := testService(t, Options{}, func(string) upstreamFunc {
			return func(*http.Request, *wire.Call) (*http.Response, error) {
				n := now.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}

				time.Sleep(100 * time.Millisecond)
				now.Add(-1)

				return answer(200, ""), nil
			}
		}, "LB_HEALTH_CHECK=/healthz")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go p.Run(ctx)
		var names []string
		for i := range 200 {
			names = append(names, fmt.Sprintf("b%03d", i))
		}

		p.Update(named(names...))
		time.Sleep(401 * time.Millisecond)
		if most.Load() != probesAtOnce {
			t.Errorf("%d probes at once", most.Load())
		}

		for _, st := range p.States() {
			if !st.LastProbe.Healthy {
				t.Fatalf("%s was not probed", st.Name)
			}
		}
	})
}

func TestProbe_IsNoTraffic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, probed, stop := probedService(t, new(logBook), []string{"a", "b"}, "LB_MAX_IN_FLIGHT=1")
		defer stop()
		probed["a"].set(503, 0)
		probed["b"].set(200, time.Second)
		p.Update(named("a", "b"))
		time.Sleep(500 * time.Millisecond)
		if st := serviceState(t, p, "b"); st.InFlight != 0 {
			t.Errorf("%+v", st)
		}

		time.Sleep(time.Minute)
		if st := serviceState(t, p, "a"); st.Requests != 0 || st.Failures != 0 || st.Ejections != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestProbe_PassingTakesAnEjectedEndpointBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, probed, stop := probedService(t, new(logBook), []string{"a", "b"}, "LB_EJECT_TIME=100s")
		defer stop()
		p.Update(named("a", "b"))
		synctest.Wait()
		failures(p, "a", 5)
		probed["a"].set(503, 0)
		time.Sleep(10 * time.Second)
		if st := serviceState(t, p, "a"); st.State != "unhealthy" {
			t.Errorf("sick: %+v", st)
		}

		probed["a"].set(200, 0)
		time.Sleep(10 * time.Second)
		if st := serviceState(t, p, "a"); st.State != "eligible" || !st.EjectedUntil.IsZero() {
			t.Errorf("well again: %+v", st)
		}
	})
}

// Probes that pass all the while don't see what ails traffic, so they don't
// shorten an ejection; when it is over they stand for the trial.
func TestProbe_BlindOneDoesNotShortenAnEjection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, stop := probedService(t, new(logBook), []string{"a", "b"}, "LB_EJECT_TIME=60s")
		defer stop()
		p.Update(named("a", "b"))
		synctest.Wait()
		failures(p, "a", 5)
		time.Sleep(50 * time.Second)
		if st := serviceState(t, p, "a"); st.State != "ejected" || !st.LastProbe.Healthy {
			t.Errorf("after 50 s: %+v", st)
		}

		time.Sleep(17 * time.Second)
		if st := serviceState(t, p, "a"); st.State != "eligible" {
			t.Errorf("after 67 s: %+v", st)
		}
	})
}

// failures reports failures of an endpoint, as attempts do.
func failures(p *Service, name string, n int) (last Change) {
	for range n {
		now := time.Now()
		last = p.report(p.endpoints[name], &Outcome{Result: Broken, Began: now, Ended: now})
	}
	return last
}

func since(begin time.Time, times []time.Time) (gaps []time.Duration) {
	for _, at := range times {
		gaps = append(gaps, at.Sub(begin))
	}
	return gaps
}

func TestProbe_OffDoesNothing(t *testing.T) {
	t.Parallel()
	p := testService(t, Options{}, nil)
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Truth over the wire.

// clinic is a proxy in front of one real server; ask makes one probe.
func clinic(t *testing.T, b discovery.Backend, o Options, env ...string) (ask func() (string, error), p *Service) {
	t.Helper()
	b.Name, b.Weight = "a", 1
	p = testService(t, o, nil, env...)
	p.Update([]discovery.Backend{b})
	c := p.newCheck()
	t.Cleanup(func() {
		p.endpoints["a"].http1.CloseIdle()
		p.endpoints["a"].http2.CloseIdle()
	})

	return func() (string, error) {
		return c.ask(t.Context(), p.endpoints["a"], time.Now().Add(2*time.Second))
	}, p
}

// serve runs a server that speaks HTTP/1.1 and HTTP/2 in clear text.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)

	return server
}

func TestProbe_HTTPAsksAsTrafficDoes(t *testing.T) {
	t.Parallel()
	for _, protocol := range []config.Protocol{config.Auto, config.HTTP1, config.H2C} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			var status atomic.Int64
			seen := make(chan *http.Request, 1)

			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				seen <- r
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(int(status.Load()))
				w.Write(make([]byte, 200<<10))
			})
			address := server.Listener.Addr().String()

			ask, _ := clinic(t, discovery.Backend{Address: address, Host: address, SetHost: "shop.example", Protocol: protocol,
				Audience: "https://shop"},
				Options{Tokens: oneToken{}}, "LB_HEALTH_CHECK=/healthz?full=1", "LB_HEALTH_CHECK_STATUS=200;302")
			for code, want := range map[int]string{200: "", 302: "", 301: "status 301", 503: "status 503"} {
				status.Store(int64(code))
				_, err := ask()
				r := <-seen
				if got := text(err); got != want {
					t.Errorf("%d: %q", code, got)
				}

				if r.Host != "shop.example" || r.RequestURI != "/healthz?full=1" || r.Method != "GET" ||
					r.UserAgent() != "pillion-health-check" {
					t.Errorf("asked %s %s of %s as %s", r.Method, r.RequestURI, r.Host, r.UserAgent())
				}
				if r.Header.Get("X-Serverless-Authorization") != "Bearer token-for-https://shop" {
					t.Errorf("identity %q", r.Header)
				}

				if major := r.ProtoMajor; (major == 2) != (protocol == config.H2C) {
					t.Errorf("over HTTP/%d", major)
				}
			}
		})
	}
}

// oneToken has a token for everybody.
type oneToken struct{}

func (oneToken) Token(_ context.Context, audience string) (string, error) {
	return "token-for-" + audience, nil
}
func (oneToken) Rejected(string) {}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestProbe_TCPIsContentWithAConnection(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	ask, p := clinic(t, discovery.Backend{Address: l.Addr().String()}, Options{}, "LB_HEALTH_CHECK=tcp")
	if why, err := ask(); err != nil || why != "connection accepted" {
		t.Error(why, err)
	}
	if !p.endpoints["a"].accepted.Load() {
		t.Error("nobody noted that a connection was made")
	}

	l.Close()
	if _, err := ask(); text(err) != "connection refused" {
		t.Error(err)
	}
}

func TestProbe_GRPCReadsStatusAndAnswer(t *testing.T) {
	t.Parallel()
	var frame, code atomic.Value
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 64)
		n, _ := r.Body.Read(body)
		if r.ProtoMajor != 2 || r.Method != "POST" || r.URL.Path != "/grpc.health.v1.Health/Check" ||
			r.Header.Get("Content-Type") != "application/grpc" ||
			r.Header.Get("Te") != "trailers" || string(body[:n]) != "\x00\x00\x00\x00\x06\x0a\x04cart" {
			t.Errorf("%s %s HTTP/%d %v %q", r.Method, r.URL.Path, r.ProtoMajor, r.Header, body[:n])
		}

		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write([]byte(frame.Load().(string)))
		w.Header().Set("Grpc-Status", code.Load().(string))
	})

	ask, _ := clinic(t, discovery.Backend{Address: server.Listener.Addr().String(), Host: "a"}, Options{},
		"LB_HEALTH_CHECK=grpc:cart")
	for _, c := range []struct{ frame, code, want string }{
		{"\x00\x00\x00\x00\x02\x08\x01", "0", ""},
		{"\x00\x00\x00\x00\x02\x08\x02", "0", "not_serving"},
		{"\x00\x00\x00\x00\x00", "0", "unknown"},
		{"\x00\x00\x00\x00\x02\x08\x07", "0", "serving status 7"},
		{"", "12", "grpc-status 12"},
		{"\x00\x00\x00\x00\x09\x08\x01", "0", errHealthAnswer.Error()},
		{"", "0", errHealthAnswer.Error()},
	} {
		frame.Store(c.frame)
		code.Store(c.code)
		if _, err := ask(); text(err) != c.want {
			t.Errorf("%q, %s: %v, want %q", c.frame, c.code, err, c.want)
		}
	}
}

func TestProbe_TokenThatIsMissingIsSaid(t *testing.T) {
	t.Parallel()
	ask, _ := clinic(t, discovery.Backend{Address: "127.0.0.1:1", Audience: "x"}, Options{Tokens: noToken{}},
		"LB_HEALTH_CHECK=/")
	if _, err := ask(); err == nil || !strings.HasPrefix(err.Error(), "no identity token") {
		t.Error(err)
	}
}

type noToken struct{ oneToken }

func (noToken) Token(context.Context, string) (string, error) { return "", errors.New("no metadata") }

// A connection that the backend closed while it lay in the pool is not a failed
// probe.
func TestProbe_ClosedPooledConnectionIsAskedAgain(t *testing.T) {
	t.Parallel()
	calls := 0
	up := upstreamFunc(func(_ *http.Request, c *wire.Call) (*http.Response, error) {
		if calls++; calls == 1 {
			c.Reused = true
			return nil, noAnswer()
		}

		c.Reused = false

		return answer(200, ""), nil
	})
	p := testService(t, Options{}, func(string) upstreamFunc { return up }, "LB_HEALTH_CHECK=/")
	p.Update(named("a"))
	if _, err := p.newCheck().ask(t.Context(), p.endpoints["a"], time.Now().Add(time.Second)); err != nil || calls != 2 {
		t.Error(err, calls)
	}
}

func FuzzProbe_HealthResponse(f *testing.F) {
	f.Add([]byte("\x08\x01"))
	f.Add([]byte("\x12\x03abc\x08\x01\x1d\x00\x00\x00\x00"))
	f.Add([]byte{})
	f.Add([]byte("\x08\x02"))
	f.Add([]byte("\x08\x03\x08\x01"))
	f.Add([]byte("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\x0a\x01\x01"))
	f.Fuzz(func(t *testing.T, message []byte) {
		frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
		plain := serving(append(frame, message...))

		// the last value of a field counts
		longer := append(append([]byte(nil), message...), 0x08, 1)
		frame = binary.BigEndian.AppendUint32([]byte{0}, uint32(len(longer)))
		if err := serving(append(frame, longer...)); plain != errHealthAnswer && err != nil {
			t.Errorf("%x: %v, then %v", message, plain, err)
		}
	})
}

// A probe that fails for our own lack of descriptors gives no verdict, and an
// older verdict becomes stale in its time.
func TestProbe_OurOwnShortageIsNoVerdict(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"of descriptors": &wire.Error{Outcome: wire.NotSent, Phase: wire.Connect,
			Err: os.NewSyscallError("socket", syscall.EMFILE)},
		"of memory": &wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: wire.ErrShort},
		"in a lookup": &wire.Error{Outcome: wire.NotSent, Phase: wire.Connect,
			Err: &net.DNSError{Err: "dial udp 10.0.0.1:53: socket: too many open files", Name: "shop"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			log := new(logBook)
			var short atomic.Bool
			s := testService(t, Options{Logger: log.Logger()}, func(string) upstreamFunc {
				return func(*http.Request, *wire.Call) (*http.Response, error) {
					if short.Load() {
						return nil, err
					}
					return answer(200, "ok"), nil
				}
			}, "LB_HEALTH_CHECK=/healthz")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { _ = s.Run(ctx); close(done) }()
			defer func() { cancel(); <-done }()

			s.Update(named("a", "b"))
			synctest.Wait()
			short.Store(true)
			time.Sleep(time.Minute)
			if n := log.Count("backend unhealthy"); n != 0 || len(eligibleNames(s)) != 2 {
				t.Errorf("%s: %d verdicts against backends", name, n)
			}
		})
	}
}
