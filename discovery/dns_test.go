package discovery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/pillion-lb/pillion/config"
)

func lookupOf(t *testing.T, s source) func() (answer, error) {
	return func() (answer, error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return s.(*poll).lookup(ctx)
	}
}

func names(backends []Backend) string {
	var n []string
	for _, b := range backends {
		n = append(n, b.Name)
	}
	slices.Sort(n)
	return strings.Join(n, " ")
}

func TestDNS_EveryAddressIsABackend(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	server.set("app.test.", "10.0.0.2", "10.0.0.1", "fd00::1")
	target := parseOne(t, "dns://app.test.:8443?protocol=https&host=x.test")
	a, err := lookupOf(t, newDNS(target, "auto", resolver, time.Second))()
	if err != nil || names(a.backends) != "10.0.0.1:8443 10.0.0.2:8443 [fd00::1]:8443" {
		t.Fatalf("found %+v, %v", a, err)
	}
	want := Backend{Name: "10.0.0.1:8443", Address: "10.0.0.1:8443", Host: "app.test:8443", SetHost: "x.test", TLS: true,
		Protocol: config.Auto, Weight: 1, Source: target.Item}
	if a.backends[0] != want {
		t.Errorf("got %+v\nwant %+v", a.backends[0], want)
	}
}

func TestDNS_UnusableAddressesAreRefusedAndTold(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	server.set("app.test.", "10.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "::", "fd20:ce::254",
		"ff02::1")
	lookup := lookupOf(t, newDNS(parseOne(t, "dns://app.test.:80"), "auto", resolver, time.Second))
	a, err := lookup()
	if err != nil || names(a.backends) != "10.0.0.1:80" || len(a.refused) != 7 {
		t.Errorf("found %+v, %v", a, err)
	}
	server.set("app.test.", "169.254.169.254")
	if a, err := lookup(); stateOf(err) != "empty" || !strings.Contains(err.Error(), "link-local") {
		t.Errorf("nothing but refused addresses gives %+v, %v", a, err)
	}
}

func TestDNS_FailuresAreNoAnswers(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	server.set("app.test.", "10.0.0.1")
	lookup := lookupOf(t, newDNS(parseOne(t, "dns://app.test.:80"), "auto", resolver, time.Second))
	for _, step := range []struct {
		name, state string
		code        dnsmessage.RCode
	}{
		{"NXDOMAIN", "empty", dnsmessage.RCodeNameError},
		{"SERVFAIL", "unreachable", dnsmessage.RCodeServerFailure},
		{"REFUSED", "unreachable", dnsmessage.RCodeRefused},
	} {
		server.with(func() { delete(server.code, "app.test.") })
		if a, err := lookup(); err != nil || names(a.backends) != "10.0.0.1:80" {
			t.Fatalf("before %s: %+v, %v", step.name, a, err)
		}
		server.with(func() { server.code["app.test."] = step.code })
		if a, err := lookup(); stateOf(err) != step.state || len(a.backends) > 0 {
			t.Errorf("%s gives %+v, %v", step.name, a, err)
		}
	}
}

func TestDNS_TimeoutIsNoAnswer(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	server.with(func() { server.drop = true })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s := newDNS(parseOne(t, "dns://app.test.:80"), "auto", resolver, time.Second)
	if a, err := s.(*poll).lookup(ctx); stateOf(err) != "unreachable" {
		t.Errorf("a silent server gives %+v, %v", a, err)
	}
}

func TestDNS_OneFamilyFailingDoesNotTakeItsBackendsAway(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	server.set("app.test.", "10.0.0.1", "fd00::1")
	lookup := lookupOf(t, newDNS(parseOne(t, "dns://app.test.:80"), "auto", resolver, time.Second))
	if _, err := lookup(); err != nil {
		t.Fatal(err)
	}
	server.with(func() { server.code["TypeA app.test."] = dnsmessage.RCodeServerFailure })
	if a, err := lookup(); stateOf(err) != "unreachable" {
		t.Errorf("A fails, AAAA answers: %+v, %v", a, err)
	}
	server.with(func() { server.code["TypeA app.test."] = dnsmessage.RCodeSuccess })
	if a, err := lookup(); err != nil || names(a.backends) != "[fd00::1]:80" {
		t.Errorf("A is empty, AAAA answers: %+v, %v", a, err)
	}
	server.with(func() { server.code["TypeA app.test."] = dnsmessage.RCodeServerFailure })
	if a, err := lookup(); err != nil || names(a.backends) != "[fd00::1]:80" {
		t.Errorf("a family that never had addresses fails: %+v, %v", a, err)
	}
}

