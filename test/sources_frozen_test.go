//go:build unix

package test

import (
	"flag"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/fakegoogle"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// frozenFull freezes the process for as long as platforms do.
var frozenFull = flag.Bool("frozen.full", false, "freeze the process for a minute instead of seconds")

// passage is a TCP relay to a server that can go dead: it then drops all bytes
// of its open connections, and neither side gets an error. This is how a
// connection behaves after a firewall or NAT has dropped its state.
type passage struct {
	net.Listener
	to        string
	swallowed atomic.Int64 // dropped bytes of clients

	mu      sync.Mutex
	current *atomic.Bool // whether connections from now on are dead
}

func newPassage(t *testing.T, to string) *passage {
	t.Helper()
	p := &passage{Listener: backend.Listen(t), to: to, current: &atomic.Bool{}}
	var running sync.WaitGroup
	ended := make(chan struct{})
	running.Go(func() {
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.pass(c, ended) })
		}
	})
	t.Cleanup(func() { _ = p.Close(); close(ended); running.Wait() })

	return p
}

func (p *passage) pass(c net.Conn, ended <-chan struct{}) {
	p.mu.Lock()
	dead := p.current
	p.mu.Unlock()
	defer c.Close()
	s, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer s.Close()

	var running sync.WaitGroup
	over := make(chan struct{}, 2)
	move := func(to io.Writer, from io.Reader, count *atomic.Int64) {
		defer func() { over <- struct{}{} }()
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			if dead.Load() {
				count.Add(int64(n))
			} else if _, failed := to.Write(buffer[:n]); failed != nil {
				return
			}
			if err != nil {
				return
			}
		}
	}
	running.Go(func() { move(s, c, &p.swallowed) })
	running.Go(func() { move(c, s, &atomic.Int64{}) })
	select {
	case <-over:
	case <-ended:
	}
	_, _ = c.Close(), s.Close()
	running.Wait()
}

// Kill makes the open connections dead. New connections work.
func (p *passage) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current.Store(true)
	p.current = &atomic.Bool{}
}

// frozenSource is a place where backends are listed, as one test sees it.
type frozenSource struct {
	environment []string
	set         func(hosts ...int) // says which hosts of the network are backends
	kill        func()             // ends the ways to it without a sign
	mend        func()             // opens them again; nil: new ones are open
	asked       func() bool        // whether it was asked since kill
	silent      bool               // it does not answer at once after that
	unused      func() bool        // whether no way was used that was idle for long; nil: it is not known
}

// frozenSources is each kind of source that asks or listens over a network.
func frozenSources() map[string]func(*testing.T, *network) frozenSource {
	return map[string]func(*testing.T, *network) frozenSource{
		"k8s": func(t *testing.T, n *network) frozenSource {
			// A watch may be quiet for minutes, so a dead one is known by the
			// length of the freeze; a short one leaves it alive or ends it.
			c, before := newCluster(t), 0
			way := newPassage(t, c.server.Listener.Addr().String())
			host, port, _ := net.SplitHostPort(way.Addr().String())
			return frozenSource{
				environment: append(c.environment, "KUBERNETES_SERVICE_HOST="+host, "KUBERNETES_SERVICE_PORT="+port,
					"LB_BACKENDS=k8s://app"),
				set: func(hosts ...int) { c.Set(n.app(t, 0, hosts...)) },
				kill: func() {
					_, before = c.Asked()
					if *frozenFull {
						way.Kill()
					} else {
						c.EndWatches()
					}
				},
				asked: func() bool { _, watches := c.Asked(); return watches > before },
			}
		},
		"gce": func(t *testing.T, n *network) frozenSource {
			// A connection that was idle for long is not used again.
			m, g, before := newMachine(t), fakegoogle.New(), 0
			way := newPassage(t, startGoogle(t, g, backend.Listen(t)).Listener.Addr().String())
			return frozenSource{
				environment: []string{m.Environment, "LB_GOOGLE_API=http://" + way.Addr().String(),
					"LB_BACKENDS=gce://web.europe-west1-b.my-project"},
				set: func(hosts ...int) {
					g.SetInstances("my-project", n.instances(0, hosts...)...)
					g.SetGroup("my-project", "europe-west1-b", "web", n.group(t, hosts...))
				},
				kill:   func() { way.Kill(); before = g.Asked() },
				asked:  func() bool { return way.swallowed.Load() > 0 || g.Asked() > before },
				silent: !*frozenFull,
				unused: func() bool { return way.swallowed.Load() == 0 },
			}
		},
		"dns": func(t *testing.T, n *network) frozenSource {
			var before int64
			return frozenSource{
				environment: []string{"LB_BACKENDS=dns://app.internal:" + n.port + "?resolver=" + n.server},
				set:         func(hosts ...int) { n.Set("app.internal", hosts...) },
				kill:        func() { n.SetFault("silent"); before = n.asked.Load() },
				mend:        func() { n.SetFault("") },
				asked:       func() bool { return n.asked.Load() > before },
				silent:      true,
			}
		},
	}
}

