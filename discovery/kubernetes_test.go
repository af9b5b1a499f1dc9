package discovery

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/test/fakekubernetes"
)

// cluster is an API server and the service account of a pod in its namespace
// shop.
type cluster struct {
	*fakekubernetes.Server
	cfg  *config.Config
	http *httptest.Server
	dir  string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{Server: fakekubernetes.New("first"), dir: t.TempDir()}
	c.http = httptest.NewTLSServer(c)
	t.Cleanup(func() { c.EndWatches(); c.http.CloseClientConnections(); c.http.Close() })
	c.write(t, "token", "first\n")
	c.write(t, "namespace", "shop")
	c.write(t, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.http.Certificate().Raw})))
	c.cfg = auto()
	c.cfg.Platform.KubernetesAPI = c.http.Listener.Addr().String()
	c.cfg.Process.KubernetesAccount = c.dir

	return c
}

func (c *cluster) write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, file), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func pods(addresses ...string) (all []fakekubernetes.Pod) {
	for i, a := range addresses {
		all = append(all, fakekubernetes.Pod{Name: fmt.Sprint("app-", i), Address: a})
	}
	return all
}

// app is a slice of the Service app with one port.
func app(name string, pods ...fakekubernetes.Pod) fakekubernetes.Slice {
	return fakekubernetes.Slice{Name: name, Service: "app", Family: "IPv4",
		Ports: []fakekubernetes.Port{{Name: "http", Number: 8080}}, Pods: pods}
}

// await takes publications until one has the names.
func awaitNames(t *testing.T, sets <-chan Set, want string) Set {
	t.Helper()
	limit := time.After(20 * time.Second)
	var last Set
	for {
		select {
		case last = <-sets:
			if names(last.Backends) == want {
				return last
			}
		case <-limit:
			t.Fatalf("waited for %q, the last publication is %+v", want, last)
		}
	}
}

func awaitLog(t *testing.T, logs *syncBuffer, want string) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !strings.Contains(logs.String(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited for %q in %s", want, logs)
		}
	}
}

func TestKubernetes_PodsOfSeveralSlicesAndFamiliesAreBackends(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.SetPage(1)
	c.Set(app("app-a", pods("10.0.0.1", "10.0.0.2")...))
	v6 := app("app-b", fakekubernetes.Pod{Name: "app-0", Address: "fd00::1"},
		fakekubernetes.Pod{Name: "app-7", Address: "fd00::7"})
	v6.Family = "IPv6"
	c.Set(v6)
	c.Set(app("app-c", fakekubernetes.Pod{Name: "app-8", Address: "10.0.0.8", Unready: true},
		fakekubernetes.Pod{Name: "app-9", Address: "10.0.0.9", Ending: true},
		fakekubernetes.Pod{Name: "app-6", Address: "169.254.169.254"},
		fakekubernetes.Pod{Address: "10.0.0.5", NoReference: true, Absent: true}))
	log, logs := logged()
	set := awaitNames(t, run(t, c.cfg, Options{Logger: log}, "k8s://app?protocol=h2c"),
		"10.0.0.5:8080 app-0 app-1 app-7 app-9")

	both := set.Backends[1]
	want := Backend{Name: "app-0", Address: "10.0.0.1:8080", Fallback: "[fd00::1]:8080", Host: "app.shop.svc:8080",
		Protocol: config.H2C, Weight: 1, Source: "k8s://app?protocol=h2c"}
	if both != want {
		t.Errorf("got %+v\nwant %+v", both, want)
	}
	if set.Backends[3].Address != "[fd00::7]:8080" || set.Backends[4].Weight != 0 || set.Backends[0].Weight != 1 {
		t.Errorf("published %+v", set)
	}
	awaitLog(t, logs, "169.254.169.254 is a link-local address")
}

func TestKubernetes_ChangesAreWatched(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Set(app("app-a", pods("10.0.0.1")...))
	log, logs := logged()
	sets := run(t, c.cfg, Options{Logger: log}, "k8s://app.shop:http")
	awaitNames(t, sets, "app-0")
	c.Bookmark()
	c.Set(app("app-a", pods("10.0.0.1", "10.0.0.2")...))
	awaitNames(t, sets, "app-0 app-1")
	c.Set(app("app-b", fakekubernetes.Pod{Name: "app-2", Address: "10.0.0.3"}))
	awaitNames(t, sets, "app-0 app-1 app-2")
	c.EndWatches()
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if lists, watches := c.Asked(); watches == 2 && lists == 1 {
			break
		} else if time.Now().After(limit) {
			t.Fatalf("after a watch that ended: %d lists, %d watches", lists, watches)
		}
	}
	c.Delete("app-b")
	awaitNames(t, sets, "app-0 app-1")

	c.Forget() // 410
	c.Set(app("app-c", fakekubernetes.Pod{Name: "app-3", Address: "10.0.0.4"}))
	awaitNames(t, sets, "app-0 app-1 app-3")
	if lists, _ := c.Asked(); lists != 2 || strings.Contains(logs.String(), "failed") {
		t.Errorf("after a version that is gone: %d lists, logged %s", lists, logs)
	}
}

