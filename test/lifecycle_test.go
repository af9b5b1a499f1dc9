package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// terminate is the signal with which platforms stop a process.
const terminate = syscall.SIGTERM

func TestStart_ListensAtOnceAndSaysWhere(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_BACKENDS=http://127.0.0.1:1")
	line := p.Line("the address", listening)
	if line.String("severity") != "INFO" {
		t.Errorf("the line is %s", line.Text)
	}

	if host, _, err := net.SplitHostPort(p.Address); err != nil || host != "127.0.0.1" {
		t.Errorf("the address is %q", p.Address)
	}
}

func TestStart_PORTIsTheIngressPort(t *testing.T) {
	t.Parallel()
	l := backend.Listen(t)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	p := pillion.Start(t, "LB_LISTEN=", "PORT="+port, backend.Backends(backend.StartMany(t, 1)...))
	if !strings.HasSuffix(p.Address, ":"+port) {
		t.Errorf("PORT=%s listens on %s", port, p.Address)
	}

	wantStatus(t, get(t, newClient(t), "http://127.0.0.1:"+port+"/"), http.StatusOK)
}

func TestStart_APortInUseIsAnError(t *testing.T) {
	t.Parallel()
	taken := backend.StartMany(t, 1)[0]
	p := pillion.Launch(t, "LB_LISTEN="+taken.Address, "LB_BACKENDS=demo://1")
	if code := p.Wait(await.Limit); code == 0 || code == 78 {
		t.Errorf("exit code %d", code)
	}

	if printed := p.Printed(); !strings.Contains(printed, taken.Address) || !strings.Contains(printed, "in use") {
		t.Errorf("it printed %q", printed)
	}
}

func TestStart_ABadEnvironmentExits78(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"no backends": nil, "bad backends": {"LB_BACKENDS=ftp://x"}, "unknown name": {"LB_BACKENDS=demo://1", "LB_BAKENDS=x"},
	} {
		p := pillion.Launch(t, env...)
		if code := p.Wait(await.Limit); code != 78 {
			t.Errorf("%s: exit code %d, want 78", name, code)
		}
		if !strings.Contains(p.Printed(), "LB_BACKENDS") {
			t.Errorf("%s: it printed %q", name, p.Printed())
		}
	}
}

// serviceLinks returns the variables that Kubernetes sets in every container
// for Services called lb and lb-app.
func serviceLinks() []string {
	var env []string
	for _, name := range []string{"LB", "LB_APP"} {
		env = append(env,
			name+"_SERVICE_HOST=10.0.0.10", name+"_SERVICE_PORT=80", name+"_SERVICE_PORT_HTTP=80",
			name+"_SERVICE_PORT_METRICS_TLS=9090",
			name+"_PORT=tcp://10.0.0.10:80", name+"_PORT_80_TCP=tcp://10.0.0.10:80", name+"_PORT_80_TCP_PROTO=tcp",
			name+"_PORT_80_TCP_PORT=80", name+"_PORT_80_TCP_ADDR=10.0.0.10", name+"_PORT_53_UDP=udp://10.0.0.10:53",
			name+"_PORT_53_UDP_PROTO=udp", name+"_PORT_53_UDP_PORT=53", name+"_PORT_53_UDP_ADDR=10.0.0.10",
			name+"_PORT_132_SCTP=sctp://10.0.0.10:132")
	}

	return env
}

func TestStart_KubernetesServiceLinksAreIgnored(t *testing.T) {
	t.Parallel()
	env := append(serviceLinks(), "KUBERNETES_SERVICE_HOST=10.0.0.1", backend.Backends(backend.StartMany(t, 1)...))
	p := pillion.Start(t, env...)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
	if r := pillion.Run(t, env, "check"); r.Code != 0 {
		t.Errorf("check exits %d and prints %s", r.Code, r.Output())
	}
}

