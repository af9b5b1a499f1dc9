package h2

import (
	"net/http"
	"testing"
	"time"
)

// A quiet connection releases its caches. When it is used again, requests are
// served as before.
func TestServer_AQuietConnectionKeepsNothingItCanDoWithout(t *testing.T) {
	t.Parallel()
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", r.Header.Get("User-Agent"))
	})}
	p := client(t, s)
	for i := range uint32(12) {
		p.request(2*i+1, true, "user-agent", "test")
		if got := p.fate(2*i + 1); got != "200" {
			t.Fatalf("request %d: %s", i, got)
		}
		if i%4 != 3 {
			continue
		}
		dropped := func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			for c := range s.conns {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.enc.entries == nil && c.out == nil
			}
			return false
		}
		tick := time.NewTicker(10 * time.Millisecond)
		for end := time.Now().Add(testPatience); !dropped(); <-tick.C {
			if time.Now().After(end) {
				t.Fatal("it still has its caches")
			}
		}
		tick.Stop()
	}
}
