package h1

// maxParked is the number of goroutines that wait for a next connection. Their
// stacks are 8 or 16 KiB.
const maxParked = 64

// A goroutine's stack grows, and is copied, several times during its first
// request. So a goroutine whose connection has ended or sleeps stays for the
// next one. Where connections can't sleep, one that stays idle waits in a new
// goroutine, because a grown stack is much memory for an idle connection.

// start gives a connection a goroutine. The caller holds the lock, and the
// server is not closed, so Shutdown does not wait yet.
func (s *Server) start(c *conn) {
	if n := len(s.parked); n > 0 {
		w := s.parked[n-1]
		s.parked[n-1] = nil
		s.parked = s.parked[:n-1]
		w <- c
		return
	}

	s.serving.Add(1)
	go s.work(c)
}

// work is the goroutine. It serves one connection after the other.
func (s *Server) work(c *conn) {
	defer s.serving.Done()
	var next chan *conn
	for c != nil {
		if c.serve() == cold {
			s.serving.Add(1)
			go s.work(c)
		}

		if next == nil {
			next = make(chan *conn, 1)
		}

		c = s.another(next)
	}
}

// another waits for the next connection. It returns nil if this worker has to
// end, because enough others wait or the server is closed.
func (s *Server) another(next chan *conn) *conn {
	s.mu.Lock()
	full := s.closed || len(s.parked) >= maxParked
	if !full {
		s.parked = append(s.parked, next)
	}

	s.mu.Unlock()
	if full {
		return nil
	}

	return <-next
}

// dismiss ends the waiting goroutines. The caller holds the lock.
func (s *Server) dismiss() {
	for _, next := range s.parked {
		close(next)
	}
	s.parked = nil
}
