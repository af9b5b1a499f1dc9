package edge

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestForwarded_UntrustedPeersClaimNothing(t *testing.T) {
	t.Parallel()
	h, x := cleaned(t, nil, request("GET", "/",
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example", "X-Forwarded-Port",
		"444", "X-Forwarded-Anything", "1", "Forwarded", "for=6.6.6.6", "X-Real-Ip", "6.6.6.6", "Proxy",
		"http://evil.example",
		"X_forwarded_for", "6.6.6.6", "X_Forwarded-Host", "evil.example", "X_Real_Ip", "6.6.6.6", "X-Kept", "1", "X_Kept",
		"2"))
	want := map[string]string{
		"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.example", "X-Kept": "1",
		"X_kept": "2",
	}
	for name, value := range want {
		if got := h[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q", name, got)
		}
	}

	for name, values := range h {
		if strings.Contains(strings.Join(values, ""), "6.6.6.6") || strings.Contains(strings.Join(values, ""), "evil") {
			t.Errorf("%s: %q came through", name, values)
		}
	}

	if x.Client != "192.0.2.7" || x.Scheme() != "http" || x.Host != "shop.example" {
		t.Errorf("%+v", x)
	}
}

func TestForwarded_ChainsAreBelievedAsFarAsTheSettingSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		trust, peer string
		chain       []string
		client, out string
	}{
		{"cloudrun", "169.254.1.1:1", []string{"6.6.6.6, 203.0.113.9"}, "203.0.113.9", "203.0.113.9, 169.254.1.1"},
		{"gclb+cloudrun", "169.254.1.1:1", []string{"6.6.6.6, 203.0.113.9, 35.1.1.1"}, "203.0.113.9",
			"203.0.113.9, 35.1.1.1, 169.254.1.1"},
		{"1", "10.0.0.1:1", []string{"6.6.6.6, 203.0.113.9"}, "203.0.113.9", "203.0.113.9, 10.0.0.1"},
		{"2", "10.0.0.1:1", []string{"203.0.113.9"}, "10.0.0.1", "10.0.0.1"},
		{"3", "10.0.0.1:1", nil, "10.0.0.1", "10.0.0.1"},
		{"10.0.0.0/8", "10.0.0.1:1", []string{"6.6.6.6, 203.0.113.9, 10.0.0.5"}, "203.0.113.9",
			"203.0.113.9, 10.0.0.5, 10.0.0.1"},
		{"10.0.0.0/8", "10.0.0.1:1", []string{"6.6.6.6", "203.0.113.9", "10.0.0.5"}, "203.0.113.9",
			"203.0.113.9, 10.0.0.5, 10.0.0.1"},
		{"10.0.0.0/8", "10.0.0.1:1", []string{"10.0.0.7, 10.0.0.5"}, "10.0.0.7", "10.0.0.7, 10.0.0.5, 10.0.0.1"},
		{"10.0.0.0/8", "192.0.2.1:1", []string{"6.6.6.6"}, "192.0.2.1", "192.0.2.1"},
		{"10.0.0.0/8;2001:db8::/32", "[2001:db8::1]:1", []string{"2001:db9::7"}, "2001:db9::7", "2001:db9::7, 2001:db8::1"},
		{"10.0.0.0/8", "[::ffff:10.0.0.1]:1", []string{"203.0.113.9"}, "203.0.113.9", "203.0.113.9, ::ffff:10.0.0.1"},
		{"1", "10.0.0.1:1", []string{"203.0.113.9:4711"}, "203.0.113.9", "203.0.113.9:4711, 10.0.0.1"},
		{"1", "10.0.0.1:1", []string{"[2001:db9::7]:4711"}, "2001:db9::7", "[2001:db9::7]:4711, 10.0.0.1"},
		{"1", "10.0.0.1:1", []string{"unknown"}, "10.0.0.1", "unknown, 10.0.0.1"},
	} {
		r := request("GET", "/")
		r.RemoteAddr = c.peer
		for _, line := range c.chain {
			r.Header.Add("X-Forwarded-For", line)
		}

		h, x := cleaned(t, []string{"LB_TRUSTED_PROXIES=" + c.trust}, r)
		if x.Client != c.client || len(h["X-Forwarded-For"]) != 1 || h.Get("X-Forwarded-For") != c.out {
			t.Errorf("%s, %s, %q: client %s, %q", c.trust, c.peer, c.chain, x.Client, h["X-Forwarded-For"])
		}
	}
}

func TestForwarded_TrustedPeerSpeaksForSchemeAndHost(t *testing.T) {
	t.Parallel()
	fields := []string{"X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "http, https", "X-Forwarded-Host",
		"www.example:444"}
	h, x := cleaned(t, []string{"LB_TRUSTED_PROXIES=192.0.2.0/24+host"}, request("GET", "/", fields...))
	if !x.Secure || x.Host != "www.example:444" || h.Get("X-Forwarded-Proto") != "https" ||
		h.Get("X-Forwarded-Host") != "www.example:444" {
		t.Errorf("%v %s %v", x.Secure, x.Host, h)
	}

	for _, trust := range []string{"cloudrun", "192.0.2.0/24", "1"} {
		h, x = cleaned(t, []string{"LB_TRUSTED_PROXIES=" + trust}, request("GET", "/", fields...))
		if !x.Secure || x.Host != "shop.example" || h.Get("X-Forwarded-Host") != "shop.example" {
			t.Errorf("%s: proxies pass the host on as their clients sent it: %s %v", trust, x.Host, h)
		}
	}

	for _, bad := range []string{"a/b", "a b", "a\"b", "x@y", strings.Repeat("a", 256)} {
		_, x = cleaned(t, []string{"LB_TRUSTED_PROXIES=1+host"}, request("GET", "/", "X-Forwarded-Host", bad))
		if x.Host != "shop.example" {
			t.Errorf("%q was taken for a host", bad)
		}
	}
}

