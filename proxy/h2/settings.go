package h2

import "encoding/binary"

// Settings, RFC 9113 section 6.5.2 and RFC 8441 section 3.
const (
	settingHeaderTableSize = iota + 1
	settingEnablePush
	settingMaxConcurrentStreams
	settingInitialWindowSize
	settingMaxFrameSize
	settingMaxHeaderListSize
	_
	settingEnableConnectProtocol
)

const (
	settingSize = 6
	maxSettings = 100 // in one frame

	mostStreams = 1 << 20 // a larger limit of the peer counts as this
)

type setting struct {
	id    uint16
	value uint32
}

func appendSettings(b []byte, list ...setting) []byte {
	b = appendFrame(b, settingSize*len(list), frameSettings, 0, 0)
	for _, s := range list {
		b = appendUint32(append(b, byte(s.id>>8), byte(s.id)), s.value)
	}
	return b
}

// settings handles SETTINGS (RFC 9113 section 6.5).
func (c *conn) settings(flags byte, id uint32, p []byte) error {
	ack := flags&flagAck != 0
	switch {
	case id != 0:
		return connError{protocolError, "SETTINGS on a stream"}
	case ack && len(p) > 0, len(p)%settingSize != 0:
		return connError{frameSizeError, "SETTINGS"}
	case ack && !c.settled:
		return connError{protocolError, "no SETTINGS at first"}
	case ack:
		return nil
	case len(p)/settingSize > maxSettings:
		return connError{enhanceYourCalm, "too many settings"}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settled {
		if err := c.tolerate(); err != nil {
			return err
		}
	}
	c.settled, c.settleBy = true, noTime
	for ; len(p) > 0; p = p[settingSize:] {
		s := setting{binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])}
		if err := c.apply(s); err != nil {
			return err
		}
	}
	c.out = appendFrame(c.out, 0, frameSettings, flagAck, 0)
	return c.counted()
}

// apply applies one of the peer's settings. Unknown ones are ignored. The
// caller holds the mutex.
func (c *conn) apply(s setting) error {
	switch s.id {
	case settingHeaderTableSize:
		c.enc.resize(s.value)
	case settingEnablePush:
		if s.value > 1 || s.value == 1 && c.transport != nil {
			return connError{protocolError, "ENABLE_PUSH"}
		}
	case settingMaxConcurrentStreams:
		c.peer.streams = int(min(s.value, mostStreams))
	case settingInitialWindowSize:
		if s.value > largestValue {
			return connError{flowControlError, "INITIAL_WINDOW_SIZE"}
		}
		return c.moveWindows(int64(s.value))
	case settingMaxFrameSize:
		if s.value < 1<<14 || s.value > 1<<24-1 {
			return connError{protocolError, "MAX_FRAME_SIZE"}
		}
	case settingMaxHeaderListSize:
		c.peer.headerList = s.value
	case settingEnableConnectProtocol:
		if s.value > 1 {
			return connError{protocolError, "ENABLE_CONNECT_PROTOCOL"}
		}
	}
	return nil
}
