package discovery

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/test/fakegoogle"
)

// vm is an instance with an address in the network default.
func vm(name, zone, address string, labels ...string) fakegoogle.Instance {
	i := fakegoogle.Instance{Name: name, Zone: zone, Interfaces: []fakegoogle.Interface{{Address: address}},
		Labels: map[string]string{"app": "web"}}
	for n := 0; n < len(labels); n += 2 {
		i.Labels[labels[n]] = labels[n+1]
	}
	return i
}

func with(i fakegoogle.Instance, change func(*fakegoogle.Instance)) fakegoogle.Instance {
	change(&i)
	return i
}

func stopping(i *fakegoogle.Instance) { i.Status = "PENDING_STOP" }

func TestGCE_TheMembersOfAGroupAreBackends(t *testing.T) {
	t.Parallel()
	for location, path := range map[string]string{"us-east1-b": "zones/us-east1-b", "us-east1": "regions/us-east1"} {
		synctest.Test(t, func(t *testing.T) {
			g, cfg, opts, logs := googleOf(t)
			g.SetInstances("fake-project", vm("web-1", "us-east1-b", "10.0.0.1"),
				vm("web-2", "us-east1-b", "10.0.0.2", "lb-weight", "3"), vm("other", "us-east1-b", "10.0.0.9"),
				with(vm("web-3", "us-east1-b", "10.0.0.3"), stopping),
				with(vm("web-4", "us-east1-b", "10.0.0.4"), func(i *fakegoogle.Instance) { i.Status = "STOPPING" }),
				with(vm("web-5", "us-east1-b", "10.0.0.5"), func(i *fakegoogle.Instance) { i.Status = "STAGING" }),
				vm("web-6", "us-east1-b", "169.254.169.254"), vm("web-7", "us-east1-b", "10.0.0.7", "lb-weight", "heavy"),
				with(vm("web-8", "us-east1-b", ""), func(i *fakegoogle.Instance) { i.Interfaces = nil }),
				vm("web-9", "us-east1-c", "10.0.0.10"))
			members := []string{"web-1.us-east1-b", "web-2.us-east1-b", "web-3.us-east1-b", "web-4.us-east1-b",
				"web-5.us-east1-b", "web-6.us-east1-b", "web-7.us-east1-b", "web-8.us-east1-b"}
			want := "web-1.us-east1-b web-2.us-east1-b web-3.us-east1-b"
			if location == "us-east1" {
				members, want = append(members, "web-9.us-east1-c"), want+" web-9.us-east1-c"
			}
			g.SetGroup("fake-project", location, "web", fakegoogle.Group{Ports: []fakegoogle.Port{{Name: "http", Number: 8080}},
				Members: members})
			item := "gce://web." + location
			set, _ := next(run(t, cfg, opts, item), time.Second)
			if !set.Complete || names(set.Backends) != want {
				t.Fatalf("published %+v, logged %s", set, logs)
			}
			first := Backend{Name: "web-1.us-east1-b", Address: "10.0.0.1:8080", Host: "10.0.0.1:8080", Protocol: config.Auto,
				Weight: 1, Source: item}
			if set.Backends[0] != first || set.Backends[1].Weight != 3 || set.Backends[2].Weight != 0 {
				t.Errorf("got %+v", set.Backends)
			}
			for _, said := range []string{"link-local", "lb-weight", "no interface"} {
				if !strings.Contains(logs.String(), said) {
					t.Errorf("the log does not say %q: %s", said, logs)
				}
			}
			const project = "/compute/v1/projects/fake-project/"
			want = "POST " + project + path + "/instanceGroups/web/listInstances GET " + project + "zones/us-east1-b/instances"
			if location == "us-east1" {
				want += " GET " + project + "zones/us-east1-c/instances"
			}
			if asked := strings.Join(g.Questions(), " "); asked != want {
				t.Errorf("asked %s", asked)
			}
		})
	}
}

