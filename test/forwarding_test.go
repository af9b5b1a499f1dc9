package test

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// claims is everything by which a client can say that it is somebody else, in
// both spellings.
var claims = []string{
	"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: evil", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 666",
	"X-Forwarded-Prefix: /evil", "X-Forwarded-Server: evil", "X-Forwarded-Anything: evil",
	"Forwarded: for=6.6.6.6;host=evil",
	"X-Real-IP: 6.6.6.6", "Proxy: http://evil", "X_Forwarded_For: 6.6.6.6", "x_forwarded-proto: evil",
	"X-Forwarded_Host: evil",
	"X_Real_IP: 6.6.6.6", "x_real-ip: 6.6.6.6", "Client-IP: 6.6.6.6", "client_ip: 6.6.6.6", "X-Client-IP: 6.6.6.6",
	"Forwarded-For: 6.6.6.6",
	"X-Forwarded: for=6.6.6.6", "True-Client-IP: 6.6.6.6", "Proxy-Client-IP: 6.6.6.6", "WL-Proxy-Client-IP: 6.6.6.6",
	"CF-Connecting-IP: 6.6.6.6",
	"X-Original-For: 6.6.6.6", "X-Original-Host: evil.example", "X-Host: evil.example", "X-Scheme: evil",
	"X-URL-Scheme: evil", "Front-End-Https: evil",
}

func TestForwarding_NobodyIsTrustedByDefault(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	seen, _ := pass(t, p, raw, claims...)
	if strings.Contains(seen.Head, "evil") || strings.Contains(seen.Head, "6.6.6.6") {
		t.Errorf("the backend saw %q", seen.Head)
	}

	wantFields(t, seen, map[string][]string{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}})
	pass(t, p, raw, claims...)
	p.Signal(terminate)
	p.Wait(await.Limit)
	named := 0
	for _, l := range p.Lines() {
		if strings.Contains(l.Text, "LB_TRUSTED_PROXIES") {
			named++
		}
	}

	if named != 1 {
		t.Errorf("%d lines name the setting that would trust the claims, want one", named)
	}
}

func TestForwarding_TrustFollowsTheSetting(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trust string
		sent  []string
		// client is whom the backend must take for the client: the first
		// address of X-Forwarded-For; and the scheme that the backend is told.
		client, proto string
	}{
		"none": {"none", []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"},
			"127.0.0.1", "http"},
		"cloudrun": {"cloudrun",
			[]string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Proto: https"}, "203.0.113.9", "https"},
		"cloudrun, two lines": {"cloudrun",
			[]string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"}, "203.0.113.9",
			"https"},
		"one hop": {"1", []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Proto: https"},
			"203.0.113.9", "https"},
		"gclb+cloudrun": {"gclb+cloudrun",
			[]string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 198.51.100.1", "X-Forwarded-Proto: https"}, "203.0.113.9", "https"},
		"two hops": {"2",
			[]string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 198.51.100.1", "X-Forwarded-Proto: https"}, "203.0.113.9", "https"},
		"two hops, one entry": {"2", []string{"X-Forwarded-For: 203.0.113.9"}, "127.0.0.1", "http"},
		"networks, in one": {"127.0.0.0/8;10.0.0.0/8",
			[]string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.2.3", "X-Forwarded-Proto: https"}, "203.0.113.9", "https"},
		"networks, in none": {"10.0.0.0/8", []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"},
			"127.0.0.1", "http"},
		"cloudrun, nothing said":     {"cloudrun", nil, "127.0.0.1", "http"},
		"cloudrun, IPv6 with a port": {"cloudrun", []string{"X-Forwarded-For: 2001:db8::1"}, "2001:db8::1", "http"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, raw := recorded(t, []string{"LB_TRUSTED_PROXIES=" + c.trust})
			seen, _ := pass(t, p, raw, c.sent...)
			chain := strings.Join(seen.Fields("X-Forwarded-For"), ", ")
			if first, _, _ := strings.Cut(chain, ","); first != c.client {
				t.Errorf("the backend saw the chain %q, want it to begin with %s", chain, c.client)
			}

			if strings.Contains(seen.Head, "6.6.6.6") {
				t.Errorf("an address that nobody vouches for reached the backend: %q", chain)
			}

			wantFields(t, seen, map[string][]string{"X-Forwarded-Proto": {c.proto}})
		})
	}
}

func TestForwarding_CloudRunIsThePresetOnCloudRun(t *testing.T) {
	t.Parallel()
	sent := []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Proto: https"}
	for name, c := range map[string]struct {
		env    []string
		client string
	}{
		"on Cloud Run":  {[]string{"K_SERVICE=shop"}, "203.0.113.9"},
		"on Kubernetes": {[]string{"K_SERVICE=shop", "KUBERNETES_SERVICE_HOST=10.0.0.1"}, "127.0.0.1"},
		"as egress":     {[]string{"K_SERVICE=shop", "LB_ROLE=egress"}, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, raw := recorded(t, append(c.env, "GCE_METADATA_HOST="+backend.Closed(t)))
			seen, _ := pass(t, p, raw, sent...)
			if first, _, _ := strings.Cut(strings.Join(seen.Fields("X-Forwarded-For"), ","), ","); first != c.client {
				t.Errorf("the backend saw the client %q, want %s", first, c.client)
			}
		})
	}
}

func TestHost_FollowsTheSetting(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		setting, option string
		want            string // "client", "backend" or a host
	}{
		"auto":                   {"auto", "", "client"},
		"client":                 {"client", "", "client"},
		"backend":                {"backend", "", "backend"},
		"target's own":           {"client", "host=inner.example", "inner.example"},
		"target's own, backend":  {"backend", "host=inner.example:81", "inner.example:81"},
		"unset, as auto in http": {"", "", "client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := backend.StartScript(t, "one", func(backend.Request) string { return backend.Answer(200, "") })
			target := raw.Target()
			if c.option != "" {
				target = raw.Target(c.option)
			}

			p := pillion.Start(t, "LB_HOST_HEADER="+c.setting, "LB_BACKENDS="+target)
			seen, _ := pass(t, p, raw)
			want := strings.NewReplacer("client", "app.example", "backend", raw.Address).Replace(c.want)
			wantFields(t, seen, map[string][]string{"Host": {want}})
			if got := seen.Fields("X-Forwarded-Host"); want != "app.example" && !slices.Equal(got, []string{"app.example"}) {
				t.Errorf("X-Forwarded-Host %q, want the client's", got)
			}
		})
	}
}

