package socket

import (
	"sync"
	"sync/atomic"
	"time"
)

// Share is the memory that a connection needs for its ordinary work: the
// buffers of a request. The connection starts to use it with a request and
// rests afterwards. It keeps the bytes while it rests, unless the budget is
// tight, so the next request costs the budget nothing. Trim takes the bytes of
// a resting connection.
//
// One goroutine uses, rests and closes a share. Any goroutine may trim it. The
// zero value is ready.
type Share struct{ state atomic.Int32 }

// The states of a share.
const (
	shareNone int32 = iota
	shareKept       // taken, but not in use
	shareInUse
)

// Use takes n bytes for use, and reports whether it could.
func (s *Share) Use(b *Budget, n int64) bool {
	if s.state.CompareAndSwap(shareKept, shareInUse) {
		return true
	}
	if !b.Take(n, Needed) {
		return false
	}

	s.state.Store(shareInUse)
	return true
}

// Keep makes the share own bytes that were already taken from the budget.
func (s *Share) Keep() { s.state.Store(shareKept) }

// Await is Use for a caller that can wait, see Budget.Await.
func (s *Share) Await(b *Budget, n int64, limit time.Duration) bool {
	if s.state.CompareAndSwap(shareKept, shareInUse) {
		return true
	}
	if !b.Await(n, limit) {
		return false
	}

	s.state.Store(shareInUse)
	return true
}

// Rest ends the use of the n bytes.
func (s *Share) Rest(b *Budget, n int64) {
	if s.state.Load() != shareInUse {
		return
	}

	s.state.Store(shareKept)
	if b.Tight() {
		s.Trim(b, n)
	}
}

// Trim gives the n bytes back unless they are in use, and reports whether it
// did.
func (s *Share) Trim(b *Budget, n int64) bool {
	if !s.state.CompareAndSwap(shareKept, shareNone) {
		return false
	}
	b.Give(n)
	return true
}

// Close gives the n bytes back, used or not.
func (s *Share) Close(b *Budget, n int64) {
	if s.state.Swap(shareNone) != shareNone {
		b.Give(n)
	}
}

// Account is what one connection, with all of its streams, has taken from a
// budget beyond its share. It takes from the budget in blocks, so that many
// small pieces cost little, and gives everything back when it is closed. So no
// piece is forgotten when a connection ends in the middle of its work. Safe for
// concurrent use.
type Account struct {
	budget *Budget

	used atomic.Int64 // changed with the lock, read without it

	mu      sync.Mutex
	granted int64 // by the budget
	closed  bool
}

// accountBlock is the unit in which an account takes and gives.
const accountBlock = 16 << 10

// NewAccount makes the account of a connection.
func NewAccount(b *Budget) *Account { return &Account{budget: b} }

// Take is Budget.Take. A closed account refuses.
func (a *Account) Take(n int64, p Priority) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}

	if want := a.used.Load() + n - a.granted; want > 0 {
		want = (want + accountBlock - 1) / accountBlock * accountBlock
		if !a.budget.Take(want, p) {
			return false
		}
		a.granted += want
	}

	a.used.Add(n)
	return true
}

// Give gives n bytes back to the account. The account keeps one block for the
// next Take.
func (a *Account) Give(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}

	a.used.Add(-n)
	if spare := (a.granted - a.used.Load() - accountBlock) / accountBlock * accountBlock; spare > 0 {
		a.budget.Give(spare)
		a.granted -= spare
	}
}

// Used returns how many bytes are taken. Functions given to Budget.OnShort
// count with it, even while the account takes something.
func (a *Account) Used() int64 { return a.used.Load() }

// Close gives everything back. Later calls do nothing.
func (a *Account) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.budget.Give(a.granted)
	a.used.Store(0)
	a.granted, a.closed = 0, true
}
