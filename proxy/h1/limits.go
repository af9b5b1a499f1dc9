package h1

import (
	"errors"
	"os"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

var (
	errClientGone  = errors.New("client is gone")
	errTimeout     = os.ErrDeadlineExceeded
	errInterrupted = errors.New("transaction ended")
	errSwitch      = errors.New("switching protocols without being asked")
)

// later returns the time now. With an earlier reading of the clock, it needs
// only the monotonic clock.
func later(than time.Time) time.Time {
	if than.IsZero() {
		return time.Now()
	}
	return than.Add(time.Since(than))
}

// limit returns the next moment at which something has to happen; zero is
// never.
func (l *link) limit() time.Time {
	limit := l.call.Deadline
	nearer := func(t time.Time) {
		if limit.IsZero() || t.Before(limit) {
			limit = t
		}
	}
	switch {
	case l.phase == wire.Head && l.call.ResponseTimeout > 0:
		if sent := l.sentAt(); !sent.IsZero() {
			nearer(sent.Add(l.call.ResponseTimeout))
		} else if l.up == nil {
			nearer(l.waiting.Add(l.call.ResponseTimeout))
		}
	case l.phase == wire.Body && l.stalls:
		nearer(l.waiting.Add(l.t.StallTimeout))
	}

	for _, t := range [...]time.Time{l.holdTo, l.flushAt} {
		if !t.IsZero() {
			nearer(t)
		}
	}

	return limit
}

// flushAfter is how long the client's writer waits for more of the body before
// it is flushed. The head of an event stream must be seen before its first
// event, while a body that closely follows its head should share a write with
// it.
const flushAfter = 10 * time.Millisecond

// pending notes that the client waits for bytes in the writer.
func (l *link) pending() {
	l.flushAt = time.Time{}
	if w := l.writer; w != nil && l.phase == wire.Body && w.conn != nil && w.wrote &&
		len(w.out)+len(w.hold) > 0 {
		l.flushAt = l.waiting.Add(flushAfter)
	}
}

// sentAt returns when the last byte of the request was handed to the kernel, or
// zero.
func (l *link) sentAt() time.Time {
	if l.up != nil {
		return l.up.finished()
	}
	return l.call.Written
}

// wake runs when the read deadline has ended a wait. It checks whether the
// client has gone and which limits have passed. It returns the reason to stop,
// or nil.
func (l *link) wake() error {
	if err := l.clientLeft(); err != nil {
		return err
	}

	now := time.Now()
	if !l.holdTo.IsZero() && !now.Before(l.holdTo) {
		l.letGo()
	}

	if !l.flushAt.IsZero() && !now.Before(l.flushAt) {
		l.flushAt = time.Time{}
		l.writer.FlushError()
	}

	limit := l.limit()
	if !limit.IsZero() && !now.Before(limit) {
		if !l.late {
			l.late = true
			l.armAt(now.Add(lateRead), time.Time{})
			return nil
		}

		l.failure = &wire.Error{Timeout: true, Err: errTimeout}
		return l.failure
	}

	l.armAt(now.Add(nextLook), limit)
	return nil
}

// clientLeft peeks at the client, as long as that can show something.
func (l *link) clientLeft() error {
	if l.client == nil {
		return nil
	}

	switch l.client.departed() {
	case socket.Finished, socket.Broken:
		if l.shared != nil && !l.shared.Abandoned() {
			return nil
		}
		l.failure = &wire.Error{Client: wire.Gone, Err: errClientGone}
		return l.failure
	case socket.Readable:
		l.client = nil
	}

	return nil
}

// interrupted returns the error with which the upload or a cancelled context
// ended the transaction. Both set the error before they move the deadline, and
// it is asked after the deadline was armed, so one of the two is noticed.
func (l *link) interrupted() error {
	if l.up != nil {
		if err := l.up.failed(); err != nil {
			l.failure = err
			return err
		}
	}

	if l.context != nil && l.context.Err() != nil {
		l.failure = &wire.Error{Client: wire.Gone, Err: l.context.Err()}
		return l.failure
	}

	return nil
}
