package discovery

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/metadata"
	"github.com/pillion-lb/pillion/test/fakemetadata/server"
)

func metadataOf(t *testing.T, id server.Identity) (*server.Server, Options, *syncBuffer) {
	s := server.New(id)
	log, logs := logged()
	return s, Options{Metadata: metadata.New("", server.Direct(s)), Logger: log}, logs
}

func auto() *config.Config {
	return &config.Config{Service: config.Service{Identity: "auto", DiscoveryInterval: 30 * time.Second}}
}

func TestRun_FindsItsServiceFromMetadataAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, opts, _ := metadataOf(t, server.Identity{Region: "us-east1", ProjectNumber: "77"})
		sets := run(t, auto(), opts, "run://api?tag=canary", "run://api.europe-west1?weight=3",
			"run://web.asia-east1.88?name=w")
		var set Set
		for !set.Complete {
			set = <-sets
		}
		want := []Backend{
			{Name: "api.europe-west1", Host: "api-77.europe-west1.run.app", Weight: 3, Source: "run://api.europe-west1?weight=3",
				Audience: "https://api-77.europe-west1.run.app"},
			{Name: "canary---api", Host: "canary---api-77.us-east1.run.app", Weight: 1, Source: "run://api?tag=canary",
				Audience: "https://api-77.us-east1.run.app"},
			{Name: "w", Host: "web-88.asia-east1.run.app", Weight: 1, Source: "run://web.asia-east1.88?name=w",
				Audience: "https://web-88.asia-east1.run.app"},
		}
		for i, b := range want {
			b.Address, b.TLS, b.Run, b.Protocol = b.Host+":443", true, true, config.Auto
			if set.Backends[i] != b {
				t.Errorf("got  %+v\nwant %+v", set.Backends[i], b)
			}
		}
	})
}

func TestRun_FullNameNeedsNoMetadata(t *testing.T) {
	t.Parallel()
	fails := server.Direct(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the metadata server was asked")
	}))
	set := <-run(t, auto(), Options{Metadata: metadata.New("", fails)}, "run://api.europe-west1.77")
	if !set.Complete || len(set.Backends) != 1 {
		t.Errorf("published %+v", set)
	}
}

func TestRun_RecoversFromEveryFaultAndLogsOnce(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"drop", "slow 10s", "500", "404", "html", "reset"} {
		synctest.Test(t, func(t *testing.T) {
			s, opts, logs := metadataOf(t, server.Identity{})
			f, err := server.ParseFault(fault)
			if err != nil {
				t.Fatal(err)
			}
			s.SetFault(f)
			sets := run(t, auto(), opts, "run://api", "http://fixed")
			if set := <-sets; set.Complete || names(set.Backends) != "fixed" {
				t.Errorf("%s: first %+v", fault, set)
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if n := strings.Count(logs.String(), "level=WARN"); n != 1 || len(sets) > 0 {
				t.Errorf("%s: %d warnings, %d publications:\n%s", fault, n, len(sets), logs)
			}
			s.SetFault(server.Fault{})
			time.Sleep(40 * time.Second)
			synctest.Wait()
			if set := <-sets; !set.Complete || names(set.Backends) != "api fixed" {
				t.Errorf("%s: after it %+v", fault, set)
			}
		})
	}
}

func TestRun_LabelTooLongForDNSIsAClearError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, opts, logs := metadataOf(t, server.Identity{})
		sets := run(t, auto(), opts, "http://fixed", "run://"+strings.Repeat("a", 52))
		<-sets
		synctest.Wait()
		if !strings.Contains(logs.String(), "longer than 63") || !strings.Contains(logs.String(), "https://HOST") {
			t.Errorf("logged %s", logs)
		}
	})
}

func TestAudience_FollowsTheIdentitySetting(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ identity, item, want string }{
		{"auto", "https://api-1.r.run.app", "https://api-1.r.run.app"},
		{"auto", "https://v2---api-1.r.run.app:8443", "https://api-1.r.run.app"},
		{"auto", "h2://api-xyz-ew.a.run.app", "https://api-xyz-ew.a.run.app"},
		{"auto", "https://evilrun.app", ""},
		{"auto", "https://run.app", ""},
		{"auto", "https://api.run.app.evil.example", ""},
		{"auto", "http://api-1.r.run.app", ""},
		{"auto", "h2c://api-1.r.run.app", ""},
		{"auto", "https://app.example", ""},
		{"auto", "https://10.0.0.5?host=api-1.r.run.app", "https://api-1.r.run.app"},
		{"auto", "h2://psc.internal:8443?host=v2---api-1.r.run.app:443", "https://api-1.r.run.app"},
		{"auto", "http://10.0.0.5?host=api-1.r.run.app", ""},
		{"auto", "https://10.0.0.5?host=evilrun.app", ""},
		{"auto", "https://api-1.r.run.app?host=app.example", ""},
		{"auto", "https://api-1.r.run.app?host=api-2.r.run.app", "https://api-2.r.run.app"},
		{"auto", "dns://psc.internal?protocol=https&host=api-1.r.run.app", "https://api-1.r.run.app"},
		{"auto", "dns://psc.internal?host=api-1.r.run.app", ""},
		{"auto", "srv://_s._tcp.a.internal?protocol=https&host=api-1.r.run.app", "https://api-1.r.run.app"},
		{"off", "https://10.0.0.5?host=api-1.r.run.app", ""},
		{"https://mine", "https://10.0.0.5?host=api-1.r.run.app", "https://mine"},
		{"off", "https://api-1.r.run.app", ""},
		{"https://mine", "https://app.example", "https://mine"},
		{"https://mine", "https://api-1.r.run.app", "https://mine"},
		{"https://mine", "http://app.example", ""},
	} {
		target := parseOne(t, test.item)
		if got := identified(target.Template, target, test.identity).Audience; got != test.want {
			t.Errorf("LB_IDENTITY=%s %s: audience %q, want %q", test.identity, test.item, got, test.want)
		}
	}
	attribute := parseOne(t, "https://app.example")
	attribute.Written = false
	answered := parseOne(t, "dns://app.example?protocol=https")
	for _, target := range []Target{attribute, answered} {
		b := target.Template
		b.TLS = true
		if got := identified(b, target, "https://mine").Audience; got != "" {
			t.Errorf("%s draws the operator's own audience", target.Kind)
		}
	}
}