func TestGCE_AnInstanceKeepsItsNameAtAnotherAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, cfg, opts, _ := googleOf(t)
		g.SetInstances("p-1", vm("web-1", "us-east1-b", "10.0.0.1"))
		g.SetGroup("p-1", "us-east1-b", "web", fakegoogle.Group{Members: []string{"web-1.us-east1-b"}})
		sets := run(t, cfg, opts, "gce://web.us-east1-b.p-1?port=80&host=shop.example")
		set, _ := next(sets, time.Second)
		if b := set.Backends[0]; b.Address != "10.0.0.1:80" || b.Host != "10.0.0.1" || b.SetHost != "shop.example" {
			t.Errorf("published %+v", b)
		}
		g.SetInstances("p-1", vm("web-1", "us-east1-b", "10.0.0.8"))
		set, n := next(sets, 33*time.Second)
		if n != 1 || set.Backends[0].Address != "10.0.0.8:80" || set.Backends[0].Name != "web-1.us-east1-b" {
			t.Errorf("within the interval: %d publications, %+v", n, set)
		}
		before := g.Asked()
		if _, n := next(sets, 10*time.Minute); n != 0 || g.Asked()-before > 2*23 {
			t.Errorf("unchanged: %d publications, %d questions in ten minutes", n, g.Asked()-before)
		}
	})
}

func TestGCE_LabelsAndTagsAreFollowed(t *testing.T) {
	t.Parallel()
	for item, want := range map[string][2]string{
		"gce://*?label.app=web&port=80": {
			"a.us-east1-b b.us-east1-c c.us-west1-a", "a.us-east1-b d.us-east1-d"},
		"gce://*.us-east1?label.app=web&port=80": {
			"a.us-east1-b b.us-east1-c", "a.us-east1-b d.us-east1-d"},
		"gce://*.us-east1-b.fake-project?label.app=web&port=80":    {"a.us-east1-b", "a.us-east1-b"},
		"gce://*?label.app=web&label.env&port=80":                  {"b.us-east1-c", ""},
		"gce://*.us-east1?netTag=front&label.app=web&port=80":      {"b.us-east1-c", ""},
		"gce://*.us-east1?label.app=web&network=inner&port=80":     {"b.us-east1-c", ""},
		"gce://*.us-east1-c?netTag=front&port=80&network=inner":    {"b.us-east1-c", ""},
		"gce://*.us-east1-b?label.app=web&port=80&protocol=h2c":    {"a.us-east1-b", "a.us-east1-b"},
		"gce://*.us-east1-c?label.env&label.app=web&port=8443":     {"b.us-east1-c", ""},
		"gce://*.us-east1-c?label.app=web&port=1&host=a&netTag=no": {"", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, cfg, opts, logs := googleOf(t)
			b := with(vm("b", "us-east1-c", "10.0.0.2", "env", "live"), func(i *fakegoogle.Instance) {
				i.Tags = []string{"ssh", "front"}
				i.Interfaces = append(i.Interfaces, fakegoogle.Interface{Network: "inner", Address: "10.1.0.2"})
			})
			g.SetInstances("fake-project", vm("a", "us-east1-b", "10.0.0.1"), b, vm("c", "us-west1-a", "10.0.0.3"),
				vm("z", "us-east1-b", "10.0.0.9", "app", "db"))
			sets := run(t, cfg, opts, item)
			set, _ := next(sets, time.Second)
			if names(set.Backends) != want[0] {
				t.Fatalf("%s: published %+v, logged %s", item, set, logs)
			}
			if i := slices.IndexFunc(set.Backends, func(b Backend) bool { return b.Name == "b.us-east1-c" }); i >= 0 &&
				strings.Contains(item, "network=inner") != strings.HasPrefix(set.Backends[i].Address, "10.1.0.2:") {
				t.Errorf("%s: published %+v", item, set)
			}

			g.SetInstances("fake-project", vm("a", "us-east1-b", "10.0.0.1"), vm("d", "us-east1-d", "10.0.0.4"),
				with(vm("e", "us-east1-d", "10.0.0.5"), func(i *fakegoogle.Instance) { i.Status = "TERMINATED" }))
			set, n := next(sets, 33*time.Second)
			if want[1] == "" || want[1] == want[0] {
				if n != 0 {
					t.Errorf("%s: published %+v, but the last good set stays", item, set)
				}
			} else if n != 1 || names(set.Backends) != want[1] {
				t.Errorf("%s: within the interval: %d publications, %+v", item, n, set)
			}
		})
	}
}

