package discovery

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/test/fakegoogle"
	"github.com/pillion-lb/pillion/test/fakemetadata/server"
)

// googleOf is an API, a metadata server with tokens for it, and the
// configuration of a process that asks both.
func googleOf(t *testing.T) (*fakegoogle.Server, *config.Config, Options, *syncBuffer) {
	t.Helper()
	_, opts, logs := metadataOf(t, server.Identity{Region: "us-east1", ProjectNumber: "77"})
	g := fakegoogle.New()
	opts.Transport = server.Direct(g)
	cfg := auto()
	cfg.Process.GoogleAPI = "https://{api}.googleapis.com"

	return g, cfg, opts, logs
}

func shop(name string, labels ...string) fakegoogle.Service {
	s := fakegoogle.Service{Name: name, URI: "https://" + name + "-abcdefghij-ue.a.run.app",
		Labels: map[string]string{"team": "shop"}}
	for i := 0; i < len(labels); i += 2 {
		s.Labels[labels[i]] = labels[i+1]
	}
	return s
}

func TestRunList_ServicesWithTheLabelsAreBackends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, cfg, opts, logs := googleOf(t)
		cfg.Platform.Service = "balancer"
		disabled, odd := shop("old"), shop("odd")
		disabled.Disabled, odd.URI = true, "https://evil.example"
		g.Set("77", "us-east1", shop("api"), shop("web", "lb-weight", "0"), shop("balancer"), disabled, odd,
			shop("bad", "lb-weight", "heavy"),
			fakegoogle.Service{Name: "other", URI: "https://other.a.run.app", Labels: map[string]string{"team": "bank"}})
		sets := run(t, cfg, opts, "run+list://?label.team=shop&tag=canary")
		set, _ := next(sets, time.Second)
		if !set.Complete || names(set.Backends) != "canary---api.us-east1 canary---web.us-east1" {
			t.Fatalf("published %+v", set)
		}
		want := Backend{Name: "canary---api.us-east1", Address: "canary---api-abcdefghij-ue.a.run.app:443",
			Host: "canary---api-abcdefghij-ue.a.run.app",
			TLS:  true, Run: true, Protocol: config.Auto, Weight: 1, Audience: "https://api-abcdefghij-ue.a.run.app",
			Source: "run+list://?label.team=shop&tag=canary"}
		if set.Backends[0] != want || set.Backends[1].Weight != 0 {
			t.Errorf("got %+v\nwant %+v", set.Backends[0], want)
		}
		for _, said := range []string{"the default URL is disabled", "URL of no known form", "lb-weight"} {
			if !strings.Contains(logs.String(), said) {
				t.Errorf("the log does not say %q: %s", said, logs)
			}
		}
	})
}

func TestRunList_LabelsAreComparedAndFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, cfg, opts, _ := googleOf(t)
		g.Set("my-project", "europe-west1", shop("a"), shop("b", "env", "live"), shop("c", "env", "test"))
		sets := run(t, cfg, opts, "run+list://europe-west1.my-project?label.team=shop&label.env")
		if set, _ := next(sets, time.Second); names(set.Backends) != "b.europe-west1 c.europe-west1" {
			t.Errorf("published %+v", set)
		}
		g.Set("my-project", "europe-west1", shop("a", "env", "live"), shop("b", "env", "live"))
		if set, n := next(sets, 33*time.Second); n != 1 || names(set.Backends) != "a.europe-west1 b.europe-west1" {
			t.Errorf("within the interval: %d publications, %+v", n, set)
		}
	})
}

// Of 1,500 services in 15 pages nothing is used before the last page is there.
func TestRunList_PagesAreReadToTheEndOrNotAtAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, cfg, opts, logs := googleOf(t)
		var all []fakegoogle.Service
		for i := range 1500 {
			all = append(all, shop(fmt.Sprintf("s%04d", i)))
		}
		g.Set("77", "us-east1", all...)
		sets := run(t, cfg, opts, "run+list://?label.team=shop")
		if set, n := next(sets, time.Second); n != 1 || len(set.Backends) != 1500 {
			t.Fatalf("%d publications, the last with %d", n, len(set.Backends))
		}
		if n := g.Asked(); n != 15 {
			t.Errorf("%d questions", n)
		}
		g.Set("77", "us-east1", all[:700]...)
		g.BreakPage("300")
		if set, n := next(sets, time.Minute); n != 0 || !strings.Contains(logs.String(), "answered 500") {
			t.Errorf("with a broken page: %d publications, %d backends, logged %s", n, len(set.Backends), logs)
		}
		g.BreakPage("")
		if set, _ := next(sets, 5*time.Minute); len(set.Backends) != 700 {
			t.Errorf("afterwards %d", len(set.Backends))
		}
	})
}

