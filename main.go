// Command pillion is a load balancer in one small container, configured only by environment variables.
//
// Without arguments it serves. main wires the parts together and owns their lifetime: configuration, telemetry,
// listener, discovery, requests; and backwards at the end. Run "pillion help" for the subcommands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy"
	"github.com/pillion-lb/pillion/proxy/h1"
	"github.com/pillion-lb/pillion/proxy/h2"
	"github.com/pillion-lb/pillion/proxy/identity"
	"github.com/pillion-lb/pillion/proxy/status"
	"github.com/pillion-lb/pillion/proxy/telemetry"
)

// Exit codes; the last is EX_CONFIG of sysexits.h.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitConfig = 78
)

const usage = `Pillion balances requests over backends, keeps sessions on them and records every hop.
It is configured by environment variables only:

  LB_BACKENDS='http://10.0.0.1:8080;http://10.0.0.2:8080' pillion
  LB_BACKENDS=demo://3 pillion     for a first try, with backends of its own

Subcommands:
  pillion                  run the balancer, on port 8080 unless PORT or LB_LISTEN says another
  pillion check            say what is wrong with the environment and exit: 0 for nothing, else 78
  pillion check --resolve  the same, and print what each target of LB_BACKENDS resolves to
  pillion explain          print every variable: value, origin, meaning (--markdown: the reference)
  pillion healthcheck      exit 0 if the pillion of this environment is ready
  pillion wait URL...      wait until each URL answers (http, https or tcp://host:port), at most 60 s
  pillion version          print the version
`

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), signals, os.Stdout, os.Stderr))
}

// run is the whole program but for the process around it. The environment comes as a list, because only a list can
// show a variable that is misspelt.
func run(ctx context.Context, args, environ []string, signals <-chan os.Signal, stdout, stderr io.Writer) int {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "":
		return serve(ctx, environ, signals, stdout, stderr)
	case "check":
		return check(ctx, args, environ, stdout, stderr)
	case "explain":
		return explain(args, environ, stdout, stderr)
	case "healthcheck":
		return healthcheck(ctx, environ, stderr)
	case "wait":
		return wait(ctx, args, stderr)
	case "version", "--version", "-v":
		fmt.Fprintln(stdout, "pillion", version())
		return exitOK
	case "help", "--help", "-h":
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	fmt.Fprintf(stderr, "pillion: unknown subcommand %q; nothing is configured by arguments\n\n%s", command, usage)
	return exitUsage
}

// misused says that a subcommand does not know its arguments.
func misused(command string, args []string, stderr io.Writer) int {
	fmt.Fprintf(stderr, "pillion: %s does not know %q\n\n%s", command, args, usage)
	return exitUsage
}

// load reads the environment and the targets in it, and returns every problem of both.
func load(environ []string) (*config.Config, []discovery.Target, []config.Problem) {
	cfg, problems := config.Load(environ)
	targets, more := discovery.Parse(cfg.Service.Backends)
	return cfg, targets, append(problems, more...)
}

// check judges the environment. Unlike a start it is strict with OTEL_* values that we don't support.
func check(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	resolve := len(args) == 1 && args[0] == "--resolve"
	if len(args) > 0 && !resolve {
		return misused("check", args, stderr)
	}
	cfg, targets, problems := load(environ)
	problems = append(problems, cfg.Telemetry.Warnings...)
	if len(problems) > 0 {
		config.Report(stderr, problems)
		return exitConfig
	}
	if resolve {
		if err := discovery.Resolve(ctx, cfg, targets, discovery.Options{Logger: slog.New(slog.DiscardHandler)}, stdout); err != nil {
			fmt.Fprintln(stderr, "pillion:", err)
			return exitFailed
		}
		return exitOK
	}
	fmt.Fprintln(stdout, "the environment is fine")
	return exitOK
}

func explain(args, environ []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == "--markdown" {
		fmt.Fprint(stdout, config.Reference())
		return exitOK
	}
	if len(args) > 0 {
		return misused("explain", args, stderr)
	}
	cfg, _, problems := load(environ)
	config.Explain(stdout, cfg)
	if len(problems) > 0 {
		config.Report(stderr, problems)
		return exitConfig
	}
	return exitOK
}

func healthcheck(ctx context.Context, environ []string, stderr io.Writer) int {
	cfg, _ := config.Load(environ)
	if err := status.Healthcheck(ctx, cfg); err != nil {
		fmt.Fprintln(stderr, "pillion:", err)
		return exitFailed
	}
	return exitOK
}

