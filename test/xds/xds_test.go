package xds

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

func TestXDS_ChangesAreInTheTrafficAtOnceAndFailNoRequest(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, true), backend.StartMany(t, 4)
	plane.show(t, locality(of(t, s[0]), of(t, s[1])))
	p := start(t, plane.target("app"))
	l := startLoad(t, p)
	l.more(t, 50)

	var took []time.Duration
	for i := range 8 {
		next := s[(i+2)%4]
		plane.show(t, locality(of(t, s[(i+1)%4]), of(t, next)))
		took = append(took, hit(t, next))
		l.idle(t, s[i%4])
	}

	l.end(t)
	slices.Sort(took)
	t.Logf("a new endpoint's first request came after %s to %s, at the median %s", took[0], took[7], took[4])
	if took[4] > 2*time.Second {
		t.Errorf("a change took %s", took[4])
	}
}

func TestXDS_ABadUpdateIsRefusedAndTheGoodOneKept(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, true), backend.StartMany(t, 2)
	plane.show(t, locality(of(t, s[0])))
	p := start(t, plane.target("app"))
	l := startLoad(t, p)
	l.more(t, 20)

	bad := of(t, s[1])
	bad.LoadBalancingWeight = wrapperspb.UInt32(0)
	plane.show(t, locality(of(t, s[0]), bad))
	await.Until(t, "the update is refused", func() bool { return len(plane.refusals()) > 0 })
	refusal := plane.refusals()[0]
	if refusal.GetVersionInfo() != "1" || !strings.Contains(refusal.GetErrorDetail().GetMessage(),
		"weight of "+s[1].Address+" is 0") {
		t.Errorf("the refusal is %v", refusal)
	}
	await.Until(t, "the page says why", func() bool { return strings.Contains(sourceOf(t, p).Error, "is 0") })
	await.Until(t, "it is refused again, after a pause", func() bool { return len(plane.refusals()) == 3 })
	if state := sourceOf(t, p); state.Backends != 1 || state.Age == nil || s[1].Hits() > 0 {
		t.Errorf("the source is %+v", state)
	}

	// A hot loop would have refused thousands of times by now. The good update
	// is seen after the next pause.
	plane.show(t, locality(of(t, s[0]), of(t, s[1])))
	hit(t, s[1])
	if n := len(plane.refusals()); n > 8 {
		t.Errorf("refused %d times", n)
	}
	await.Until(t, "the page says that all is well", func() bool { return sourceOf(t, p).Error == "" })
	l.end(t)
}

func TestXDS_AServerThatIsKilledIsFoundAgain(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, true), backend.StartMany(t, 2)
	plane.show(t, locality(of(t, s[0])))
	p := start(t, plane.target("app"))
	l := startLoad(t, p)
	l.more(t, 20)

	plane.stop()
	await.Until(t, "the page says that it is away", func() bool { return sourceOf(t, p).Error != "" })
	l.more(t, 50)
	if state := sourceOf(t, p); state.Backends != 1 || state.Age == nil || !strings.HasPrefix(state.Source, "xds://app") {
		t.Errorf("the source is %+v", state)
	}

	listener, err := net.Listen("tcp", plane.address)
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	plane.show(t, locality(of(t, s[1])))
	plane.serve(t, listener)
	hit(t, s[1])
	await.Until(t, "the page says that it is back", func() bool { return sourceOf(t, p).Error == "" })
	l.end(t)
}

