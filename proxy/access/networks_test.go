package access

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

func TestNetworks_HoldAddressesOfBothVersions(t *testing.T) {
	t.Parallel()
	var list config.Networks
	if err := list.EnvDecode("private;203.0.113.7;2001:db8::/32;10.1.0.0/16;198.51.100.9/24"); err != nil {
		t.Fatal(err)
	}
	n := NewNetworks(list)
	for address, want := range map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "172.16.0.1": true, "172.31.255.255": true, "192.168.1.1": true,
		"127.0.0.1": true, "169.254.1.1": true, "fd00::1": true, "::1": true, "fe80::1%eth0": true, "203.0.113.7": true,
		"2001:db8:1::1": true, "::ffff:10.0.0.1": true, "198.51.100.0": true, "198.51.100.255": true,
		"11.0.0.0": false, "172.32.0.0": false, "203.0.113.6": false, "203.0.113.8": false, "2001:db9::": false, "::2": false,
		"8.8.8.8": false, "::": false, "0.0.0.0": false, "255.255.255.255": false, "198.51.101.0": false,
		"::ffff:11.0.0.1": false,
	} {
		if got := n.Hold(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if n.Hold(netip.Addr{}) {
		t.Error("no address is held")
	}
	if all := NewNetworks([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}); !all.Hold(netip.MustParseAddr("1.2.3.4")) ||
		all.Hold(netip.MustParseAddr("::1")) {
		t.Error("0.0.0.0/0 is all of IPv4, and nothing of IPv6")
	}
}

// The sorted set answers as a look at every network would.
func TestNetworks_AnswerAsALookAtEachWould(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		return netip.AddrFrom4([4]byte{byte(random.IntN(4)), byte(random.IntN(256)), byte(random.IntN(2)),
			byte(random.IntN(256))})
	}
	for range 200 {
		var list []netip.Prefix
		for range random.IntN(20) {
			list = append(list, netip.PrefixFrom(address(), random.IntN(33)))
		}
		n := NewNetworks(list)
		for range 200 {
			a, want := address(), false
			for _, p := range list {
				want = want || p.Masked().Contains(a)
			}
			if n.Hold(a) != want {
				t.Fatalf("%s in %v: %v", a, list, !want)
			}
		}
	}
}

func TestMethods_GETIncludesHEAD(t *testing.T) {
	t.Parallel()
	m := NewMethods([]string{"GET", "POST"})
	if !m.Allow("HEAD") || !m.Allow("POST") || m.Allow("DELETE") || m.Allow("get") || m.Field() != "GET, HEAD, POST" {
		t.Errorf("%+v", m)
	}
	if m := NewMethods([]string{"HEAD", "GET"}); m.Field() != "HEAD, GET" {
		t.Errorf("%+v", m)
	}
	if m := NewMethods([]string{"POST"}); m.Allow("HEAD") || m.Allow("GET") {
		t.Errorf("%+v", m)
	}
}
