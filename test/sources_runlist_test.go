package test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/fakegoogle"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// startGoogle serves an API until the test ends.
func startGoogle(t *testing.T, g *fakegoogle.Server, l net.Listener) *httptest.Server {
	t.Helper()
	hs := &httptest.Server{Listener: l, Config: &http.Server{Handler: g}}
	hs.Start()
	t.Cleanup(func() { hs.CloseClientConnections(); hs.Close() })

	return hs
}

// The services take no sessions, for there are none; what is promised is which
// of them are backends, and that nothing disturbs the other source.
func TestSources_CloudRunServicesAreListedByLabel(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 1)
	m, g := newMachine(t), fakegoogle.New()
	hs := startGoogle(t, g, backend.Listen(t))
	listed := func(name string) fakegoogle.Service {
		return fakegoogle.Service{Name: name, URI: "https://" + name + "-x-ew.a.run.app",
			Labels: map[string]string{"team": "shop", "lb-weight": "0"}}
	}
	g.Set("my-project", "europe-west1", listed("api"),
		fakegoogle.Service{Name: "other", URI: "https://other-x-ew.a.run.app"})
	p := pillion.Start(t, m.Environment, "LB_GOOGLE_API="+hs.URL, "LB_DISCOVERY_INTERVAL=1s", "LB_STATUS_TOKEN="+watchword,
		"LB_BACKENDS=run+list://europe-west1.my-project?label.team=shop;"+list(s[0]))
	load := startStream(t, 2, p.URL("/"))
	await.Until(t, "the service is a backend",
		func() bool { return messages(p, "backend joined", "api.europe-west1") == 1 })

	g.SetFault(&fakegoogle.Fault{Code: http.StatusForbidden, Reason: "SERVICE_DISABLED", Message: "has not been used"})
	await.Until(t, "the page names the cure",
		func() bool { return strings.Contains(sourcesOf(t, p)[0].Error, "enable run.googleapis.com") })
	if source := sourcesOf(t, p)[0]; source.Backends != 1 || source.Age == nil {
		t.Errorf("while the API is off the source is %+v", source)
	}
	g.Set("my-project", "europe-west1", listed("api"), listed("web"))
	g.SetFault(nil)
	await.Until(t, "a new service is a backend",
		func() bool { return messages(p, "backend joined", "web.europe-west1") == 1 })

	at := hs.Listener.Addr().String()
	hs.CloseClientConnections()
	hs.Close()
	await.Until(t, "the page says that the API is away",
		func() bool { return strings.Contains(sourcesOf(t, p)[0].Error, "refused") })
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	g.Set("my-project", "europe-west1", listed("web"))
	startGoogle(t, g, l)
	await.Until(t, "what it says is used again", func() bool {
		return messages(p, "backend left", "api.europe-west1") == 1 && sourcesOf(t, p)[0].Error == ""
	})
	load.More(t, 20)
	load.Stop(t)
}

func TestSources_ABadListOfServicesIsRefusedByName(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"LB_BACKENDS=run+list://europe-west1", "names no label"}, {"LB_BACKENDS=run+list://?label.Team=x", "lower-case"},
		{"LB_GOOGLE_API=http://run.example.com", "neither https"},
		{"LB_GOOGLE_API=https://{api}.example.com/v2", "more or less"},
	} {
		variable, _, _ := strings.Cut(c[0], "=")
		r := pillion.Run(t, []string{"LB_BACKENDS=:8081", c[0]}, "check")
		if strings.HasPrefix(c[0], "LB_BACKENDS") {
			r = pillion.Run(t, []string{c[0]}, "check")
		}
		if r.Code != 78 || linesWith(r, variable) == 0 || !strings.Contains(r.Output(), c[1]) {
			t.Errorf("%s: exit code %d, it printed %q", c[0], r.Code, r.Output())
		}
	}
}
