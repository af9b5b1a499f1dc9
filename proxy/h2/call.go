package h2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// call is a stream to a backend: one request and its response. It is reused for
// another request, unless another goroutine may still hold a part of it.
type call struct {
	stream
	transport *Transport
	request   *http.Request
	wire      *wire.Call
	context   context.Context
	release   func() bool // of a context that is not this package's
	fields    []field     // of the request
	inline    []byte      // content that goes with the head
	bodyless  bool        // the request ends with its head

	uploads  bool // a goroutine of its own sends the content
	began    time.Time
	written  time.Time // when the last byte of the request was
	headBy   time.Time // the deadline of the response's head; zero is none, or not known yet
	bodyFail atomic.Pointer[wire.Error]

	response response
}

// maxInline is the largest content that is sent together with the head, in one
// write.
const maxInline = 32 << 10

func (t *Transport) newCall(r *http.Request, c *wire.Call) *call {
	k, _ := t.calls.Get().(*call)
	if k == nil {
		k = &call{transport: t}
		k.response.header = make(http.Header, smallMap)
		k.response.values = make([]string, 0, 2*smallMap)
		k.stream.k = k
		k.stream.budget = t.Budget
	}
	k.request, k.wire = r, c
	k.context, k.release, k.account = nil, nil, nil
	k.uploads, k.written, k.headBy = false, noTime, noTime
	k.bodyFail.Store(nil)
	k.response.begin()
	k.began = c.Began
	if k.began.IsZero() {
		k.began = time.Now()
	}
	return k
}

// Send sends one request and never repeats it. The error is a *wire.Error. The
// response belongs to the caller until its Body is closed.
func (t *Transport) Send(r *http.Request, wc *wire.Call) (*http.Response, error) {
	k, ctx := t.newCall(r, wc), wc.ContextOf(r)
	c, reused, err := t.reserve(ctx, k.began)
	if err != nil {
		return nil, dialError(err, ctx)
	}
	wc.Reused = reused
	k.stream.reset(c, 0, backendStream)
	k.list()

	content, err := k.prepare()
	if err != nil {
		c.unreserve()
		return nil, bodyError(err, wire.NotSent)
	}
	if !k.watch(ctx) {
		c.unreserve()
		return nil, &wire.Error{
			Outcome: wire.NotSent, Phase: wire.Write, Client: wire.Gone, Err: context.Canceled,
		}
	}
	if err := k.open(content); err != nil {
		k.unwatch()
		return nil, err
	}
	return k.await()
}

// whole is a body that knows when all of it is in memory.
type whole interface{ Whole() (int, bool) }

// prepare returns the body if it is not in memory, or if it is too large to be
// sent with the head. It returns nil if the body is sent with the head, or if
// there is none.
func (k *call) prepare() (io.Reader, error) {
	r := k.request
	k.inline = k.inline[:0]
	k.bodyless = r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0
	if k.bodyless {
		return nil, nil
	}

	var body io.Reader = r.Body
	if k.wire.Body != nil {
		body = k.wire.Body
	}
	w, ok := body.(whole)
	if !ok {
		return body, nil
	}
	n, ok := w.Whole()
	if !ok || n > maxInline || len(r.Trailer) > 0 { // trailers follow the content
		return body, nil
	}
	k.inline = slices.Grow(k.inline, n)[:n]
	if n == 0 {
		return nil, nil
	}
	_, err := io.ReadFull(body, k.inline)
	return nil, err
}

// open sends the head, and the content that fits into the same write.
func (k *call) open(content io.Reader) error {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := k.unsendable(); err != nil {
		c.open--
		c.rest()
		return err
	}
	k.id = c.lastID + 2
	if c.lastID == 0 {
		k.id = 1
	}
	if c.out == nil {
		c.out = borrowOutput()
	}
	c.add(&k.stream)

	n := len(k.inline)
	c.appendSection(k.id, 0, k.fields, k.bodyless)
	switch {
	case k.bodyless:
		k.outEnd = true
	case content != nil:
		k.uploads = true
		go k.upload(content)
	case int64(n) <= min(k.sendWindow, c.sendWindow, int64(c.peer.frame)) && !c.isCrowded():
		k.send(k.inline, true, 0)
	default:
		k.uploads = true
		go k.uploadInline(k.inline)
		k.inline = nil // it belongs to that goroutine
	}
	if k.uploads {
		c.kick()
		return nil
	}
	k.sent(k.began)
	c.flushNow()
	return nil
}

