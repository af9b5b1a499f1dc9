package backend

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRecentClients_ThreeNetworksAreEnough(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what    string
		clients []string
		want    bool
	}{
		{"none", nil, false},
		{"two", []string{"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2"}, false},
		{"three", []string{"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"}, true},
		{"many", []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"}, true},
		{"one network of IPv6", []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"}, false},
		{"three networks of IPv6", []string{"2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"}, true},
		{"one link in three zones", []string{"fe80::1%a", "fe80::1%b", "fe80::1%c"}, false},
		{"an IPv4 address spelt twice", []string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"}, false},
		{"what is no address", []string{"192.0.2.1", "", "@", "unknown"}, false},
	} {
		var seen recentClients
		for _, client := range c.clients {
			seen.note(client, time.Now())
		}
		if got := seen.enough(time.Now(), 2); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

func TestRecentClients_AreForgottenAsTheWindowForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen recentClients
		seen.note("192.0.2.1", time.Now())
		time.Sleep(5 * time.Second)
		seen.note("192.0.2.2", time.Now())
		seen.note("192.0.2.3", time.Now())
		if seen.enough(time.Now(), 2) || !seen.enough(time.Now(), windowSeconds) {
			t.Error("one of three was seen 5 s ago")
		}

		time.Sleep(5 * time.Second)
		if seen.enough(time.Now(), windowSeconds) {
			t.Error("one of three was seen 10 s ago")
		}

		seen.note("192.0.2.1", time.Now())
		if !seen.enough(time.Now(), windowSeconds) {
			t.Error("the first came back")
		}
		if seen.reset(); seen.enough(time.Now(), windowSeconds) {
			t.Error("not forgotten")
		}
	})
}
