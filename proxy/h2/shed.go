package h2

import (
	"cmp"
	"slices"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// connectionMemory is the memory of a connection without streams. The caller
// that accepted it took this from the budget.
const connectionMemory = 12 << 10

// keeper is a connection that may be ended to free memory.
type keeper struct {
	c     *conn
	idle  bool
	since time.Time // when it became idle, or a stream began to wait for the client
	held  int64
}

// leastStall is how long a stream must have waited for its client before its
// connection is ended for it.
const leastStall = 100 * time.Millisecond

// Shed ends connections until need bytes come back, and returns how many bytes
// that will be: first those without streams, then those that wait for their
// client, in each case the longest waiting first. It is a function for
// Budget.OnShort.
func (s *Server) Shed(need int64) (freed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()

	list := make([]keeper, 0, len(s.conns))
	for c := range s.conns {
		if k, ok := c.keeps(); ok {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b keeper) int {
		if a.idle != b.idle {
			if a.idle {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.since.UnixNano(), b.since.UnixNano())
	})

	for _, k := range list {
		if freed >= need {
			break
		}
		freed += k.held
		k.end(s.Budget)
	}
	return freed
}

// keeps describes a connection that may be ended.
func (c *conn) keeps() (k keeper, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k = keeper{c: c, idle: c.open == 0 && c.running == 0, since: c.idleSince}
	if c.ended || c.ending {
		return k, false
	}
	if k.idle {
		k.held = connectionMemory + c.account.Used()
		return k, true
	}
	for st := range c.streams.all() {
		if since := st.waitsSince(); !since.IsZero() {
			if !ok || since.Before(k.since) {
				k.since = since
			}
			ok = true
		}
	}
	k.held = connectionMemory + c.account.Used()
	return k, ok && time.Since(k.since) >= leastStall
}

// end ends the connection. An idle client gets a GOAWAY.
func (k *keeper) end(b *socket.Budget) {
	if k.idle {
		b.Count(socket.ClosedIdle, 1)
		go k.c.cut(noError)
		return
	}
	b.Count(socket.CutStalled, 1)
	go k.c.cut(enhanceYourCalm)
}

// waitsSince returns since when the stream has waited for its client, or zero
// if it does not wait. The caller holds the mutex.
func (st *stream) waitsSince() time.Time {
	switch {
	case st.writer.waiting:
		return st.writer.since
	case st.reader.waiting && !st.inEnd:
		return st.reader.since
	}
	return noTime
}