// unsendable returns why the request was not sent. The caller holds the mutex.
func (k *call) unsendable() error {
	size := uint32(0)
	for i := range k.fields {
		size += k.fields[i].size()
	}
	c := k.c
	e := wire.Error{Outcome: wire.NotSent, Phase: wire.Write}
	switch {
	case k.err != nil:
		e.Client, e.Err = wire.Gone, k.err
	case c.ended && c.why.why != "":
		e.Err = c.why
	case c.ended || c.received:
		e.Err = errClosed
	case size > c.peer.headerList:
		e.Err = errHead
	default:
		return nil
	}
	failed := e // which is made only here
	return &failed
}

// sent notes that the last byte of the request is in the output. The time limit
// of the response begins then. The caller holds the mutex.
func (k *call) sent(now time.Time) {
	k.written = now
	if d := k.wire.ResponseTimeout; d > 0 && !k.response.headed {
		k.headBy = now.Add(d)
		if k.reader.waiting {
			k.reader.limit = earlier(k.reader.limit, k.headBy)
			k.c.arm(k.reader.limit)
		}
	}
}

// await waits for the head of the response.
func (k *call) await() (*http.Response, error) {
	c := k.c
	c.mu.Lock()
	for !k.response.headed && k.err == nil {
		late := k.reader.wait(c, earlier(k.headBy, k.wire.Deadline))
		if late && k.err == nil && !k.response.headed {
			k.err = errTimeout
		}
		if len(k.response.interims) > 0 {
			k.inform()
		}
	}
	if len(k.response.interims) > 0 { // all of it was here before anybody waited
		k.inform()
	}
	k.wire.Written, k.wire.FirstByte = k.written, k.response.first
	if !k.response.headed {
		err := k.failure(k.err, wire.Head)
		k.leave()
		c.mu.Unlock()
		k.unwatch()
		return nil, err
	}
	c.mu.Unlock()

	resp := k.response.message(k)
	if err := wire.UnambiguousResponse(resp); err != nil {
		resp.Body.Close()
		return nil, &wire.Error{Outcome: wire.Broken, Phase: wire.Head, Err: err}
	}
	return resp, nil
}

// inform passes 1xx responses on. The caller holds the mutex.
func (k *call) inform() {
	list := k.response.interims
	k.response.interims, k.response.waiting = nil, 0
	k.c.mu.Unlock()
	defer k.c.mu.Lock()
	for _, i := range list {
		if k.wire.Informational != nil {
			k.wire.Informational(i.status, i.header)
		}
	}
}

// watch gives the call up when its client leaves. It reports false if the
// client has left already.
func (k *call) watch(ctx context.Context) bool {
	k.context = ctx
	if own, ok := ctx.(*streamContext); ok {
		k.account = own.x.c.account
		return own.watch(k)
	}
	if ctx.Done() != nil {
		k.release = context.AfterFunc(ctx, k.abandon)
	}
	return true
}

func (k *call) unwatch() {
	if own, ok := k.context.(*streamContext); ok {
		own.unwatch(k)
	} else if k.release != nil {
		k.release()
	}
}

// abandon ends the call because its client has left.
func (k *call) abandon() {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !k.gone && k.err == nil {
		k.err = context.Canceled
		k.wakeUp()
	}
}

// leave gives up the stream, by a reset if it has not ended, and returns the
// memory of its window. The caller holds the mutex.
func (k *call) leave() {
	k.free()
	if k.gone {
		return
	}
	c := k.c
	if !k.inEnd || !k.outEnd {
		c.rst(k.id, cancel)
	}
	c.remove(&k.stream)
	c.kick()
}

// failure makes a *wire.Error of an error. The caller holds the mutex.
func (k *call) failure(err error, phase wire.Phase) *wire.Error {
	if e := k.bodyFail.Load(); e != nil {
		return &wire.Error{
			Outcome: wire.NoAnswer, Phase: wire.Write, Client: e.Client, Timeout: e.Timeout, Err: e.Err,
		}
	}
	e := &wire.Error{Outcome: wire.NoAnswer, Phase: phase, Err: err}
	if k.written.IsZero() && phase == wire.Head {
		e.Phase = wire.Write
	}
	reset, isReset := errors.AsType[resetError](err)
	if k.response.begun || phase == wire.Body || isReset && reset.ours {
		e.Outcome = wire.Broken
	}
	switch {
	case err == errTimeout:
		e.Timeout = true
	case err == context.Canceled || k.context.Err() != nil:
		e.Client = wire.Gone
	case k.response.begun:
	case isReset && reset.code == refusedStream, err == errGoAway:
		e.Outcome = wire.NotProcessed
	}
	return e
}

// bodyError makes a *wire.Error of an error of the client's body.
func bodyError(err error, outcome wire.Outcome) *wire.Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}
	return &wire.Error{Outcome: outcome, Phase: wire.Write, Client: wire.Gone, Err: err}
}
