package telemetry

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// When spans are exported. A platform may stop the CPU after the last response,
// so a batch must not wait for a timer then.
const (
	// longestWait is the longest time that a span waits while requests are in
	// flight and its batch is not full.
	longestWait = 200 * time.Millisecond
	// consoleWait is the same for the console.
	consoleWait = 50 * time.Millisecond
	// idleGap is the least time between two exports that begin because no
	// request is in flight. Otherwise one client that sends requests without a
	// pause would cause an export for each.
	idleGap = 10 * time.Millisecond
	// stopGrace is how long an export in progress may continue after Run has
	// been told to stop.
	stopGrace = 400 * time.Millisecond
)

// limits are the standard's OTEL_BSP_* settings.
type limits struct {
	queue   int           // spans that wait
	batch   int           // spans per export
	delay   time.Duration // how long a span may wait
	timeout time.Duration // of one export with its retries
}

// processor is a span processor for platforms that stop the CPU between
// requests. Ended spans wait in a bounded queue. One worker exports them when a
// batch is full, when the last request in flight ends, or when the oldest has
// waited too long. Ending a span takes no lock and never waits for the
// exporter: if the queue is full, the span is dropped and counted.
type processor struct {
	limits   limits
	delivery *delivery

	inFlight atomic.Int64
	dropped  atomic.Int64
	closed   atomic.Bool
	queue    chan sdktrace.ReadOnlySpan
	queued   atomic.Int64  // spans in the queue, or about to enter or leave it
	oldest   atomic.Int64  // Unix nanoseconds; about when the first span in the queue ended
	armed    atomic.Bool   // the worker checks the queue by itself within idleGap
	wake     chan struct{} // holds one token if the worker has to check the queue
	exporter chan struct{} // holds one token; the goroutine that took it owns batch and may export

	batch []sdktrace.ReadOnlySpan // taken from the queue and not delivered yet
	begun time.Time               // of the last export; used by the worker only

	mu    sync.Mutex
	abort context.CancelFunc // ends the worker's export in progress
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

// requestEnded makes the worker export if no request is left. It does not wake
// the worker if that checks soon anyway, because a wake-up for each request
// would cost as much as the request's spans.
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

// run is the worker. It returns when ctx ends. Shutdown exports the spans that
// still wait.
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

// due returns how long the worker has to wait before it exports or checks
// again. It reads the clock, because timers stop with the CPU.
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

// export takes the next batch and delivers it. If ctx is cancelled meanwhile,
// the batch is kept and is the next one again.
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

// ForceFlush exports all spans that ended before the call, until ctx ends.
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

// Shutdown drops later spans, and exports those that wait, until ctx ends. The
// rest is dropped and counted. An export of the worker that is in progress gets
// half of the time.
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

// abandon drops and counts the spans that will not be exported.
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
