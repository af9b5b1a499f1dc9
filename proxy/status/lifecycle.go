package status

import (
	"sync/atomic"
	"time"
)

// startLimit is how long the process may count as not started because a source
// of backends has not answered. With a longer time, a platform could kill the
// process only because a name does not resolve.
const startLimit = 5 * time.Second

// Lifecycle records whether the process has started and whether it is stopping.
// The caller reports both. It is safe for concurrent use.
type Lifecycle struct {
	begun    time.Time
	answered atomic.Bool
	stopping atomic.Bool
}

// NewLifecycle returns the Lifecycle of a process that starts now.
func NewLifecycle() *Lifecycle { return &Lifecycle{begun: time.Now()} }

// Answered records that every source of backends has answered at least once.
func (l *Lifecycle) Answered() { l.answered.Store(true) }

// Stop records that the process is stopping, because of SIGTERM for example.
func (l *Lifecycle) Stop() { l.stopping.Store(true) }

// Started reports whether every source has answered or 5 s have passed since
// the start. It never goes back to false. It compares the clock instead of
// using a timer, because timers stop while a platform freezes the process.
func (l *Lifecycle) Started() bool { return l.answered.Load() || time.Since(l.begun) >= startLimit }

// Ready reports whether the process takes new requests: from Started until
// Stop. The health of the backends has no influence.
func (l *Lifecycle) Ready() bool { return l.Started() && !l.stopping.Load() }
