package xds

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	aggregate "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-lb/pillion/discovery/xds"
)

// The program reads messages field by field. What it accepts must mean to it
// what it means to the generated types: whole messages, and messages with bytes
// that were changed.

const rounds = 20_000

// maker makes messages at random.
type maker struct{ *rand.Rand }

func (m maker) maybe() bool   { return m.IntN(2) == 0 }
func (m maker) word() string  { return []string{"", "a", "app", "outbound|80||x", "zone-é"}[m.IntN(5)] }
func (m maker) small() uint32 { return []uint32{0, 1, 2, 80, 65535, 65536, 1 << 31}[m.IntN(7)] }
func (m maker) many(f func()) {
	for range m.IntN(4) {
		f()
	}
}
func (m maker) some(of ...func()) { of[m.IntN(len(of))]() }
func (m maker) wrapped() *wrapperspb.UInt32Value {
	if m.maybe() {
		return nil
	}
	return wrapperspb.UInt32(m.small())
}

func (m maker) address() *core.Address {
	a := &core.Address{}
	m.some(
		func() {},
		func() { a.Address = &core.Address_Pipe{Pipe: &core.Pipe{Path: m.word()}} },
		func() {
			inner := &core.EnvoyInternalAddress{EndpointId: m.word()}
			a.Address = &core.Address_EnvoyInternalAddress{EnvoyInternalAddress: inner}
		},
		func() {
			s := &core.SocketAddress{Address: m.word(), Protocol: core.SocketAddress_Protocol(m.IntN(2)), Ipv4Compat: m.maybe()}
			m.some(func() { s.PortSpecifier = &core.SocketAddress_PortValue{PortValue: m.small()} },
				func() { s.PortSpecifier = &core.SocketAddress_NamedPort{NamedPort: m.word()} })
			a.Address = &core.Address_SocketAddress{SocketAddress: s}
		})

	return a
}

func (m maker) endpoint() *endpoint.LbEndpoint {
	e := &endpoint.LbEndpoint{HealthStatus: core.HealthStatus(m.IntN(7)), LoadBalancingWeight: m.wrapped()}
	m.some(
		func() { e.HostIdentifier = &endpoint.LbEndpoint_EndpointName{EndpointName: m.word()} },
		func() {
			inner := &endpoint.Endpoint{Hostname: m.word()}
			if m.maybe() {
				inner.Address = m.address()
			}
			m.many(func() {
				inner.AdditionalAddresses = append(inner.AdditionalAddresses,
					&endpoint.Endpoint_AdditionalAddress{Address: m.address()})
			})
			e.HostIdentifier = &endpoint.LbEndpoint_Endpoint{Endpoint: inner}
		})

	return e
}

func (m maker) assignment() *endpoint.ClusterLoadAssignment {
	a := &endpoint.ClusterLoadAssignment{ClusterName: m.word()}
	if m.maybe() {
		a.Policy = &endpoint.ClusterLoadAssignment_Policy{OverprovisioningFactor: m.wrapped()}
		m.many(func() {
			a.Policy.DropOverloads = append(a.Policy.DropOverloads,
				&endpoint.ClusterLoadAssignment_Policy_DropOverload{Category: m.word()})
		})
	}
	m.many(func() {
		l := &endpoint.LocalityLbEndpoints{LoadBalancingWeight: m.wrapped(), Priority: m.small()}
		if m.maybe() {
			l.Locality = &core.Locality{Region: m.word(), Zone: m.word(), SubZone: m.word()}
		}
		m.many(func() { l.LbEndpoints = append(l.LbEndpoints, m.endpoint()) })
		a.Endpoints = append(a.Endpoints, l)
	})

	return a
}