// A filter that the API reads differently brings no other instances in.
func TestGCE_LabelsAreComparedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, cfg, opts, _ := googleOf(t)
		g.IgnoreFilters()
		g.SetInstances("fake-project", vm("a", "us-east1-b", "10.0.0.1"), vm("z", "us-east1-b", "10.0.0.9", "app", "db"))
		set, _ := next(run(t, cfg, opts, "gce://*.us-east1-b?label.app=web&port=80"), time.Second)
		if names(set.Backends) != "a.us-east1-b" {
			t.Errorf("published %+v", set)
		}
	})
}

// A zone that cannot be reached keeps its instances, while the others change.
func TestGCE_AnUnreachableZoneHidesNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, cfg, opts, logs := googleOf(t)
		a, b := vm("a", "us-east1-b", "10.0.0.1"), vm("b", "us-east1-c", "10.0.0.2")
		g.SetInstances("fake-project", a, b)
		sets := run(t, cfg, opts, "gce://*?label.app=web&port=80")
		next(sets, time.Second)
		g.SetUnreachable("fake-project", "us-east1-c")
		g.SetInstances("fake-project", a, b, vm("d", "us-east1-b", "10.0.0.4"))
		set, n := next(sets, 5*time.Minute)
		if n != 1 || names(set.Backends) != "a.us-east1-b b.us-east1-c d.us-east1-b" {
			t.Errorf("%d publications, %+v", n, set)
		}
		if c := strings.Count(logs.String(), "discovery failed"); c != 1 ||
			!strings.Contains(logs.String(), "cannot reach us-east1-c") || strings.Contains(logs.String(), "works again") {
			t.Errorf("logged %s", logs)
		}
		g.SetUnreachable("fake-project")
		g.SetInstances("fake-project", a)
		if set, _ := next(sets, 5*time.Minute); names(set.Backends) != "a.us-east1-b" ||
			!strings.Contains(logs.String(), "works again") {
			t.Errorf("afterwards %+v, logged %s", set, logs)
		}
	})
}

func TestGCE_PortsOfAGroupHaveNames(t *testing.T) {
	t.Parallel()
	two := []fakegoogle.Port{{Name: "http", Number: 8080}, {Name: "admin", Number: 9090}}
	for key, c := range map[string]struct {
		ports []fakegoogle.Port
		want  string // address, or the message
	}{
		"?port=http":  {two, "10.0.0.1:8080"},
		"?port=1234":  {two, "10.0.0.1:1234"},
		"":            {two, "admin=9090, http=8080: write ?port=NAME"},
		"?port=grpc":  {two, "does not have a port named grpc; it has admin=9090, http=8080"},
		"?host=a":     {two[:1], "10.0.0.1:8080"},
		"?host=b":     {nil, "it has no named port: write"},
		"?port=twice": {[]fakegoogle.Port{{Name: "twice", Number: 1}, {Name: "twice", Number: 2}}, "twice=1, twice=2"},
		"?port=odd":   {[]fakegoogle.Port{{Name: "odd", Number: 70000}}, "does not have a port named odd"},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, cfg, opts, logs := googleOf(t)
			g.SetInstances("fake-project", vm("web-1", "us-east1-b", "10.0.0.1"))
			g.SetGroup("fake-project", "us-east1-b", "web", fakegoogle.Group{Ports: c.ports,
				Members: []string{"web-1.us-east1-b"}})
			set, _ := next(run(t, cfg, opts, "gce://web.us-east1-b"+key), time.Second)
			if got := fmt.Sprint(set.Backends) + logs.String(); !strings.Contains(got, c.want) {
				t.Errorf("%q: published %+v, logged %s", key, set, logs)
			}
		})
	}
}