func wait(ctx context.Context, urls []string, stderr io.Writer) int {
	if len(urls) == 0 {
		fmt.Fprintln(stderr, "pillion: wait needs at least one URL")
		return exitUsage
	}
	if err := status.Wait(ctx, urls, time.Minute); err != nil {
		fmt.Fprintln(stderr, "pillion:", err)
		return exitFailed
	}
	return exitOK
}

// serve runs the balancer until a signal has ended it.
func serve(ctx context.Context, environ []string, signals <-chan os.Signal, stdout, stderr io.Writer) int {
	cfg, targets, problems := load(environ)
	if len(problems) > 0 {
		config.Report(stderr, problems)
		return exitConfig
	}
	log := telemetry.NewLogger(stdout, cfg)
	b := &balancer{cfg: cfg, log: log, logger: log.Logger(), life: status.NewLifecycle(), begun: time.Now()}
	defer b.closeLog()
	if limit := cfg.Platform.MemoryLimit; limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	proxy.CollectLater()
	if err := b.build(ctx, targets); err != nil {
		b.logger.Error("start failed", "error", err.Error())
		return exitFailed
	}
	return b.run(ctx, signals)
}

// balancer is the wired program.
type balancer struct {
	cfg       *config.Config
	log       *telemetry.Log
	logger    *slog.Logger
	life      *status.Lifecycle
	begun     time.Time
	telemetry *telemetry.Telemetry
	identity  *identity.Source
	discovery *discovery.Discovery
	proxy     *proxy.Proxy
	http1     *h1.Server
	http2     *h2.Server
	listener  net.Listener
	running   sync.WaitGroup // background parts
	logging   sync.WaitGroup
	stopLog   context.CancelFunc
}

// build makes every part and opens the listener. Nothing here waits for the network.
func (b *balancer) build(ctx context.Context, targets []discovery.Target) (err error) {
	cfg := b.cfg
	logCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stopLog = stop
	b.logging.Go(func() { b.log.Run(logCtx) })
	b.telemetry, err = telemetry.Setup(ctx, cfg, telemetry.Options{Version: version(), Logger: b.logger, Log: b.log})
	if err != nil {
		return err
	}
	b.identity = identity.New(cfg, identity.Options{Logger: b.logger})
	b.discovery = discovery.New(cfg, targets, discovery.Options{Logger: b.logger})
	options := proxy.Options{Logger: b.logger, Meter: b.telemetry.Meter(), Access: b.access(), Tokens: b.identity}
	if t := b.telemetry.Tracing(); t != nil {
		options.Tracing = t
	}
	b.proxy = proxy.New(cfg, options)
	if err := errors.Join(b.discovery.Observe(options.Meter), b.identity.Observe(options.Meter)); err != nil {
		b.logger.Error("some metrics are missing", "error", err.Error())
	}
	b.servers()
	b.listener, err = proxy.Listen(cfg.Process)
	return err
}

// servers makes the two servers, which share one handler: our own paths, and everything else.
func (b *balancer) servers() {
	p := b.cfg.Process
	own := &status.Handler{Prefix: p.StatusPath, Lifecycle: b.life, Token: p.StatusToken, Metrics: b.telemetry.MetricsHandler(), State: func() status.State {
		return status.NewState(b.cfg, version(), b.begun, b.proxy.Backends())
	}}
	handler := own.Before(b.proxy)
	b.http2 = &h2.Server{
		Handler: handler, HeaderTimeout: p.HeaderTimeout, StallTimeout: p.StallTimeout, IdleTimeout: p.IdleTimeout,
		MaxHeaderBytes: int(p.MaxHeaderBytes), Logger: b.logger,
	}
	b.http1 = &h1.Server{
		Handler: handler, HeaderTimeout: p.HeaderTimeout, StallTimeout: p.StallTimeout, IdleTimeout: p.IdleTimeout,
		MaxHeaderBytes: int(p.MaxHeaderBytes), MaxConnections: p.MaxConnections,
		HTTP2: b.http2.Serve,
		Rejected: func(remote net.Addr, code int, id, reason string) {
			b.logger.Info("request refused", "peer", remote.String(), "status", code, "request_id", id, "reason", reason)
		},
	}
}