func (m maker) cluster() *cluster.Cluster {
	c := &cluster.Cluster{Name: m.word(), LbPolicy: cluster.Cluster_LbPolicy(m.IntN(4))}
	m.some(func() {},
		func() { c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_DiscoveryType(m.IntN(6))} },
		func() {
			custom := &cluster.Cluster_CustomClusterType{Name: m.word()}
			m.some(func() {}, func() { custom.TypedConfig = &anypb.Any{TypeUrl: m.word(), Value: []byte(m.word())} }, func() {
				settings := &aggregate.ClusterConfig{}
				m.many(func() { settings.Clusters = append(settings.Clusters, m.word()) })
				custom.Name = []string{xds.Aggregate, xds.Aggregate, m.word()}[m.IntN(3)]
				custom.TypedConfig, _ = anypb.New(settings)
			})
			c.ClusterDiscoveryType = &cluster.Cluster_ClusterType{ClusterType: custom}
		})
	m.some(func() {}, func() { c.LoadAssignment = m.assignment() }, func() {
		c.EdsClusterConfig = &cluster.Cluster_EdsClusterConfig{ServiceName: m.word(), EdsConfig: m.source()}
	})
	m.some(func() {}, func() { c.TransportSocket = &core.TransportSocket{Name: m.word()} }, func() {
		config, _ := anypb.New(&tls.UpstreamTlsContext{Sni: m.word()})
		c.TransportSocket = &core.TransportSocket{Name: m.word(),
			ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: config}}
	})
	if m.maybe() {
		c.CircuitBreakers, c.OutlierDetection = &cluster.CircuitBreakers{}, &cluster.OutlierDetection{}
	}

	return c
}

func (m maker) source() *core.ConfigSource {
	s := &core.ConfigSource{}
	m.some(func() {},
		func() { s.ConfigSourceSpecifier = &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}} },
		func() { s.ConfigSourceSpecifier = &core.ConfigSource_Self{Self: &core.SelfConfigSource{}} },
		func() {
			path := &core.PathConfigSource{Path: m.word()}
			s.ConfigSourceSpecifier = &core.ConfigSource_PathConfigSource{PathConfigSource: path}
		},
		func() {
			s.ConfigSourceSpecifier = &core.ConfigSource_ApiConfigSource{ApiConfigSource: &core.ApiConfigSource{}}
		})

	return s
}

// changed is a message with some bytes changed, put in or left out.
func (m maker) changed(b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + m.IntN(3) {
		i := m.IntN(len(b) + 1)
		switch m.IntN(3) {
		case 0:
			b = slices.Insert(b, i, byte(m.IntN(256)))
		case 1:
			b = append(b[:i:i], b[min(i+1, len(b)):]...)
		default:
			if i < len(b) {
				b[i] = byte(m.IntN(256))
			}
		}
	}

	return b
}

// compare reads whole and changed messages with both readers.
func compare(t *testing.T, make func(maker) proto.Message, fresh func() proto.Message, read func([]byte) (any, error),
	want func(proto.Message) any) {
	t.Helper()
	m := maker{rand.New(rand.NewPCG(1, 2))}
	both := 0
	for range rounds {
		message := make(m)
		b, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		for _, whole := range []bool{true, false} {
			if !whole {
				b = m.changed(b)
			}

			theirs := fresh()
			err, got, failed := proto.Unmarshal(b, theirs), any(nil), error(nil)
			if got, failed = read(b); failed != nil {
				if whole && !nameless(message) {
					t.Fatalf("%v\nis refused: %v", message, failed)
				}
				continue
			}
			if err != nil {
				continue // what is broken is not read
			}

			both++
			if expected := want(theirs); !reflect.DeepEqual(got, expected) {
				t.Fatalf("%v\nis read as %+v\n        not %+v", theirs, got, expected)
			}
		}
	}

	if both < rounds/2 {
		t.Errorf("only %d messages were accepted by both", both)
	}
}

func nameless(m proto.Message) bool {
	c, ok := m.(*cluster.Cluster)
	return ok && c.GetName() == ""
}

func TestDifferential_Assignments(t *testing.T) {
	t.Parallel()
	compare(t, func(m maker) proto.Message { return m.assignment() },
		func() proto.Message { return &endpoint.ClusterLoadAssignment{} },
		func(b []byte) (any, error) { return xds.ReadAssignment(b) },
		func(m proto.Message) any { return ofAssignment(m.(*endpoint.ClusterLoadAssignment)) })
}

func ofAssignment(from *endpoint.ClusterLoadAssignment) *xds.Assignment {
	a := &xds.Assignment{Name: from.GetClusterName()}
	ignored := map[string]bool{}
	if len(from.GetPolicy().GetDropOverloads()) > 0 {
		ignored["drop_overloads"] = true
	}

	for _, l := range from.GetEndpoints() {
		at := l.GetLocality()
		locality := xds.Locality{Region: at.GetRegion(), Zone: at.GetZone(), SubZone: at.GetSubZone(),
			Weight: ofWrapped(l.GetLoadBalancingWeight()), Priority: l.GetPriority()}
		if l.GetLbConfig() != nil {
			ignored["lb_config"] = true
		}
		for _, e := range l.GetLbEndpoints() {
			locality.Endpoints = append(locality.Endpoints, ofEndpoint(e))
		}
		a.Localities = append(a.Localities, locality)
	}
	for name := range ignored {
		a.Ignored = append(a.Ignored, name)
	}
	slices.Sort(a.Ignored)

	return a
}

