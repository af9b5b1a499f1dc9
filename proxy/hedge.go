package proxy

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/edge"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// hedge is a request that may go to two endpoints at the same time (LB_HEDGE).
// Each has its own attempt loop in its own goroutine. The second loop begins if
// the first has no answer after LB_HEDGE, and is paid for from the retry
// budget. The first answer is used, and the other loop is ended.
//
// The goroutine of the client waits for the loops, and only it uses the
// client's exchange. The loops work on exchanges without a client, and on a
// request that shares no memory with the server's.
type hedge struct {
	request *http.Request // of both loops, which only read it
	fields  []wire.Field  // of both loops

	answers chan *attemptLoop
	interim chan interim
	over    chan struct{} // closed when winner is set
	winner  *attemptLoop

	endpoint atomic.Pointer[backend.Endpoint] // of the last attempt
	attempts atomic.Int32                     // of both loops
}

// hedgeResult is the result of a hedge. Spans and metrics have it under this
// name.
type hedgeResult string

const (
	hedgeWon     hedgeResult = "won"     // the second loop's answer was used
	hedgeLost    hedgeResult = "lost"    // the first loop's answer was used, or there was none
	hedgeAlone   hedgeResult = "alone"   // there was no second endpoint
	hedgeUnpaid  hedgeResult = "unpaid"  // the retry budget was empty
	hedgeWaiting hedgeResult = "waiting" // the request had no place at a first endpoint yet
)

// attemptLoop is one of the two loops.
type attemptLoop struct {
	*exchange
	cancel context.CancelFunc
	resp   *http.Response
	err    error
	panic  any // the value with which its goroutine panicked, or nil
}

// interim is a 1xx response on its way to the client's goroutine.
type interim struct {
	code   int
	header http.Header
	place  backend.Place // where it came from
	passed chan struct{}
}

// hedging is the hedge's part of an exchange.
type hedging struct {
	hedge  *hedge       // if the exchange is one of its loops, else nil
	winner *attemptLoop // the loop whose answer the exchange has; nil for its own
}

// hedges reports whether a request may be sent to a second endpoint. A request
// of a session may not, because only its endpoint has the session's state.
func (x *exchange) hedges() bool {
	if x.route.Hedge == 0 || x.w == nil || x.upgrade || x.grpc || x.hasBody() ||
		x.claim.Session.Bound() {
		return false
	}
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}

	return false
}

// sendHedged is Send with a second loop for a slow answer.
func (x *exchange) sendHedged(r *http.Request, c *wire.Call) (*http.Response, error) {
	x.r = r
	h := &hedge{
		request: freshRequest(context.Background(), r), fields: slices.Clip(slices.Clone(c.Fields)),
		answers: make(chan *attemptLoop, 2), interim: make(chan interim), over: make(chan struct{}),
	}
	first := x.newLoop(h, c, x.route)
	first.shared.Informational = first.inform
	if !x.p.background.start(hedgeWork, first.run) {
		first.cancel()
		return x.Send(r, c)
	}

	delay := time.NewTimer(x.route.Hedge)
	defer delay.Stop()

	var second, held *attemptLoop
	for {
		select {
		case <-delay.C:
			second = x.startSecond(h, c)
		case i := <-h.interim:
			x.place = i.place
			x.informational(i.code, i.header)
			close(i.passed)
		case l := <-h.answers:
			if l.panic != nil {
				l.giveUp(first, second)
			}
			if second != nil && held == nil && x.unwanted(l) {
				held = l // the other loop may have a better answer
				continue
			}

			winner := better(l, held, first)
			x.useWinner(winner, first, second)

			return winner.resp, winner.err
		}
	}
}

// useWinner makes the outcome of one loop that of the request, and ends the
// other loop. second may be nil.
func (x *exchange) useWinner(winner, first, second *attemptLoop) {
	winner.settle()
	x.adopt(winner)
	x.countHedge(second, winner)
	for _, other := range []*attemptLoop{first, second} {
		if other != nil && other != winner {
			other.cancel()
		}
	}
}

// unwanted reports whether it is better to wait for the other loop: this one
// has no answer, or one with a status of LB_RETRY_STATUS.
func (x *exchange) unwanted(l *attemptLoop) bool {
	return l.err != nil || x.route.Retry.Status.Has(l.resp.StatusCode)
}

// better returns the loop whose outcome is used: the last one, or an earlier
// one that was held back. Of two errors, the client gets that of the first
// loop.
func better(last, held, first *attemptLoop) *attemptLoop {
	if held != nil && last.err != nil && (held.err == nil || held == first) {
		return held
	}

	return last
}