// While a whole group stops, its instances are better than none.
func TestGCE_AGroupThatStopsAsAWholeStillServes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, cfg, opts, logs := googleOf(t)
		v6 := with(vm("a", "us-east1-b", ""), func(i *fakegoogle.Instance) {
			i.Interfaces[0].IPv6, i.Status = "fd20:0:0:1::5", "PENDING_STOP"
		})
		g.SetInstances("fake-project", v6)
		set, _ := next(run(t, cfg, opts, "gce://*.us-east1-b?label.app=web&port=80"), time.Second)
		if len(set.Backends) != 1 || set.Backends[0].Weight != 1 || set.Backends[0].Address != "[fd20:0:0:1::5]:80" ||
			set.Backends[0].Host != "[fd20:0:0:1::5]" {
			t.Errorf("published %+v, logged %s", set, logs)
		}
	})
}

// Of 1,500 instances in pages nothing is used before the last page is there.
func TestGCE_PagesAreReadToTheEndOrNotAtAll(t *testing.T) {
	t.Parallel()
	for _, item := range []string{"gce://*.us-east1-b?label.app=web&port=80", "gce://*?label.app=web&port=80",
		"gce://web.us-east1-b?port=80", "gce+neg://web.us-east1-b"} {
		synctest.Test(t, func(t *testing.T) {
			g, cfg, opts, logs := googleOf(t)
			set := func(n int) {
				var all []fakegoogle.Instance
				var group fakegoogle.Group
				neg := fakegoogle.NEG{}
				for i := range n {
					at := fmt.Sprintf("10.1.%d.%d", i/250, i%250)
					all = append(all, vm(fmt.Sprint("web-", i), "us-east1-b", at))
					group.Members = append(group.Members, fmt.Sprint("web-", i, ".us-east1-b"))
					neg.Endpoints = append(neg.Endpoints, fakegoogle.Endpoint{Address: at, Port: 80})
				}
				g.SetInstances("fake-project", all...)
				g.SetGroup("fake-project", "us-east1-b", "web", group)
				g.SetNEG("fake-project", "us-east1-b", "web", neg)
			}
			set(1500)
			sets := run(t, cfg, opts, item)
			if s, n := next(sets, time.Second); n != 1 || len(s.Backends) != 1500 {
				t.Fatalf("%s: %d publications, the last with %d, logged %s", item, n, len(s.Backends), logs)
			}
			if n := g.Asked(); n != 3 && n != 6 {
				t.Errorf("%s: %d questions", item, n)
			}
			set(1200)
			g.BreakPage("1000")
			if s, n := next(sets, time.Minute); n != 0 || !strings.Contains(logs.String(), "answered 500") {
				t.Errorf("%s: with a broken page: %d publications, %d backends", item, n, len(s.Backends))
			}
			g.BreakPage("")
			if s, _ := next(sets, time.Minute); len(s.Backends) != 1200 {
				t.Errorf("%s: afterwards %d", item, len(s.Backends))
			}
		})
	}
}

func TestGCE_EachRefusalNamesItsRemedy(t *testing.T) {
	t.Parallel()
	for remedy, f := range map[string]fakegoogle.Fault{
		"enable compute.googleapis.com": {Code: 403, Kind: "accessNotConfigured",
			Reason: "SERVICE_DISABLED", Message: "Compute Engine API has not been used in project 77 before or it is disabled."},
		"in this project; enable compute.googleapis.com": {Code: 403, Kind: "accessNotConfigured",
			Message: "Access Not Configured. Compute Engine API has not been used in project 77"},
		"grant it roles/compute.viewer": {Code: 403, Kind: "forbidden",
			Message: "Required 'compute.instances.list' permission for 'projects/fake-project'"},
		"give it the scope cloud-platform": {Code: 403, Kind: "insufficientPermissions",
			Reason: "ACCESS_TOKEN_SCOPE_INSUFFICIENT", Message: "Request had insufficient authentication scopes."},
		"do not include this API; give it the scope": {Code: 403, Kind: "insufficientPermissions",
			Message: "Insufficient Permission"},
		"there is no such instance group, zone, region or p": {Code: 404, Kind: "notFound",
			Message: "The resource 'projects/x' was not found"},
		"too many questions": {Code: 403, Kind: "rateLimitExceeded",
			Message: "Quota exceeded for quota metric 'Read requests'"},
	} {
		wantRefusal(t, f, remedy, "gce://web.us-east1-b?port=80", "other web-1.us-east1-b", func(g *fakegoogle.Server) {
			g.SetInstances("fake-project", vm("web-1", "us-east1-b", "10.0.0.1"))
			g.SetGroup("fake-project", "us-east1-b", "web", fakegoogle.Group{Members: []string{"web-1.us-east1-b"}})
		})
	}
}

