package test

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/fakegoogle"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// instances is the instances web-1, web-2 and so on of a zone, at the hosts of
// a network. The one named ending stops gracefully.
func (n *network) instances(ending int, hosts ...int) (all []fakegoogle.Instance) {
	for _, h := range hosts {
		i := fakegoogle.Instance{
			Name: fmt.Sprint("web-", h), Zone: "europe-west1-b", Labels: map[string]string{"app": "web"},
			Interfaces: []fakegoogle.Interface{{Address: n.Address(h)}},
		}
		if h == ending {
			i.Status = "PENDING_STOP"
		}
		all = append(all, i)
	}

	return all
}

// group is an instance group of such instances, with the network's port.
func (n *network) group(t *testing.T, hosts ...int) fakegoogle.Group {
	t.Helper()
	port, err := strconv.Atoi(n.port)
	if err != nil {
		t.Fatal(err)
	}
	g := fakegoogle.Group{Ports: []fakegoogle.Port{{Name: "http", Number: port}}}
	for _, h := range hosts {
		g.Members = append(g.Members, fmt.Sprintf("web-%d.europe-west1-b", h))
	}

	return g
}

func TestSources_InstancesOfAGroupAreFollowedAndFailNoRequest(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"gce://web.europe-west1.my-project?port=http",
		"gce://*.europe-west1-b.my-project?label.app=web&port=PORT"} {
		t.Run(form[:9], func(t *testing.T) {
			t.Parallel()
			m, g, n := newMachine(t), fakegoogle.New(), newNamedNetwork(t)
			hs := startGoogle(t, g, backend.Listen(t))
			s := n.StartBackends(t, 5)
			set := func(ending int, hosts ...int) {
				g.SetInstances("my-project", n.instances(ending, hosts...)...)
				g.SetGroup("my-project", "europe-west1", "web", n.group(t, hosts...))
			}
			set(0, 1, 2)
			item := strings.Replace(form, "PORT", n.port, 1)
			p := pillion.Start(t, m.Environment, affine, "LB_GOOGLE_API="+hs.URL, "LB_DISCOVERY_INTERVAL=1s",
				"LB_STATUS_TOKEN="+watchword, "LB_BACKENDS="+item)
			load := startStream(t, 6, p.URL("/"))
			load.More(t, 50)

			for i := range 3 {
				set(i+1, i+1, i+2, i+3)
				await.Until(t, "the new instance is used", func() bool { return s[i+2].Hits() > 0 })
				await.Until(t, "the instance that stops gets no new sessions", func() bool {
					before := s[i].Hits()
					load.More(t, 20)
					return s[i].Hits() == before
				})
				set(0, i+2, i+3)
			}
			await.Until(t, "the newest set is known", func() bool { return sourcesOf(t, p)[0].Backends == 2 })

			g.SetFault(&fakegoogle.Fault{Code: http.StatusForbidden, Kind: "forbidden",
				Message: "Required 'compute.instances.list' permission"})
			await.Until(t, "the page names the cure",
				func() bool { return strings.Contains(sourcesOf(t, p)[0].Error, "grant it roles/compute.viewer") })
			load.More(t, 50)
			if source := sourcesOf(t, p)[0]; source.Source != item || source.Backends != 2 || source.Age == nil {
				t.Errorf("while the role is missing the source is %+v", source)
			}
			g.SetFault(nil)
			await.Until(t, "the page says that it works again", func() bool { return sourcesOf(t, p)[0].Error == "" })

			// The API is away for a while, and comes back with another
			// instance.
			at := hs.Listener.Addr().String()
			hs.CloseClientConnections()
			hs.Close()
			await.Until(t, "the page says that the API is away",
				func() bool { return strings.Contains(sourcesOf(t, p)[0].Error, "refused") })
			load.More(t, 50)
			l, err := net.Listen("tcp", at)
			if err != nil {
				t.Skipf("the port was taken meanwhile: %v", err)
			}
			set(0, 1, 4)
			first := s[0].Hits()
			startGoogle(t, g, l)
			await.Until(t, "what it says is used again", func() bool { return s[0].Hits() > first })
			load.Stop(t)
		})
	}
}