func ofWrapped(w *wrapperspb.UInt32Value) *uint32 {
	if w == nil {
		return nil
	}
	return &w.Value
}

func ofEndpoint(from *endpoint.LbEndpoint) xds.Endpoint {
	e := xds.Endpoint{Health: xds.Health(from.GetHealthStatus()), Weight: ofWrapped(from.GetLoadBalancingWeight()),
		Hostname: from.GetEndpoint().GetHostname()}
	if _, named := from.GetHostIdentifier().(*endpoint.LbEndpoint_EndpointName); named {
		e.Addresses = append(e.Addresses, xds.Address{Other: "a reference by name"})
	}
	if address := from.GetEndpoint().GetAddress(); address != nil {
		e.Addresses = append(e.Addresses, ofAddress(address))
		for _, more := range from.GetEndpoint().GetAdditionalAddresses() {
			e.Addresses = append(e.Addresses, ofAddress(more.GetAddress()))
		}
	}

	return e
}

func ofAddress(a *core.Address) xds.Address {
	switch a.GetAddress().(type) {
	case *core.Address_Pipe:
		return xds.Address{Other: "a pipe"}
	case *core.Address_EnvoyInternalAddress:
		return xds.Address{Other: "an internal address of Envoy"}
	case nil:
		return xds.Address{Other: "an address without a place"}
	}

	s := a.GetSocketAddress()
	p := xds.Address{Host: s.GetAddress(), Port: s.GetPortValue()}
	if _, named := s.GetPortSpecifier().(*core.SocketAddress_NamedPort); named {
		p.Other = "an address with a named port"
	}
	if s.GetProtocol() != core.SocketAddress_TCP {
		p.Other = "a UDP address"
	}

	return p
}

func TestDifferential_Clusters(t *testing.T) {
	t.Parallel()
	compare(t, func(m maker) proto.Message { return m.cluster() }, func() proto.Message { return &cluster.Cluster{} },
		func(b []byte) (any, error) {
			c, err := xds.ReadCluster(b)
			if err != nil {
				return nil, err
			}
			var inline endpoint.ClusterLoadAssignment
			if err := proto.Unmarshal(c.Inline, &inline); err != nil {
				return nil, err
			}
			return fmt.Sprintf("%+v", withInline(*c, &inline)), nil
		},
		func(m proto.Message) any {
			from := m.(*cluster.Cluster)
			inline := from.GetLoadAssignment()
			if inline == nil {
				inline = &endpoint.ClusterLoadAssignment{}
			}
			return fmt.Sprintf("%+v", withInline(ofCluster(from), inline))
		})
}

// withInline is a cluster whose endpoints are written in one way.
func withInline(c xds.Cluster, inline *endpoint.ClusterLoadAssignment) xds.Cluster {
	c.Inline, _ = proto.MarshalOptions{Deterministic: true}.Marshal(inline)
	return c
}

func ofCluster(from *cluster.Cluster) xds.Cluster {
	c := xds.Cluster{Name: from.GetName(), Type: int32(from.GetType()),
		Endpoints: cmp.Or(from.GetEdsClusterConfig().GetServiceName(), from.GetName())}
	if custom := from.GetClusterType(); custom != nil {
		c.Custom = cmp.Or(custom.GetName(), "?")
		settings := &aggregate.ClusterConfig{}
		if c.Custom == xds.Aggregate && custom.GetTypedConfig().UnmarshalTo(settings) == nil {
			c.Clusters = settings.GetClusters()
		}
	}
	switch from.GetEdsClusterConfig().GetEdsConfig().GetConfigSourceSpecifier().(type) {
	case *core.ConfigSource_Ads, *core.ConfigSource_Self:
		c.OnStream = true
	}
	if socket := from.GetTransportSocket(); socket != nil {
		c.Socket = socket.GetName()
		if url := socket.GetTypedConfig().GetTypeUrl(); url != "" {
			c.Socket = url[strings.LastIndexByte(url, '.')+1:]
		} else if c.Socket == "envoy.transport_sockets.tls" {
			c.Socket = xds.TLS
		}
	}
	for name, given := range map[string]bool{
		"circuit_breakers": from.CircuitBreakers != nil, "outlier_detection": from.OutlierDetection != nil,
		"health_checks":    len(from.GetHealthChecks()) > 0,
		"lb_subset_config": from.LbSubsetConfig != nil, "filters": len(from.GetFilters()) > 0,
		"transport_socket_matches": len(from.GetTransportSocketMatches()) > 0,
		"transport_socket_matcher": from.TransportSocketMatcher != nil,
	} {
		if given {
			c.Ignored = append(c.Ignored, name)
		}
	}
	slices.Sort(c.Ignored)

	return c
}