func TestStatus_OwnPathsAnswerAndTheRestIsTheApps(t *testing.T) {
	t.Parallel()
	app := func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, "app ", r.RequestURI) }
	servers := backend.Backends(backend.Start(t, "one", app))
	p := pillion.Start(t, servers)

	client := newClient(t)
	for _, path := range []string{"/.lb/started", "/.lb/ready", "/.lb/live"} {
		await.Until(t, path+" is 200", func() bool { return get(t, client, p.URL(path)).StatusCode == http.StatusOK })
		if a := get(t, client, p.URL(path)); a.Backend() != "" {
			t.Errorf("%s is answered by %q", path, a.Backend())
		}
	}

	for _, path := range []string{"/.lb/other", "/.lb/", "/.lb", "/.lb/readyx", "/.lb/ready/", "/x/.lb/ready",
		"/.LB/ready", "/.lb/%72eady", "/.lb//ready"} {
		if a := get(t, client, p.URL(path)); a.Text != "app "+path {
			t.Errorf("%s: %d %q, want the app's answer", path, a.StatusCode, a.Text)
		}
	}

	moved := pillion.Start(t, servers, "LB_STATUS_PATH=/internal/")
	await.Until(t, "the moved path is 200",
		func() bool { return get(t, client, moved.URL("/internal/ready")).StatusCode == http.StatusOK })
	if a := get(t, client, moved.URL("/internal/ready")); a.Backend() != "" {
		t.Errorf("the moved path is answered by %q", a.Backend())
	}

	if a := get(t, client, moved.URL("/.lb/ready")); a.Backend() != "one" {
		t.Errorf("the default path of a moved one answers from %q", a.Backend())
	}

	off := pillion.Start(t, servers, "LB_STATUS_PATH=none")
	if a := get(t, client, off.URL("/.lb/ready")); a.Backend() != "one" {
		t.Errorf("with none, /.lb/ready answers from %q", a.Backend())
	}
}

func TestStatus_ReadyDoesNotAskForTheBackendsHealth(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_BACKENDS=http://"+backend.Closed(t))
	client := newClient(t)
	for _, path := range []string{"started", "ready", "live"} {
		await.Until(t, path+" is 200", func() bool { return get(t, client, p.URL("/.lb/"+path)).StatusCode == http.StatusOK })
	}
}

func TestStatus_ReadyIsRefusedWhileDraining(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, backend.Backends(backend.StartMany(t, 1)...), "LB_DRAIN_DELAY=2s")
	client := newClient(t)
	await.Until(t, "ready is 200", func() bool { return get(t, client, p.URL("/.lb/ready")).StatusCode == http.StatusOK })
	p.Signal(terminate)
	await.Until(t, "ready is 503", func() bool {
		return get(t, client, p.URL("/.lb/ready")).StatusCode == http.StatusServiceUnavailable
	})
	wantStatus(t, get(t, client, p.URL("/.lb/live")), http.StatusOK)
	a := get(t, client, p.URL("/"))
	if a.StatusCode != http.StatusOK || !a.Close {
		t.Errorf("while draining: status %d, Connection: close %v", a.StatusCode, a.Close)
	}

	if code := p.Wait(await.Limit); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// held starts a backend whose answers wait until release is called.
func held(t *testing.T) (b *backend.Server, arrived chan struct{}, release func()) {
	t.Helper()
	arrived, wait := make(chan struct{}, 100), make(chan struct{})
	b = backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-wait:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "done")
	})

	return b, arrived, sync.OnceFunc(func() { close(wait) })
}

