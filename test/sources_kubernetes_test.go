package test

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/fakekubernetes"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// cluster is an API server over TLS, and what a pod of the namespace shop is
// given to ask it.
type cluster struct {
	*fakekubernetes.Server
	server      *httptest.Server
	environment []string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{Server: fakekubernetes.New("a-token")}
	c.serveAt(t, backend.Listen(t))
	dir := t.TempDir()
	for file, content := range map[string]string{
		"token": "a-token", "namespace": "shop",
		"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw})),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, port, _ := net.SplitHostPort(c.server.Listener.Addr().String())
	c.environment = []string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port,
		"LB_KUBERNETES_ACCOUNT=" + dir}

	return c
}

func (c *cluster) serveAt(t *testing.T, l net.Listener) {
	c.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: c}}
	c.server.StartTLS()
	t.Cleanup(c.stop)
}

func (c *cluster) stop() {
	c.EndWatches()
	c.server.CloseClientConnections()
	c.server.Close()
}

// app is a slice of the Service app with some pods of a network.
func (n *network) app(t *testing.T, ending int, hosts ...int) fakekubernetes.Slice {
	t.Helper()
	port, err := strconv.Atoi(n.port)
	if err != nil {
		t.Fatal(err)
	}
	slice := fakekubernetes.Slice{Name: "app-a", Service: "app", Family: "IPv4",
		Ports: []fakekubernetes.Port{{Name: "http", Number: port}}}
	for _, h := range hosts {
		slice.Pods = append(slice.Pods,
			fakekubernetes.Pod{Name: "app-" + strconv.Itoa(h), Address: n.Address(h), Ending: h == ending})
	}

	return slice
}

func TestSources_PodsAreWatchedAndFailNoRequest(t *testing.T) {
	t.Parallel()
	c, n := newCluster(t), newNamedNetwork(t)
	s := n.StartBackends(t, 5)
	c.Set(n.app(t, 0, 1, 2))
	p := pillion.Start(t, append(c.environment, affine, "LB_BACKENDS=k8s://app:http", "LB_STATUS_TOKEN="+watchword)...)
	load := startStream(t, 6, p.URL("/"))
	load.More(t, 50)

	for i := range 3 {
		c.Set(n.app(t, i+1, i+1, i+2, i+3))
		await.Until(t, "the new pod is used", func() bool { return s[i+2].Hits() > 0 })
		await.Until(t, "the pod that ends gets no new sessions", func() bool {
			before := s[i].Hits()
			load.More(t, 20)
			return s[i].Hits() == before
		})
		c.Set(n.app(t, 0, i+2, i+3))
	}

	// The API server is away for a while, and comes back with a pod more.
	await.Until(t, "the newest list is known", func() bool { return sourcesOf(t, p)[0].Backends == 2 })
	at := c.server.Listener.Addr().String()
	c.stop()
	await.Until(t, "the page says that it is away", func() bool { return sourcesOf(t, p)[0].Error != "" })
	load.More(t, 50)
	if source := sourcesOf(t, p)[0]; source.Source != "k8s://app:http" || source.Backends != 2 || source.Age == nil {
		t.Errorf("while the API server is away the source is %+v", source)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	c.Set(n.app(t, 0, 1, 4))
	first := s[0].Hits()
	c.serveAt(t, l)
	await.Until(t, "what it says is used again", func() bool { return s[0].Hits() > first })
	await.Until(t, "the page says so", func() bool { return sourcesOf(t, p)[0].Error == "" })
	load.Stop(t)
}

// A session follows its pod to another address: the pod's name is what counts.
func TestSources_APodKeepsItsSessions(t *testing.T) {
	t.Parallel()
	c, n := newCluster(t), newNamedNetwork(t)
	n.StartBackends(t, 3)
	c.Set(n.app(t, 0, 1, 2))
	p := pillion.Start(t, append(c.environment, affine, "LB_BACKENDS=k8s://app")...)
	client := newClient(t)
	own := sessionOn(t, client, p.URL("/"), "host-2")

	moved := n.app(t, 0, 1, 3)
	moved.Pods[1].Name = "app-2"
	c.Set(moved)
	await.Until(t, "the session is at its pod's new address", func() bool {
		return get(t, client, p.URL("/"), "Cookie", own.Cookie()).Backend() == "host-3"
	})
}

func TestSources_ARefusalOfTheAPIServerHidesNoOther(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Forbid("list")
	s := backend.StartMany(t, 1)
	p := pillion.Start(t, append(c.environment, "LB_BACKENDS=k8s://app;"+list(s[0]))...)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
	await.Until(t, "the log names the cure", func() bool {
		found := warnings(p, "k8s://app")
		return len(found) == 1 && strings.Contains(found[0].String("error"), "needs a Role") &&
			strings.Contains(found[0].String("error"), "namespace shop")
	})
}

func TestSources_ABadNameOfAServiceIsRefusedByName(t *testing.T) {
	t.Parallel()
	for item, want := range map[string]string{
		"k8s://App": "is not the name of a Service", "k8s://app.shop.svc.cluster.local": "leave out",
		"k8s://app:http_1": "name of one", "k8s://app?weight=2": "not known",
	} {
		r := pillion.Run(t, []string{"LB_BACKENDS=" + item}, "check")
		if r.Code != 78 || linesWith(r, "LB_BACKENDS") == 0 || !strings.Contains(r.Output(), want) {
			t.Errorf("%s: exit code %d, it printed %q", item, r.Code, r.Output())
		}
	}
}