func TestDifferential_Responses(t *testing.T) {
	t.Parallel()
	compare(t, func(m maker) proto.Message {
		r := &discovery.DiscoveryResponse{VersionInfo: m.word(), Nonce: m.word(), TypeUrl: "a" + m.word(), Canary: m.maybe()}
		m.many(func() {
			r.Resources = append(r.Resources, &anypb.Any{TypeUrl: m.word(), Value: []byte(m.word())})
		})
		return r
	}, func() proto.Message { return &discovery.DiscoveryResponse{} },
		func(b []byte) (any, error) {
			r, err := xds.ReadResponse(b)
			return fmt.Sprintf("%+v", r), err
		},
		func(m proto.Message) any {
			from := m.(*discovery.DiscoveryResponse)
			r := xds.Response{Version: from.GetVersionInfo(), Type: from.GetTypeUrl(), Nonce: from.GetNonce()}
			for _, any := range from.GetResources() {
				r.Resources = append(r.Resources, xds.Resource{Type: any.GetTypeUrl(), Value: any.GetValue()})
			}
			return fmt.Sprintf("%+v", r)
		})
}

func TestDifferential_AnEnvelopeIsOpened(t *testing.T) {
	t.Parallel()
	inner, err := anypb.New(eds("app"))
	if err != nil {
		t.Fatal(err)
	}
	outer, err := anypb.New(&discovery.Resource{Name: "app", Resource: inner})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*anypb.Any{inner, outer} {
		b, err := xds.Resource{Type: a.GetTypeUrl(), Value: a.GetValue()}.As(xds.ClusterType)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := xds.ReadCluster(b); err != nil || c.Name != "app" || !c.OnStream || c.Type != xds.EDS {
			t.Errorf("%v, %+v", err, c)
		}
	}
	if _, err := (xds.Resource{Type: outer.GetTypeUrl(), Value: outer.GetValue()}).As(xds.AssignmentType); err == nil {
		t.Error("a cluster is taken for endpoints")
	}
}

func TestDifferential_RequestsAreWrittenAsTheTypesReadThem(t *testing.T) {
	t.Parallel()
	metadata := map[string]any{"text": "é", "number": 1.5, "yes": true, "nothing": nil,
		"list": []any{"a", 2.0, map[string]any{"b": false}}}
	ours := &xds.Request{
		Version: "v1", Names: []string{"a", "", "outbound|80||b"}, Type: xds.ClusterType, Nonce: "n", Error: "it is bad",
		Node: &xds.Node{ID: "id", Cluster: "c", Region: "r", Zone: "z", SubZone: "s", Metadata: metadata, Agent: "pillion",
			Version: "1", Features: []string{"f", "g"}},
	}
	var got discovery.DiscoveryRequest
	if err := proto.Unmarshal(ours.Marshal(), &got); err != nil {
		t.Fatal(err)
	}
	expected, err := structpb.NewStruct(metadata)
	if err != nil {
		t.Fatal(err)
	}
	node := got.GetNode()
	if got.GetVersionInfo() != "v1" || !slices.Equal(got.GetResourceNames(), ours.Names) ||
		got.GetTypeUrl() != xds.ClusterType || got.GetResponseNonce() != "n" ||
		got.GetErrorDetail().GetMessage() != "it is bad" || got.GetErrorDetail().GetCode() != 3 {
		t.Errorf("the request is %v", &got)
	}
	if node.GetId() != "id" || node.GetCluster() != "c" || !proto.Equal(node.GetMetadata(), expected) ||
		node.GetUserAgentName() != "pillion" || node.GetUserAgentVersion() != "1" ||
		!slices.Equal(node.GetClientFeatures(), []string{"f", "g"}) ||
		!proto.Equal(node.GetLocality(), &core.Locality{Region: "r", Zone: "z", SubZone: "s"}) {
		t.Errorf("the node is %v", node)
	}
	if len(got.ProtoReflect().GetUnknown())+len(node.ProtoReflect().GetUnknown()) > 0 {
		t.Errorf("%v has fields that nobody knows", &got)
	}
}