func TestForwarded_FieldIsCutToWhatIsBelieved(t *testing.T) {
	t.Parallel()
	h, _ := cleaned(t, []string{"LB_TRUSTED_PROXIES=1+host"}, request("GET", "/",
		"X-Forwarded-For", "6.6.6.6, 203.0.113.9", "Forwarded", `for=6.6.6.6, for="[2001:db8::1]:80";by="a, b"`))
	if got := h["Forwarded"]; len(got) != 1 || got[0] != `for="[2001:db8::1]:80";by="a, b"` {
		t.Errorf("%q", got)
	}
}

func TestForwarded_ListsAreSplitOutsideQuotes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                    nil,
		" , ,":                nil,
		"a,b ,\tc":            {"a", "b", "c"},
		`for="a,b", for=c`:    {`for="a,b"`, "for=c"},
		`for="never closed,b`: {`for="never closed,b`},
	} {
		if got := splitList([]string{in}); !slices.Equal(got, want) {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestForwarded_PeerAddresses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"1.2.3.4:5": "1.2.3.4", "[::1]:5": "::1", "[fe80::1%eth0]:5": "fe80::1", "pipe": "pipe", "": "",
	} {
		if got := peerAddress(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func FuzzForwarded_ClientIsAnAddressAndTheChainEndsWithThePeer(f *testing.F) {
	f.Add("6.6.6.6, 203.0.113.9", uint8(1))
	f.Add(`"a,b", [::1]:80, fe80::1%eth0,,`, uint8(0))
	f.Add("203.0.113.9, 169.254.1.1", uint8(2))
	f.Add("10.0.0.1:443,2001:db8::7,unknown,_hidden", uint8(3))
	f.Add("::ffff:10.1.2.3, 127.0.0.1 , 0x7f.1", uint8(1))
	f.Fuzz(func(t *testing.T, chain string, hops uint8) {
		env := []string{"LB_TRUSTED_PROXIES=192.0.2.0/24"}
		if n := hops % 4; n > 0 {
			env = []string{"LB_TRUSTED_PROXIES=" + string('0'+n)}
		}

		r := request("GET", "/")
		r.Header["X-Forwarded-For"] = []string{chain}
		h, x := cleaned(t, env, r)
		if _, err := netip.ParseAddr(x.Client); err != nil {
			t.Errorf("%q: client %q", chain, x.Client)
		}

		out := h["X-Forwarded-For"]
		if len(out) != 1 || !strings.HasSuffix(out[0], "192.0.2.7") {
			t.Errorf("%q: %q", chain, out)
		}
		if n := int(hops % 4); n > 0 && len(splitList(out)) > n+1 {
			t.Errorf("%q: more than %d hops in %q", chain, n, out)
		}
	})
}

func TestForwarded_TheSchemeIsThatOfTheFirstBelievedHop(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		proto, forwarded string
		hops             int
		want             string
	}{
		{"https", "", 1, "https"},
		{"wss", "", 1, "https"},
		{"ws", "", 1, "http"},
		{"HTTPS", "", 1, "https"},
		{"https, http", "", 1, "http"},
		{"https, http", "", 2, "https"},
		{"http, https", "", 2, "http"},
		{"https", "", 2, "https"},
		{"ftp, https, http", "", 2, "https"},
		{"", `for=203.0.113.7;host=shop.example;proto=https`, 1, "https"},
		{"", `for=203.0.113.7;Proto="https", for=10.0.0.1;proto=http`, 2, "https"},
		{"http", `proto=https`, 1, "http"},
		{"gopher", "", 1, ""},
		{"", "", 1, ""},
	} {
		if got := clientScheme([]string{test.proto}, []string{test.forwarded}, test.hops); got != test.want {
			t.Errorf("%q, %q, %d hops: %q, want %q", test.proto, test.forwarded, test.hops, got, test.want)
		}
	}
}

func TestStrip_OtherSpellingsOfGuardedFieldsDoNotPass(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"X.Forwarded.For", "X_forwarded_for", "X!Forwarded~Host", "X.Real.Ip", "True.Client.Ip",
		"Proxy",
		"X|Forwarded|For", "Cf_connecting_ip", "X-Client-Ip", "True-Client-Ip", "X.Serverless.Authorization",
		"X_Request_Id"} {
		r := request("GET", "/")
		r.Header[name] = []string{"6.6.6.6"}
		if h, _ := cleaned(t, nil, r); len(h[name]) > 0 {
			t.Errorf("%s came through: %q", name, h[name])
		}
	}

	for _, name := range []string{"X.Own", "X_Own", "X-Own", "Sec-Ch-Ua"} {
		r := request("GET", "/")
		r.Header[name] = []string{"1"}
		if h, _ := cleaned(t, nil, r); len(h[name]) != 1 {
			t.Errorf("%s is gone", name)
		}
	}
}
