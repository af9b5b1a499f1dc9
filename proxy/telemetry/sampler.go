package telemetry

import (
	"encoding/binary"
	"math"

	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/config"
)

// sampler answers the question of the SDK's standard samplers (OpenTelemetry specification, "Built-in samplers")
// without entering the SDK, so that a request that is not sampled costs nothing more. A test holds it equal to them.
type sampler struct {
	root       threshold // for requests without a parent, and for all when the sampler is not parent-based
	parent     bool      // a valid parent decides
	unsampled  threshold // share of requests sampled although their remote parent is not
	repairable bool      // unsampled applies
}

// threshold is the part of all trace ids that is sampled: those whose last 8 bytes, without the lowest bit, are below.
type threshold uint64

const always threshold = math.MaxUint64

// ratio is the threshold of a share, with the SDK's own reading of shares that are none: everything.
func ratio(share float64) threshold {
	switch {
	case share == 0:
		return 0
	case share > 0 && share < 1:
		return threshold(share * (1 << 63))
	}
	return always
}

func (t threshold) sampled(id trace.TraceID) bool {
	return binary.BigEndian.Uint64(id[8:])>>1 < uint64(t)
}

// newSampler restates OTEL_TRACES_SAMPLER and, where it may apply, LB_TRACE_PLATFORM_UNSAMPLED.
func newSampler(cfg *config.Config) sampler {
	t := cfg.Telemetry
	switch t.Sampler {
	case "always_on":
		return sampler{root: always}
	case "always_off":
		return sampler{}
	case "traceidratio":
		return sampler{root: ratio(t.SamplerArg)}
	case "parentbased_always_off":
		return sampler{parent: true}
	case "parentbased_traceidratio":
		return sampler{parent: true, root: ratio(t.SamplerArg)}
	}
	s := sampler{parent: true, root: always}
	if t.Sampler == "" && t.PlatformUnsampled >= 0 && cfg.Process.Role == config.Ingress && cfg.Platform.CloudRun() {
		s.repairable, s.unsampled = true, ratio(t.PlatformUnsampled)
	}
	return s
}

// sampled decides for a request with this parent (which may be invalid) or, without one, with this new trace id.
func (s sampler) sampled(parent trace.SpanContext, id trace.TraceID) bool {
	if !parent.IsValid() {
		return s.root.sampled(id)
	}
	if !s.parent {
		return s.root.sampled(parent.TraceID())
	}
	if parent.IsSampled() {
		return true
	}
	return s.repairable && parent.IsRemote() && s.unsampled.sampled(parent.TraceID())
}