// A session follows its instance to another address, as when a managed group
// has made it anew: the instance's name is what counts.
func TestSources_AnInstanceKeepsItsSessions(t *testing.T) {
	t.Parallel()
	m, g, n := newMachine(t), fakegoogle.New(), newNamedNetwork(t)
	hs := startGoogle(t, g, backend.Listen(t))
	n.StartBackends(t, 3)
	g.SetInstances("my-project", n.instances(0, 1, 2)...)
	g.SetGroup("my-project", "europe-west1-b", "web", n.group(t, 1, 2))
	p := pillion.Start(t, m.Environment, affine, "LB_GOOGLE_API="+hs.URL, "LB_DISCOVERY_INTERVAL=1s",
		"LB_BACKENDS=gce://web.europe-west1-b.my-project")
	client := newClient(t)
	own := sessionOn(t, client, p.URL("/"), "host-2")

	moved := n.instances(0, 1, 3)
	moved[1].Name = "web-2"
	g.SetInstances("my-project", moved...)
	await.Until(t, "the session is at its instance's new address", func() bool {
		return get(t, client, p.URL("/"), "Cookie", own.Cookie()).Backend() == "host-3"
	})
}

func TestSources_NetworkEndpointsAreFollowedAndFailNoRequest(t *testing.T) {
	t.Parallel()
	m, g, n := newMachine(t), fakegoogle.New(), newNamedNetwork(t)
	hs := startGoogle(t, g, backend.Listen(t))
	s := n.StartBackends(t, 4)
	port, _ := strconv.Atoi(n.port)
	set := func(hosts ...int) {
		neg := fakegoogle.NEG{DefaultPort: port}
		for i, h := range hosts {
			neg.Endpoints = append(neg.Endpoints, fakegoogle.Endpoint{Instance: "node-1.europe-west1-b", Address: n.Address(h),
				Port: i % 2 * port})
		}
		g.SetNEG("fake-project", "europe-west1-b", "pods", neg)
	}
	set(1, 2)
	p := pillion.Start(t, m.Environment, "LB_GOOGLE_API="+hs.URL, "LB_DISCOVERY_INTERVAL=1s",
		"LB_STATUS_TOKEN="+watchword, "LB_BACKENDS=gce+neg://pods.europe-west1-b")
	load := startStream(t, 4, p.URL("/"))
	for i := range 2 {
		set(i+2, i+3)
		await.Until(t, "the new endpoint is used", func() bool { return s[i+2].Hits() > 0 })
		await.Until(t, "the old endpoint is not", func() bool {
			before := s[i].Hits()
			load.More(t, 20)
			return s[i].Hits() == before
		})
	}

	set()
	await.Until(t, "the page says that the group is empty",
		func() bool { return strings.Contains(sourcesOf(t, p)[0].Error, "pods has no endpoint") })
	load.More(t, 20)
	if source := sourcesOf(t, p)[0]; source.Backends != 2 || source.Age == nil {
		t.Errorf("of an empty group the source is %+v", source)
	}
	load.Stop(t)
}

func TestSources_ABadItemOfComputeEngineIsRefusedByName(t *testing.T) {
	t.Parallel()
	for item, want := range map[string]string{
		"gce://web": "no zone and no region", "gce://*?label.app=web": "port's number",
		"gce+neg://pods.europe":       "neither a zone",
		"gce://web.europe-west1-b:80": "gce://web.europe-west1-b?port=80", "mig://web": "gce://GROUP.LOCATION",
	} {
		r := pillion.Run(t, []string{"LB_BACKENDS=" + item}, "check")
		if r.Code != 78 || linesWith(r, "LB_BACKENDS") == 0 || !strings.Contains(r.Output(), want) {
			t.Errorf("%s: exit code %d, it printed %q", item, r.Code, r.Output())
		}
	}
}

// "check --resolve" prints what an item lists, and the cure of what is wrong.
func TestSources_CheckResolvesInstances(t *testing.T) {
	t.Parallel()
	m, g := newMachine(t), fakegoogle.New()
	hs := startGoogle(t, g, backend.Listen(t))
	g.SetInstances("fake-project", fakegoogle.Instance{Name: "web-1", Zone: "europe-west1-b",
		Labels:     map[string]string{"app": "web", "lb-weight": "3"},
		Interfaces: []fakegoogle.Interface{{Address: "10.0.0.7"}}})
	env := []string{m.Environment, "LB_GOOGLE_API=" + hs.URL, "LB_BACKENDS=gce://*?label.app=web&port=8080"}
	r := pillion.Run(t, env, "check", "--resolve")
	if r.Code != 0 || !strings.Contains(r.Output(), "web-1.europe-west1-b  http://10.0.0.7:8080  weight 3") {
		t.Errorf("exit code %d, it printed %q", r.Code, r.Output())
	}

	g.SetFault(&fakegoogle.Fault{Code: http.StatusForbidden, Kind: "accessNotConfigured", Reason: "SERVICE_DISABLED",
		Message: "has not been used"})
	if r := pillion.Run(t, env, "check", "--resolve"); r.Code == 0 ||
		!strings.Contains(r.Output(), "enable compute.googleapis.com") {
		t.Errorf("exit code %d, it printed %q", r.Code, r.Output())
	}
}
