package h1

import (
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// A backend may close a kept connection while the next request is on its way to
// it. Whether such a request may be sent again does not depend on its method if
// none of it arrived, and TCP knows that: the backend's end came first, then a
// reset, and no byte of the request was acknowledged.
//
// A reset alone proves nothing. A peer acknowledges what it received a little
// later, and one that has read a request and then resets the connection never
// does. An end in order carries an acknowledgement of all that came before it,
// and a reset that follows an end is the answer of a closed socket. What a
// backend reads after it has ended its own direction, it can't answer.

const (
	// firstSettle is the first of the doubling steps in which the reset is
	// awaited that follows the backend's end.
	firstSettle = 250 * time.Microsecond
	// settleTime is how long it is awaited: a round trip to the far side of the
	// earth, or a delayed acknowledgement.
	settleTime = 250 * time.Millisecond
	// maxHesitation is how long a body waits at most for what the network says
	// of its head.
	maxHesitation = 5 * time.Millisecond
)

// delivery is what TCP knows of the connection.
func (l *link) delivery() (d socket.Delivery) {
	if l.raw != nil {
		l.raw.Control(func(fd uintptr) { d = socket.DeliveryOf(int(fd)) })
	}

	return d
}

// undelivered reports whether TCP proves that no byte of the request arrived,
// after an error of the wait for its answer.
func (l *link) undelivered(err error) bool {
	if err != io.ErrUnexpectedEOF || l.raw == nil {
		return false
	}

	for step, waited := firstSettle, time.Duration(0); ; step *= 2 {
		d := l.delivery()
		switch {
		case !d.Counted || d.Acknowledged > l.before || waited >= settleTime:
			return false
		case d.Closed:
			return l.up == nil || !l.up.wasReset()
		}

		time.Sleep(step)
		waited += step
	}
}

// account adds the transaction's bytes to those of the connection, when all of
// them were written.
func (l *link) account() {
	l.before += int64(l.accepted)
	if l.up != nil {
		l.before += l.up.sent
	}
}

// repeat prepares the call for another connection, after an error that says
// that nothing arrived. It reports false when that is the request's fault, or
// when its body can't be read again.
func (l *link) repeat(c *wire.Call) bool {
	if l.unsendable {
		return false
	}

	content := l.request.Body
	if c.Body != nil {
		content = c.Body
	}

	touched := l.inlined || l.up != nil && l.up.touched
	if again, ok := content.(interface{ Again() (io.ReadCloser, bool) }); ok && touched {
		c.Body, ok = again.Again()
		return ok
	}

	return !touched
}

// hesitate waits, before a body that can't be kept goes out on a used
// connection, for as long as a closed backend needs to say so. It reports false
// when the backend has ended: it will not read the body, and another one may.
func (u *upload) hesitate() bool {
	_, direct := u.body.(*body)
	if !direct && u.length >= 0 && u.length <= maxInline || !u.l.reused {
		return true
	}

	d := u.l.delivery()
	if d.Counted && !d.Finished {
		select {
		case <-time.After(min(2*d.RoundTrip, maxHesitation)):
		case <-u.quit:
		}
		d = u.l.delivery()
	}

	return !d.Finished
}

// touch reports whether the body may be read, which it may as long as nobody
// has stopped the upload.
func (u *upload) touch() bool {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.touched = !u.over
	return u.touched
}

// wasReset reports whether a write found the connection reset though the
// backend had not ended it. That write is all who is told.
func (u *upload) wasReset() bool {
	u.writes.Lock()
	defer u.writes.Unlock()

	return u.reset
}

// put writes once, and notes what came of it.
func (u *upload) put(p []byte) (int, error) {
	u.writes.Lock()
	defer u.writes.Unlock()

	n, err := u.l.c.Write(p)
	u.sent += int64(n)
	u.reset = u.reset || err != nil && errors.Is(err, syscall.ECONNRESET)

	return n, err
}