// run serves until a signal, then stops in order. It returns the exit code.
func (b *balancer) run(ctx context.Context, signals <-chan os.Signal) int {
	background, stop := context.WithCancel(ctx)
	defer stop()
	b.running.Go(func() { b.telemetry.Run(background) })
	b.running.Go(func() { b.identity.Run(background) })
	b.running.Go(func() { b.proxy.Run(background) })
	b.running.Go(func() {
		b.discovery.Run(background, func(set discovery.Set) {
			for _, backend := range set.Backends {
				b.identity.Expect(backend.Audience)
			}
			b.proxy.Update(set.Backends)
			if set.Complete {
				b.life.Answered()
			}
		})
	})
	failed := make(chan error, 1)
	go func() { failed <- b.http1.Serve(b.listener) }()
	b.logger.Info("listening", "address", b.listener.Addr().String(), "role", string(b.cfg.Process.Role), "version", version())
	code := exitOK
	select {
	case s := <-signals:
		b.logger.Info("stopping", "signal", s.String())
		code = b.drain(signals, s == os.Interrupt)
	case err := <-failed:
		b.logger.Error("listener failed", "error", err.Error())
		code = exitFailed
	}
	stop()
	b.flush()
	return code
}

// flushTime is what telemetry has to send its last spans.
const flushTime = time.Second

// flush ends the background parts and sends what telemetry still holds.
func (b *balancer) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
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

func (b *balancer) closeLog() {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	b.log.Close(ctx)
	if b.stopLog != nil {
		b.stopLog()
	}
}

// drain finishes what is in progress, within LB_DRAIN_TIMEOUT from now. A second signal ends it at once. At a terminal,
// where no balancer before us has to notice, nothing is accepted any more.
func (b *balancer) drain(signals <-chan os.Signal, terminal bool) int {
	begun := time.Now()
	ctx, cancel := context.WithDeadline(context.Background(), begun.Add(b.cfg.Process.DrainTimeout))
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.finish(ctx, terminal)
	}()
	select {
	case <-done:
		return exitOK
	case s := <-signals:
		b.logger.Warn("second signal, ending at once", "signal", s.String())
		b.http1.Close()
		b.http2.Close()
		return exitFailed
	}
}

// finish goes on accepting as long as the role asks for it, then lets requests end, then tunnels, then cuts.
func (b *balancer) finish(ctx context.Context, terminal bool) {
	b.life.Stop()
	b.proxy.Drain()
	switch {
	case terminal:
	case b.cfg.Process.Role == config.Egress:
		b.untilUnused(ctx)
	case b.cfg.Process.DrainDelay > 0:
		b.http1.Drain()
		pause(ctx, b.cfg.Process.DrainDelay)
	}
	var both sync.WaitGroup
	both.Go(func() { b.http1.Shutdown(ctx) })
	both.Go(func() { b.http2.Shutdown(ctx) })
	b.proxy.EndTunnelsLast(ctx)
	both.Wait()
	requests, tunnels := b.proxy.Active()
	b.http1.Close()
	b.http2.Close()
	b.logger.Info("stopped", "cut_requests", requests, "cut_tunnels", tunnels)
}

// untilUnused waits until the neighbour that we serve has closed its connections and stayed away for a second.
func (b *balancer) untilUnused(ctx context.Context) {
	begun := time.Now()
	for ctx.Err() == nil && min(time.Since(begun), b.http1.Unused()) < time.Second {
		pause(ctx, 20*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// access returns what writes the access log; nil when it is off.
func (b *balancer) access() func(*proxy.Record) {
	mode := b.cfg.Process.AccessLog
	if mode != "on" && mode != "errors" {
		return nil
	}
	return func(r *proxy.Record) {
		if mode == "errors" && r.Status < 500 && r.Retry == "" && !r.Ejected {
			return
		}
		b.log.Access(&telemetry.AccessLine{
			Method: r.Method, URL: r.URL(), Status: r.Status, Latency: r.Duration, RemoteIP: r.Client, UserAgent: r.Agent,
			RequestSize: r.BytesIn, ResponseSize: r.BytesOut, Protocol: r.Protocol,
			TraceID: r.TraceID, SpanID: r.SpanID, Sampled: r.Sampled,
			RequestID: r.RequestID, Backend: r.Backend, Attempts: r.Attempts, Pick: r.Reason, Cookie: r.Cookie,
			Ended: r.Ended, Error: r.Detail,
		})
	}
}

// release is set by the image's build: -ldflags '-X main.release=v1.2.3'.
var release string

func version() string { return status.Version(release) }
