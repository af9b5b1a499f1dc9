package h2

import "github.com/pillion-lb/pillion/proxy/socket"

// dataFrame is the DATA frame that is being read (RFC 9113 section 6.1). Its
// content is handled as it comes, before the frame is complete.
type dataFrame struct {
	st        *stream // nil: the content is dropped
	active    bool
	end       bool // END_STREAM
	left, pad int  // bytes bytes of content and of padding that have not come yet
}

// beginData handles the head of a DATA frame. The whole frame counts in the
// windows, even if it is dropped.
func (c *conn) beginData(length int, flags byte, id uint32) error {
	d := &c.data
	*d = dataFrame{active: true, left: length, end: flags&flagEndStream != 0}
	if id == 0 {
		return connError{protocolError, "DATA on stream 0"}
	}
	if flags&flagPadded != 0 {
		if length == 0 || int(c.buf[c.r]) >= length {
			return connError{protocolError, "more padding than there is DATA"}
		}
		d.pad = int(c.buf[c.r])
		d.left = length - 1 - d.pad
		c.r++
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recvWindow -= int64(length); c.recvWindow < 0 {
		return connError{flowControlError, "more DATA than the connection's window"}
	}
	st := c.find(id)
	if st == nil {
		c.credit(length)
		return c.dataOnClosed(id)
	}
	if code := st.judge(d, length); code != noError {
		c.credit(length)
		return c.reject(st, code)
	}
	if length == 0 && !d.end {
		if err := c.tolerate(); err != nil {
			return err
		}
	}
	return c.accept(st, length)
}

// dataOnClosed handles DATA for a closed stream (RFC 9113 section 5.1). DATA
// that was on its way when this side reset the stream is no error.
func (c *conn) dataOnClosed(id uint32) error {
	switch {
	case c.isIdle(id):
		return connError{protocolError, "DATA on an idle stream"}
	case c.wasReset(id):
		return nil
	}
	c.rst(id, streamClosed)
	return c.counted()
}

// judge returns the error that a DATA frame is, if it is one.
func (st *stream) judge(d *dataFrame, length int) errorCode {
	st.received += int64(d.left)
	switch {
	case st.inEnd:
		return streamClosed
	case st.recvWindow < length:
		return flowControlError
	case st.declared >= 0 && (st.received > st.declared || d.end && st.received != st.declared):
		return protocolError // RFC 9113 section 8.1.1
	case st.k != nil && !st.k.response.headed:
		return protocolError
	}
	return noError
}

// accept counts the frame in the windows, and gives back the connection's
// window for bytes that no handler reads. The window of a client's connection
// is given back for content when that was read, which bounds the content that
// this process holds for one client. The window of a backend's connection is
// given back at once: several clients share the connection, and none of them
// may hold up the others.
func (c *conn) accept(st *stream, length int) error {
	d := &c.data
	st.recvWindow -= length
	padding := length - d.left
	if c.transport != nil {
		c.credit(length)
	} else {
		c.credit(padding)
	}
	if padding > 0 && !d.end {
		st.owe(padding)
	}
	if d.left > 0 && !st.keep(d.left) {
		c.credit(d.left)
		c.server.Budget.Count(socket.RefusedRequest, 1)
		return c.reject(st, enhanceYourCalm)
	}
	d.st = st
	return nil
}

// keep takes the memory for n bytes of a client's content from the budget,
// except the first few KiB, which every stream has. The memory for a backend's
// content was taken with the window.
func (st *stream) keep(n int) bool {
	if st.k != nil || st.discards {
		return true
	}
	need := int64(st.content.size(n)) - smallContent
	return need <= st.taken || st.take(need-st.taken, socket.Lasting)
}

// takeData handles the part of the frame that has come, and reports whether
// that completes it.
func (c *conn) takeData() (done bool, err error) {
	d := &c.data
	n := min(c.w-c.r, d.left)
	p := c.buf[c.r : c.r+n]
	c.r += n
	d.left -= n
	if d.left == 0 {
		skip := min(c.w-c.r, d.pad)
		c.r += skip
		d.pad -= skip
	}
	done = d.left == 0 && d.pad == 0

	if d.st != nil {
		c.mu.Lock()
		c.receive(d.st, p, done && d.end)
		c.mu.Unlock()
	}
	if done {
		d.active, d.st = false, nil
	}
	return done, nil
}

// receive keeps content for its reader. The caller is the reader of the
// connection, with the mutex.
func (c *conn) receive(st *stream, p []byte, end bool) {
	if st.gone || st.discards {
		if c.server != nil {
			c.credit(len(p))
		}
		if !st.gone && end {
			st.inEnd = true
		}
		return
	}
	if len(p) > 0 {
		st.content.add(p)
	}
	if end {
		st.inEnd = true
	} else {
		st.widen()
	}
	c.later(&st.reader)
}