// An aggregate cluster is a list of clusters, the first of which has the
// requests as long as it can take them.
func TestXDS_TheClustersOfAnAggregateAreForFailover(t *testing.T) {
	t.Parallel()
	for name, all := range map[string]bool{"asked by name": false, "asked for all": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plane, s := startPlane(t, all), backend.StartMany(t, 3)
			dns := &cluster.Cluster{Name: "dns", ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_LOGICAL_DNS},
				LoadAssignment: assignment("dns", locality(of(t, s[2])))}
			show := func(parts ...string) {
				plane.set(t, []types.Resource{madeOf(t, "app", parts...), eds("a"), eds("b"), dns},
					assignment("a", locality(of(t, s[0]))), assignment("b", locality(of(t, s[1]))))
			}
			show("a", "dns")
			p := start(t, plane.target("app"))
			await.Until(t, "all endpoints are known", func() bool { return sourceOf(t, p).Backends == 2 })
			l := startLoad(t, p)
			l.more(t, 50)
			if s[1].Hits()+s[2].Hits() > 0 {
				t.Error("a cluster that is for failover is used")
			}

			show("b", "a", "dns") // another first one
			hit(t, s[1])
			l.idle(t, s[0])
			l.end(t)
			s[1].Close()
			l = startLoad(t, p)
			hit(t, s[0])
			l.end(t)

			// One that names a cluster in a circle changes nothing.
			show("b", "app")
			await.Until(t, "the update is refused", func() bool { return len(plane.refusals()) > 0 })
			if state := sourceOf(t, p); state.Backends != 3 || !strings.Contains(state.Error, "a part of itself") {
				t.Errorf("the source is %+v", state)
			}
		})
	}
}

func TestXDS_AThousandEndpoints(t *testing.T) {
	t.Parallel()
	plane := startPlane(t, true)
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := backend.StartAt(t, "all", listener, nil)
	_, port, _ := net.SplitHostPort(s.Address)
	many := func(n int) *endpoint.LocalityLbEndpoints {
		var all []*endpoint.LbEndpoint
		for i := range n {
			all = append(all, at(t, net.JoinHostPort(fmt.Sprintf("127.200.%d.%d", i/250, i%250+1), port)))
		}
		return locality(all...)
	}

	plane.show(t, many(1000))
	p := start(t, plane.target("app"))
	l := startLoad(t, p)
	await.Until(t, "all are known", func() bool { return sourceOf(t, p).Backends == 1000 })
	l.more(t, 100)
	for _, n := range []int{999, 500, 1000} {
		plane.show(t, many(n))
		await.Until(t, "the change is known", func() bool { return sourceOf(t, p).Backends == n })
	}
	l.end(t)
}

// The cluster comes, and its endpoints do not, until later.
func TestXDS_HalfASnapshotWaitsForItsOtherHalf(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, true), backend.StartMany(t, 2)
	plane.set(t, []types.Resource{eds("app")})
	p := start(t, plane.target("app")+";http://"+s[0].Address)
	await.Until(t, "it says what is missing", func() bool {
		return strings.Contains(sourceOf(t, p).Error,
			"names no endpoints app")
	})
	plane.show(t, locality(of(t, s[1])))
	l := startLoad(t, p)
	hit(t, s[1])

	// The cluster is renamed, without endpoints of the new name: the old ones
	// stay.
	renamed := eds("app")
	renamed.EdsClusterConfig.ServiceName = "other"
	plane.set(t, []types.Resource{renamed})
	await.Until(t, "it says what is missing", func() bool {
		return strings.Contains(sourceOf(t, p).Error,
			"names no endpoints other")
	})
	hit(t, s[1])
	plane.set(t, []types.Resource{renamed}, assignment("other", locality(of(t, s[0]))))
	l.idle(t, s[1])
	l.end(t)
}

// A server with the snapshots of ADS says nothing to one who asks for one
// cluster of several.
func TestXDS_SilenceOfADSIsNoEnd(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, true), backend.StartMany(t, 2)
	clusters := []types.Resource{eds("app"), eds("other")}
	plane.set(t, clusters, assignment("app", locality(of(t, s[0]))), assignment("other", locality(at(t, "127.0.0.1:1"))))
	p := start(t, plane.target("app"))
	await.Until(t, "the endpoint is known", func() bool { return sourceOf(t, p).Backends == 1 })
	l := startLoad(t, p)
	plane.set(t, clusters, assignment("app", locality(of(t, s[1]))), assignment("other", locality(at(t, "127.0.0.1:1"))))
	hit(t, s[1])
	plane.set(t, append(clusters, eds("third")), assignment("app", locality(of(t, s[0]))),
		assignment("other", locality(at(t, "127.0.0.1:1"))),
		assignment("third", locality(at(t, "127.0.0.1:1"))))
	hit(t, s[0])
	l.end(t)
}