func TestGCE_AnAPIThatIsAskedTooOftenIsAskedLess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, cfg, opts, _ := googleOf(t)
		g.SetFault(&fakegoogle.Fault{Code: http.StatusForbidden, Kind: "rateLimitExceeded"})
		run(t, cfg, opts, "gce://web.us-east1-b?port=80")
		time.Sleep(time.Hour)
		if n := g.Asked(); n < 12 || n > 16 { // after 1, 2, 4 and 5 minutes, and every 5 from then on
			t.Errorf("%d questions in an hour", n)
		}
	})
}

func TestNEG_EndpointsAreBackends(t *testing.T) {
	t.Parallel()
	for location, path := range map[string]string{"us-east1-b": "zones/us-east1-b", "us-east1": "regions/us-east1"} {
		synctest.Test(t, func(t *testing.T) {
			g, cfg, opts, logs := googleOf(t)
			neg := fakegoogle.NEG{DefaultPort: 9000, Endpoints: []fakegoogle.Endpoint{
				{Instance: "node-1.us-east1-b", Address: "10.8.0.1", Port: 8080},
				{Instance: "node-1.us-east1-b", Address: "10.8.0.2"}, {IPv6: "fd20:1::5", Port: 80},
				{Name: "app.example.com", Port: 443}, {Address: "169.254.1.1", Port: 1},
				{Address: "10.8.0.1", Port: 8080},
			}}
			g.SetNEG("shop", location, "pods", neg)
			item := "gce+neg://pods." + location + ".shop"
			sets := run(t, cfg, opts, item)
			set, _ := next(sets, time.Second)
			if names(set.Backends) != "10.8.0.1:8080 10.8.0.2:9000 [fd20:1::5]:80" {
				t.Fatalf("published %+v, logged %s", set, logs)
			}
			if want := (Backend{Name: "10.8.0.1:8080", Address: "10.8.0.1:8080", Host: "10.8.0.1:8080", Protocol: config.Auto,
				Weight: 1, Source: item}); set.Backends[0] != want {
				t.Errorf("got %+v", set.Backends[0])
			}
			if strings.Contains(logs.String(), "found a name twice") ||
				!strings.Contains(logs.String(), "app.example.com") ||
				!strings.Contains(logs.String(), "link-local") {
				t.Errorf("logged %s", logs)
			}
			base := "/compute/v1/projects/shop/" + path + "/networkEndpointGroups/pods"
			if asked := g.Questions(); !slices.Equal(asked, []string{"POST " + base + "/listNetworkEndpoints", "GET " + base}) {
				t.Errorf("asked %q", asked)
			}

			neg.Endpoints = neg.Endpoints[:1]
			g.SetNEG("shop", location, "pods", neg)
			if set, _ := next(sets, 33*time.Second); names(set.Backends) != "10.8.0.1:8080" {
				t.Errorf("within the interval %+v", set)
			}
			g.SetNEG("shop", location, "pods", fakegoogle.NEG{})
			if _, n := next(sets, time.Minute); n != 0 || !strings.Contains(logs.String(), "has no endpoint") {
				t.Errorf("an empty group changed the set, logged %s", logs)
			}
		})
	}
}

func TestNEG_APortOfTheItemIsForEndpointsWithoutOne(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"?port=7000": "10.8.0.1:7000", "": "has no port"} {
		synctest.Test(t, func(t *testing.T) {
			g, cfg, opts, logs := googleOf(t)
			g.SetNEG("fake-project", "us-east1-b", "vms",
				fakegoogle.NEG{Endpoints: []fakegoogle.Endpoint{{Address: "10.8.0.1"}}})
			set, _ := next(run(t, cfg, opts, "gce+neg://vms.us-east1-b"+key), time.Second)
			if !strings.Contains(names(set.Backends)+logs.String(), want) {
				t.Errorf("%q: published %+v, logged %s", key, set, logs)
			}
		})
	}
}
