package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// claims is everything by which a client can say that it is somebody else, in both spellings.
var claims = []string{
	"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: evil", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 666",
	"X-Forwarded-Prefix: /evil", "X-Forwarded-Server: evil", "X-Forwarded-Anything: evil", "Forwarded: for=6.6.6.6;host=evil",
	"X-Real-IP: 6.6.6.6", "Proxy: http://evil", "X_Forwarded_For: 6.6.6.6", "x_forwarded-proto: evil", "X-Forwarded_Host: evil",
	"X_Real_IP: 6.6.6.6", "x_real-ip: 6.6.6.6",
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
		// client is whom the backend must take for the client: the first address of X-Forwarded-For; and
		// the scheme that the backend is told.
		client, proto string
	}{
		"none":                       {"none", []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"}, "127.0.0.1", "http"},
		"cloudrun":                   {"cloudrun", []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Proto: https"}, "203.0.113.9", "https"},
		"cloudrun, two lines":        {"cloudrun", []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"}, "203.0.113.9", "https"},
		"one hop":                    {"1", []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Proto: https"}, "203.0.113.9", "https"},
		"gclb+cloudrun":              {"gclb+cloudrun", []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 198.51.100.1", "X-Forwarded-Proto: https"}, "203.0.113.9", "https"},
		"two hops":                   {"2", []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 198.51.100.1", "X-Forwarded-Proto: https"}, "203.0.113.9", "https"},
		"two hops, one entry":        {"2", []string{"X-Forwarded-For: 203.0.113.9"}, "127.0.0.1", "http"},
		"networks, in one":           {"127.0.0.0/8;10.0.0.0/8", []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.2.3", "X-Forwarded-Proto: https"}, "203.0.113.9", "https"},
		"networks, in none":          {"10.0.0.0/8", []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"}, "127.0.0.1", "http"},
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

// redirect is the Location that a client of app.example gets. net/http's client would judge it.
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
	raw := backend.StartScript(t, "one", func(backend.Request) string { return backend.Answer(302, "", "Location: http://"+self+"/a") })
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
