package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/config"
)

func randomID(r *rand.Rand) (id trace.TraceID) {
	binary.BigEndian.PutUint64(id[:8], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.Uint64())
	return id
}

// givenID generates one trace id.
type givenID struct{ trace.TraceID }

func (g *givenID) NewIDs(context.Context) (trace.TraceID, trace.SpanID) { return g.TraceID, parentID }

func (*givenID) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return parentID }

// parents are all kinds of parent a request can come with.
func parents(id trace.TraceID) []trace.SpanContext {
	var all []trace.SpanContext
	for _, isRemote := range []bool{true, false} {
		for _, flags := range []trace.TraceFlags{0, trace.FlagsSampled, 2, 3, 0xff} {
			all = append(all, trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: id, SpanID: parentID, TraceFlags: flags, Remote: isRemote,
			}))
		}
	}
	return append(all, trace.SpanContext{})
}

func TestSampler_EqualsTheSDKs(t *testing.T) {
	for name, arg := range map[string]string{
		"": "", "always_on": "", "always_off": "", "traceidratio": "", "parentbased_always_on": "",
		"parentbased_always_off": "", "parentbased_traceidratio": "",
	} {
		args := []string{arg}
		if name == "traceidratio" || name == "parentbased_traceidratio" {
			args = []string{"", "0", "1", "0.5", "0.1", "1e-9", "0.999999999999", "-1", "2", "Inf"}
		}
		for _, arg := range args {
			t.Run(name+"/"+arg, func(t *testing.T) { compareSampler(t, name, arg) })
		}
	}
}

// compareSampler asks the SDK's own sampler, which the SDK makes from the
// environment, and ours.
func compareSampler(t *testing.T, name, arg string) {
	t.Setenv("OTEL_TRACES_SAMPLER", name)
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", arg)
	var given givenID
	tracer := sdktrace.NewTracerProvider(sdktrace.WithIDGenerator(&given)).Tracer("")
	share := 1.0
	if arg != "" {
		share, _ = strconv.ParseFloat(arg, 64)
	}
	ours := newSampler(&config.Config{Telemetry: config.Telemetry{Sampler: config.Sampler(name), SamplerArg: share,
		PlatformUnsampled: -1}})
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		id := randomID(r)
		for _, parent := range parents(id) {
			given.TraceID = id
			_, span := tracer.Start(trace.ContextWithSpanContext(context.Background(), parent), "")
			if want, got := span.SpanContext().IsSampled(), ours.sampled(parent, id); want != got {
				t.Fatalf("id %s, parent %v: sampled %v, the SDK says %v", id, parent, got, want)
			}
		}
	}
}

func cloudRun(role config.Role, sampler string, share float64) *config.Config {
	return &config.Config{
		Process:   config.Process{Role: role},
		Platform:  config.Platform{Service: "web"},
		Telemetry: config.Telemetry{Sampler: config.Sampler(sampler), SamplerArg: 1, PlatformUnsampled: share},
	}
}

func TestSampler_UnsampledPlatformParentsAreSampledInTheirShare(t *testing.T) {
	t.Parallel()
	s := newSampler(cloudRun(config.Ingress, "", 0.25))
	r := rand.New(rand.NewPCG(3, 4))
	hits := 0
	for range 40_000 {
		if s.sampled(remote(false).WithTraceID(randomID(r)), trace.TraceID{}) {
			hits++
		}
	}
	if hits < 9_600 || hits > 10_400 {
		t.Errorf("%d of 40000 are sampled, want about 10000", hits)
	}
	if !s.sampled(remote(true), trace.TraceID{}) || !s.sampled(trace.SpanContext{}, traceID) {
		t.Error("a sampled parent or a root is not sampled")
	}
}

func TestSampler_UnsampledParentsDecideWhereThePlatformIsNotTheirAuthor(t *testing.T) {
	t.Parallel()
	elsewhere := cloudRun(config.Ingress, "", 1)
	elsewhere.Platform.Service = ""
	for name, cfg := range map[string]*config.Config{
		"egress":      cloudRun(config.Egress, "", 1),
		"own sampler": cloudRun(config.Ingress, "parentbased_always_on", 1),
		"unset":       cloudRun(config.Ingress, "", -1),
		"elsewhere":   elsewhere,
	} {
		if newSampler(cfg).sampled(remote(false), traceID) {
			t.Errorf("%s: an unsampled parent is sampled", name)
		}
	}
}

func BenchmarkSampled(b *testing.B) {
	s := newSampler(&config.Config{Telemetry: config.Telemetry{Sampler: "parentbased_traceidratio", SamplerArg: 0.1}})
	tracing := &Tracing{sampler: s}
	b.ReportAllocs()
	for b.Loop() {
		tracing.Sampled(trace.SpanContext{}, traceID)
	}
}
