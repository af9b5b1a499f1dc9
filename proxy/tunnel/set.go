package tunnel

import (
	"io"
	"sync"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// Set holds the open tunnels of a process. A tunnel has no time limit. It ends
// when one of its sides ends, or with a close frame at the end of the process.
// The zero value is an empty set. Safe for concurrent use.
type Set struct {
	buffers socket.Buffers

	mu    sync.Mutex
	open  map[*Tunnel]struct{}
	ended bool
}

// New makes a tunnel between a client and a backend. It is not open yet.
func (s *Set) New(client Client, backend io.ReadWriteCloser) *Tunnel {
	return &Tunnel{client: client, backend: backend, buffers: &s.buffers, up: frames{masked: true}}
}

// Add opens a tunnel. It reports false if the process is ending; then the
// tunnel must not be used.
//
// Nothing is written to the client before Answered is called, so that no close
// frame precedes the answer to the handshake.
func (s *Set) Add(t *Tunnel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.ended {
		return false
	}

	if s.open == nil {
		s.open = make(map[*Tunnel]struct{})
	}

	t.down.mu.Lock()
	s.open[t] = struct{}{}

	return true
}

// Remove removes a tunnel that has ended.
func (s *Set) Remove(t *Tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()

	delete(s.open, t)
}

// End ends every tunnel and admits no more. It returns how many tunnels there
// were.
func (s *Set) End() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.ended = true

	// Each tunnel may have to wait until its client takes the close frame.
	var all sync.WaitGroup
	for t := range s.open {
		all.Go(t.finish)
	}

	all.Wait()

	return len(s.open)
}

// Count returns the number of open tunnels.
func (s *Set) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return len(s.open)
}