func TestHost_ALocationAtTheTargetIsRewrittenToTheClients(t *testing.T) {
	t.Parallel()
	var self string
	raw := backend.StartScript(t, "one", func(r backend.Request) string {
		return backend.Answer(302, "", "Location: "+strings.ReplaceAll(r.Fields("X-Location")[0], "SELF", self))
	})
	self = raw.Address
	changed := pillion.Start(t, "LB_HOST_HEADER=backend", raw.Environment())

	plain := pillion.Start(t, "LB_HOST_HEADER=client", raw.Environment())
	for location, want := range map[string]string{
		"http://SELF/a?b=1#c":         "http://app.example/a?b=1#c",
		"http://SELF":                 "http://app.example",
		"/a":                          "/a",
		"a":                           "a",
		"http://other.example/a":      "http://other.example/a",
		"https://SELF/a":              "https://SELF/a",
		"//SELF/a":                    "http://app.example/a",
		"http://SELF.evil.example/a":  "http://SELF.evil.example/a",
		"http://SELF@evil.example/a":  "http://SELF@evil.example/a",
		"http://x.example/?u=//SELF/": "http://x.example/?u=//SELF/",
	} {
		want = strings.ReplaceAll(want, "SELF", self)
		if got := redirect(t, changed, "X-Location: "+location); got != want {
			t.Errorf("Location %s became %q, want %q", location, got, want)
		}
		if got := redirect(t, plain, "X-Location: "+location); got != strings.ReplaceAll(location, "SELF", self) {
			t.Errorf("with the client's Host, Location %s became %q", location, got)
		}
	}
}

// redirect is the Location that a client of app.example gets. net/http's client
// would judge it.
func redirect(t *testing.T, p *binary.Process, fields ...string) string {
	t.Helper()
	c := wire.Dial(t, p.Address)
	c.Get("/", fields...)
	response, _ := c.Response("GET")
	return response.Header.Get("Location")
}

func TestHost_LocationKeepsTheClientsScheme(t *testing.T) {
	t.Parallel()
	var self string
	raw := backend.StartScript(t, "one",
		func(backend.Request) string { return backend.Answer(302, "", "Location: http://"+self+"/a") })
	self = raw.Address
	p := pillion.Start(t, "LB_HOST_HEADER=backend", "LB_TRUSTED_PROXIES=1", raw.Environment())
	if got := redirect(t, p, "X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.9"); got != "https://app.example/a" {
		t.Errorf("Location %q, want it at the client's own origin", got)
	}
}

