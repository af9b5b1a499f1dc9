package h2

import (
	"encoding/binary"
	"time"
)

// rstStream handles RST_STREAM (RFC 9113 section 6.4).
func (c *conn) rstStream(id uint32, p []byte) error {
	if id == 0 {
		return connError{protocolError, "RST_STREAM on stream 0"}
	}
	if len(p) != 4 {
		return connError{frameSizeError, "RST_STREAM"}
	}
	code := errorCode(binary.BigEndian.Uint32(p))

	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.find(id)
	if st == nil {
		if c.isIdle(id) {
			return connError{protocolError, "RST_STREAM on an idle stream"}
		}
		return c.tolerate()
	}
	if code == noError && st.k != nil && st.inEnd {
		st.outEnd = true // the rest of the request is not wanted (RFC 9113 section 8.1)
		c.later(&st.writer)
		return nil
	}
	c.fail(st, resetError{code: code})
	if c.server != nil {
		return c.reckon()
	}
	return nil
}

// ping handles PING (RFC 9113 section 6.7).
func (c *conn) ping(flags byte, id uint32, p []byte) error {
	if id != 0 {
		return connError{protocolError, "PING on a stream"}
	}
	if len(p) != 8 {
		return connError{frameSizeError, "PING"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if flags&flagAck != 0 {
		c.answered()
		return nil
	}
	if err := c.tolerate(); err != nil {
		return err
	}
	c.out = append(appendFrame(c.out, 8, framePing, flagAck, 0), p...)
	return c.counted()
}

// goAway handles GOAWAY (RFC 9113 section 6.8). A client's has no effect: it
// concerns streams that the server opens, and this server opens none.
func (c *conn) goAway(id uint32, p []byte) error {
	if id != 0 {
		return connError{protocolError, "GOAWAY on a stream"}
	}
	if len(p) < 8 {
		return connError{frameSizeError, "GOAWAY"}
	}
	if c.transport == nil {
		return nil
	}

	last := binary.BigEndian.Uint32(p) & largestValue
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received, c.closing = true, true
	for st := range c.streams.all() {
		if st.id > last {
			c.fail(st, errGoAway)
		}
	}
	c.rest()
	return nil
}

// A peer that does one of these too often loses the connection. There are three
// counters.
const (
	// maxControl is the number of unsent frames that the peer may have caused:
	// acknowledgements and resets (CVE-2019-9512, -9514, -9515).
	maxControl = 4096

	// maxNoise is the number of frames without effect that may come at once,
	// and noisePerSecond the lasting rate: PING, PRIORITY, empty DATA, unknown
	// types (CVE-2019-9513, -9518).
	maxNoise       = 4000
	noisePerSecond = 1000

	// maxDebt is the number of a client's streams that may be reset beyond
	// those that end well, and debtPerSecond the lasting rate (CVE-2023-44487,
	// CVE-2025-8671).
	maxDebt       = 4 * maxStreams
	debtPerSecond = maxStreams / 10
)

// counted runs after a frame was appended that the peer has caused. The caller
// holds the mutex.
func (c *conn) counted() error {
	if c.control++; c.control > maxControl {
		return connError{enhanceYourCalm, "too many control frames that were not read"}
	}
	return nil
}

// tolerate counts a frame without effect. The caller holds the mutex.
func (c *conn) tolerate() error {
	if c.noise++; c.noise > maxNoise {
		if c.forgive(); c.noise > maxNoise {
			return connError{enhanceYourCalm, "too many frames without effect"}
		}
	}
	return nil
}

// reckon counts a client's stream that ended by a reset of either side. The
// caller holds the mutex.
func (c *conn) reckon() error {
	if c.debt++; c.debt > maxDebt {
		if c.forgive(); c.debt > maxDebt {
			return connError{enhanceYourCalm, "too many streams that were reset"}
		}
	}
	return nil
}

// forgive lowers the counters by their rates and the time since the last call.
func (c *conn) forgive() {
	passed := c.now.Sub(c.paidAt)
	c.noise -= min(c.noise, int(passed*noisePerSecond/time.Second))
	c.debt -= min(c.debt, int(passed*debtPerSecond/time.Second))
	c.paidAt = c.now
}
