package telemetry

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// When spans leave. Platforms stop the CPU with the last response, so a batch that waits for a clock waits for ever.
const (
	// longestWait is how old a span gets while requests are in flight and its batch is not full.
	longestWait = 200 * time.Millisecond
	// consoleWait is the same for a person who looks on.
	consoleWait = 50 * time.Millisecond
	// idleGap is the least time between two exports that begin because no request is in flight. A single client that
	// asks without a pause would else cause an export per request.
	idleGap = 10 * time.Millisecond
	// stopGrace is how long an export that is under way may go on once Run is told to stop.
	stopGrace = 400 * time.Millisecond
)

// limits are the standard's OTEL_BSP_* settings.
type limits struct {
	queue   int           // spans that wait
	batch   int           // spans per export
	delay   time.Duration // how old a span may get
	timeout time.Duration // of one export with all its retries
}

// processor is a span processor for CPUs that are frozen between requests. Ended spans wait in a bounded queue. One
// worker exports them when a batch is full, when the last request in flight ends, or when the oldest has waited too
// long. Whoever ends a span takes no lock and never waits for the exporter: a full queue drops the span and counts it.
type processor struct {
	limits   limits
	delivery *delivery

	inFlight atomic.Int64
	dropped  atomic.Int64
	closed   atomic.Bool
	queue    chan sdktrace.ReadOnlySpan
	queued   atomic.Int64  // spans in the queue, or about to enter or leave it
	oldest   atomic.Int64  // Unix nanoseconds; about when the first span in the queue ended
	armed    atomic.Bool   // the worker looks by itself within idleGap
	wake     chan struct{} // holds one token when the worker has to look
	exporter chan struct{} // holds one token; whoever took it owns batch and may export

	batch []sdktrace.ReadOnlySpan // taken from the queue, not yet delivered
	begun time.Time               // of the last export; the worker's

	mu    sync.Mutex
	abort context.CancelFunc // ends the worker's export under way
}

func newProcessor(l limits, d *delivery) *processor {
	p := &processor{
		limits:   l,
		delivery: d,
		queue:    make(chan sdktrace.ReadOnlySpan, l.queue),
		wake:     make(chan struct{}, 1),
		exporter: make(chan struct{}, 1),
		batch:    make([]sdktrace.ReadOnlySpan, 0, l.batch),
		abort:    func() {},
	}
	d.dropped = &p.dropped
	p.exporter <- struct{}{}
	return p
}

// OnEnd queues an ended span, or drops and counts it.
func (p *processor) OnEnd(span sdktrace.ReadOnlySpan) {
	if p.closed.Load() {
		p.dropped.Add(1)
		return
	}
	n := p.queued.Add(1)
	select {
	case p.queue <- span:
	default:
		p.queued.Add(-1)
		p.dropped.Add(1)
		return
	}
	if n == 1 {
		p.oldest.Store(span.EndTime().UnixNano())
	}
	if n == 1 || n == int64(p.limits.batch) {
		p.notify()
	}
}

// requestEnded makes the worker export when no request is left, unless it is about to look: a wake-up per request would
// cost as much as the request's spans.
func (p *processor) requestEnded() {
	if p.inFlight.Add(-1) == 0 && len(p.queue) > 0 && !p.armed.Load() {
		p.notify()
	}
}

func (p *processor) notify() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run is the worker. It returns when ctx ends; spans that still wait are Shutdown's.
func (p *processor) run(ctx context.Context) {
	exports, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, abort) })()
	p.mu.Lock()
	p.abort = abort
	p.mu.Unlock()
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for ctx.Err() == nil {
		wait := p.due(time.Now())
		if wait <= 0 {
			p.exportOnce(ctx, exports)
			continue
		}
		alarm.Reset(wait)
		p.armed.Store(wait <= idleGap)
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-alarm.C:
		}
		p.armed.Store(false)
	}
}

// due says how long the worker has to wait before it exports or looks again. It compares with the clock, because timers
// stand still with the CPU.
func (p *processor) due(now time.Time) time.Duration {
	n := len(p.queue)
	switch {
	case n == 0 || p.closed.Load():
		return time.Hour
	case n >= p.limits.batch:
		return 0
	case p.inFlight.Load() == 0:
		return idleGap - now.Sub(p.begun)
	}
	return p.limits.delay - time.Duration(now.UnixNano()-p.oldest.Load())
}

// exportOnce exports one batch, unless Shutdown is about to do it.
func (p *processor) exportOnce(ctx, exports context.Context) {
	select {
	case <-p.exporter:
	case <-ctx.Done():
		return
	}
	defer func() { p.exporter <- struct{}{} }()
	p.begun = time.Now()
	p.export(exports)
}

// export takes the next batch and delivers it. When ctx is cancelled in between the batch stays and is the next again.
func (p *processor) export(ctx context.Context) {
	if len(p.batch) == 0 {
		p.take()
	}
	if !p.delivery.deliver(ctx, p.batch, p.limits.timeout) {
		return
	}
	clear(p.batch)
	p.batch = p.batch[:0]
}

// take moves the oldest spans from the queue to the batch, which is empty.
func (p *processor) take() {
	for len(p.batch) < p.limits.batch {
		select {
		case span := <-p.queue:
			p.batch = append(p.batch, span)
			continue
		default:
		}
		break
	}
	if n := len(p.batch); n > 0 {
		p.queued.Add(int64(-n))
		p.oldest.Store(p.batch[n-1].EndTime().UnixNano())
	}
}

// ForceFlush exports all spans that ended before, for as long as ctx allows.
func (p *processor) ForceFlush(ctx context.Context) error {
	select {
	case <-p.exporter:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { p.exporter <- struct{}{} }()
	for len(p.batch) > 0 || len(p.queue) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.export(ctx)
	}
	return nil
}

// Shutdown takes no more spans and exports those that wait, for as long as ctx allows. The others are dropped and
// counted. An export of the worker that is under way gets half of that time.
func (p *processor) Shutdown(ctx context.Context) error {
	p.closed.Store(true)
	p.mu.Lock()
	abort := p.abort
	p.mu.Unlock()
	if end, ok := ctx.Deadline(); ok {
		defer time.AfterFunc(time.Until(end)/2, abort).Stop()
	}
	err := p.ForceFlush(ctx)
	abandoned := p.abandon(abort)
	stopErr := p.delivery.exporter.Shutdown(ctx)
	if err != nil {
		return fmt.Errorf("export the last spans, %d dropped: %w", abandoned, err)
	}
	return stopErr
}

// abandon drops and counts what nobody will export any more.
func (p *processor) abandon(abort context.CancelFunc) (abandoned int) {
	abort()
	<-p.exporter
	defer func() { p.exporter <- struct{}{} }()
	for len(p.batch) > 0 || len(p.queue) > 0 {
		abandoned += len(p.batch)
		p.batch = p.batch[:0]
		p.take()
	}
	p.dropped.Add(int64(abandoned))
	return abandoned
}