func TestXDS_ACacheWithoutADSNeedsNoSilence(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, false), backend.StartMany(t, 2)
	clusters := []types.Resource{eds("app"), eds("other")}
	plane.set(t, clusters, assignment("app", locality(of(t, s[0]))), assignment("other", locality(at(t, "127.0.0.1:1"))))
	p := start(t, plane.target("app"))
	l := startLoad(t, p)
	hit(t, s[0])

	// A cluster that is gone keeps its endpoints.
	plane.set(t, []types.Resource{eds("other")}, assignment("other", locality(at(t, "127.0.0.1:1"))))
	await.Until(t, "the page says so", func() bool { return strings.Contains(sourceOf(t, p).Error, "has no cluster app") })
	hit(t, s[0])
	plane.set(t, clusters, assignment("app", locality(of(t, s[1]))), assignment("other", locality(at(t, "127.0.0.1:1"))))
	hit(t, s[1])
	l.end(t)
}

func TestXDS_HealthDrainingAndPrioritiesCount(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, true), backend.StartMany(t, 4)
	second := locality(of(t, s[3]))
	second.Priority = 1
	plane.show(t, locality(of(t, s[0]), being(of(t, s[1]), core.HealthStatus_UNHEALTHY),
		being(of(t, s[2]), core.HealthStatus_HEALTHY)), second)
	p := start(t, plane.target("app"), "LB_SESSION_AFFINITY=cookie", "LB_RETRIES=3")
	l := startLoad(t, p)
	hit(t, s[0])
	hit(t, s[2])
	session := sessionOn(t, p, s[2].Name)

	// What drains keeps its sessions and gets no others.
	plane.show(t, locality(of(t, s[0]), being(of(t, s[2]), core.HealthStatus_DRAINING)), second)
	l.idle(t, s[2])
	if got := ask(t, p, session); got != s[2].Name {
		t.Errorf("the session is at %s", got)
	}
	if s[1].Hits()+s[3].Hits() > 0 {
		t.Errorf("an unhealthy endpoint has %d requests, one of a lower priority %d", s[1].Hits(), s[3].Hits())
	}

	l.end(t)

	// Nothing of the first priority can be reached.
	plane.show(t, locality(at(t, backend.Closed(t))), second)
	await.Until(t, "the second priority is used", func() bool { return ask(t, p, nil) == s[3].Name })
}

// ask asks with a session, and returns who answered.
func ask(t *testing.T, p *binary.Process, session *http.Cookie) string {
	t.Helper()
	name, _ := exchange(t, p, session)
	return name
}

func exchange(t *testing.T, p *binary.Process, session *http.Cookie) (string, []*http.Cookie) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL("/"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if session != nil {
		r.AddCookie(session)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()

	return resp.Header.Get(backend.NameField), resp.Cookies()
}

// sessionOn is a session at a backend.
func sessionOn(t *testing.T, p *binary.Process, name string) (session *http.Cookie) {
	t.Helper()
	await.Until(t, "a session is at "+name, func() bool {
		at, cookies := exchange(t, p, nil)
		if at == name && len(cookies) == 1 {
			session = cookies[0]
		}
		return session != nil
	})

	return session
}

func TestXDS_WeightsOfEndpointsAndLocalitiesCount(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, true), backend.StartMany(t, 4)
	near, far, off := locality(weighing(of(t, s[0]), 1), weighing(of(t, s[1]), 3)), locality(of(t, s[2])),
		locality(of(t, s[3]))
	near.LoadBalancingWeight, far.LoadBalancingWeight, off.LoadBalancingWeight = wrapperspb.UInt32(4),
		wrapperspb.UInt32(4), wrapperspb.UInt32(0)
	far.Locality, off.Locality = &core.Locality{Zone: "far"}, &core.Locality{Zone: "off"}
	plane.show(t, near, far, off)
	p := start(t, plane.target("app"), "LB_POLICY=round_robin")
	for range 80 {
		ask(t, p, nil)
	}
	if got := [4]int{s[0].Hits(), s[1].Hits(), s[2].Hits(), s[3].Hits()}; got != [4]int{10, 30, 40, 0} {
		t.Errorf("the requests were at %v", got)
	}
}

