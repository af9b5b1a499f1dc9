package h2

import (
	"net/http"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// streamMemory is what a request takes from the budget: a goroutine's stack,
// its fields, the first few KiB of its content, and the same again for the
// backend's side.
const streamMemory = 32 << 10

// requestSection handles a field section of a client: the head of a request, or
// its trailers.
func (c *conn) requestSection(id uint32, end bool) error {
	if id&1 == 0 {
		return connError{protocolError, "stream of an even number"}
	}
	c.mu.Lock()
	st := c.find(id)
	switch {
	case st != nil:
		defer c.mu.Unlock()
		return c.requestTrailers(st, end)
	case id <= c.lastID:
		defer c.mu.Unlock()
		if c.wasReset(id) {
			return nil
		}
		return connError{streamClosed, "HEADERS on a closed stream"}
	}
	c.lastID = id
	refused := c.open >= maxStreams || c.running >= maxStreams
	ignored := c.sentAway
	c.mu.Unlock()

	switch {
	case ignored: // RFC 9113 section 6.8: its number is above that in GOAWAY
		return nil
	case refused:
		return c.refuseStream(id, true)
	case !c.afford():
		c.server.Budget.Count(socket.RefusedRequest, 1)
		return c.refuseStream(id, false)
	}
	return c.openStream(id, end)
}

// afford takes the memory of a request. It may shed load, so the caller must
// not hold the mutex.
func (c *conn) afford() bool { return c.account.Take(streamMemory, socket.Needed) }

// refuseStream resets a stream whose request was not processed. owed means that
// the client knew the limit, so the stream counts in reckon.
func (c *conn) refuseStream(id uint32, owed bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rst(id, refusedStream)
	if owed {
		return c.reckon()
	}
	return c.counted()
}

// openStream makes a request of the decoded section. Its handler starts at the
// end of the batch.
func (c *conn) openStream(id uint32, end bool) error {
	x, _ := c.server.transactions.Get().(*transaction)
	if x == nil {
		x = newTransaction(c.server)
	}
	x.stream.reset(c, id, clientStream)
	x.account = c.account
	x.inEnd = end
	if why := x.fill(&c.dec, end); why != "" {
		c.server.transactions.Put(x)
		c.account.Give(streamMemory)
		c.server.report(c.peerAddress(), 0, wire.RandomID(), why)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.rst(id, protocolError)
		return c.reckon()
	}

	c.mu.Lock()
	if c.ended {
		// A write failed while this batch was read. The streams of the
		// connection have been ended, so a stream that is added now would never
		// end.
		c.mu.Unlock()
		c.server.transactions.Put(x)
		c.account.Give(streamMemory)
		return errClosed
	}

	if c.out == nil {
		c.out = borrowOutput()
	}
	c.add(&x.stream)
	c.open++
	c.running++
	c.mu.Unlock()
	c.starts = append(c.starts, x)
	return nil
}

// requestTrailers handles the trailers of a request (RFC 9113 section 8.1). The
// caller holds the mutex.
func (c *conn) requestTrailers(st *stream, end bool) error {
	switch {
	case st.inEnd:
		return c.reject(st, streamClosed)
	case !end, c.dec.malformed, c.dec.oversized, st.declared >= 0 && st.declared != st.received:
		return c.reject(st, protocolError)
	}
	trailer := make(http.Header, len(c.dec.fields))
	for i := range c.dec.fields {
		f := &c.dec.fields[i]
		switch f.n.kind {
		case pseudo:
			return c.reject(st, protocolError)
		case plain:
			if wire.InTrailers(f.n.key) {
				trailer[f.n.key] = append(trailer[f.n.key], f.value)
			}
		}
	}
	st.x.trailer = trailer
	st.inEnd = true
	c.later(&st.reader)
	return nil
}

// peerAddress returns the client's address in the form of Request.RemoteAddr.
func (c *conn) peerAddress() string {
	if c.address == "" {
		c.address = c.nc.RemoteAddr().String()
	}
	return c.address
}
