package socket

// Sleeper is a connection that may wait in an IdleSet. Awake starts its work
// again, in another goroutine than the caller's, and returns at once.
type Sleeper interface{ Awake() }
