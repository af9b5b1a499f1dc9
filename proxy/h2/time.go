package h2

import (
	"errors"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// clock holds a connection's limits, guarded by the mutex. One timer serves all
// of them and those of the streams. It is set again only for an earlier limit.
// When it fires, all limits are checked. So a limit that is not reached costs
// one comparison.
type clock struct {
	timer *time.Timer
	armed time.Time // when it fires; zero is never

	heard     time.Time // when the last bytes came
	asked     time.Time // when a PING was sent whose answer is awaited
	pong      chan struct{}
	settleBy  time.Time // when the peer's SETTINGS must have come
	wholeBy   time.Time // when a frame or field block that has begun must be complete
	idleSince time.Time
	blocked   time.Time // since when the socket takes nothing
	awayBy    time.Time // when the second GOAWAY is sent
	ending    bool      // the connection closes once its output is written
	closeBy   time.Time // when it is closed
}

var noTime time.Time

// PING, RFC 9113 section 6.7.
const (
	pingClientAfter = time.Minute // of silence
	pingTimeout     = 15 * time.Second

	// gRPC servers end a connection if pings come more often than every five
	// minutes while there are calls, or at any rate while there are none. TCP
	// notices a backend that vanished sooner.
	pingBackendAfter = 5*time.Minute + 10*time.Second

	backendStall = time.Minute // of writes to a backend
	backendIdle  = 90 * time.Second
)

var (
	errNoPong = errors.New("no answer to PING")
	errIdle   = connError{noError, "idle"}
)

// arm sets the timer, unless it fires earlier anyway. The caller holds the
// mutex.
func (c *conn) arm(at time.Time) {
	if c.ended || !c.armed.IsZero() && !at.Before(c.armed) {
		return
	}
	c.armed = at
	if d := time.Until(at); c.timer == nil {
		c.timer = time.AfterFunc(d, c.expire)
	} else {
		c.timer.Reset(d)
	}
}

// expire is called by the timer. It ends what has passed its limit.
func (c *conn) expire() {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	now := time.Now()
	c.armed = noTime
	next, err := c.overdue(now)
	for st := range c.streams.all() {
		next = earlier(next, st.reader.expire(now))
		next = earlier(next, st.writer.expire(now))
	}
	if err == nil && !next.IsZero() {
		c.arm(next)
	}
	c.kick()
	c.mu.Unlock()

	if err != nil {
		c.shut(err)
	}
}

// overdue returns why the connection has to end, or its next limit.
func (c *conn) overdue(now time.Time) (next time.Time, err error) {
	passed := func(limit time.Time) bool {
		if limit.IsZero() {
			return false
		}
		if !limit.After(now) {
			return true
		}
		next = earlier(next, limit)
		return false
	}

	switch {
	case passed(c.settleBy):
		return next, connError{settingsTimeout, "no SETTINGS in time"}
	case passed(c.wholeBy):
		return next, connError{enhanceYourCalm, "frame or field block not complete in time"}
	case passed(c.closeBy):
		return next, errClosed
	case !c.blocked.IsZero() && passed(after(c.blocked, c.stallTimeout())):
		return next, errTimeout
	case !c.asked.IsZero() && passed(c.asked.Add(pingTimeout)):
		return next, errNoPong
	case c.open == 0 && c.running == 0 && passed(after(c.idleSince, c.idleTimeout())):
		return next, errIdle
	}
	if passed(c.awayBy) {
		c.awayBy = noTime
		c.nameLast()
	}
	if c.asked.IsZero() && passed(c.pingAt()) {
		c.askPing(now)
		next = earlier(next, now.Add(pingTimeout))
	}
	return next, nil
}

// pingAt returns when a PING has to be sent.
func (c *conn) pingAt() time.Time {
	switch {
	case c.server != nil:
		return c.heard.Add(pingClientAfter)
	case c.open > 0:
		return c.heard.Add(pingBackendAfter)
	}
	return noTime
}

// askPing sends a PING.
func (c *conn) askPing(now time.Time) {
	c.asked = now
	c.out = appendFrame(c.out, 8, framePing, 0, 0)
	c.out = append(c.out, 0, 0, 0, 0, 0, 0, 0, 0)
}

// answered notes the answer to a PING. The caller is the reader, with the
// mutex.
func (c *conn) answered() {
	c.asked = noTime
	if c.pong != nil {
		close(c.pong)
		c.pong = nil
	}
	if !c.awayBy.IsZero() {
		c.awayBy = noTime
		c.nameLast()
	}
}

// midway notes whether a frame or field block has begun and is not complete.
// The caller is the reader, with the mutex.
func (c *conn) midway(partial bool) {
	switch {
	case !partial:
		c.wholeBy = noTime
	case c.wholeBy.IsZero() && c.server != nil && c.server.HeaderTimeout > 0:
		c.wholeBy = c.now.Add(c.server.HeaderTimeout)
		c.arm(c.wholeBy)
	}
}

func (c *conn) idleTimeout() time.Duration {
	switch {
	case c.server != nil:
		return c.server.IdleTimeout
	case c.transport.IdleTimeout > 0:
		return c.transport.IdleTimeout
	}
	return backendIdle
}

func (c *conn) stallTimeout() time.Duration {
	if c.server != nil {
		return c.server.StallTimeout
	}
	return backendStall
}

func (c *conn) budget() *socket.Budget {
	if c.server != nil {
		return c.server.Budget
	}
	return c.transport.Budget
}
