package h1

import "time"

// sleep puts a connection that waits for another request into the set of idle
// connections. After that, only its atomic fields may be used here.
func (c *conn) sleep() bool {
	set, armed, was := c.server.Idle, c.armed, c.warm
	if set == nil || c.raw == nil || c.fresh || c.late || c.x != nil || c.state.Load() != idle {
		return false
	}

	c.c.SetReadDeadline(time.Time{})
	c.armed, c.warm = time.Time{}, false
	if !set.Sleep(&c.idle, c.raw, c.limit()) {
		c.warm = was
		c.wake(armed)
		return false
	}

	// Shutdown may have ended it before it was in the set.
	if c.state.Load() == ending {
		set.Wake(&c.idle)
	}

	return true
}

// Awake gives a connection of the set a goroutine again.
func (c *conn) Awake() {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start(c)
}
