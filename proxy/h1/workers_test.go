package h1

import (
	"context"
	"net/http"
	"testing"
	"time"
)

const lastGet = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// awaitParked waits until so many goroutines are between two connections.
func awaitParked(t *testing.T, s *Server, want int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		n := len(s.parked)
		s.mu.Unlock()
		if n == want {
			return
		}

		if time.Now().After(end) {
			t.Fatalf("%d goroutines wait for a connection, not %d", n, want)
		}
	}
}

// TestWorkers_ServeOneConnectionAfterTheOther, and Shutdown ends and awaits
// them.
func TestWorkers_ServeOneConnectionAfterTheOther(t *testing.T) {
	t.Parallel()
	s := handler(hello)

	addr := serve(t, s)
	for range 3 {
		k := dial(t, addr)
		k.send(lastGet)
		k.response("GET")
		k.rest()
		awaitParked(t, s, 1)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}

	awaitParked(t, s, 0)
}

// TestWorkers_FewStay: when many connections are closed at once, only maxParked
// goroutines stay to wait for the next connection.
func TestWorkers_FewStay(t *testing.T) {
	t.Parallel()
	s := handler(hello)
	addr := serve(t, s)
	var clients []*client

	for range maxParked + 10 {
		k := dial(t, addr)
		k.send(get)
		k.response("GET")
		clients = append(clients, k)
	}

	for _, k := range clients {
		k.Close()
	}

	awaitParked(t, s, maxParked)
	for n := 0; n < 5000 && open(s) > 0; n++ {
		time.Sleep(time.Millisecond)
	}

	awaitParked(t, s, maxParked)
}

// TestWorkers_AQuietConnectionLeavesItsStack and is served as before when it
// speaks again.
func TestWorkers_AQuietConnectionLeavesItsStack(t *testing.T) {
	t.Parallel()
	s := &Server{Handler: http.HandlerFunc(hello), IdleTimeout: time.Minute}

	k := dial(t, serve(t, s))
	for n := range 2 {
		k.send(get)
		k.response("GET")
		awaitParked(t, s, n+1)
		if open, _ := s.Connections(); open != 1 {
			t.Fatalf("%d connections", open)
		}
	}

	k.send(lastGet)
	k.response("GET")
	k.rest()
}

func open(s *Server) int {
	n, _ := s.Connections()
	return n
}
