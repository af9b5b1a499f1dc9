package discovery

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/xds"
)

func TestXDS_ItemsOfClustersAreRead(t *testing.T) {
	t.Parallel()
	const istio = "xds://outbound|80||app.shop.svc.cluster.local?server=istiod.istio-system:15012&tls=true" +
		"&node=sidecar~10.0.0.1~a.b~b.svc&protocol=h2c&host=app.shop"
	targets, problems := Parse([]string{istio, "xds://httproute/shop/app/rule/0"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	first := targets[0]
	if first.Service != "outbound|80||app.shop.svc.cluster.local" || first.Server != "istiod.istio-system:15012" ||
		!first.Secure ||
		first.Node != "sidecar~10.0.0.1~a.b~b.svc" || first.Template.Protocol != config.H2C ||
		first.Template.SetHost != "app.shop" || first.needsBootstrap() {
		t.Errorf("got %+v", first)
	}
	if targets[1].Service != "httproute/shop/app/rule/0" || !targets[1].needsBootstrap() {
		t.Errorf("got %+v", targets[1])
	}

	for item, want := range map[string]string{
		"xds://app?server=169.254.169.254:80": "link-local",
		"xdstp://authority/app":               "xds://CLUSTER",
		"XDS://app":                           "lower case",
		"xds://app?sever=a:1":                 `"sever" is not known`,
		"a:1|b:2":                             "separated by ';'",
	} {
		_, problems := grammar{variable: "LB_BACKENDS", nested: true}.parse([]string{item})
		if len(problems) != 1 || !strings.Contains(problems[0].Reason, want) {
			t.Errorf("%s: %v", item, problems)
		}
	}
}

// places writes endpoints as host:port, with "/health" and "*weight" behind it.
func places(priority uint32, weight int, all ...string) xds.Locality {
	l := xds.Locality{Zone: "z", Priority: priority}
	if weight >= 0 {
		l.Weight = number32(weight)
	}
	for _, s := range all {
		s, weight, weighted := strings.Cut(s, "*")
		s, health, _ := strings.Cut(s, "/")
		at := netip.MustParseAddrPort(s)
		e := xds.Endpoint{Addresses: []xds.Address{{Host: at.Addr().String(), Port: uint32(at.Port())}}}
		if weighted {
			n, _ := number(weight, 1<<30)
			e.Weight = number32(n)
		}
		e.Health = map[string]xds.Health{"": xds.Unknown, "healthy": xds.Healthy, "unhealthy": xds.Unhealthy,
			"draining": xds.Draining, "degraded": xds.Degraded}[health]
		l.Endpoints = append(l.Endpoints, e)
	}

	return l
}

func number32(n int) *uint32 {
	u := uint32(n)
	return &u
}

func TestXDS_EndpointsBecomeBackends(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		localities []xds.Locality
		want       string // address*weight+priority
		refused    string
	}{
		{"no weights", []xds.Locality{places(0, -1, "10.0.0.1:80", "10.0.0.2:80/healthy")}, "10.0.0.1:80*1 10.0.0.2:80*1",
			""},
		{"weights of endpoints", []xds.Locality{places(0, -1, "10.0.0.1:80*3", "[fd00::1]:80")},
			"10.0.0.1:80*3 [fd00::1]:80*1", ""},
		{"what drains", []xds.Locality{places(0, -1, "10.0.0.1:80*3", "10.0.0.2:80/draining", "10.0.0.3:80/unhealthy",
			"10.0.0.4:80/degraded")}, "10.0.0.1:80*3 10.0.0.2:80*0", ""},
		{"nothing healthy", []xds.Locality{places(0, -1, "10.0.0.2:80/draining", "10.0.0.3:80/unhealthy")},
			"10.0.0.2:80*1 10.0.0.3:80*1", "calls no endpoint healthy"},
		{"priorities", []xds.Locality{places(0, -1, "10.0.0.1:80"), places(1, -1, "10.0.0.2:80*5")},
			"10.0.0.1:80*1 10.0.0.2:80*5+1", ""},
		{"localities with weights", []xds.Locality{places(0, 1, "10.0.0.1:80", "10.0.0.2:80"), places(0, 1, "10.0.0.3:80")},
			"10.0.0.1:80*5000 10.0.0.2:80*5000 10.0.0.3:80*10000", ""},
		{"weights as Istio gives them", []xds.Locality{places(0, 4, "10.0.0.1:80*1", "10.0.0.2:80*3"),
			places(0, 2, "10.0.0.3:80*2")}, "10.0.0.1:80*1 10.0.0.2:80*3 10.0.0.3:80*2", ""},
		{"a locality of the weight 0", []xds.Locality{places(0, 0, "10.0.0.1:80"), places(0, 5, "10.0.0.2:80")},
			"10.0.0.2:80*5", ""},
		{"a locality without a weight", []xds.Locality{places(0, -1, "10.0.0.1:80"), places(0, 5, "10.0.0.2:80")},
			"10.0.0.2:80*5", `"z" has no weight`},
		{"weights of another priority", []xds.Locality{places(0, -1, "10.0.0.1:80"), places(1, 5, "10.0.0.2:80")},
			"10.0.0.1:80*1 10.0.0.2:80*5+1", ""},
		{"large weights", []xds.Locality{places(0, -1, "10.0.0.1:80*4000000", "10.0.0.2:80*1000000", "10.0.0.3:80*1")},
			"10.0.0.1:80*10000 10.0.0.2:80*2500 10.0.0.3:80*1", ""},
		{"an address that no backend has", []xds.Locality{places(0, -1, "169.254.169.254:80", "10.0.0.1:80")},
			"10.0.0.1:80*1", "a link-local address"},
		{"one address in two forms", []xds.Locality{places(0, -1, "10.0.0.1:80"), places(1, -1, "[::ffff:10.0.0.1]:80")},
			"10.0.0.1:80*1", "is there twice"},
		{"nothing", nil, "", "has no endpoints"},
		{"nothing that can be used", []xds.Locality{places(0, -1, "169.254.169.254:80")}, "", "every address is refused"},
	} {
		a, err := backendsOf(Target{Service: "app", Template: Backend{Weight: 1}},
			[]part{{&xds.Cluster{Type: xds.EDS}, &xds.Assignment{Localities: c.localities}}})
		var got []string
		for _, b := range a.backends {
			s := fmt.Sprint(b.Address, "*", b.Weight)
			if b.Priority > 0 {
				s += fmt.Sprint("+", b.Priority)
			}
			got = append(got, s)
		}
		said := strings.Join(a.refused, ", ")
		if err != nil {
			said = err.Error()
		}
		if strings.Join(got, " ") != c.want || !strings.Contains(said, c.refused) || c.refused == "" && said != "" {
			t.Errorf("%s: got %q, %q", c.name, got, said)
		}
	}
}

func TestXDS_AnEndpointHasOneNameAndMaybeTwoAddresses(t *testing.T) {
	t.Parallel()
	both := xds.Endpoint{Hostname: "app-1.app", Addresses: []xds.Address{{Host: "fd00::1", Port: 8080},
		{Host: "fd00::2", Port: 8080}, {Other: "a pipe"}, {Host: "10.0.0.1", Port: 8081}}}
	named := xds.Endpoint{Addresses: []xds.Address{{Host: "app.internal", Port: 80}}}
	pipe := xds.Endpoint{Addresses: []xds.Address{{Other: "a pipe"}}}
	a := &xds.Assignment{Localities: []xds.Locality{{Endpoints: []xds.Endpoint{both, named, pipe}}}}
	template := Backend{Weight: 1, Source: "xds://app"}

	want := Backend{Name: "[fd00::1]:8080", Address: "[fd00::1]:8080", Fallback: "10.0.0.1:8081", Host: "app-1.app:8080",
		Weight: 1, Source: "xds://app"}
	got, err := backendsOf(Target{Template: template}, []part{{&xds.Cluster{Type: xds.EDS}, a}})
	if err != nil || len(got.backends) != 1 || got.backends[0] != want ||
		!slices.Equal(got.refused, []string{`"app.internal" is no address`, "a pipe is not supported"}) {
		t.Errorf("%v, %+v", err, got)
	}

	// In a cluster of DNS the host may be a name. What it resolves to is looked
	// at when it is dialled.
	got, err = backendsOf(Target{Template: template}, []part{{&xds.Cluster{Type: xds.StrictDNS}, a}})
	want = Backend{Name: "app.internal:80", Address: "app.internal:80", Host: "app.internal", Weight: 1,
		Source: "xds://app", Guarded: true}
	if err != nil || len(got.backends) != 2 || got.backends[1] != want {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestXDS_ClustersThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	plain, tls, clear := Backend{Protocol: config.Auto}, Backend{Protocol: config.Auto, TLS: true},
		Backend{Protocol: config.HTTP1}
	for _, c := range []struct {
		template Backend
		cluster  xds.Cluster
		want     string
	}{
		{plain, xds.Cluster{Type: xds.EDS, OnStream: true}, ""},
		{plain, xds.Cluster{Type: xds.EDS}, "another way than ADS"},
		{plain, xds.Cluster{Type: xds.OriginalDestination}, "the type 4"},
		{plain, xds.Cluster{Type: -1}, "the type -1"},
		{plain, xds.Cluster{Custom: "envoy.clusters.redis"}, "envoy.clusters.redis"},
		{plain, xds.Cluster{Custom: xds.Aggregate}, "names no clusters"},
		{plain, xds.Cluster{Custom: xds.Aggregate, Clusters: []string{"a"}}, ""},
		{plain, xds.Cluster{Type: xds.EDS, OnStream: true, Socket: xds.TLS}, "protocol=https"},
		{tls, xds.Cluster{Type: xds.EDS, OnStream: true, Socket: xds.TLS}, ""},
		{clear, xds.Cluster{Type: xds.EDS, OnStream: true, Socket: xds.TLS}, ""},
		{plain, xds.Cluster{Inline: []byte{0xff}}, "reading the endpoints"},
	} {
		s := &subscriptions{target: Target{Template: c.template}}
		_, err := s.usable(&c.cluster)
		if c.want == "" && err != nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%+v: %v", c.cluster, err)
		}
	}
}

// The priorities of a cluster come behind those of the clusters before it.
func TestXDS_ClustersOfAnAggregateFollowEachOther(t *testing.T) {
	t.Parallel()
	of := func(kind int32, all ...xds.Locality) part {
		return part{&xds.Cluster{Type: kind}, &xds.Assignment{Localities: all}}
	}
	one := xds.Endpoint{Addresses: []xds.Address{{Host: "b.example", Port: 80}}}
	named := of(xds.LogicalDNS, xds.Locality{Endpoints: []xds.Endpoint{one}})
	a, err := backendsOf(Target{Template: Backend{Weight: 1}}, []part{
		of(xds.EDS, places(0, -1, "10.0.0.1:80"), places(1, -1, "10.0.0.2:80*70000", "10.0.0.3:80*35000")),
		of(xds.EDS), named, of(xds.EDS, places(1, -1, "10.0.0.4:80"), places(0, -1, "10.0.0.1:80", "10.0.0.5:80")),
	})
	var got []string
	for _, b := range a.backends {
		got = append(got, fmt.Sprint(b.Name, "*", b.Weight, "+", b.Priority))
	}
	want := "10.0.0.1:80*1+0 10.0.0.2:80*10000+1 10.0.0.3:80*5000+1 10.0.0.4:80*1+4 10.0.0.5:80*1+3 b.example:80*1+2"
	if strings.Join(got, " ") != want || err != nil || len(a.refused) > 0 {
		t.Errorf("got %s, %v, %v", got, a.refused, err)
	}

	var many []xds.Endpoint
	for i := range xds.MaxEndpoints/2 + 1 {
		many = append(many, xds.Endpoint{Addresses: []xds.Address{{Host: fmt.Sprintf("10.1.%d.%d", i/250, i%250), Port: 80}}})
	}
	if _, err := backendsOf(Target{}, []part{of(xds.EDS, xds.Locality{Endpoints: many}),
		of(xds.EDS, xds.Locality{Endpoints: many})}); err == nil || !strings.Contains(err.Error(), "more than 10000") {
		t.Errorf("too many: %v", err)
	}
}

// Whatever endpoints a control plane names, what comes of them are addresses
// that a backend may have, or none.
func FuzzEndpointsOfClusters(f *testing.F) {
	f.Add("10.0.0.1", "app", uint32(80), uint32(1), uint32(0), int32(1), int32(3))
	f.Add("::ffff:169.254.169.254", "a.b:80", uint32(65535), uint32(1<<31), uint32(7), int32(3), int32(1))
	f.Add("fd00::1", "pod-1.shop", uint32(8080), uint32(100), uint32(3), int32(0), int32(xds.EDS))
	f.Add("app.internal", "", uint32(443), uint32(1), uint32(1), int32(5), int32(xds.LogicalDNS))
	f.Add("fe80::1%eth0", "a b", uint32(1), uint32(0), uint32(1), int32(2), int32(xds.Static))
	f.Fuzz(func(t *testing.T, host, name string, port, weight, share uint32, health, kind int32) {
		e := xds.Endpoint{Hostname: name, Health: xds.Health(health), Weight: &share,
			Addresses: []xds.Address{{Host: host, Port: port}, {Host: name, Port: port}}}
		a := &xds.Assignment{Localities: []xds.Locality{{Weight: &weight, Endpoints: []xds.Endpoint{e}},
			{Priority: 1, Endpoints: []xds.Endpoint{e, {Addresses: []xds.Address{{Host: name, Port: port}}}}}}}
		if a.Check() != nil {
			return
		}
		got, err := backendsOf(Target{Template: Backend{Weight: 1}},
			[]part{{&xds.Cluster{Type: kind}, a}, {&xds.Cluster{Type: xds.EDS}, a}})
		if err == nil && len(got.backends) == 0 {
			t.Fatal("an empty answer is no failure")
		}
		for _, b := range got.backends {
			at, err := netip.ParseAddrPort(b.Address)
			if err != nil && (!b.Guarded || hostProblem(strings.TrimSuffix(b.Address, fmt.Sprint(":", port))) != "") ||
				err == nil && unusable(at.Addr()) != "" {
				t.Fatalf("%+v", b)
			}
			if b.Weight < 0 || b.Weight > mostWeight || b.Name == "" || strings.ContainsAny(b.Name+b.Host, "\r\n /") {
				t.Fatalf("%+v", b)
			}
		}
	})
}
