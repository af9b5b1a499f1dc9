package test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

func TestCloud_AChangingDNSNameFailsNoRequest(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	s := n.StartBackends(t, 5)
	n.Set("app.test", 1, 2)
	p := n.Start(t, affine, "LB_BACKENDS=dns://app.test:"+n.port, "LB_DISCOVERY_INTERVAL=1s")
	load := startStream(t, 6, p.URL("/"))
	load.More(t, 50)

	for i := range 3 {
		n.Set("app.test", i+2, i+3)
		await.Until(t, "the new address is used", func() bool { return s[i+2].Hits() > 0 })
		await.Until(t, "the address that left gets nothing more", func() bool {
			before := s[i].Hits()
			load.More(t, 20)
			return s[i].Hits() == before
		})
	}

	load.Stop(t)
}

func TestCloud_AFailingDNSServerKeepsTheLastGoodSet(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"nxdomain", "servfail", "empty", "silent", "truncated"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			s := n.StartBackends(t, 2)
			n.Set("app.test", 1)
			p := n.Start(t, "LB_BACKENDS=dns://app.test:"+n.port, "LB_DISCOVERY_INTERVAL=1s")
			load := startStream(t, 2, p.URL("/"))
			load.More(t, 10)
			n.SetFault(fault)
			await.Until(t, "the log says so", func() bool { return len(warnings(p, "dns://app.test")) > 0 })
			asked := n.asked.Load()
			await.Until(t, "it is asked again", func() bool { return n.asked.Load() >= asked+4 })
			load.More(t, 20)
			if found := warnings(p, "dns://app.test"); len(found) != 1 {
				t.Errorf("the log says so %d times", len(found))
			}

			n.Set("app.test", 2)
			n.SetFault("")
			await.Until(t, "the next good answer is used", func() bool { return s[1].Hits() > 0 })
			load.Stop(t)
		})
	}
}

// Who may write attributes or DNS records must not reach, through the balancer,
// what only this machine may reach. The unspecified address stands for all such
// addresses, because a connection to it would arrive.
func TestCloud_AnAddressThatNoBackendHasIsNotUsed(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	s := n.StartBackends(t, 1)
	n.SetAddresses("app.test", netip.MustParseAddr(n.Address(1)), netip.MustParseAddr("169.254.169.254"),
		netip.MustParseAddr("0.0.0.0"),
		netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("fe80::1"))
	p := n.Start(t, "LB_BACKENDS=dns://app.test:"+n.port)
	client := newClient(t)
	for range 20 {
		wantStatus(t, get(t, client, p.URL("/")), http.StatusOK)
	}

	if s[0].Hits() != 20 {
		t.Errorf("%d of 20 requests reached the backend", s[0].Hits())
	}

	for _, refused := range []string{"169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1"} {
		if !strings.Contains(p.Printed(), refused) {
			t.Errorf("the log does not say that %s is refused", refused)
		}
	}
}

func TestCloud_CheckResolvePrintsWhatEachTargetIs(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.Set("app.test", 1, 2)
	m := newMachine(t)
	m.Set("instance/attributes/more", "http://10.1.2.3:80?name=blue;https://green.example")
	targets := "http://127.0.0.1:81?name=one;dns://app.test:80;run://api;metadata://instance/attributes/more"
	r := n.Run(t, []string{"LB_BACKENDS=" + targets, m.Environment}, "check", "--resolve")
	if r.Code != 0 {
		t.Errorf("exit code %d: %s", r.Code, r.Output())
	}

	for _, want := range []string{
		"one  http://127.0.0.1:81", n.Address(1) + ":80", n.Address(2) + ":80",
		"https://api-123456789012.europe-west1.run.app:443", "identity for https://api-123456789012.europe-west1.run.app",
		"blue  http://10.1.2.3:80", "https://green.example:443",
	} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("it does not print %q:\n%s", want, r.Stdout)
		}
	}

	r = n.Run(t, []string{"LB_BACKENDS=http://127.0.0.1:81?name=one;dns://nowhere.test:80"}, "check", "--resolve")
	if r.Code == 0 || !strings.Contains(r.Output(), "nowhere.test") ||
		!strings.Contains(r.Output(), "http://127.0.0.1:81") {
		t.Errorf("with a name that does not exist it exits %d: %s", r.Code, r.Output())
	}
}

func TestCloud_AHostOfAnAttributeMustNotResolveToAnAddressThatNoBackendHas(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	local := backend.Start(t, "local", nil)
	_, port, _ := strings.Cut(local.Address, ":")
	n.SetAddresses("evil.test", netip.IPv4Unspecified())
	m := newMachine(t)
	m.Set(machineList, "http://evil.test:"+port)
	p := n.Start(t, m.Environment)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusServiceUnavailable)
	if local.Hits() != 0 {
		t.Error("the request reached what listens there")
	}
}