func TestHost_HTTP2AuthorityIsTheHost(t *testing.T) {
	t.Parallel()
	raw := backend.StartScript(t, "one", func(backend.Request) string { return backend.Answer(200, "") })
	p := pillion.Start(t, raw.Environment())
	wantStatus(t, get(t, newH2CClient(t), p.URL("/"), "Host", "app.example:8443"), http.StatusOK)
	wantFields(t, raw.Requests.All()[0], map[string][]string{"Host": {"app.example:8443"}})
}

func TestHost_AbsoluteTargetWins(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	c := wire.Dial(t, p.Address)
	c.Send("GET http://absolute.example/a?b HTTP/1.1\r\nHost: absolute.example\r\n\r\n")
	if r, _ := c.Response("GET"); r.StatusCode != http.StatusOK {
		t.Fatalf("status %d", r.StatusCode)
	}

	seen := raw.Requests.All()[0]
	wantFields(t, seen, map[string][]string{"Host": {"absolute.example"}})
	if !strings.HasPrefix(seen.Head, "GET /a?b HTTP/1.1\r\n") {
		t.Errorf("the backend saw %q", seen.Head)
	}
}

// Most proxies pass on what their clients say of the host. It is believed only
// where the setting says that they do not.
func TestForwarding_AHostIsBelievedByAWordOfItsOwn(t *testing.T) {
	t.Parallel()
	said := []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: other.example",
		"Forwarded: for=203.0.113.9;host=other.example",
		"X-Real-Ip: 198.51.100.7", "CF-Connecting-IP: 198.51.100.7", "X.Forwarded.Host: other.example"}
	for trust, believed := range map[string]bool{"none": false, "127.0.0.0/8": false, "1": false, "cloudrun": false,
		"127.0.0.0/8+host": true, "1+host": true} {
		p, raw := recorded(t, []string{"LB_TRUSTED_PROXIES=" + trust})
		seen, _ := pass(t, p, raw, said...)
		if strings.Contains(seen.Head, "other.example") != believed ||
			strings.Contains(seen.Head, "198.51.100.7") != believed {
			t.Errorf("%s: the backend saw %q", trust, seen.Head)
		}

		if strings.Contains(seen.Head, "X.Forwarded.Host") {
			t.Errorf("%s: another spelling of a forwarding field came through", trust)
		}
	}

	for _, bad := range []string{"cloudrun+host", "none+host", "+host"} {
		if r := pillion.Run(t, []string{"LB_BACKENDS=:1", "LB_TRUSTED_PROXIES=" + bad}, "check"); r.Code != 78 {
			t.Errorf("%s: exit %d", bad, r.Code)
		}
	}
}

// The scheme that a client used is the word of the first believed hop: one
// entry of a list as long as that of addresses, in the words of a WebSocket,
// or in Forwarded alone. It decides what the app hears, the cookie's Secure,
// and where a redirect of the backend's own host leads.
func TestForwarding_TheSchemeIsTheFirstBelievedHops(t *testing.T) {
	t.Parallel()
	var self atomic.Value
	raw := backend.StartScript(t, "one", func(r backend.Request) string {
		if len(r.Fields("Upgrade")) > 0 {
			return switching(r)
		}
		told := r.Fields("X-Forwarded-Proto")[0] // as frameworks make an absolute URL
		return backend.Answer(302, "", "Location: "+told+"://"+self.Load().(string)+"/next",
			"Content-Location: http://"+self.Load().(string)+"/here")
	})
	self.Store(raw.Address)

	const two = "X-Forwarded-For: 203.0.113.9, 127.0.0.7"
	cases := map[string]struct {
		sent  []string
		proto string // "" where nothing is believed: the connection's own
	}{
		"https":                     {[]string{two, "X-Forwarded-Proto: https"}, "https"},
		"capitals":                  {[]string{two, "X-Forwarded-Proto: HTTPS"}, "https"},
		"wss":                       {[]string{two, "X-Forwarded-Proto: wss"}, "https"},
		"ws":                        {[]string{two, "X-Forwarded-Proto: ws"}, "http"},
		"a list":                    {[]string{two, "X-Forwarded-Proto: https, http"}, "https"},
		"a list the other way":      {[]string{two, "X-Forwarded-Proto: http, https"}, "http"},
		"a list in two lines":       {[]string{two, "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"}, "https"},
		"a list with a stranger's":  {[]string{two, "X-Forwarded-Proto: http, https, http"}, "https"},
		"a list with empty entries": {[]string{two, "X-Forwarded-Proto: https,, http"}, "https"},
		"nonsense":                  {[]string{two, "X-Forwarded-Proto: gopher"}, ""},
		"Forwarded alone": {[]string{two, "Forwarded: for=203.0.113.9;proto=https, for=127.0.0.7;proto=http"},
			"https"},
		"Forwarded, quoted":      {[]string{two, `Forwarded: for="203.0.113.9";Proto="HTTPS", for=127.0.0.7`}, "https"},
		"Forwarded says nothing": {[]string{two, "Forwarded: for=203.0.113.9"}, ""},
		"Forwarded beside its elder": {[]string{two, "X-Forwarded-Proto: http, http",
			"Forwarded: proto=https, proto=https"}, "http"},
		"nothing":                      {[]string{two}, ""},
		"fewer addresses than entries": {[]string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https, http"}, "http"},
	}
	for _, trust := range []string{"2", "127.0.0.0/8", "none"} {
		t.Run(trust, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, affine, raw.Environment()+spare, "LB_HOST_HEADER=backend", "LB_TRUSTED_PROXIES="+trust)
			for name, c := range cases {
				want := cmp.Or(c.proto, "http")
				if trust == "none" {
					want = "http"
				}
				wantScheme(t, p, raw, want, append([]string{"X-Case: " + trust + " " + name}, c.sent...))
			}
		})
	}
}

