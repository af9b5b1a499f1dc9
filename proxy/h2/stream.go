package h2

import (
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// stream is the common part of all streams (RFC 9113 section 5). Each belongs
// to one of two types: a transaction, which answers a client's request, or a
// call, which sends a request to a backend.
//
// Its state is three flags:
//
//	open                  neither inEnd nor outEnd
//	half-closed (remote)  inEnd: the peer has sent END_STREAM
//	half-closed (local)   outEnd: we have
//	closed                gone: not in the table any more
//
// All fields are guarded by the connection's mutex, except id and c, which do
// not change.
type stream struct {
	c  *conn
	id uint32
	x  *transaction // one of the two
	k  *call

	reader waiter // for a head, for content, or for its end
	writer waiter // for a window, or for room in the output

	inEnd    bool
	outEnd   bool
	gone     bool
	discards bool  // the rest of the content is dropped
	err      error // why the stream ended early

	content  content
	declared int64 // content-length, -1 without one
	received int64

	recvWindow int   // what the peer may send
	recvOwed   int   // consumed, and not given back to the peer yet
	recvSize   int   // the window's size
	sendWindow int64 // what this side may send

	account *socket.Account // of the client's connection; nil: memory is taken from the budget itself
	budget  *socket.Budget
	taken   int64 // from one of the two
}

func (st *stream) reset(c *conn, id uint32, window int) {
	st.c, st.id = c, id
	st.inEnd, st.outEnd, st.gone, st.discards, st.err = false, false, false, false, nil
	st.content.clear()
	st.declared, st.received = -1, 0
	st.recvWindow, st.recvOwed, st.recvSize = window, 0, window
	st.taken = 0
	st.reader.reset()
	st.writer.reset()
}

// wakeUp wakes both waiters of the stream.
func (st *stream) wakeUp() {
	st.reader.wakeUp()
	st.writer.wakeUp()
}

// take takes memory for content. It sheds no load, so it may be called with the
// connection's mutex.
func (st *stream) take(n int64, p socket.Priority) bool {
	ok := false
	if st.account != nil {
		ok = st.account.Take(n, p)
	} else {
		ok = st.budget.Take(n, p)
	}
	if ok {
		st.taken += n
	}
	return ok
}

// free returns all of that memory.
func (st *stream) free() {
	if st.taken == 0 {
		return
	}
	if st.account != nil {
		st.account.Give(st.taken)
	} else {
		st.budget.Give(st.taken)
	}
	st.taken = 0
}

// waiter is a goroutine that waits for a stream. A stream has two, because an
// upload that waits for a window must not take the wake-up of the goroutine
// that waits for the response.
type waiter struct {
	waiting  bool
	since    time.Time // when the wait in progress began, on a client's connection
	late     bool      // the limit ended the wait
	wanted   time.Time // the limit as it was asked for, which may be that of several waits
	passed   bool      // it has passed, but bytes that have come still count
	limit    time.Time // of the wait in progress; zero is none
	deadline time.Time // of all waits; zero is none
	signal   chan struct{}
}

func (w *waiter) reset() {
	w.waiting, w.late, w.limit, w.deadline = false, false, time.Time{}, time.Time{}
	w.wanted, w.passed = time.Time{}, false
	if w.signal == nil {
		w.signal = make(chan struct{}, 1)
	}
	select {
	case <-w.signal:
	default:
	}
}

// wait waits until the waiter is roused, or until the limit, and reports
// whether the limit ended the wait. The caller holds the connection's mutex,
// which is free during the wait. After it, the caller checks its condition
// again, because a wake-up does not mean that it holds.
func (w *waiter) wait(c *conn, limit time.Time) (late bool) {
	w.waiting, w.late, w.limit = true, false, earlier(limit, w.deadline)
	if !w.limit.Equal(w.wanted) {
		w.wanted, w.passed = w.limit, false
	}
	if c.server != nil {
		w.since = time.Now()
	}
	if !w.limit.IsZero() {
		c.arm(w.limit)
	}
	c.mu.Unlock()
	<-w.signal
	c.mu.Lock()
	w.waiting, w.limit = false, time.Time{}
	return w.late
}

// until sets the deadline of all waits, also of one in progress.
func (w *waiter) until(c *conn, t time.Time) {
	w.deadline = t
	if w.waiting && !t.IsZero() {
		w.limit = earlier(w.limit, t)
		c.arm(w.limit)
	}
}

// lateRead is the time for reading what came before a limit. If this machine
// had no CPU for so long, the bytes of all peers are waiting in the sockets.
const lateRead = 50 * time.Millisecond

// expire ends the wait if its limit has passed, and else returns the limit.
func (w *waiter) expire(now time.Time) time.Time {
	if !w.waiting || w.limit.IsZero() || w.limit.After(now) {
		return w.limit
	}
	if !w.passed {
		w.passed, w.limit = true, now.Add(lateRead)
		return w.limit
	}
	w.late = true
	w.wakeUp()
	return time.Time{}
}

// wakeUp ends the wait.
func (w *waiter) wakeUp() {
	if w.waiting {
		w.waiting = false
		w.poke()
	}
}

func (w *waiter) poke() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// earlier returns the earlier of two times; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// after returns the time d after now, or zero if d is zero.
func after(now time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return now.Add(d)
}