// newLoop makes a loop for the exchange's request.
func (x *exchange) newLoop(h *hedge, c *wire.Call, route *routed) *attemptLoop {
	ctx, cancel := context.WithCancel(c.ContextOf(x.r))
	y := exchanges.Get().(*exchange)
	y.p, y.route, y.service, y.target = x.p, route, x.service, x.target
	y.r, y.hop = h.request.WithContext(ctx), edge.Hop{Secure: x.hop.Secure, Host: x.hop.Host}
	y.record = Record{
		Start: x.record.Start, Method: x.record.Method, Client: x.record.Client,
		Service: x.record.Service,
	}
	y.repeatable, y.deadline = x.repeatable, x.deadline
	y.trace, y.span, y.ctx = x.trace, x.span, x.ctx
	y.claim = x.claim.Again(ctx)
	y.carrier = x.carrier
	y.shared = *c
	y.shared.Context, y.shared.Fields, y.shared.Informational = nil, h.fields, nil
	y.hedge = h

	return &attemptLoop{exchange: y, cancel: cancel}
}

// startSecond starts the second loop. It returns nil if there is no other
// endpoint or no retry budget.
func (x *exchange) startSecond(h *hedge, c *wire.Call) *attemptLoop {
	used := h.endpoint.Load()
	if used == nil {
		x.record.Hedge = string(hedgeWaiting)
		return nil
	}

	l := x.newLoop(h, c, x.route.once)
	switch {
	case !x.service.Hedge(&l.claim, used):
		x.record.Hedge = string(hedgeAlone)
	case !x.service.Spend(time.Now()):
		x.record.Hedge = string(hedgeUnpaid)
	default:
		l.class, l.record.Retry, l.record.Attempts = hedged, string(hedged), 1
		if x.p.background.start(hedgeWork, l.run) {
			x.event("hedge")
			return l
		}
	}
	l.cancel()

	return nil
}

// run makes the loop's attempts. If its answer is not used, it ends the
// attempt.
func (l *attemptLoop) run() {
	h, tracing := l.hedge, l.p.tracing
	if tracing != nil {
		tracing.RequestStarted() // the client's request may end before the loop
		defer tracing.RequestEnded()
	}

	l.send()
	h.answers <- l
	<-h.over
	if h.winner == l {
		return
	}

	defer l.cancel()
	if l.err == nil && l.panic == nil {
		l.endAttempt(l.resp, nil)
		l.resp.Body.Close()
	}
	l.release()
}

// send is Send. It recovers a panic and keeps its value for the client's
// goroutine, in which the server handles it. In this goroutine, a panic would
// end the process.
func (l *attemptLoop) send() {
	defer func() { l.panic = recover() }()
	l.resp, l.err = l.Send(l.r, &l.shared)
}

// giveUp ends all loops after l has panicked, and panics with the same value.
func (l *attemptLoop) giveUp(loops ...*attemptLoop) {
	l.settle()
	for _, each := range loops {
		if each != nil {
			each.cancel()
		}
	}
	l.release()
	panic(l.panic)
}

// settle makes the loop's outcome that of the request.
func (l *attemptLoop) settle() {
	l.hedge.winner = l
	close(l.hedge.over)
}

// inform hands a 1xx to the client's goroutine, which passes it on.
func (l *attemptLoop) inform(code int, header http.Header) {
	i := interim{code, header, l.place, make(chan struct{})}
	select {
	case l.hedge.interim <- i:
		<-i.passed
	case <-l.hedge.over:
	}
}

// note notes an attempt of either loop.
func (h *hedge) note(x *exchange) {
	h.attempts.Add(1)
	h.endpoint.Store(x.place.Endpoint)
}

// isOver reports whether the request has its answer. An attempt that ends after
// that was ended by Pillion.
func (h *hedge) isOver() bool {
	select {
	case <-h.over:
		return true
	default:
		return false
	}
}

// adopt copies the results of a loop, as if the exchange had made its attempts.
// The loop's call belongs to the transport until the answer is closed, so the
// loop is not used again.
func (x *exchange) adopt(l *attemptLoop) {
	x.winner = l
	x.attempts, l.placed = l.attempts, false
	x.client, x.began = l.client, l.began

	from, to := &l.record, &x.record
	to.Backend, to.Reason, to.Queue = from.Backend, from.Reason, from.Queue
	to.Attempts, to.Retry, to.Ejected, to.Tried = from.Attempts, from.Retry, from.Ejected, from.Tried
}

// endHedge ends the loop whose answer the exchange had, and counts the attempts
// of both.
func (x *exchange) endHedge() {
	x.winner.cancel()
	x.record.Attempts = int(x.winner.hedge.attempts.Load())
}

// countHedge counts the result of the hedge, if there was one or should have
// been one.
func (x *exchange) countHedge(second, winner *attemptLoop) {
	switch {
	case second == nil:
	case winner == second && winner.err == nil:
		x.record.Hedge = string(hedgeWon)
	default:
		x.record.Hedge = string(hedgeLost)
	}
	if m := x.p.metrics; m != nil && x.record.Hedge != "" {
		m.count("lb.hedges", x.record.Hedge, x.record.Service)
	}
}
