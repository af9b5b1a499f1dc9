package discovery

import (
	"net/netip"
	"strings"
	"testing"
)

// soundInstances fails unless every backend is an address that may be one, with
// a name that tells it from the others.
func soundInstances(t *testing.T, body string, backends []Backend) {
	t.Helper()
	seen := map[string]bool{}
	for _, b := range backends {
		place, err := netip.ParseAddrPort(b.Address)
		if err != nil || unusable(place.Addr()) != "" || place.Port() == 0 || b.Weight < 0 || b.Weight > 256 ||
			seen[b.Name] ||
			b.Host != b.Address && b.Host+":80" != b.Address || strings.ContainsAny(b.Name, " /\r\n") {
			t.Fatalf("%s: %+v", body, b)
		}
		seen[b.Name] = true
	}
}

// Whatever the API says, what comes of it are addresses that may be used, or
// none.
func FuzzGCE(f *testing.F) {
	f.Add(`{"items":{"zones/us-east1-b":{"instances":[{"name":"a","status":"RUNNING","labels":{"app":"web"},` +
		`"networkInterfaces":[{"network":"x/default","networkIP":"10.0.0.1"}]}]}}}`)
	f.Add(`{"items":{"zones/us-east1-b":{"warning":{"code":"UNREACHABLE"}}},` +
		`"unreachables":["regions/us-east1"],"nextPageToken":"x"}`)
	f.Add(`{"items":{"":{"instances":[{"name":"A","status":"PENDING_STOP","labels":{"app":"web","lb-weight":"-1"},` +
		`"networkInterfaces":[{"ipv6Address":"::ffff:169.254.169.254"}]}]}}}`)
	f.Add(`{"kind":"compute#instanceAggregatedList","items":{"zones/us-east1-c":{"warning":{"code":` +
		`"NO_RESULTS_ON_PAGE"}},"zones/us-east1-b":{"instances":[{"name":"web-x1z9","status":"RUNNING",` +
		`"tags":{"items":["http-server"]},"labels":{"app":"web","lb-weight":"0"},"networkInterfaces":[` +
		`{"network":"https://www.googleapis.com/compute/v1/projects/p/global/networks/default",` +
		`"networkIP":"10.142.0.7","accessConfigs":[{"natIP":"34.1.2.3"}]},{"networkIP":"10.0.1.7"}]}]}}}`)
	target := Target{Kind: GCE, Labels: "app=web", Port: "80", Template: Backend{Weight: 1}}
	f.Fuzz(func(t *testing.T, body string) {
		l := &instanceList{computeEngine: &computeEngine{target: target}, identity: "auto"}
		l.last = []Backend{{Name: "z.us-east1-b", Address: "10.0.0.9:80", Host: "10.0.0.9", Weight: 1}}
		var page zonePage
		if left := maxAnswer; readJSON(strings.NewReader(body), &left, &page) != nil {
			return
		}
		var all found
		all.add(&page)
		a, err := l.answer(all)
		if err == nil && len(a.backends) == 0 {
			t.Fatalf("%s: an answer without backends", body)
		}
		soundInstances(t, body, a.backends)
	})
}

func FuzzNEG(f *testing.F) {
	f.Add(`[{"ipAddress":"10.0.0.1","port":80},{"ipv6Address":"fd20::5"},{"fqdn":"a.example"}]`, 80)
	f.Add(`[{"ipAddress":"10.0.0.1 ","port":-1},{"ipAddress":"fd20:ce::254","port":65536}]`, 70000)
	f.Add(`[{"ipAddress":"10.8.0.12","port":8080,"instance":"gke-shop-pool-1-a1b2c3d4-x9z8",`+
		`"annotations":{"a":"b"}},{"ipAddress":"10.8.0.12","port":8080}]`, 8080)
	f.Add(`[{"instance":"vm-1"},null,{}]`, 0)
	l := &endpointList{computeEngine: &computeEngine{target: Target{Kind: GCENEG, Template: Backend{Weight: 1}}},
		identity: "auto"}
	f.Fuzz(func(t *testing.T, body string, port int) {
		var all []networkEndpoint
		if left := maxAnswer; readJSON(strings.NewReader(body), &left, &all) != nil {
			return
		}
		a, err := l.answer(all, port)
		if err == nil && len(a.backends) == 0 {
			t.Fatalf("%s: an answer without backends", body)
		}
		soundInstances(t, body, a.backends)
	})
}
