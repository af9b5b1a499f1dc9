package h2

import (
	"encoding/binary"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// fieldBlock is a field block in several frames (RFC 9113 section 4.3). It is
// decoded when it is whole.
type fieldBlock struct {
	id     uint32 // 0: there is none
	end    bool   // END_STREAM
	pieces int
	content
	taken int64 // from the connection's account
}

// maxContinued is how many CONTINUATION frames a block may have, empty ones
// included (CVE-2023-45288).
const maxContinued = 32

// headers handles HEADERS (RFC 9113 section 6.2).
func (c *conn) headers(flags byte, id uint32, p []byte) error {
	if id == 0 {
		return connError{protocolError, "HEADERS on stream 0"}
	}
	p, selfish, err := withoutPadding(flags, id, p)
	if err != nil {
		return err
	}
	if flags&flagEndHeaders == 0 {
		c.block = fieldBlock{id: id, end: flags&flagEndStream != 0}
		return c.keepBlock(p)
	}
	if err := c.dec.decode(p); err != nil {
		return connError{compressionError, err.Error()}
	}
	if selfish {
		return c.resetUnopened(id, protocolError)
	}
	return c.section(id, flags&flagEndStream != 0)
}

// withoutPadding removes padding and priority from a HEADERS frame. selfish
// means that the stream depends on itself, which is an error (RFC 7540 section
// 5.3.1). Otherwise priorities are ignored (RFC 9113 section 5.3.2).
func withoutPadding(flags byte, id uint32, p []byte) (block []byte, selfish bool, err error) {
	pad := 0
	if flags&flagPadded != 0 {
		if len(p) < 1 {
			return nil, false, connError{frameSizeError, "HEADERS"}
		}
		pad, p = int(p[0]), p[1:]
	}
	if flags&flagPriority != 0 {
		if len(p) < 5 {
			return nil, false, connError{frameSizeError, "HEADERS"}
		}
		selfish = binary.BigEndian.Uint32(p)&largestValue == id
		p = p[5:]
	}
	if pad > len(p) {
		return nil, false, connError{protocolError, "more padding than there are HEADERS"}
	}
	return p[:len(p)-pad], selfish, nil
}

// continuation handles CONTINUATION (RFC 9113 section 6.10).
func (c *conn) continuation(flags byte, id uint32, p []byte) error {
	b := &c.block
	if b.id == 0 {
		return connError{protocolError, "CONTINUATION without HEADERS"}
	}
	if b.pieces++; b.pieces > maxContinued || b.len()+len(p) > int(c.dec.limit)+maxFrame {
		return connError{enhanceYourCalm, "field block too long"}
	}
	if err := c.keepBlock(p); err != nil || flags&flagEndHeaders == 0 {
		return err
	}

	err := c.dec.decode(b.bytes)
	end := b.end
	c.dropBlock()
	if err != nil {
		return connError{compressionError, err.Error()}
	}
	return c.section(id, end)
}

// dropBlock drops the block and returns its memory.
func (c *conn) dropBlock() {
	giveBack(c.block.bytes)
	if c.account != nil {
		c.account.Give(c.block.taken)
	}
	c.block = fieldBlock{}
}

// keepBlock keeps a piece of the block, with memory from the budget.
func (c *conn) keepBlock(p []byte) error {
	b := &c.block
	if c.account != nil {
		more := int64(b.size(len(p)) - cap(b.bytes))
		if !c.account.Take(more, socket.Lasting) {
			c.server.Budget.Count(socket.RefusedRequest, 1)
			return connError{enhanceYourCalm, "no memory for a field block"}
		}
		b.taken += more
	}
	b.add(p)
	return nil
}

// section handles a decoded field section.
func (c *conn) section(id uint32, end bool) error {
	if c.server != nil {
		return c.requestSection(id, end)
	}
	return c.responseSection(id, end)
}

// resetUnopened resets a stream that may not have been opened.
func (c *conn) resetUnopened(id uint32, code errorCode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := c.find(id); st != nil {
		return c.reject(st, code)
	}
	if c.server != nil && id&1 == 1 && id > c.lastID {
		c.lastID = id
	}
	c.rst(id, code)
	return c.counted()
}

// priority checks PRIORITY and ignores it (RFC 9113 section 6.3).
func (c *conn) priority(id uint32, p []byte) error {
	switch {
	case id == 0:
		return connError{protocolError, "PRIORITY on stream 0"}
	case len(p) != 5:
		return c.resetUnopened(id, frameSizeError)
	case binary.BigEndian.Uint32(p)&largestValue == id:
		return c.resetUnopened(id, protocolError)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tolerate()
}

// appendSection appends a field section as HEADERS and, if it is long,
// CONTINUATION. The caller holds the mutex: HPACK's state and the order of
// frames have to agree.
func (c *conn) appendSection(id uint32, status int, fields []field, end bool) {
	at := len(c.out)
	b := append(c.out, make([]byte, frameHead)...)
	b = c.enc.begin(b)
	if status != 0 {
		b = appendStatus(b, status)
	}
	for i := range fields {
		b = c.enc.field(b, fields[i].n, fields[i].value)
	}
	c.out = closeBlock(b, at, id, end, c.peer.frame)
}
