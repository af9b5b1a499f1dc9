// Command pillion is a load balancer in one small container, configured only by
// environment variables.
//
// Without arguments it serves. main wires the parts together and owns the order
// of their start and their end. Run "pillion help" for the subcommands.
package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/discovery/metadata"
	"github.com/pillion-lb/pillion/proxy"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/command"
	"github.com/pillion-lb/pillion/proxy/front"
	"github.com/pillion-lb/pillion/proxy/identity"
	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/status"
	"github.com/pillion-lb/pillion/proxy/telemetry"
)

func main() {
	// The reader of standard output may end before this process does, as a log
	// agent that is restarted. Without this line the runtime would end the
	// process at the next write (os/signal, "SIGPIPE").
	signal.Ignore(syscall.SIGPIPE)
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), stop, os.Stdout, os.Stderr))
}

type signals = <-chan os.Signal

// run is the whole program but for the process around it. The environment comes
// as a list, because only a list can show a variable that is misspelt.
func run(ctx context.Context, args, environ []string, stop signals, stdout, stderr io.Writer) int {
	if command.Serves(args) {
		return serve(ctx, environ, stop, stdout, stderr)
	}

	return command.Run(ctx, &command.Call{
		Args: args, Environ: environ, Stop: stop, Stdout: stdout, Stderr: stderr, Version: version(),
	})
}

// serve runs the balancer until a signal has ended it.
func serve(ctx context.Context, environ []string, stop signals, stdout, stderr io.Writer) int {
	cfg, targets, problems := proxy.Load(environ)
	if len(problems) > 0 {
		command.Report(stderr, problems)
		return command.Config
	}

	log := telemetry.NewLogger(stdout, cfg)
	defer log.Start(ctx)()
	b := &balancer{cfg: cfg, targets: targets, log: log, begun: time.Now()}
	b.life, b.events = status.NewLifecycle(), status.NewEvents(log.Logger().Handler())
	b.logger = slog.New(b.events)
	b.budget = socket.NewBudget(cfg.Platform.MemoryBudget)
	b.budget.LogSheds(b.logger)
	front.CollectLater(cfg.Platform.MemoryLimit, cfg.Platform.MemoryReserved, b.budget)
	if err := b.build(ctx); err != nil {
		b.logger.Error("start failed", "error", err.Error())
		return command.Failed
	}
	return b.run(ctx, stop)
}

// balancer is the wired program.
type balancer struct {
	cfg       *config.Config
	targets   discovery.Targets
	log       *telemetry.Log
	logger    *slog.Logger
	events    *status.Events
	life      *status.Lifecycle
	begun     time.Time
	budget    *socket.Budget
	telemetry *telemetry.Telemetry
	identity  *identity.Services
	discovery *discovery.Services
	proxy     *proxy.Proxy
	front     *front.Server
	running   sync.WaitGroup // background parts
}

// build makes every part and opens the listener. Nothing here waits for the
// network.
func (b *balancer) build(ctx context.Context) (err error) {
	server := metadata.New(b.cfg.Platform.MetadataHost, nil)
	settings := telemetry.Options{Version: version(), Logger: b.logger, Log: b.log, Metadata: server}
	if b.telemetry, err = telemetry.Setup(ctx, b.cfg, settings); err != nil {
		return err
	}
	b.identity = identity.NewServices(b.cfg, identity.Options{Logger: b.logger, Metadata: server})
	b.discovery = discovery.NewServices(b.cfg, b.targets,
		discovery.Options{Logger: b.logger, Metadata: server})

	meter := b.telemetry.Meter()
	options := proxy.Options{
		Logger: b.logger, Meter: meter, Access: b.logAccess, Budget: b.budget,
		Metadata: server.Get, AccessToken: server.AccessToken,
		Tokens: func(service string) backend.Tokens { return b.identity.Of(service) },
	}
	if t := b.telemetry.Tracing(); t != nil {
		options.Tracing = t
	}
	b.proxy = proxy.New(b.cfg, options)
	if err := errors.Join(b.discovery.Observe(meter), b.identity.Observe(meter)); err != nil {
		b.logger.Error("some metrics are missing", "error", err.Error())
	}

	b.front = b.newFront()
	return b.front.Listen()
}

