package socket

import "time"

// Delivery is what TCP knows about the bytes that were written to a connection.
// The zero value says nothing. It is all that gVisor's sockets tell while they
// are open.
type Delivery struct {
	Counted      bool          // the kernel counts, and the fields below are valid
	Acknowledged int64         // bytes that the peer's TCP has received, since the connection began
	Finished     bool          // the peer has shut down its direction, or reset both
	Closed       bool          // both directions have ended: nothing more is delivered
	RoundTrip    time.Duration // smoothed; 0 if not measured yet
}
