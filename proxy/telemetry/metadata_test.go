package telemetry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/metadata"
)

var answers = map[string]string{
	"project/project-id":                   "p-1",
	"instance/id":                          "i-7",
	"instance/region":                      "projects/42/regions/europe-west1",
	"instance/zone":                        "projects/42/zones/europe-west1-b",
	"instance/name":                        "vm-1",
	"instance/machine-type":                "projects/42/machineTypes/e2-small",
	"instance/attributes/cluster-name":     "c-1",
	"instance/attributes/cluster-location": "europe-west1-c",
}

// answersOf is a metadata server that knows values and nothing else.
type answersOf map[string]string

func (a answersOf) Get(_ context.Context, path string) (string, error) {
	if value, ok := a[path]; ok {
		return value, nil
	}
	return "", metadata.ErrUndefined
}

// serverOf is a metadata server that answers with what a function returns.
type serverOf func(ctx context.Context, path string) (string, error)

func (f serverOf) Get(ctx context.Context, path string) (string, error) { return f(ctx, path) }

func TestMachine_DescribesEachPlatform(t *testing.T) {
	t.Parallel()
	for want, platform := range map[string]config.Platform{
		"cloud.provider=gcp cloud.account.id=p-1 cloud.platform=gcp_cloud_run cloud.region=europe-west1 faas.instance=i-7": {
			Service: "web"},
		"cloud.provider=gcp cloud.account.id=p-1 cloud.platform=gcp_compute_engine cloud.availability_zone=europe-west1-b " +
			"cloud.region=europe-west1 host.id=i-7 host.name=vm-1 host.type=e2-small": {
			ComputeEngine: true},
		"cloud.provider=gcp cloud.account.id=p-1 cloud.platform=gcp_kubernetes_engine k8s.cluster.name=c-1 host.id=i-7 " +
			"cloud.availability_zone=europe-west1-c cloud.region=europe-west1": {
			ComputeEngine: true, Kubernetes: true},
	} {
		m := machine{platform, answersOf(answers)}
		project := m.project(t.Context())
		if got := text(m.describe(t.Context(), project)); got != want || project != "p-1" {
			t.Errorf("project %s, got %s\nwant %s", project, got, want)
		}
	}
}

func text(attrs []attribute.KeyValue) string {
	var b strings.Builder
	for _, a := range attrs {
		b.WriteString(" " + string(a.Key) + "=" + a.Value.String())
	}
	return strings.TrimSpace(b.String())
}

func TestMachine_APageIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "<html lang=\"en\">\nsign in", "two words", "caf\u00e9", strings.Repeat("p", 257)} {
		synctest.Test(t, func(t *testing.T) {
			m := machine{config.Platform{Service: "web"}, answersOf{"instance/id": value}}
			if got := m.ask(t.Context(), "instance/id"); got != "" {
				t.Errorf("%q was taken as %q", value, got)
			}
		})
	}
}

func TestMachine_LateServerIsAskedUntilItAnswers(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{time.Second, time.Minute, 3 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			begun, questions := time.Now(), 0
			m := machine{config.Platform{Service: "web"}, serverOf(func(ctx context.Context, path string) (string, error) {
				if questions++; time.Since(begun) < late {
					return "", errors.New("connection refused")
				}
				return answersOf(answers).Get(ctx, path)
			})}
			if got := m.project(t.Context()); got != "p-1" || time.Since(begun) > late+longestMetadataPause {
				t.Errorf("%v late: got %q after %v", late, got, time.Since(begun))
			}
			if most := 8 + int(late/longestMetadataPause); questions > most {
				t.Errorf("%v late: asked %d times", late, questions)
			}
		})
	}
}

func TestMachine_OneLostAnswerLeavesNoAttributeOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := map[string]int{}
		m := machine{config.Platform{Service: "web"}, serverOf(func(ctx context.Context, path string) (string, error) {
			if asked[path]++; asked[path] == 1 {
				return "", errors.New("status 503")
			}
			return answersOf(answers).Get(ctx, path)
		})}
		attrs := text(m.describe(t.Context(), "p-1"))
		for _, want := range []string{"cloud.region=europe-west1", "faas.instance=i-7"} {
			if !strings.Contains(attrs, want) {
				t.Errorf("%s is left out of %s", want, attrs)
			}
		}
	})
}

func TestMachine_IsAskedOnlyWhereThereMayBeAnAnswer(t *testing.T) {
	t.Parallel()
	for _, p := range []config.Platform{{}, {Kubernetes: true}, {Kubernetes: true, Service: "web"}} {
		if (machine{platform: p}).known() {
			t.Errorf("%+v is asked", p)
		}
	}
}

func TestMachine_ServerThatDropsPacketsDelaysTheFirstExportByAMomentOnly(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{}
	bubble(t, e, testLimits, func(t *testing.T, tracing *Tracing, _ func()) {
		m := machine{config.Platform{Service: "web"}, serverOf(func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})}
		late := newLateResource(tracing.processor.delivery.resource.base, true)
		tracing.processor.delivery.resource = late
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			m.project(ctx)
			close(ended)
		}()
		for i, wait := range []time.Duration{resourceWait, idleGap} {
			request(tracing)
			time.Sleep(wait)
			synctest.Wait()
			if n := e.delivered(); n != i+1 {
				t.Errorf("%d spans delivered after %v, want %d", n, wait, i+1)
			}
		}
		cancel()
		<-ended
	})
}

func TestSetup_CloudRunsResourceIsCompletedFromMetadata(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value, err := answersOf(answers).Get(r.Context(), strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/"))
		if err != nil || r.Header.Get("Metadata-Flavor") != "Google" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Metadata-Flavor", "Google")
		_, _ = io.WriteString(w, value)
	}))
	defer server.Close()
	c := newCollector(t)
	cfg := loaded(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.server.URL, "OTEL_METRICS_EXPORTER=none",
		"OTEL_RESOURCE_ATTRIBUTES=cloud.region=mars",
		"K_SERVICE=web", "K_REVISION=web-00001", "GCE_METADATA_HOST="+strings.TrimPrefix(server.URL, "http://"))
	log := NewLogger(io.Discard, cfg)
	tel := running(t, cfg, Options{Log: log})
	oneRetry(tel.Tracing(), remote(true), traceID)
	c.await(t, 3)
	got := map[string]string{}
	for _, a := range c.resources[0].Attributes {
		got[a.Key] = a.Value.GetStringValue()
	}
	for key, want := range map[string]string{
		"service.name": "web", "cloud.provider": "gcp", "cloud.platform": "gcp_cloud_run", "cloud.account.id": "p-1",
		"cloud.region": "mars", "faas.name": "web", "faas.version": "web-00001", "faas.instance": "i-7",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if project := *log.project.Load(); project != "p-1" {
		t.Errorf("the log's project is %q", project)
	}
}