func TestXDS_OtherKindsOfClustersHoldTheirEndpoints(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, true), backend.StartMany(t, 1)
	_, port, _ := net.SplitHostPort(s[0].Address)
	for kind, address := range map[cluster.Cluster_DiscoveryType]string{
		cluster.Cluster_STATIC: s[0].Address, cluster.Cluster_STRICT_DNS: "localhost:" + port,
		cluster.Cluster_LOGICAL_DNS: "localhost:" + port,
	} {
		c := eds("app")
		c.ClusterDiscoveryType, c.EdsClusterConfig = &cluster.Cluster_Type{Type: kind}, nil
		c.LoadAssignment = assignment("app", locality(at(t, address)))
		plane.set(t, []types.Resource{c})
		p := start(t, plane.target("app"))
		await.Until(t, "it answers", func() bool { return ask(t, p, nil) == s[0].Name })
		if state := sourceOf(t, p); state.Backends != 1 || state.Error != "" {
			t.Errorf("%s: the source is %+v", kind, state)
		}
	}
}

func TestXDS_WhatIsNotSupportedIsSaid(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, true), backend.StartMany(t, 1)
	c := eds("app")
	c.CircuitBreakers = &cluster.CircuitBreakers{}
	pipe := &endpoint.LbEndpoint{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
		Address: &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: "/run/app"}}}}}}
	plane.set(t, []types.Resource{c}, assignment("app", locality(of(t, s[0]), pipe)))
	p := start(t, plane.target("app"))
	want := func(message, part string) {
		t.Helper()
		p.Line(message, func(l binary.Line) bool {
			return l.String("message") == message && strings.Contains(fmt.Sprint(l.Fields), part)
		})
	}
	want("discovery ignores part of a cluster", "circuit_breakers")
	want("discovery refused part of an answer", "a pipe is not supported")

	// A cluster whose endpoints want TLS is not spoken to in clear text.
	c = eds("app")
	c.TransportSocket = &core.TransportSocket{Name: "envoy.transport_sockets.tls"}
	plane.set(t, []types.Resource{c}, assignment("app", locality(of(t, s[0]))))
	await.Until(t, "the page says what to write", func() bool {
		return strings.Contains(sourceOf(t, p).Error,
			"protocol=https")
	})
}

// The bootstrap file says where the server is, whom to trust, and who asks.
func TestXDS_TheBootstrapFileOfGRPCIsRead(t *testing.T) {
	t.Parallel()
	authority, dir := backend.NewAuthority(t), t.TempDir()
	certificate, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pair := authority.Write(t, certificate, key)
	plane, s := startPlane(t, true, grpc.Creds(credentials.NewTLS(mutual(t, authority, pair)))), backend.StartMany(t, 1)
	plane.show(t, locality(of(t, s[0])))
	text := fmt.Sprintf(`{"xds_servers": [
		{"server_uri": "127.0.0.1:1", "channel_creds": [{"type": "insecure"}]},
		{"server_uri": %q, "channel_creds": [{"type": "google_default"}, {"type": "tls", "config": {
			"ca_certificate_file": %q, "certificate_file": %q, "private_key_file": %q}}]}],
		"node": {"id": %q, "metadata": {"GENERATOR": "grpc", "list": [1, true, null]},
			"locality": {"zone": "z-1"}}}`, plane.address, authority.File, certificate, key, node)
	file := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, variable := range []string{"GRPC_XDS_BOOTSTRAP=" + file, "GRPC_XDS_BOOTSTRAP_CONFIG=" + text} {
		p := start(t, "xds://app", variable)
		await.Until(t, "the second server answers", func() bool { return sourceOf(t, p).Backends == 1 })
		if got := ask(t, p, nil); got != s[0].Name {
			t.Errorf("%s answered", got)
		}
	}

	plane.mu.Lock()
	defer plane.mu.Unlock()
	first := plane.requests[0].GetNode()
	if first.GetMetadata().GetFields()["GENERATOR"].GetStringValue() != "grpc" ||
		first.GetLocality().GetZone() != "z-1" || first.GetUserAgentName() != "pillion" {
		t.Errorf("the node is %v", first)
	}
}

