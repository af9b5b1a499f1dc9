package xds

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// m writes a message: a number, then what the field is.
func m(fields ...any) (b []byte) {
	for i := 0; i < len(fields); i += 2 {
		number := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(v))
		case string:
			b = appendBytes(b, number, []byte(v))
		case []byte:
			b = appendBytes(b, number, v)
		}
	}

	return b
}

// at is an LbEndpoint, with further fields.
func at(host string, port int, fields ...any) []byte {
	address := m(1, m(2, host, 3, port))
	return append(m(1, m(1, address)), m(fields...)...)
}

func TestAssignment_WhatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	locality := func(fields ...any) []byte { return m(2, m(fields...)) }
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for want, message := range map[string][]byte{
		"":                            locality(2, at("10.0.0.1", 80), 2, at("10.0.0.1", 81)),
		"weight of 10.0.0.1:80 is 0":  locality(2, at("10.0.0.1", 80, 4, m())),
		"10.0.0.1:80 is there twice":  join(locality(2, at("10.0.0.1", 80)), locality(2, at("10.0.0.1", 80), 5, 1)),
		"no priority 1":               join(locality(2, at("10.0.0.1", 80)), locality(2, at("10.0.0.2", 80), 5, 2)),
		"no priority 0":               locality(5, 3),
		"priority is 128":             locality(5, 128),
		"localities are too large":    join(locality(3, m(1, math.MaxUint32)), locality(3, m(1, 1))),
		"endpoints are too large":     locality(2, at("10.0.0.1", 80, 4, m(1, math.MaxUint32)), 2, at("10.0.0.2", 80)),
		"has no address":              locality(2, m(2, 1)),
		`"10.0.0.1" with the port 0`:  locality(2, at("10.0.0.1", 0)),
		"with the port 65536":         locality(2, at("10.0.0.1", 65536)),
		"field 1: it is there twice":  m(1, "a", 1, "b"),
		"another type on the wire":    m(1, 7),
		"is not UTF-8":                m(1, "\xff"),
		"number is too large":         locality(5, math.MaxUint32+1),
		"it is a group":               protowire.AppendTag(nil, 9, protowire.StartGroupType),
		"there are more than 10000":   locality(repeated(2, m(), MaxEndpoints+1)...),
		"an endpoint has more than 8": locality(2, m(1, m(append([]any{1, m()}, repeated(4, m(), 8)...)...))),
	} {
		a, err := ReadAssignment(message)
		if err == nil {
			err = a.Check()
		}
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// A type by name is never taken for one of the numbers.
func TestCluster_ATypeByNameIsKept(t *testing.T) {
	t.Parallel()
	names := m(1, "type.googleapis.com/"+aggregateType, 2, m(1, "a", 1, "b"))
	for _, c := range []struct {
		custom   []byte
		want     string
		clusters int
	}{
		{m(1, ""), "?", 0},
		{m(), "?", 0},
		{m(2, names), "?", 0},
		{m(1, "envoy.clusters.redis", 2, names), "envoy.clusters.redis", 0},
		{m(1, Aggregate, 2, m(1, "type.googleapis.com/a.b", 2, m(1, "a"))), Aggregate, 0},
		{m(1, Aggregate, 2, names), Aggregate, 2},
	} {
		got, err := ReadCluster(m(1, "app", 38, c.custom))
		if err != nil || got.Custom != c.want || len(got.Clusters) != c.clusters {
			t.Errorf("%x: %v, %+v", c.custom, err, got)
		}
	}
}

func repeated(number int, message []byte, times int) (fields []any) {
	for range times {
		fields = append(fields, number, message)
	}
	return fields
}

func TestBootstrap_IsReadAsGRPCReadsIt(t *testing.T) {
	t.Parallel()
	const insecure = `"channel_creds": [{"type": "insecure"}]`
	for uri, want := range map[string]Server{
		"istiod:15010":                {Network: "tcp", Address: "istiod:15010"},
		"dns:///istiod:15010":         {Network: "tcp", Address: "istiod:15010"},
		"xds.example.com":             {Network: "tcp", Address: "xds.example.com:443"},
		"unix:///etc/istio/proxy/XDS": {Network: "unix", Address: "/etc/istio/proxy/XDS"},
		"unix:/etc/istio/proxy/XDS":   {Network: "unix", Address: "/etc/istio/proxy/XDS"},
		"[::1]:15010":                 {Network: "tcp", Address: "[::1]:15010"},
		"google-c2p:///x":             {},
		"":                            {},
		"istiod:0":                    {},
		"unix:":                       {},
	} {
		b, err := ReadBootstrap(fmt.Sprintf(`{"xds_servers": [{"server_uri": %q, %s,
			"server_features": ["xds_v3"]}], "authorities": {}}`, uri, insecure))
		if (err != nil) != (want == Server{}) || err == nil && b.Servers[0] != want {
			t.Errorf("%q: %v, %+v", uri, err, b)
		}
	}

	b, err := ReadBootstrap(`{"xds_servers": [{"server_uri": "istiod:15012",
		"channel_creds": [{"type": "xyz"}, {"type": "tls", "config": {"ca_certificate_file": "/ca"}}],
		"call_creds": [{"type": "jwt_token_file", "config": {"jwt_token_file": "/token"}}]}],
		"node": {"id": "n", "locality": {"sub_zone": "s"}}}`)
	if want := (Server{Network: "tcp", Address: "istiod:15012", TLS: true, CA: "/ca", TokenFile: "/token"}); err != nil ||
		b.Servers[0] != want || b.Node.ID != "n" || b.Node.SubZone != "s" {
		t.Errorf("%v, %+v", err, b)
	}

	tls := func(config string) string {
		return `{"xds_servers": [{"server_uri": "a:1", "channel_creds": [{"type": "tls", "config": ` + config + `}]}]}`
	}
	for text, want := range map[string]string{
		"secret":                    "no JSON at byte",
		`{"xds_servers": "secret"}`: "xds_servers is not of the right type",
		`{}`:                        "xds_servers is empty",
		`{"xds_servers": [{"server_uri": "a:1"}]}`: "neither the type insecure nor tls",
		tls(`{"certificate_file": "/a"}`):          "only one of",
		tls(`{"ca_certificate_file": "a"}`):        "not an absolute path",
	} {
		if _, err := ReadBootstrap(text); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzBootstrap(f *testing.F) {
	f.Add(`{"xds_servers": [{"server_uri": "istiod.istio-system.svc:15012", "channel_creds": [{"type": "tls", "config":
		{"ca_certificate_file": "/var/run/secrets/istio/root-cert.pem", "refresh_interval": "60s"}}],
		"call_creds": [{"type": "jwt_token_file", "config": {"jwt_token_file": "/var/run/secrets/tokens/istio-token"}}],
		"server_features": ["xds_v3", "ignore_resource_deletion"]}],
		"node": {"id": "sidecar~10.0.0.7~lb-1.shop~shop.svc.cluster.local", "cluster": "c", "metadata":
		{"GENERATOR": "grpc", "INSTANCE_IPS": ["10.0.0.7"]}, "locality": {"region": "r", "zone": "z", "sub_zone": ""}},
		"authorities": {"": {}}, "certificate_providers": {"default": {"plugin_name": "file_watcher", "config": {}}}}`)
	f.Add(`{"xds_servers": [{"server_uri": "trafficdirector.googleapis.com:443",
		"channel_creds": [{"type": "google_default"}]}, {"server_uri": "[fd00::1]:18000", "channel_creds":
		[{"type": "insecure"}]}], "node": {"id": "projects/1/networks/default/nodes/a"}}`)
	f.Add(`{"xds_servers": [{"server_uri": "unix:///x", "channel_creds": [{"type": "insecure"}]}],
		"node": {"id": "a", "metadata": {"a": [1, null]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ReadBootstrap(text)
		if err != nil {
			return
		}
		if len(b.Servers) == 0 || b.Servers[0].Address == "" {
			t.Fatalf("%q: %+v", text, b)
		}
		r := Request{Node: &b.Node, Type: ClusterType}
		if err := walk(r.Marshal(), setOf(1, 2, 4, 5, 6), func(field) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

// response is a response with resources of one type.
func response(kind string, resources ...[]byte) []byte {
	b := m(1, "2026-01-01T00:00:00Z/7", 4, kind, 5, "n1")
	for _, r := range resources {
		b = append(b, m(2, m(1, kind, 2, r))...)
	}
	return b
}

// seeds are responses as control planes write them.
func seeds() [][]byte {
	istio := m(1, "outbound|80||app.shop.svc.cluster.local", 2, 3,
		3, m(1, m(3, m(), 8, 2), 2, "outbound|80||app.shop.svc.cluster.local"), 4, m(1, 10), 6, 6,
		10, m(1, m(3, m(1, 1))), 25, m(1, m(1, "istio", 2, m())),
		24, m(1, "envoy.transport_sockets.tls", 3, m(1, "type.googleapis.com/envoy.UpstreamTlsContext", 2, m(2, "sni"))))
	aggregate := m(1, "app", 38, m(1, Aggregate, 2, m(1, "type.googleapis.com/"+aggregateType, 2, m(1, "a", 1, "b"))))
	dns := m(1, "dns", 2, 2, 33, m(1, "dns", 2, m(2, at("app.example", 443))))
	europe := m(1, m(1, "europe-west1", 2, "b", 3, "c"), 2, at("10.0.0.1", 80, 2, 1, 4, m(1, 3)),
		2, at("fd00::1", 80, 2, 3), 3, m(1, 7))
	endpoints := m(1, "app", 2, europe, 2, m(1, m(1, "r"), 2, at("10.0.1.1", 80), 5, 1), 4, m(2, m(1, "throttle")))

	return [][]byte{response(ClusterType, istio, m(1, "BlackHoleCluster", 33, m(1, "BlackHoleCluster"))),
		response(ClusterType, aggregate, dns), response(AssignmentType, endpoints)}
}

// Whatever a server sends is read or refused. What passes the check has
// addresses, and priorities without a hole.
func FuzzResources(f *testing.F) {
	f.Add(m(1, "v", 2, m(1, ClusterType, 2, m(1, "app", 2, 3, 3, m(1, m(3, m()), 2, "eds"))), 4, ClusterType, 5, "n"))
	f.Add(m(4, AssignmentType, 2, m(1, AssignmentType, 2, m(1, "app", 2, m(2, at("10.0.0.1", 80, 2, 3), 3, m(1, 7))))))
	for _, seed := range seeds() {
		f.Add(seed)
	}
	f.Add(m(4, wrapperType, 2, m(1, wrapperType, 2, m(2, m(1, AssignmentType)))))
	f.Fuzz(func(t *testing.T, message []byte) {
		r, err := ReadResponse(message)
		if err != nil {
			return
		}
		for _, resource := range r.Resources {
			if b, err := resource.As(ClusterType); err == nil {
				c, err := ReadCluster(b)
				if err == nil && (c.Name == "" || c.Endpoints == "" || len(c.Clusters) > 0 && c.Custom != Aggregate) {
					t.Fatalf("%+v", c)
				}
			}
			b, err := resource.As(AssignmentType)
			if err != nil {
				continue
			}
			a, err := ReadAssignment(b)
			if err != nil || a.Check() != nil {
				continue
			}
			if name, err := AssignmentName(b); err != nil || name != a.Name {
				t.Fatalf("%q, %v", name, err)
			}
			for _, l := range a.Localities {
				for _, e := range l.Endpoints {
					if len(e.Addresses) == 0 || e.Addresses[0].Other == "" && e.Addresses[0].Port == 0 {
						t.Fatalf("%+v", e)
					}
				}
			}
		}
	})
}
