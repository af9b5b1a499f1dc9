package h2

import (
	"runtime"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

const (
	// gatherStreams is the number of open streams from which on a connection
	// waits.
	gatherStreams = 8

	// gatherBelow is the size below which a read counts as small. Large
	// messages come in large reads by themselves.
	gatherBelow = 16 << 10

	// closely is the longest time between two batches on a busy connection.
	closely = 200 * time.Microsecond

	// atOnce is the longest time that Gosched takes when nothing else can run.
	atOnce = 2 * time.Microsecond
)

// gather waits for more frames before a busy connection is read again. A read,
// the goroutines that it wakes, and their writes cost about the same for ten
// frames as for one. First, all goroutines that can run do so. If that takes
// time, frames have come meanwhile. If nothing can run, the thread sleeps for a
// moment, like a network card that delays its interrupts. A connection with TLS
// does not wait, because a read returns one record at a time anyway.
func (c *conn) gather() {
	for range 3 {
		began := time.Now()
		runtime.Gosched()
		if time.Since(began) < atOnce {
			socket.Pause()
			return
		}
	}
}