// A pod keeps its name, and so its sessions, when it comes back with another
// address.
func TestKubernetes_APodThatEndsDrainsAndComesBackByItsName(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Set(app("app-a", pods("10.0.0.1", "10.0.0.2")...))
	sets := run(t, c.cfg, Options{}, "k8s://app")
	awaitNames(t, sets, "app-0 app-1")
	ending := pods("10.0.0.1", "10.0.0.2")
	ending[1].Ending = true
	c.Set(app("app-a", ending...))
	if set := <-sets; names(set.Backends) != "app-0 app-1" || set.Backends[1].Weight != 0 || set.Backends[0].Weight != 1 {
		t.Errorf("while one ends: %+v", set)
	}
	ending[0].Ending = true
	c.Set(app("app-a", ending...))
	if set := <-sets; set.Backends[0].Weight != 1 || set.Backends[1].Weight != 1 {
		t.Errorf("while all end: %+v", set)
	}
	c.Set(app("app-a", pods("10.0.0.1", "10.0.0.3")...))
	if set := <-sets; names(set.Backends) != "app-0 app-1" || set.Backends[1].Address != "10.0.0.3:8080" {
		t.Errorf("back again: %+v", set)
	}
}

func TestKubernetes_RefusalsNameTheirCure(t *testing.T) {
	t.Parallel()
	for verb, want := range map[string]string{"list": "may not list endpointslices in the namespace shop",
		"watch": "may not watch endpointslices"} {
		c := newCluster(t)
		c.Forbid(verb)
		c.Set(app("app-a", pods("10.0.0.1")...))
		log, logs := logged()
		sets := run(t, c.cfg, Options{Logger: log}, "k8s://app", "http://other")
		awaitLog(t, logs, want)
		if !strings.Contains(logs.String(), "needs a Role") || !strings.Contains(logs.String(), "cannot "+verb) {
			t.Errorf("%s: logged %s", verb, logs)
		}
		c.Forbid()
		awaitLog(t, logs, "discovery works again")
		if set := awaitNames(t, sets, "app-0 other"); !set.Complete {
			t.Errorf("%s: published %+v", verb, set)
		}
		if n := strings.Count(logs.String(), "discovery failed"); n != 1 {
			t.Errorf("%s: logged %d failures", verb, n)
		}
	}
}

func TestKubernetes_TokenIsReadAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Set(app("app-a", pods("10.0.0.1")...))
	log, logs := logged()
	sets := run(t, c.cfg, Options{Logger: log}, "k8s://app")
	awaitNames(t, sets, "app-0")
	c.SetToken("second")
	awaitLog(t, logs, "does not take the service account's token")
	c.write(t, "token", "second")
	c.Set(app("app-a", pods("10.0.0.1", "10.0.0.2")...))
	awaitNames(t, sets, "app-0 app-1")
}

func TestKubernetes_AFailureKeepsTheLastGoodSet(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Set(app("app-a", pods("10.0.0.1")...))
	log, logs := logged()
	sets := run(t, c.cfg, Options{Logger: log}, "k8s://app")
	awaitNames(t, sets, "app-0")
	c.Delete("app-a")
	awaitLog(t, logs, "has no EndpointSlices")
	c.Send("NONSENSE", `{}`)
	awaitLog(t, logs, "unknown type")
	c.Set(app("app-a", pods("10.0.0.2", "10.0.0.3")...))
	if set := <-sets; names(set.Backends) != "app-0 app-1" {
		t.Errorf("a failure published %+v", set)
	}
}