func TestDNS_TruncatedAnswersAreReadOverTCP(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	server.with(func() { server.truncate = true })
	server.set("app.test.", "10.0.0.1", "10.0.0.2")
	a, err := lookupOf(t, newDNS(parseOne(t, "dns://app.test.:80"), "auto", resolver, time.Second))()
	server.mu.Lock()
	defer server.mu.Unlock()
	if err != nil || len(a.backends) != 2 || server.tcp == 0 {
		t.Errorf("found %+v, %v, %d questions over TCP", a, err, server.tcp)
	}
}

func TestDNS_ChangesArePublishedAndFailuresAreNot(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	server.set("app.test.", "10.0.0.1")
	cfg := &config.Config{}
	sets := run(t, cfg, Options{Resolver: resolver}, "dns://app.test.:80", "http://fixed")
	if set := <-sets; set.Complete || names(set.Backends) != "fixed" {
		t.Fatalf("first %+v", set)
	}
	if set := <-sets; !set.Complete || names(set.Backends) != "10.0.0.1:80 fixed" {
		t.Fatalf("second %+v", set)
	}
	server.with(func() { server.code["app.test."] = dnsmessage.RCodeServerFailure })
	server.with(func() { delete(server.code, "app.test.") })
	server.set("app.test.", "10.0.0.2")
	if set := <-sets; names(set.Backends) != "10.0.0.2:80 fixed" {
		t.Fatalf("third %+v", set)
	}
}

func TestSRV_RecordsBecomeNamedBackends(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	server.setSRV("_http._tcp.app.test.",
		srvRecord{"A.test.", 8080, 0, 5}, srvRecord{"b.test.", 8080, 1, 0}, srvRecord{"b.test.", 8081, 1, 7},
		srvRecord{"gone.test.", 1, 0, 0})
	server.set("a.test.", "10.0.0.1", "fd00::1")
	server.set("b.test.", "10.0.0.2", "169.254.169.254")
	target := parseOne(t, "srv://_http._tcp.app.test.")
	lookup := lookupOf(t, newSRV(target, "auto", resolver, time.Second))
	a, err := lookup()
	if err != nil || names(a.backends) != "a.test b.test:8080 b.test:8081" || len(a.refused) != 1 {
		t.Fatalf("found %+v, %v", a, err)
	}
	want := Backend{Name: "a.test", Address: "10.0.0.1:8080", Fallback: "[fd00::1]:8080", Host: "a.test:8080",
		Protocol: config.Auto, Weight: 5, Source: target.Item}
	if a.backends[0] != want {
		t.Errorf("got  %+v\nwant %+v", a.backends[0], want)
	}
	if b := a.backends[1]; b.Weight != 1 || b.Priority != 1 || b.Address != "10.0.0.2:8080" {
		t.Errorf("got %+v", b)
	}
}

func TestSRV_NamesStayWhenAddressesChange(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	server.setSRV("_http._tcp.app.test.", srvRecord{"a.test.", 80, 0, 1})
	lookup := lookupOf(t, newSRV(parseOne(t, "srv://_http._tcp.app.test.?protocol=h2c"), "auto", resolver, time.Second))
	at := func(want string) {
		t.Helper()
		a, err := lookup()
		if err != nil || len(a.backends) != 1 || a.backends[0].Name != "a.test" || a.backends[0].Address != want ||
			a.backends[0].Host != "a.test" {
			t.Errorf("found %+v, %v, want %s", a, err, want)
		}
	}
	server.set("a.test.", "10.0.0.5")
	at("10.0.0.5:80")
	server.set("a.test.", "10.0.0.1", "10.0.0.5")
	at("10.0.0.5:80") // still one of them: no reason to move
	server.with(func() { server.code["a.test."] = dnsmessage.RCodeServerFailure })
	at("10.0.0.5:80")
	server.with(func() { delete(server.code, "a.test.") })
	server.set("a.test.", "10.0.0.9")
	at("10.0.0.9:80")
}

