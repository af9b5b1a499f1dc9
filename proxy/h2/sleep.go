package h2

import (
	"errors"
	"time"
)

// errAsleep says that the connection waits in the set of idle connections.
var errAsleep = errors.New("asleep")

// longestLook is the longest time between two looks at a connection on which
// nothing comes although it has streams.
const longestLook = time.Minute

// sleep is called when nothing has come for a while. A connection without
// streams gives its memory back, and waits without a goroutine (socket.IdleSet)
// if it can. Then sleep reports true, and the connection belongs to the
// goroutine that is started when something comes. Any other connection looks
// again after twice the time.
func (c *conn) sleep() bool {
	c.doubt = time.Time{}
	if !c.dropCaches() {
		c.doubt = time.Now().Add(min(2*time.Since(c.now), longestLook))
	}
	c.nc.SetReadDeadline(c.doubt)
	if !c.doubt.IsZero() || c.server == nil || c.idle.Sleeper == nil {
		return false
	}

	set := c.server.Idle
	if !set.Sleep(&c.idle, c.raw, time.Time{}) {
		return false
	}

	// Another goroutine may have closed it before it was in the set.
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if ended {
		set.Wake(&c.idle)
	}

	return true
}

// dropCaches frees the memory of the HPACK caches and of empty lists on a
// connection that has been quiet. That is half of the memory of an idle
// connection. The next request allocates them again. It reports false if the
// connection has streams, or a frame that is not complete.
func (c *conn) dropCaches() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open > 0 || c.running > 0 || c.writing || c.begun != nil || c.block.id != 0 {
		return false
	}

	c.dec.drop()
	c.enc.drop()
	c.wake, c.cancels, c.starts = nil, nil, nil
	c.starved, c.crowded = nil, nil
	c.streams.clear()

	return true
}