// newFront makes the server of the one port, which answers Pillion's own paths.
func (b *balancer) newFront() *front.Server {
	own := &status.Handler{
		Prefix: b.cfg.Process.StatusPath, Lifecycle: b.life,
		Token: b.cfg.Process.StatusToken, Metrics: b.telemetry.MetricsHandler(),
		Cache: b.proxy.Cache(), Logger: b.logger, Events: b.events,
		State: func() status.State {
			state := status.NewState(b.cfg, version(), b.begun, b.proxy.Backends(), b.discovery.States())
			state = state.WithTraffic(b.proxy.Traffic()).WithAccess(b.proxy.Access())
			return state.WithRoutes(b.proxy.EachRoute)
		},
	}

	return front.New(b.cfg, front.Options{
		Handler: own.Before(b.proxy), Logger: b.logger, Budget: b.budget, Version: version(),
		Draining:   func() { b.life.Stop(); b.proxy.Drain() },
		EndTunnels: b.proxy.EndTunnelsLast, Active: b.proxy.Active,
		Started: b.greet(),
	})
}

// greet returns the function that prints the first lines on a terminal, or nil
// if the output is not a terminal.
func (b *balancer) greet() func(address, page string) {
	if b.log.Screen() == nil {
		return nil
	}

	return func(address, page string) {
		b.log.Print(command.Greeting(b.cfg, b.targets, version(), address, page, b.log.Screen()))
	}
}

// run serves until a signal, then stops in order. It returns the exit code.
func (b *balancer) run(ctx context.Context, stop signals) int {
	background, cancel := context.WithCancel(ctx)
	b.running.Go(func() { b.cfg.FollowFiles(background, b.logger) })
	b.running.Go(func() { b.telemetry.Run(background) })
	b.running.Go(func() { b.proxy.Run(background) })
	b.running.Go(func() { b.identity.Run(background) })
	b.running.Go(func() { b.discovery.Run(background, b.publish) })

	err := b.front.Run(stop)
	cancel()
	b.flush()
	if err != nil {
		return command.Failed // and it was logged
	}
	return command.OK
}

// publish hands a service's set of backends to those that use it.
func (b *balancer) publish(service string, set discovery.Set) {
	for _, backend := range set.Backends {
		b.identity.Of(service).Expect(backend.Audience)
	}
	b.proxy.UpdateService(service, set.Backends)
	if set.Complete {
		b.life.Answered()
	}
}

// flush sends the last telemetry and ends the background parts, within a
// second.
func (b *balancer) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := b.telemetry.Shutdown(ctx); err != nil {
		b.logger.Warn("telemetry could not be flushed", "error", err.Error())
	}

	ended := make(chan struct{})
	go func() { b.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// logAccess writes the line of one request.
func (b *balancer) logAccess(r *proxy.Record) {
	b.log.Access(&telemetry.AccessLine{
		Method: r.Method, URL: r.URL(), Status: r.Status, Latency: r.Duration,
		RemoteIP: r.Client, UserAgent: r.Agent, Protocol: r.Protocol,
		RequestSize: r.BytesIn, ResponseSize: r.BytesOut, RequestID: r.RequestID,
		TraceID: r.TraceID, SpanID: r.SpanID, Sampled: r.Sampled,
		Route: r.Route, Service: r.Service, Backend: r.Backend, Attempts: r.Attempts,
		Tried: r.Tried, Pick: r.Reason, Cookie: r.Cookie, Access: r.Access,
		Cache: string(r.Cache), Ended: r.Ended, Error: r.Detail,
	})
}

// release is set by the image's build: -ldflags '-X main.release=v1.2.3'.
var release string

func version() string { return status.Version(release) }
