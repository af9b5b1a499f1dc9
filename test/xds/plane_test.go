package xds

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	aggregate "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	server "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// node is who the program says it is.
const node = "lb-1"

// plane is a control plane with one snapshot. It can be stopped and started
// again at its address.
type plane struct {
	cache   cache.SnapshotCache
	address string
	options []grpc.ServerOption

	grpc   *grpc.Server
	cancel context.CancelFunc

	mu       sync.Mutex
	version  int
	requests []*discovery.DiscoveryRequest
}

// startPlane starts a control plane. With ads it answers only those who ask for
// all that the snapshot has.
func startPlane(t *testing.T, ads bool, options ...grpc.ServerOption) *plane {
	t.Helper()
	p := &plane{cache: cache.NewSnapshotCache(ads, cache.IDHash{}, nil), options: options}
	p.serve(t, backend.Listen(t))
	t.Cleanup(p.stop)

	return p
}

func (p *plane) serve(t *testing.T, l net.Listener) {
	t.Helper()
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	p.address = l.Addr().String()
	p.grpc = grpc.NewServer(p.options...)
	discovery.RegisterAggregatedDiscoveryServiceServer(p.grpc, server.NewServer(ctx, p.cache, server.CallbackFuncs{
		StreamRequestFunc: func(_ int64, r *discovery.DiscoveryRequest) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.requests = append(p.requests, r)
			return nil
		},
	}))

	of := p.grpc
	go func() { _ = of.Serve(l) }()
}

// stop ends the server as a kill does: streams break.
func (p *plane) stop() {
	p.cancel()
	p.grpc.Stop()
}

// refusals are the requests that refuse a response.
func (p *plane) refusals() (all []*discovery.DiscoveryRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if r.GetErrorDetail() != nil {
			all = append(all, r)
		}
	}

	return all
}

// set makes a snapshot of resources the newest one. It does not check whether
// they fit together.
func (p *plane) set(t *testing.T, clusters []types.Resource, endpoints ...types.Resource) {
	t.Helper()
	p.version++
	snapshot, err := cache.NewSnapshot(strconv.Itoa(p.version), map[resource.Type][]types.Resource{
		resource.ClusterType: clusters, resource.EndpointType: endpoints,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cache.SetSnapshot(t.Context(), node, snapshot); err != nil {
		t.Fatal(err)
	}
}

// show is set for one cluster with some endpoints.
func (p *plane) show(t *testing.T, localities ...*endpoint.LocalityLbEndpoints) {
	t.Helper()
	p.set(t, []types.Resource{eds("app")}, assignment("app", localities...))
}

// target is an item for a cluster.
func (p *plane) target(name string, keys ...string) string {
	return "xds://" + name + "?server=" + p.address + "&node=" + node + strings.Join(append([]string{""}, keys...), "&")
}

// eds is a cluster whose endpoints come by ADS.
func eds(name string) *cluster.Cluster {
	return &cluster.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{EdsConfig: &core.ConfigSource{
			ResourceApiVersion:    core.ApiVersion_V3,
			ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
		}},
	}
}

// madeOf is an aggregate cluster.
func madeOf(t *testing.T, name string, parts ...string) *cluster.Cluster {
	t.Helper()
	config, err := anypb.New(&aggregate.ClusterConfig{Clusters: parts})
	if err != nil {
		t.Fatal(err)
	}

	return &cluster.Cluster{Name: name, ClusterDiscoveryType: &cluster.Cluster_ClusterType{
		ClusterType: &cluster.Cluster_CustomClusterType{Name: "envoy.clusters.aggregate", TypedConfig: config}}}
}

func assignment(name string, localities ...*endpoint.LocalityLbEndpoints) *endpoint.ClusterLoadAssignment {
	return &endpoint.ClusterLoadAssignment{ClusterName: name, Endpoints: localities}
}

func locality(endpoints ...*endpoint.LbEndpoint) *endpoint.LocalityLbEndpoints {
	return &endpoint.LocalityLbEndpoints{Locality: &core.Locality{Region: "r", Zone: "z"}, LbEndpoints: endpoints}
}

// at is an endpoint at host:port.
func at(t *testing.T, address string) *endpoint.LbEndpoint {
	t.Helper()
	e, err := endpointAt(address)
	if err != nil {
		t.Fatal(err)
	}

	return e
}

func endpointAt(address string) (*endpoint.LbEndpoint, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, err
	}

	return &endpoint.LbEndpoint{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
		Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
			Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(port)},
		}}},
	}}}, nil
}

// of is an endpoint at a backend.
func of(t *testing.T, s *backend.Server) *endpoint.LbEndpoint { return at(t, s.Address) }

func weighing(e *endpoint.LbEndpoint, weight uint32) *endpoint.LbEndpoint {
	e.LoadBalancingWeight = wrapperspb.UInt32(weight)
	return e
}

func being(e *endpoint.LbEndpoint, status core.HealthStatus) *endpoint.LbEndpoint {
	e.HealthStatus = status
	return e
}
