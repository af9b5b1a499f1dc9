package h1

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// What this package takes from the budget. The sizes were measured with
// thousands of connections of each kind, as memory of the process and of the
// kernel together. LinkMemory is the size of a connection to a backend.
const (
	connectionMemory  = 12 << 10 // an idle connection of a client
	transactionMemory = 16 << 10 // more while it has a request: buffers, fields, a larger stack
	stalledMemory     = 32 << 10 // more while the client does not take its answer
	LinkMemory        = 16 << 10
)

// What a connection waits for, in the order in which connections are ended.
const (
	forFirst   = iota // the client's first request
	forRequest        // another request
	forBody           // more of a body, or room for more of an answer
	forNobody
)

// least is how long a connection must have waited before it may be closed to
// make room.
var least = [...]time.Duration{
	forFirst:   200 * time.Millisecond,
	forRequest: 5 * time.Second,
	forBody:    5 * time.Second,
}

// waiting is a connection that waits for its client.
type waiting struct {
	conn  *conn
	what  int
	since int64 // in Unix nanoseconds
}

// held returns how many bytes come back when the connection ends.
func (w waiting) held() int64 {
	held := int64(connectionMemory)
	if w.conn.state.Load() != idle {
		held += transactionMemory + w.conn.grown.Load()
	}
	if w.what == forBody {
		held += LinkMemory
	}

	return held
}

// Trim takes the memory that idle connections keep for their next request, and
// returns how many bytes that were. It is a function for Budget.OnTight.
func (s *Server) Trim() (freed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for c := range s.conns {
		if c.share.Trim(s.Budget, transactionMemory) {
			freed += transactionMemory
		}
	}

	return freed
}

// Shed ends connections until need bytes come back, and returns how many bytes
// that will be. It closes connections that have not sent a request, idle ones,
// and at last those whose client does not send its body or does not take its
// answer; of each kind the oldest first. It is a function for Budget.OnShort.
func (s *Server) Shed(need int64) (freed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()

	list, freed := s.waiting()
	for _, w := range list {
		if freed >= need {
			break
		}
		if s.cut(w) {
			freed += w.held()
		}
	}

	return freed
}

// displace makes room when there are too many connections. It closes some of
// those that Shed would end, if they have waited for some time, and reports
// whether it closed any.
func (s *Server) displace() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	list, _ := s.waiting()

	now, closed := time.Now().UnixNano(), 0
	for _, w := range list {
		if time.Duration(now-w.since) >= least[w.what] && s.cut(w) {
			closed++
		}

		// A few at a time. Closing one at a time would make each new connection
		// search all others.
		if closed > len(s.conns)/16 {
			break
		}
	}

	return closed > 0
}

// waiting returns the connections that wait for their clients, in the order in
// which they are ended, and how many bytes come back from those that are ending
// already. The caller holds the lock.
func (s *Server) waiting() (list []waiting, leaving int64) {
	for c := range s.conns {
		w := c.waits()
		switch {
		case c.leaving.Load():
			leaving += w.held()
		case w.what != forNobody:
			list = append(list, w)
		}
	}

	slices.SortFunc(list, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.since, b.since))
	})
	return list, leaving
}

// cut ends a connection from another goroutine, unless its state has changed.
// The caller holds the lock.
func (s *Server) cut(w waiting) bool {
	c := w.conn
	if c.awaits.write.Load() == 0 && c.hasMore() {
		return false // the client is waiting for this process
	}

	switch c.state.Load() {
	case idle:
		if !c.state.CompareAndSwap(idle, ending) {
			return false
		}
		c.interrupt()
	case active:
		if w.what != forBody && !c.awaits.head.CompareAndSwap(w.since, taken) {
			return false
		}
		c.kill()
	default: // a tunnel, or HTTP/2, which has its own limits
		return false
	}

	c.leaving.Store(true)
	if w.what != forBody {
		s.Budget.Count(socket.ClosedIdle, 1)
	} else {
		s.Budget.Count(socket.CutStalled, 1)
	}

	return true
}

// awaits holds since when the connection has been waiting for its client, in
// Unix nanoseconds, and 0 while it does not wait. The connection writes it, and
// Shed reads it.
type awaits struct {
	head   atomic.Int64 // of a request; taken if the connection has to end instead
	read   atomic.Int64 // more of a request's body
	write  atomic.Int64 // room for more of an answer
	served atomic.Bool  // it has had a request
}

// taken marks a connection that ends before its request's head is complete.
const taken = -1

// begins ends the wait for a head and reports whether the connection may go on.
func (a *awaits) begins() bool { return a.head.Load() == 0 || a.head.Swap(0) != taken }

// waits returns what the connection waits for, and since when.
func (c *conn) waits() waiting {
	head, read, write := c.awaits.head.Load(), c.awaits.read.Load(), c.awaits.write.Load()
	switch {
	case head > 0 && c.awaits.served.Load():
		return waiting{c, forRequest, head}
	case head > 0:
		return waiting{c, forFirst, head}
	case read > 0 && (write == 0 || read < write):
		return waiting{c, forBody, read}
	case write > 0:
		return waiting{c, forBody, write}
	}

	return waiting{c, forNobody, 0}
}

// hasMore reports whether the client has sent bytes that were not read yet.
// Under TLS that is not known.
func (c *conn) hasMore() bool {
	readiness := socket.Silent
	if c.raw != nil {
		c.raw.Control(func(fd uintptr) { readiness = socket.Peek(int(fd)) })
	}
	return readiness == socket.Readable
}

// refusedMemory is the refusal of a request for which there is no memory. It is
// counted and not logged, because there may be many.
var refusedMemory = &refusal{http.StatusServiceUnavailable, wire.ErrShort.Error()}

// afford waits for the memory of a request. It refuses the request if none
// comes back.
func (c *conn) afford() bool {
	s := c.server
	few := s.unpaid.Add(1) <= maxUnpaid
	c.x.paid = few && c.share.Await(s.Budget, transactionMemory, affordTime)
	s.unpaid.Add(-1)

	if !c.x.paid {
		c.refuseShort()
	}

	return c.x.paid
}

// refuseShort answers a request for which there is no memory.
func (c *conn) refuseShort() {
	c.server.Budget.Count(socket.RefusedRequest, 1)
	if bytes.HasPrefix(c.x.in.bytes(), []byte(http2Preface[:3])) {
		return // HTTP/2 can't read an answer of HTTP/1
	}
	c.refuse(refusedMemory)
}