// What an answer without anything usable leaves standing, the failure after it
// must not take away.
func TestSRV_PlacesStayAsLongAsTheirAnswer(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	server.setSRV("_http._tcp.app.test.", srvRecord{"a.test.", 80, 0, 1}, srvRecord{"b.test.", 80, 0, 1})
	lookup := lookupOf(t, newSRV(parseOne(t, "srv://_http._tcp.app.test."), "auto", resolver, time.Second))
	answers := func(code dnsmessage.RCode, names ...string) {
		server.with(func() {
			clear(server.code)
			for _, name := range names {
				server.code[name] = code
			}
		})
	}
	server.set("a.test.", "10.0.0.1")
	server.set("b.test.", "10.0.0.2")
	if a, err := lookup(); err != nil || names(a.backends) != "a.test b.test" {
		t.Fatalf("found %+v, %v", a, err)
	}
	answers(dnsmessage.RCodeNameError, "a.test.", "b.test.")
	if a, err := lookup(); stateOf(err) != "empty" {
		t.Errorf("NXDOMAIN gives %+v, %v", a, err)
	}
	answers(dnsmessage.RCodeServerFailure, "b.test.")
	if a, err := lookup(); err != nil || names(a.backends) != "a.test b.test" {
		t.Errorf("SERVFAIL of one gives %+v, %v", a, err)
	}
}

func TestSRV_NothingUsableIsAFailure(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	lookup := lookupOf(t, newSRV(parseOne(t, "srv://_http._tcp.app.test."), "auto", resolver, time.Second))
	for _, step := range [][]srvRecord{
		nil,
		{{".", 0, 0, 0}},
		{{"meta.test.", 80, 0, 0}},
		{{"nowhere.test.", 80, 0, 0}},
		{{"a.test.", 0, 0, 0}},
	} {
		server.set("meta.test.", "169.254.169.254")
		server.set("a.test.", "10.0.0.1")
		server.setSRV("_http._tcp.app.test.", step...)
		if a, err := lookup(); stateOf(err) != "empty" {
			t.Errorf("%v gives %+v, %v", step, a, err)
		}
	}
	server.with(func() { server.code["_http._tcp.app.test."] = dnsmessage.RCodeServerFailure })
	if a, err := lookup(); stateOf(err) != "unreachable" {
		t.Errorf("SERVFAIL gives %+v, %v", a, err)
	}
}

// asking records when a poll looked up, in the time of its bubble.
type asking struct {
	mu    sync.Mutex
	begin time.Time
	at    []time.Duration
	err   error
}

func (a *asking) lookup(context.Context) (answer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Since(a.begin))
	return answer{}, a.err
}

// reset returns what was recorded and lets later look-ups fail with err.
func (a *asking) reset(err error) []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.at
	a.at, a.err = nil, err
	return at
}

func TestPoll_IntervalJittersAndFailuresBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := asking{begin: time.Now()}
		p := &poll{interval: 30 * time.Second, deadline: time.Second, slowest: 30 * time.Second, lookup: asked.lookup}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); p.run(ctx, func(answer, error) {}) }()
		time.Sleep(100 * time.Second)
		synctest.Wait()
		at := asked.reset(errors.New("no"))
		if len(at) != 4 || at[1] == at[2]-at[1] {
			t.Errorf("asked at %v", at)
		}
		for i, d := range at[1:] {
			if gap := d - at[i]; gap < 27*time.Second || gap > 33*time.Second {
				t.Errorf("gap of %v", gap)
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		at = asked.reset(nil)
		if n := len(at); n < 20 || n > 30 || at[2]-at[1] > 3*time.Second {
			t.Errorf("asked %d times while it failed: %v", n, at)
		}
		cancel()
		<-done
	})
}
