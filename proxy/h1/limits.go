package h1

import (
	"errors"
	"os"
	"time"
)

var (
	errClientGone   = errors.New("client is gone")
	errTimeout      = os.ErrDeadlineExceeded
	errInterrupted  = errors.New("exchange ended")
	errSwitch       = errors.New("switching protocols without being asked")
	errManyInterims = errors.New("too many interim responses")
)

// later is the time now, reckoned from an earlier reading of the clock where there is one: only the monotonic clock is
// read for that.
func later(than time.Time) time.Time {
	if than.IsZero() {
		return time.Now()
	}
	return than.Add(time.Since(than))
}

// limit is the nearest moment at which something would have to happen; zero is never.
func (l *link) limit() time.Time {
	limit := l.call.Deadline
	nearer := func(t time.Time) {
		if limit.IsZero() || t.Before(limit) {
			limit = t
		}
	}
	switch {
	case l.phase == Head && l.call.ResponseTimeout > 0:
		if sent := l.sentAt(); !sent.IsZero() {
			nearer(sent.Add(l.call.ResponseTimeout))
		} else if l.up == nil {
			nearer(l.waiting.Add(l.call.ResponseTimeout))
		}
	case l.phase == Body && l.stalls:
		nearer(l.waiting.Add(l.t.StallTimeout))
	}
	for _, t := range [...]time.Time{l.holdTo, l.flushAt} {
		if !t.IsZero() {
			nearer(t)
		}
	}
	return limit
}

// patience is how long what the client's writer has gathered may wait for more of the body: the head of an event stream
// has to be seen before its first event, and a body that follows its head closely should share a write with it.
const patience = 10 * time.Millisecond

// pending notes that the client waits for bytes that nobody flushed.
func (l *link) pending() {
	l.flushAt = time.Time{}
	if w := l.writer; w != nil && l.phase == Body && w.conn != nil && w.wrote && len(w.out)+len(w.hold) > 0 {
		l.flushAt = l.waiting.Add(patience)
	}
}

// sentAt is when the last byte of the request was with the kernel; zero while it is not.
func (l *link) sentAt() time.Time {
	if l.up != nil {
		return l.up.finished()
	}
	return l.call.Written
}

// wake is called when the read deadline ended a wait: it looks at the client and the clock, and says why to stop.
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
			l.armAt(now.Add(lastLook), time.Time{})
			return nil
		}
		l.failure = &Error{Timeout: true, Err: errTimeout}
		return l.failure
	}
	l.armAt(now.Add(nextLook), limit)
	return nil
}

// clientLeft peeks at the client as long as there is something to see.
func (l *link) clientLeft() error {
	if l.client == nil {
		return nil
	}
	switch l.client.departed() {
	case finished, broken:
		l.failure = &Error{Client: Gone, Err: errClientGone}
		return l.failure
	case readable:
		l.client = nil
	}
	return nil
}

// interrupted says what another goroutine had to say: the upload's, or the one that ended a foreign client's context.
// It is asked after the deadline was armed, and they speak before they move it, so one of the two is noticed.
func (l *link) interrupted() error {
	if l.up != nil {
		if err := l.up.failed(); err != nil {
			l.failure = err
			return err
		}
	}
	if l.context != nil && l.context.Err() != nil {
		l.failure = &Error{Client: Gone, Err: l.context.Err()}
		return l.failure
	}
	return nil
}
