// Package telemetry sets up the OpenTelemetry SDK and the log. It is the only
// importer of the SDK and of exporters. All other packages use the API, or an
// interface of their own that a type here implements.
//
// The way of a span: the proxy calls Tracing.Sampled, which decides like the
// standard samplers. For a sampled request it calls Tracing.Start, and ends the
// span when the request ends. The ended span goes to the processor, which keeps
// it in a bounded queue until one worker exports it: when a batch is full, when
// the last request in flight ends, or when it has waited too long. Ending a
// span never waits for the exporter.
//
// Sampler, span, processor and encoding are implemented here, because those of
// the SDK cost several times as much as relaying a request. Tests compare each
// of them with the SDK's. Limits, resource, metrics and the OTLP clients are
// OpenTelemetry's own.
//
// The way of a log line: the caller formats it and copies it into a bounded
// queue, and one writer writes it.
//
// Goroutines: Telemetry.Run owns the worker and the questions to the metadata
// server, and Log.Run the writer. The SDK's metric reader has its own
// goroutine, from Setup to Shutdown. Losses are counted, and logged once when
// they begin and once when they end.
package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/metadata"
)

// Options are what Setup needs beside the configuration.
type Options struct {
	Version string       // of this program
	Logger  *slog.Logger // for problems; nil for that of Log
	Stdout  io.Writer    // of the console exporters; must not block; nil for Log's queue
	Log     *Log         // may be nil; it gets the project, and its dropped lines are counted

	Metadata *metadata.Client // nil: one of GCE_METADATA_HOST
}

// Telemetry holds the telemetry of one process. Setup makes it, once.
type Telemetry struct {
	tracing  *Tracing
	metrics  *metrics
	resource *lateResource
	machine  machine
	log      *Log
}

// Setup makes the configured parts. It does not connect. An exporter that can't
// be made is logged and left out, and so is an unsupported value of a variable,
// because telemetry must not prevent a start. Two effects are global: the
// variables that config has read are removed from the environment, because
// OpenTelemetry's packages would read them again by other rules, and the errors
// of these packages go to the log.
func Setup(ctx context.Context, cfg *config.Config, opts Options) (*Telemetry, error) {
	opts = opts.withDefaults(cfg.Platform)
	for _, w := range cfg.Telemetry.Warnings {
		opts.Logger.Warn("unsupported value, it counts as unset", "variable", w.Variable, "problem",
			w.String())
	}

	for _, name := range config.Names() {
		if strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}

	t := &Telemetry{machine: machine{cfg.Platform, opts.Metadata}, log: opts.Log}
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

func (o Options) withDefaults(p config.Platform) Options {
	if o.Metadata == nil {
		o.Metadata = metadata.New(p.MetadataHost, nil)
	}

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
	to := &receiver{Receiver: cfg.Telemetry.TracesReceiver}
	exporter, err := newSpanExporter(ctx, cfg.Telemetry, to, opts)
	if err != nil {
		opts.Logger.Error("traces are off because their exporter cannot be made", "error", err)
		return
	}

	longest := longestWait
	if cfg.Telemetry.TracesExporter == config.ExportConsole {
		longest = consoleWait
	}

	p := newProcessor(newLimits(cfg.Telemetry, longest), &delivery{
		exporter: exporter,
		resource: t.resource,
		failure:  &to.failure,
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

// Tracing returns the recorder of spans. It is nil if no exporter of traces is
// configured; trace headers then pass unchanged.
func (t *Telemetry) Tracing() *Tracing { return t.tracing }

// Meter returns the maker of instruments. It is nil if metrics are neither
// exported nor readable.
func (t *Telemetry) Meter() metric.Meter {
	if t.metrics == nil {
		return nil
	}
	return t.metrics.meter
}

// MetricsHandler returns a handler that answers with all metrics as Prometheus
// text. It is nil if that is off.
func (t *Telemetry) MetricsHandler() http.Handler {
	if t.metrics == nil {
		return nil
	}
	return t.metrics.handler
}

// Run exports spans, and asks the metadata server where the process runs, until
// ctx ends. Shutdown exports the spans that still wait then.
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

// locate asks the metadata server, for the trace names in the log and for the
// resource.
func (t *Telemetry) locate(ctx context.Context) {
	if !t.resource.waiting && t.log == nil {
		return
	}

	project := t.machine.project(ctx)
	if project == "" {
		return
	}

	if t.log != nil && t.machine.platform.ProjectID == "" {
		t.log.SetProject(project)
	}

	if t.resource.waiting {
		t.resource.complete(t.machine.describe(ctx, project))
	}
}

// Shutdown exports the spans and metrics that wait, until ctx ends, and ends
// everything. Spans that could not be exported are counted as dropped.
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
