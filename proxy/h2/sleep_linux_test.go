//go:build linux && (amd64 || arm64)

package h2

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// wantAsleep waits until n connections sleep.
func wantAsleep(t *testing.T, s *Server, n int) {
	t.Helper()
	for begun := time.Now(); s.Idle.Len() != n; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > testPatience {
			t.Fatalf("%d connections sleep, want %d", s.Idle.Len(), n)
		}
	}
}

// wantNone waits until the server has no connection.
func wantNone(t *testing.T, s *Server) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		n := len(s.conns)
		s.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Since(begun) > testPatience {
			t.Fatalf("%d connections are open", n)
		}
	}
}

// wantAnswer reads to the end of the answer on a stream.
func (p *peer) wantAnswer(id uint32) {
	p.t.Helper()
	for {
		f, err := p.ReadFrame()
		if err != nil {
			p.t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = p.in.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == id && f.StreamEnded() {
				return
			}
		case *http2.DataFrame:
			if f.StreamID == id && f.StreamEnded() {
				return
			}
		}
	}
}

func TestServer_IdleConnectionsSleep(t *testing.T) {
	t.Parallel()
	for name, streams := range map[string]uint32{"one request": 1, "five at once": 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(20 * time.Millisecond)
				_, _ = io.WriteString(w, "hello")
			}), IdleTimeout: time.Minute}
			p := client(t, s)
			id := uint32(1)
			for range 3 { // each time, the dynamic tables still hold
				for i := range streams {
					p.request(id+2*i, true, "x-field", "value")
				}
				id += 2 * streams
				p.wantAnswer(id - 2)
				wantAsleep(t, s, 1)
			}
		})
	}
}

// A connection with a stream does not sleep, however long nothing comes. It
// does when the stream has ended.
func TestServer_AConnectionWithAStreamStaysAwake(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { <-more })}
	p := client(t, s)
	p.request(1, true)
	time.Sleep(2 * doubtTime)
	if n := s.Idle.Len(); n > 0 {
		t.Error("it sleeps")
	}
	close(more)
	p.wantAnswer(1)
	wantAsleep(t, s, 1)
}

// A sleeping connection ends as any other idle one.
func TestServer_SleepingConnectionsEnd(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(s *Server, p *peer){
		"the client closes":       func(_ *Server, p *peer) { _ = p.Close() },
		"the idle timeout passes": func(*Server, *peer) {},
		"the server closes":       func(s *Server, _ *peer) { _ = s.Close() },
		"load is shed":            func(s *Server, _ *peer) { s.Shed(1) },
		"a broken frame":          func(_ *Server, p *peer) { _ = p.WriteRawFrame(0xff, 0, 0, make([]byte, 20<<10)) },
		"a shutdown": func(s *Server, p *peer) {
			go func() { // the client answers the PING and closes
				for {
					if p.awaitRequest() == 0 {
						_ = p.Close()
						return
					}
				}
			}()
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), IdleTimeout: 3 * time.Second}
			p := client(t, s)
			p.request(1, true)
			p.wantAnswer(1)
			wantAsleep(t, s, 1)
			ends(s, p)
			wantNone(t, s)
		})
	}
}