// mutual is TLS between two that have certificates of the authority.
func mutual(t *testing.T, authority *backend.Authority, pair tls.Certificate) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(authority.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)

	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}
}

func TestXDS_WhatCannotBeMeantIsRefusedByName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ env, variable, want string }{
		{"LB_BACKENDS=xds://app", "LB_BACKENDS",
			"names no server, and neither GRPC_XDS_BOOTSTRAP nor GRPC_XDS_BOOTSTRAP_CONFIG is set"},
		{"LB_BACKENDS=xds:///app", "LB_BACKENDS", "write xds://app"},
		{"LB_BACKENDS=xds://?server=a:1", "LB_BACKENDS", "names no cluster"},
		{"LB_BACKENDS=xds://app?server=a", "LB_BACKENDS", "no port"},
		{"LB_BACKENDS=xds://app?tls=true", "LB_BACKENDS", "belong to a server"},
		{"LB_BACKENDS=xds://app?server=a:1&tls=on", "LB_BACKENDS", "neither"},
		{"LB_BACKENDS=istio://app", "LB_BACKENDS", "xds://CLUSTER?server=HOST:PORT"},
		{"LB_BACKENDS=xds://app GRPC_XDS_BOOTSTRAP=/nowhere", "GRPC_XDS_BOOTSTRAP", "does not exist"},
		{"LB_BACKENDS=xds://app GRPC_XDS_BOOTSTRAP_CONFIG={", "GRPC_XDS_BOOTSTRAP_CONFIG", "no JSON"},
		{`LB_BACKENDS=xds://app GRPC_XDS_BOOTSTRAP_CONFIG={"xds_servers":[]}`, "GRPC_XDS_BOOTSTRAP_CONFIG",
			"names no server"},
		{`LB_BACKENDS=xds://app GRPC_XDS_BOOTSTRAP_CONFIG={"xds_servers":[{"server_uri":"a:1",` +
			`"channel_creds":[{"type":"google_default"}]}]}`,
			"GRPC_XDS_BOOTSTRAP_CONFIG", "neither the type insecure nor tls"},
	} {
		r := pillion.Run(t, strings.Split(c.env, " "), "check")
		if r.Code != 78 || !strings.Contains(r.Output(), c.variable) || !strings.Contains(r.Output(), c.want) {
			t.Errorf("%s: exit code %d, it printed %q", c.env, r.Code, r.Output())
		}
	}

	for _, env := range []string{"LB_BACKENDS=http://127.0.0.1:1 GRPC_XDS_BOOTSTRAP=/nowhere",
		"LB_BACKENDS=xds://outbound|80||app.shop.svc.cluster.local?server=istiod:15010&node=sidecar~10.0.0.1~a.b~b"} {
		if r := pillion.Run(t, strings.Split(env, " "), "check"); r.Code != 0 {
			t.Errorf("%s: exit code %d, it printed %q", env, r.Code, r.Output())
		}
	}
}

func TestXDS_CheckResolveShowsTheEndpoints(t *testing.T) {
	t.Parallel()
	plane, s := startPlane(t, true), backend.StartMany(t, 2)
	plane.show(t, locality(of(t, s[0]), weighing(of(t, s[1]), 7)))
	r := pillion.Run(t, []string{"LB_BACKENDS=" + plane.target("app")}, "check", "--resolve")
	if r.Code != 0 || !strings.Contains(r.Output(), s[0].Address) ||
		!strings.Contains(r.Output(), s[1].Address+"  weight 7") {
		t.Errorf("exit code %d, it printed %q", r.Code, r.Output())
	}
}