func TestStop_RequestsInFlightAreFinished(t *testing.T) {
	t.Parallel()
	b, arrived, release := held(t)
	p := pillion.Start(t, backend.Backends(b))
	clients := map[string]*http.Client{"http/1.1": newClient(t), "h2c": newH2CClient(t)}
	var open sync.WaitGroup

	for protocol, client := range clients {
		for range 10 {
			open.Go(func() {
				request, _ := http.NewRequest("GET", p.URL("/"), nil)
				a, err := exchange(client, request)
				if err != nil || a.Text != "done" {
					t.Errorf("%s: %v, %q", protocol, err, a.Text)
				}

				if err == nil && protocol == "http/1.1" && !a.Close {
					t.Errorf("%s: the last answer does not say Connection: close", protocol)
				}
			})
		}
	}

	for range 20 {
		soon(t, "a request", arrived)
	}

	idle := wire.Dial(t, p.Address)
	idle.Get("/.lb/live")
	idle.Response("GET")
	p.Signal(terminate)
	if _, err := idle.Rest(); err != nil {
		t.Errorf("an idle connection was not closed: %v", err)
	}

	await.Until(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", p.Address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	release()
	open.Wait()
	if code := p.Wait(await.Limit); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestStop_EndsInTimeAndSaysWhatWasCut(t *testing.T) {
	t.Parallel()
	b, arrived, release := held(t)
	defer release()
	p := pillion.Start(t, backend.Backends(b), "LB_DRAIN_TIMEOUT=1s")
	c := wire.Dial(t, p.Address)
	c.Get("/")
	soon(t, "a request", arrived)
	began := time.Now()
	p.Signal(terminate)
	code := p.Wait(await.Limit)
	if took := time.Since(began); code != 0 || took < time.Second || took > 2500*time.Millisecond+slack {
		t.Errorf("exit code %d after %v", code, took)
	}

	said := false
	for _, l := range p.Lines() {
		said = said || strings.Contains(l.Text, "cut")
	}
	if !said {
		t.Error("no line says what was cut")
	}
}

// slack is the time that a busy machine may add to a limit.
const slack = 2 * time.Second

func TestStop_ASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	b, arrived, release := held(t)
	defer release()
	p := pillion.Start(t, backend.Backends(b), "LB_DRAIN_TIMEOUT=60s")
	c := wire.Dial(t, p.Address)
	c.Get("/")
	soon(t, "a request", arrived)
	p.Signal(terminate)
	p.Line("about the first signal", func(l binary.Line) bool {
		return strings.Contains(l.Text, "drain") || strings.Contains(l.Text, "SIGTERM") ||
			strings.Contains(l.Text, "terminated")
	})
	p.Signal(syscall.SIGINT)
	p.Wait(5 * time.Second)
}

func TestStop_AnIdleProcessGoesAtOnce(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := pillion.Start(t, backend.Backends(backend.StartMany(t, 1)...))
		wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
		p.Signal(s)
		if code := p.Wait(5 * time.Second); code != 0 {
			t.Errorf("%v: exit code %d", s, code)
		}
	}
}

func TestStop_HTTP2ClientsAreToldToGo(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, backend.Backends(backend.StartMany(t, 1)...))
	c := wire.Dial(t, p.Address)
	c.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	first := make([]byte, 9)
	if _, err := io.ReadFull(c.In, first); err != nil || first[3] != 4 {
		t.Fatalf("the first frame is %q (%v), want SETTINGS", first, err)
	}

	p.Signal(terminate)
	rest, err := c.Rest()
	if err != nil || !strings.Contains(rest, "\x07\x00\x00\x00\x00\x00") {
		t.Errorf("after SIGTERM came %q (%v), want a GOAWAY frame", rest, err)
	}

	if code := p.Wait(await.Limit); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestStop_EgressServesUntilItsClientsAreGone(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_ROLE=egress", "LB_DRAIN_TIMEOUT=20s", backend.Backends(backend.StartMany(t, 1)...))
	c := wire.Dial(t, p.Address)
	c.Get("/")
	c.Response("GET")
	p.Signal(terminate)
	p.Line("about the signal", func(l binary.Line) bool {
		return strings.Contains(l.Text, "drain") || strings.Contains(l.Text, "SIGTERM") ||
			strings.Contains(l.Text, "terminated")
	})

	for range 5 {
		c.Get("/")
		if r, _ := c.Response("GET"); r.StatusCode != http.StatusOK {
			t.Fatalf("after SIGTERM: status %d", r.StatusCode)
		}
		if c.In.Buffered() != 0 {
			t.Fatal("unasked bytes")
		}
	}

	other := newClient(t)
	wantStatus(t, get(t, other, p.URL("/")), http.StatusOK)
	other.CloseIdleConnections()
	_ = c.Close()
	if code := p.Wait(15 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
