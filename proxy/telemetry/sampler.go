package telemetry

import (
	"encoding/binary"
	"math"

	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/config"
)

// sampler decides like the SDK's standard samplers (OpenTelemetry
// specification, "Built-in samplers") without using the SDK, so a request that
// is not sampled costs nothing more. A test compares it with them.
type sampler struct {
	// for requests without a parent, and for all if the sampler is not
	// parent-based
	root       threshold
	parent     bool      // a valid parent decides
	unsampled  threshold // share of requests sampled although their remote parent is not
	repairable bool      // unsampled applies
}

// threshold is the share of trace ids that is sampled: those whose last 8
// bytes, without the lowest bit, are below it.
type threshold uint64

const always threshold = math.MaxUint64

// ratio returns the threshold of a share. Like the SDK, it samples everything
// if the share is not between 0 and 1.
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

// newSampler returns the sampler for OTEL_TRACES_SAMPLER and, if it applies,
// LB_TRACE_PLATFORM_UNSAMPLED.
func newSampler(cfg *config.Config) sampler {
	t := cfg.Telemetry
	switch t.Sampler {
	case config.AlwaysOn:
		return sampler{root: always}
	case config.AlwaysOff:
		return sampler{}
	case config.TraceIDRatio:
		return sampler{root: ratio(t.SamplerArg)}
	case config.ParentBasedAlwaysOff:
		return sampler{parent: true}
	case config.ParentBasedTraceIDRatio:
		return sampler{parent: true, root: ratio(t.SamplerArg)}
	}

	s := sampler{parent: true, root: always}
	if t.Sampler == "" && t.PlatformUnsampled >= 0 && cfg.Process.Role == config.Ingress &&
		cfg.Platform.CloudRun() {
		s.repairable, s.unsampled = true, ratio(t.PlatformUnsampled)
	}

	return s
}

// sampled decides for a request with this parent (which may be invalid) or,
// without one, with this new trace id.
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
