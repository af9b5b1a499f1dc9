package discovery

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/metadata"
)

// lawExamples is an authority of every kind that parses, and one that does not.
var lawExamples = map[Kind][2]string{
	Fixed:      {"app.example.com:8080", "app.example.com/path"},
	DNS:        {"app.internal:8080", "10.0.0.1:80"},
	SRV:        {"_http._tcp.app.internal", "app.internal:80"},
	Run:        {"api.europe-west1.123456789", "api.b.c.d"},
	Attribute:  {"instance/attributes/backends", "instance/backends"},
	Demo:       {"2", "none"},
	RunList:    {"europe-west1.my-project?label.team=shop", "Europe?label.team=shop"},
	Kubernetes: {"app.shop:8080", "app.shop.svc"},
	GCE:        {"web.europe-west1-b.my-project", "web"},
	GCENEG:     {"pods.europe-west1-b", "pods.b"},
	XDS:        {"outbound|80||app.shop.svc.cluster.local", "/app"},
	File:       {absolute("testdata/backends"), "testdata/backends"},
}

// absolute is the path of a file of this package from the root.
func absolute(name string) string {
	path, err := filepath.Abs(name)
	if err != nil {
		panic(err)
	}
	return path
}

// TestKinds_EachKeepsTheLaw is what every kind of backends has to pass: its
// schemes are its own, its keys can be set, what can't be meant is refused by
// item, its source reports within its context, and ends with it.
func TestKinds_EachKeepsTheLaw(t *testing.T) {
	t.Parallel()
	schemes := map[string]Kind{}
	for _, k := range allKinds() {
		t.Run(string(k.name), func(t *testing.T) {
			examples, ok := lawExamples[k.name]
			if !ok {
				t.Fatalf("lawExamples has no line for %s", k.name)
			}
			if len(k.schemes) == 0 || k.parse == nil || k.source == nil || named(k.name).name != k.name {
				t.Fatalf("the kind is incomplete: %+v", k)
			}
			for _, scheme := range k.schemes {
				if of, taken := schemes[scheme]; taken {
					t.Errorf("the scheme %q is that of %s already", scheme, of)
				}
				schemes[scheme] = k.name
			}
			lawOfItems(t, k, examples[0], examples[1])
			lawOfSources(t, k, examples[0])
		})
	}
}

func lawOfItems(t *testing.T, k kind, good, bad string) {
	t.Helper()
	prefix, and := k.schemes[0]+"://", "?"
	if strings.Contains(good, "?") {
		and = "&"
	}
	targets, problems := Parse([]string{prefix + good})
	if len(problems) > 0 || len(targets) != 1 || targets[0].Kind != k.name || targets[0].Template.Source != prefix+good {
		t.Fatalf("%s: %+v, %v", good, targets, problems)
	}

	for _, item := range []string{prefix + bad, prefix, prefix + good + and + "nonsense=1", prefix + "user:hush@" + good,
		prefix + good + "#f"} {
		targets, problems := Parse([]string{item})
		if len(problems) == 0 || len(targets) != 0 {
			t.Errorf("%s is a target: %+v", item, targets)
		}
		for _, p := range problems {
			if p.Variable != "LB_BACKENDS" || !strings.Contains(p.Reason, "item 1") || strings.Contains(p.String(), "hush") {
				t.Errorf("%s: %v", item, p)
			}
		}
	}

	values := map[string]string{"name": "blue", "weight": "3", "host": "shop.example", "protocol": "h2c", "tag": "canary",
		"resolver": "127.0.0.1:8600", "label.KEY": "live", "port": "8080", "netTag": "front", "network": "default",
		"server": "127.0.0.1:15010", "tls": "true&server=127.0.0.1:15010", "node": "lb-1&server=127.0.0.1:15010"}
	for _, key := range k.keys {
		name := strings.Replace(key, "KEY", "env", 1)
		item := prefix + good + and + name + "=" + values[key]
		if _, problems := Parse([]string{item}); values[key] == "" || len(problems) > 0 {
			t.Errorf("%s: %v", item, problems)
		}
		if _, problems := Parse([]string{item + "&" + name + "=" + values[key]}); len(problems) == 0 {
			t.Errorf("%s may be given twice", key)
		}
	}

	_, problems = (grammar{nested: true}).parse([]string{prefix + good})
	if refused := len(problems) > 0; refused != k.written {
		t.Errorf("in an attribute: %v", problems)
	}
	if listed := strings.Contains(grammar{nested: true}.schemes(), k.schemes[0]); listed == k.written {
		t.Errorf("an attribute's schemes are %q", grammar{nested: true}.schemes())
	}
}

// silence is a network in which nothing answers.
type silence struct{ asked atomic.Int64 }

func (s *silence) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked.Add(1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func (s *silence) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.asked.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// lawOfSources runs a source where no question is answered. It must end with
// its context, report nothing that it was not told, and report nothing after
// its end.
func lawOfSources(t *testing.T, k kind, good string) {
	t.Helper()
	targets, _ := Parse([]string{k.schemes[0] + "://" + good})
	network := &silence{}
	cfg := &config.Config{
		Platform: config.Platform{KubernetesAPI: "10.0.0.1:443",
			XDSBootstrapConfig: `{"xds_servers": [{"server_uri": "xds.internal:443", "channel_creds": [{"type": "tls"}]}]}`},
		Process: config.Process{GoogleAPI: "https://{api}.googleapis.com", KubernetesAccount: absolute("testdata/account")},
	}
	made := newKinds(cfg, Options{
		Logger:   slog.New(slog.DiscardHandler),
		Resolver: &net.Resolver{PreferGo: true, Dial: network.dial},
		Metadata: metadata.New("", network), Transport: network,
	})

	ctx, cancel := context.WithCancel(t.Context())
	var ended atomic.Bool
	reported, done := make(chan answer, 16), make(chan struct{})
	go func() {
		defer close(done)
		made.source(targets[0]).run(ctx, func(a answer, err error) {
			if ended.Load() {
				t.Error("something is reported after the end")
			}
			if err == nil {
				reported <- a
			}
		})
		ended.Store(true)
	}()

	asks := func() bool { return network.asked.Load() > 0 || len(reported) > 0 }
	for limit := time.Now().Add(10 * time.Second); !asks() && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	if !asks() {
		t.Error("the source neither asks nor answers")
	}
	cancel()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the source does not end with its context")
	}

	for len(reported) > 0 {
		a := <-reported
		if len(a.backends) == 0 ||
			slices.ContainsFunc(a.backends, func(b Backend) bool {
				return b.Name == "" || b.Address == "" ||
					b.Source != targets[0].Item
			}) {
			t.Errorf("an answer is incomplete: %+v", a)
		}
	}
}