func TestKubernetes_PortsAreChosenByNumberOrName(t *testing.T) {
	t.Parallel()
	two := app("app-a", pods("10.0.0.1")...)
	two.Ports = append(two.Ports, fakekubernetes.Port{Name: "admin", Number: 9090})
	for item, want := range map[string]string{
		"k8s://app:http": "10.0.0.1:8080", "k8s://app:9090": "10.0.0.1:9090",
		"k8s://app":      "several ports (admin=9090, http=8080)",
		"k8s://app:80":   "no pod that serves at the port 80; its pods' ports are admin=9090, http=8080",
		"k8s://app:grpc": "at the port grpc",
	} {
		c := newCluster(t)
		c.Set(two)
		log, logs := logged()
		sets := run(t, c.cfg, Options{Logger: log}, item)
		if strings.HasPrefix(want, "10.") {
			if set := awaitNames(t, sets, "app-0"); set.Backends[0].Address != want {
				t.Errorf("%s: published %+v", item, set)
			}
			continue
		}
		awaitLog(t, logs, want)
	}
}

func TestKubernetes_WhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for file, want := range map[string]string{"token": "automountServiceAccountToken", "ca.crt": "file ca.crt",
		"namespace": "file namespace"} {
		dir := t.TempDir()
		for _, other := range []string{"token", "ca.crt", "namespace"} {
			if content, err := os.ReadFile(filepath.Join(c.dir, other)); err == nil && other != file {
				_ = os.WriteFile(filepath.Join(dir, other), content, 0o600)
			}
		}
		cfg := *c.cfg
		cfg.Process.KubernetesAccount = dir
		log, logs := logged()
		run(t, &cfg, Options{Logger: log}, "k8s://app")
		awaitLog(t, logs, want)
	}
	log, logs := logged()
	run(t, auto(), Options{Logger: log}, "k8s://app.shop")
	awaitLog(t, logs, "no pod of Kubernetes")
}

// Whatever an API server says, what comes of it are addresses that a backend
// may have, or none.
func FuzzEndpointSlices(f *testing.F) {
	f.Add(string(mustJSON(map[string]any{"items": []any{map[string]any{"metadata": map[string]any{"name": "a"},
		"ports": []any{map[string]any{"port": 80}},
		"endpoints": []any{map[string]any{"addresses": []any{"10.0.0.1"},
			"targetRef": map[string]any{"kind": "Pod", "name": "p"}}}}}})),
		`{"type":"DELETED","object":{"metadata":{"name":"a"}}}`, "80")
	f.Add(`{"items":[{"ports":[{"port":-1},{}],"endpoints":[{},{"addresses":["::1%eth0"]}]}]}`,
		`{"type":"ERROR","object":{"kind":"Status","code":410}}`, "")
	f.Add(`{"metadata":{"resourceVersion":"4711"},"items":[{"metadata":{"name":"shop-x7k2p","labels":{`+
		`"kubernetes.io/service-name":"shop"}},"addressType":"IPv4","ports":[{"name":"http","port":8080,"protocol":"TCP"},`+
		`{"name":"grpc","port":9090,"appProtocol":"kubernetes.io/h2c"}],"endpoints":[{"addresses":["10.244.1.7"],`+
		`"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n1","zone":"eu-1b",`+
		`"targetRef":{"kind":"Pod","name":"shop-0","namespace":"shop","uid":"u"}},{"addresses":["10.244.2.9"],`+
		`"conditions":{"ready":false,"serving":true,"terminating":true}}]}]}`,
		`{"type":"BOOKMARK","object":{"kind":"EndpointSlice","metadata":{"resourceVersion":"4800"}}}`, "http")
	f.Add(`{"items":[{"metadata":{"name":"six"},"addressType":"IPv6","ports":[{"port":80}],"endpoints":[`+
		`{"addresses":["fd00::7"],"conditions":{}}]},{"addressType":"FQDN","endpoints":[{"addresses":["a.example"]}]}]}`,
		`{"type":"MODIFIED","object":{"metadata":{"name":"six"},"endpoints":null}}`, "80")
	f.Fuzz(func(t *testing.T, list, event, port string) {
		var page slicePage
		if left := maxAnswer; readJSON(strings.NewReader(list), &left, &page) != nil {
			return
		}
		s := &endpointSlices{target: Target{Service: "app", Port: port}, namespace: "shop",
			slices: map[string]endpointSlice{}}
		for _, item := range page.Items {
			s.slices[item.Metadata.Name] = item
		}
		_ = s.take([]byte(event))
		a, err := s.answer()
		if err == nil && len(a.backends) == 0 {
			t.Fatal("an empty answer is no failure")
		}
		for _, b := range a.backends {
			at, err := netip.ParseAddrPort(b.Address)
			if err != nil || unusable(at.Addr()) != "" || at.Port() == 0 || b.Name == "" ||
				strings.ContainsAny(b.Name, "\r\n /") {
				t.Fatalf("%s: %+v", list, b)
			}
		}
	})
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
