package xds

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// watchword opens the status page.
const watchword = "a-word-that-opens-the-page"

// start starts the program in front of a target.
func start(t *testing.T, target string, env ...string) *binary.Process {
	t.Helper()
	return pillion.Start(t, append([]string{"LB_BACKENDS=" + target, "LB_STATUS_TOKEN=" + watchword}, env...)...)
}

// source is what the status page says of the first source.
type source struct {
	Source   string
	Backends int
	Age      *float64 `json:"age_seconds"`
	Error    string
}

func sourceOf(t *testing.T, p *binary.Process) source {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL("/.lb/state.json"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+watchword)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	var state struct{ Sources []source }
	if err := json.NewDecoder(resp.Body).Decode(&state); err != nil || len(state.Sources) == 0 {
		t.Fatalf("%v, %+v", err, state)
	}

	return state.Sources[0]
}

// load asks again and again until it is stopped.
type load struct {
	served   atomic.Int64
	failures await.Values[string]
	stop     chan struct{}
	running  sync.WaitGroup
}

func startLoad(t *testing.T, p *binary.Process) *load {
	t.Helper()
	l := &load{stop: make(chan struct{})}
	for range 4 {
		l.running.Go(func() { l.call(p.URL("/")) })
	}

	return l
}

func (l *load) call(url string) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()

	for {
		select {
		case <-l.stop:
			return
		case <-pace.C:
		}

		resp, err := client.Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
		}
		if err != nil {
			l.failures.Add(err.Error())
		}
		l.served.Add(1)
	}
}

// more waits for n further answers.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	n += l.served.Load()
	await.Until(t, "requests are answered", func() bool { return l.served.Load() >= n })
}

// end stops the load and fails the test for each request that failed.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.running.Wait()
	if all := l.failures.All(); len(all) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(all), l.served.Load(), all[0])
	}
}

// hit waits for a backend's next request, and returns how long that took.
func hit(t *testing.T, s *backend.Server) time.Duration {
	t.Helper()
	began, before := time.Now(), s.Hits()
	await.Until(t, s.Name+" is used", func() bool { return s.Hits() > before })

	return time.Since(began)
}

// idle waits until a backend gets no requests any more.
func (l *load) idle(t *testing.T, s *backend.Server) {
	t.Helper()
	await.Until(t, s.Name+" is idle", func() bool {
		before := s.Hits()
		l.more(t, 40)
		return s.Hits() == before
	})
}