// wantScheme sends requests of each kind with some fields, the first of which
// names the case, and looks for a scheme in what came of them.
func wantScheme(t *testing.T, p *binary.Process, raw *backend.Raw, want string, sent []string) {
	t.Helper()
	c := wire.Dial(t, p.Address)
	c.Get("/", sent...)
	first, _ := c.Response("GET")

	socket := wire.Dial(t, p.Address)
	socket.Send(wire.Request("GET", "/", "", append(slices.Clone(sent), handshake...)...))
	head := strings.ToLower(socket.Head())

	pairs := []string{"Host", "app.example"}
	for _, f := range sent {
		name, value, _ := strings.Cut(f, ": ")
		pairs = append(pairs, name, value)
	}
	client := newH2CClient(t)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	second := get(t, client, p.URL("/"), pairs...)

	var told []string
	for _, r := range raw.Requests.All() {
		if strings.Contains(r.Head, "\r\n"+sent[0]+"\r\n") {
			told = append(told, strings.Join(r.Fields("X-Forwarded-Proto"), "|"))
		}
	}
	if !slices.Equal(told, []string{want, want, want}) {
		t.Errorf("%q: the backend heard %q, want %s", sent, told, want)
	}

	if !strings.HasPrefix(head, "http/1.1 101 ") || strings.Contains(head, "; secure") != (want == "https") {
		t.Errorf("%q: with %s the 101 is %q", sent, want, head)
	}
	for _, h := range []http.Header{first.Header, second.Header} {
		cookie := h.Get("Set-Cookie")
		if cookie == "" || strings.Contains(cookie, "; Secure") != (want == "https") {
			t.Errorf("%q: with %s the cookie is %q", sent, want, cookie)
		}
		if h.Get("Location") != want+"://app.example/next" || h.Get("Content-Location") != want+"://app.example/here" {
			t.Errorf("%q: the redirect leads to %q, the content is at %q", sent, h.Get("Location"), h.Get("Content-Location"))
		}
	}
}

// A redirect leads to the host that the client used, and not to one that a
// stranger has said to a proxy.
func TestForwarding_AStrangersHostIsNoPlaceForARedirect(t *testing.T) {
	t.Parallel()
	var self atomic.Value
	raw := backend.StartScript(t, "one", func(backend.Request) string {
		return backend.Answer(302, "", "Location: http://"+self.Load().(string)+"/login")
	})
	self.Store(raw.Address)

	evil := []string{"X-Forwarded-For", "203.0.113.9", "X-Forwarded-Host", "evil.example", "Forwarded",
		"for=1.2.3.4;host=evil.example",
		"X-Forwarded-Prefix", "/evil", "X-Original-Host", "evil.example", "X-Host", "evil.example", "Host", "app.example"}
	for _, trust := range []string{"none", "127.0.0.0/8", "1", "2", "cloudrun", "gclb+cloudrun"} {
		p := pillion.Start(t, raw.Environment(), "LB_TRUSTED_PROXIES="+trust, "LB_HOST_HEADER=backend")
		for protocol, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "h2c": newH2CClient(t)} {
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			if got := get(t, client, p.URL("/"), evil...).Header.Get("Location"); got != "http://app.example/login" {
				t.Errorf("%s over %s: the redirect leads to %q", trust, protocol, got)
			}
		}
	}

	for _, r := range raw.Requests.All() {
		if strings.Contains(r.Head, "evil") {
			t.Errorf("the backend saw %q", r.Head)
		}
	}
}