func TestRunList_EachRefusalNamesItsRemedy(t *testing.T) {
	t.Parallel()
	for remedy, f := range map[string]fakegoogle.Fault{
		"enable run.googleapis.com": {Code: 403, Reason: "SERVICE_DISABLED",
			Message: "Cloud Run Admin API has not been used"},
		"grant it roles/run.viewer": {Code: 403, Reason: "IAM_PERMISSION_DENIED",
			Message: "Permission 'run.services.list' denied"},
		"give it the scope cloud-platform": {Code: 403, Reason: "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
			Message: "Request had insufficient scopes"},
		"there is no such project or region": {Code: 404, Message: "not found"},
		"too many questions":                 {Code: 429, Message: "Quota exceeded"},
	} {
		wantRefusal(t, f, remedy, "run+list://?label.team=shop", "api.us-east1 other", func(g *fakegoogle.Server) {
			g.Set("77", "us-east1", shop("api"))
		})
	}
}

// An API that says when to come again is asked no sooner. One that does not say
// is asked after two intervals of 30 s, then four, eight and ten.
func TestRunList_AnAPIThatIsAskedTooOftenIsAskedLess(t *testing.T) {
	t.Parallel()
	for after, want := range map[string]int{"600": 1, "": 4, "soon": 4} {
		synctest.Test(t, func(t *testing.T) {
			g, cfg, opts, _ := googleOf(t)
			g.Set("77", "us-east1", shop("api"))
			g.SetFault(&fakegoogle.Fault{Code: http.StatusTooManyRequests, RetryAfter: after})
			run(t, cfg, opts, "run+list://?label.team=shop")
			time.Sleep(9 * time.Minute)
			if n := g.Asked(); n != want {
				t.Errorf("Retry-After %q: %d questions, want %d", after, n, want)
			}
		})
	}
}

func TestRunList_ARefusedTokenIsFetchedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, cfg, opts, logs := googleOf(t)
		g.Set("77", "us-east1", shop("api"))
		sets := run(t, cfg, opts, "run+list://?label.team=shop")
		next(sets, time.Second)
		g.Revoke()
		g.Set("77", "us-east1", shop("api"), shop("web"))
		if set, _ := next(sets, 33*time.Second); names(set.Backends) != "api.us-east1 web.us-east1" ||
			strings.Contains(logs.String(), "failed") {
			t.Errorf("published %+v, logged %s", set, logs)
		}
	})
}

// Whatever the API says, what comes of it are hosts of Cloud Run, or none.
func FuzzRunList(f *testing.F) {
	f.Add(`{"services":[{"name":"projects/p/locations/r/services/api","uri":"https://api-x.a.run.app",` +
		`"labels":{"team":"shop"}}]}`)
	f.Add(`{"services":[{"name":"/","uri":"https://a@evil/.run.app",` +
		`"labels":{"team":"shop","lb-weight":"-1"}}],"nextPageToken":"x"}`)
	f.Add(`{"services":[{"name":"projects/p/locations/europe-west1/services/api","uid":"a","labels":{"team":"shop",` +
		`"lb-weight":"10"},"uri":"https://api-abcdefghij-ew.a.run.app","urls":["https://api-1.europe-west1.run.app"],` +
		`"ingress":"INGRESS_TRAFFIC_INTERNAL_ONLY","terminalCondition":{"type":"Ready","state":"CONDITION_FAILED"}},` +
		`{"name":"projects/p/locations/europe-west1/services/old","labels":{"team":"shop"},"defaultUriDisabled":true}]}`)
	f.Add(`{"services":[null,{}],"unreachable":["x"]}`)
	l := &runList{target: Target{Kind: RunList, Labels: "team=shop", Template: Backend{Weight: 1}}, identity: "auto"}
	f.Fuzz(func(t *testing.T, body string) {
		var page runPage
		if left := maxAnswer; readJSON(strings.NewReader(body), &left, &page) != nil {
			return
		}
		a, _ := l.answer(page.Services, "us-east1")
		for _, b := range a.backends {
			if hostProblem(b.Host) != "" || !strings.HasSuffix(b.Host, ".run.app") || b.Address != b.Host+":443" ||
				b.Weight < 0 || b.Weight > 256 {
				t.Fatalf("%s: %+v", body, b)
			}
		}
	})
}