// frozenFor is how long the process stands still: longer than the interval of
// refreshes, and with the flag longer than what anything waits for.
func frozenFor() time.Duration {
	if *frozenFull {
		return time.Minute
	}
	return 3 * time.Second
}

// A process that a platform has frozen comes back with a set that is old, and
// with connections that may be dead. The first requests use that set and do not
// wait; the refresh that they bring about brings the new one.
func TestSources_AFrozenProcessUsesItsSetAndRefreshesIt(t *testing.T) {
	t.Parallel()
	for name, prepare := range frozenSources() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNamedNetwork(t)
			s := n.StartBackends(t, 3)
			source := prepare(t, n)
			source.set(1, 2)
			p := pillion.Start(t, append(source.environment, "LB_DISCOVERY_INTERVAL=1s", "LB_STATUS_TOKEN="+watchword)...)
			client := newClient(t)
			ask := func() string {
				t.Helper()
				a := get(t, client, p.URL("/"))
				if a.StatusCode != 200 {
					t.Fatalf("%s %q", a.Status, a.Text)
				}
				return a.Backend()
			}
			await.Until(t, "both hosts are used", func() bool { ask(); return s[0].Hits() > 0 && s[1].Hits() > 0 })

			p.Signal(syscall.SIGSTOP)
			source.kill()
			source.set(2, 3)
			s[0].Close()
			<-time.After(frozenFor()) // a stopped process can't be asked whether the time has come
			p.Signal(syscall.SIGCONT)

			if from := ask(); source.silent && from != "host-2" {
				t.Errorf("the stale set has %s", from)
			}
			for range 20 {
				ask()
			}
			await.Until(t, "a refresh has begun", func() bool { ask(); return source.asked() })
			if source.mend != nil {
				source.mend()
			}
			await.Until(t, "the new host is used", func() bool { return ask() == "host-3" })
			if *frozenFull && source.unused != nil && !source.unused() {
				t.Error("a connection was used again that was idle for a minute")
			}
			await.Until(t, "the page has no error and a new age", func() bool {
				of := sourcesOf(t, p)[0]
				return of.Error == "" && of.Age != nil && *of.Age < frozenFor().Seconds()
			})
		})
	}
}

// Backends of Cloud Run cannot be played here; which they are can.
func TestSources_AFrozenListOfServicesIsRefreshed(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 1)
	m, g := newMachine(t), fakegoogle.New()
	way := newPassage(t, startGoogle(t, g, backend.Listen(t)).Listener.Addr().String())
	service := func(name string) fakegoogle.Service {
		return fakegoogle.Service{Name: name, URI: "https://" + name + "-x-ew.a.run.app",
			Labels: map[string]string{"team": "shop", "lb-weight": "0"}}
	}
	g.Set("my-project", "europe-west1", service("api"))
	p := pillion.Start(t, m.Environment, "LB_GOOGLE_API=http://"+way.Addr().String(), "LB_DISCOVERY_INTERVAL=1s",
		"LB_STATUS_TOKEN="+watchword,
		"LB_BACKENDS=run+list://europe-west1.my-project?label.team=shop;"+list(s[0]))
	client := newClient(t)
	await.Until(t, "the service is a backend",
		func() bool { return messages(p, "backend joined", "api.europe-west1") == 1 })

	p.Signal(syscall.SIGSTOP)
	way.Kill()
	g.Set("my-project", "europe-west1", service("web"))
	<-time.After(frozenFor()) // a stopped process can't be asked whether the time has come
	p.Signal(syscall.SIGCONT)

	if a := get(t, client, p.URL("/")); a.StatusCode != 200 {
		t.Errorf("%s %q", a.Status, a.Text)
	}
	if of := sourcesOf(t, p)[0]; of.Backends != 1 || !strings.HasPrefix(of.Source, "run+list://") {
		t.Errorf("the source is %+v", of)
	}
	await.Until(t, "the newest list is used", func() bool {
		return messages(p, "backend joined", "web.europe-west1") == 1 && messages(p, "backend left", "api.europe-west1") == 1
	})
}
