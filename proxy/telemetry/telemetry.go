// Package telemetry sets up the OpenTelemetry SDK and the log. It is the only importer of the SDK and of exporters;
// everyone else uses the API, or an interface of its own that a type here satisfies.
//
// A span flows so: the proxy asks Tracing.Sampled, which restates the standard samplers. For a request that is sampled it
// calls Tracing.Start and ends the span when the request ends. The ended span goes to the processor, which keeps it in a
// bounded queue until one worker exports it: when a batch is full, when the last request in flight ends, or when it has
// waited too long. Nobody who ends a span ever waits for the exporter.
//
// Sampler, span, processor and encoding are written here, each held equal to the SDK's by a test, because the SDK's cost
// several times what relaying a request costs. Limits, resource, metrics and the clients that speak OTLP are
// OpenTelemetry's own.
//
// A log line flows so: it is formatted by who says it, copied into a bounded queue, and written by one writer.
//
// Goroutines: Telemetry.Run owns the worker and the questions to the metadata server, Log.Run the writer. The SDK's
// metric reader has one of its own, from Setup to Shutdown. What is lost on the way is counted, and said in the log once
// when it begins and once when it is over.
package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/pillion-lb/pillion/config"
)

// Options are what Setup needs besides the environment.
type Options struct {
	Version string       // of this program
	Logger  *slog.Logger // where problems are said; nil: Log's
	Stdout  io.Writer    // of the console exporters; must not block; nil: Log's queue
	Log     *Log         // may be nil; is told the project, and its dropped lines are counted
}

// Telemetry is the set-up of one process. It is made once by Setup.
type Telemetry struct {
	tracing  *Tracing
	metrics  *metrics
	resource *lateResource
	machine  machine
	log      *Log
}

// Setup makes what cfg asks for. It asks nobody on the network. An exporter that cannot be made is said in the log and
// left out, and so is a variable's unsupported value: telemetry never stops a start. Two things here are global:
// variables with such values are taken out of the environment, and the errors of OpenTelemetry's packages go to the log.
func Setup(ctx context.Context, cfg *config.Config, opts Options) (*Telemetry, error) {
	opts = opts.withDefaults()
	for _, w := range cfg.Telemetry.Warnings {
		opts.Logger.Warn("unsupported value, it counts as unset", "variable", w.Variable, "problem", w.String())
		os.Unsetenv(w.Variable) // OpenTelemetry's packages read the environment themselves
	}
	t := &Telemetry{machine: newMachine(cfg.Platform), log: opts.Log}
	if !cfg.Telemetry.Traces() && !metricsWanted(cfg) {
		t.resource = newLateResource(nil, false)
		return t, nil
	}
	sink := sdkSink{&sdkErrors{logger: opts.Logger}}
	otel.SetErrorHandler(sink.errors)
	otel.SetLogger(logr.New(sink))
	base, err := newResource(ctx, cfg, opts.Version)
	if err != nil {
		sink.errors.Handle(err)
	}
	t.resource = newLateResource(base, t.machine.known())
	if cfg.Telemetry.Traces() {
		t.setupTracing(ctx, cfg, opts)
	}
	if metricsWanted(cfg) {
		t.setupMetrics(ctx, cfg, opts)
	}
	return t, nil
}

func (o Options) withDefaults() Options {
	if o.Logger == nil && o.Log != nil {
		o.Logger = o.Log.Logger()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Stdout == nil && o.Log != nil {
		o.Stdout = o.Log.queue
	}
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	return o
}

func (t *Telemetry) setupTracing(ctx context.Context, cfg *config.Config, opts Options) {
	exporter, err := newSpanExporter(ctx, cfg.Telemetry, opts.Stdout)
	if err != nil {
		opts.Logger.Error("traces are off because their exporter cannot be made", "error", err)
		return
	}
	longest := longestWait
	if cfg.Telemetry.TracesExporter == "console" {
		longest = consoleWait
	}
	p := newProcessor(newLimits(cfg.Telemetry, longest), &delivery{
		exporter: exporter,
		resource: t.resource,
		health:   &health{logger: opts.Logger, what: "spans"},
	})
	t.tracing = newTracing(newSampler(cfg), p, t.resource.base, opts.Version)
}

func (t *Telemetry) setupMetrics(ctx context.Context, cfg *config.Config, opts Options) {
	h := &health{logger: opts.Logger, what: "metrics"}
	m, err := newMetrics(ctx, cfg, t.resource, h, opts.Version, opts.Stdout)
	if err != nil {
		opts.Logger.Error("metrics are off because their exporter cannot be made", "error", err)
		return
	}
	t.metrics = m
	var spans, lines func() int64
	if t.tracing != nil {
		spans = t.tracing.Dropped
	}
	if t.log != nil {
		lines = t.log.Dropped
	}
	if err := m.observe(spans, lines); err != nil {
		opts.Logger.Error("telemetry does not count its own losses", "error", err)
	}
}

// Tracing records spans. It is nil when no exporter of traces is configured; trace headers then pass unchanged.
func (t *Telemetry) Tracing() *Tracing { return t.tracing }

// Meter makes instruments. It is nil when nobody would see a metric.
func (t *Telemetry) Meter() metric.Meter {
	if t.metrics == nil {
		return nil
	}
	return t.metrics.meter
}

// MetricsHandler answers with all metrics as Prometheus text. It is nil when that is off.
func (t *Telemetry) MetricsHandler() http.Handler {
	if t.metrics == nil {
		return nil
	}
	return t.metrics.handler
}

// Run exports spans, and asks the metadata server where we are, until ctx ends. What still waits then is Shutdown's.
func (t *Telemetry) Run(ctx context.Context) error {
	var group sync.WaitGroup
	if t.machine.known() {
		group.Go(func() { t.locate(ctx) })
	}
	if t.tracing != nil {
		group.Go(func() { t.tracing.processor.run(ctx) })
	}
	<-ctx.Done()
	group.Wait()
	return nil
}

// locate asks the metadata server, for the resource and for the trace names in the log.
func (t *Telemetry) locate(ctx context.Context) {
	if t.resource.waiting || t.log != nil {
		project, attrs := t.machine.describe(ctx)
		if t.log != nil && project != "" && t.machine.platform.ProjectID == "" {
			t.log.SetProject(project)
		}
		t.located(attrs)
	}
}

func (t *Telemetry) located(attrs []attribute.KeyValue) {
	if t.resource.waiting {
		t.resource.complete(attrs)
	}
}

// Shutdown exports what waits, for as long as ctx allows, and ends everything. What could not be exported is counted as
// dropped.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var spans, sums error
	var group sync.WaitGroup
	if t.tracing != nil {
		group.Go(func() { spans = t.tracing.shutdown(ctx) })
	}
	if t.metrics != nil {
		group.Go(func() { sums = t.metrics.provider.Shutdown(ctx) })
	}
	group.Wait()
	return errors.Join(spans, sums)
}
