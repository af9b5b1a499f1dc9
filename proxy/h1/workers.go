package h1

// maxParked is how many goroutines wait for a next connection. Their stacks are 8 or 16 KiB.
const maxParked = 64

// A goroutine's stack grows, and is copied, several times during its first request. So a goroutine whose connection has
// ended stays for the next one; and a connection that turns out to be quiet goes on waiting in a new goroutine, because a
// stack that has grown is much to keep for nothing.

// start gives a connection a goroutine. It is called with the lock held and the server not closed, so nobody is in
// Shutdown's wait yet.
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
		if c.serve() {
			s.serving.Add(1)
			go s.work(c)
		}
		if next == nil {
			next = make(chan *conn, 1)
		}
		c = s.another(next)
	}
}

// another waits for a connection; nil is the end.
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

// dismiss ends the goroutines that wait. It is called with the lock held.
func (s *Server) dismiss() {
	for _, next := range s.parked {
		close(next)
	}
	s.parked = nil
}
