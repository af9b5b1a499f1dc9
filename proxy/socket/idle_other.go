//go:build !linux || (!amd64 && !arm64)

package socket

import (
	"syscall"
	"time"
)

// IdleSet takes no connections here.
type IdleSet struct{}

// Idle is the place of one connection in a set.
type Idle struct{ Sleeper Sleeper }

// Sleep refuses.
func (*IdleSet) Sleep(*Idle, syscall.RawConn, time.Time) bool { return false }

// Len returns 0.
func (*IdleSet) Len() int { return 0 }

// Wake does nothing.
func (*IdleSet) Wake(*Idle) {}
