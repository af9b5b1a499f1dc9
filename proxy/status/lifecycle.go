package status

import (
	"sync/atomic"
	"time"
)

// patience is how long we say that we have not started because a source of backends has not answered. Longer would let
// a platform kill a process for a name that will not resolve.
const patience = 5 * time.Second

// Lifecycle is how far the process has come. Safe for concurrent use; the caller says what happened.
type Lifecycle struct {
	begun    time.Time
	answered atomic.Bool
	stopping atomic.Bool
}

// NewLifecycle is of a process that begins now.
func NewLifecycle() *Lifecycle { return &Lifecycle{begun: time.Now()} }

// Answered says that every source of backends has answered at least once.
func (l *Lifecycle) Answered() { l.answered.Store(true) }

// Stop says that the end has begun: SIGTERM.
func (l *Lifecycle) Stop() { l.stopping.Store(true) }

// Started reports whether every source has answered or 5 s have passed since the begin. Once true it stays so. The
// clock is asked here and not a timer, because a platform may freeze timers.
func (l *Lifecycle) Started() bool { return l.answered.Load() || time.Since(l.begun) >= patience }

// Ready reports whether new requests are welcome: from started until Stop, whatever the backends' health.
func (l *Lifecycle) Ready() bool { return l.Started() && !l.stopping.Load() }
