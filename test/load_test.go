package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// load is a number of requests by several workers. Each worker has its own
// connection, and each request its own number.
type load struct {
	client   *http.Client
	workers  int
	requests int
	make     func(i int) (*http.Request, error)
	check    func(i int, a answer) error // nil wants a 200
}

// run sends all requests. It fails the test if some failed, and prints the
// first few of these.
func (l load) run(t *testing.T) {
	t.Helper()
	var next, failed atomic.Int64
	var workers sync.WaitGroup

	for range l.workers {
		workers.Go(func() {
			for i := int(next.Add(1)); i <= l.requests; i = int(next.Add(1)) {
				if err := l.one(i); err != nil && failed.Add(1) <= 5 {
					t.Errorf("request %d: %v", i, err)
				}
			}
		})
	}

	workers.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed", n, l.requests)
	}
}

func (l load) one(i int) error {
	request, err := l.make(i)
	if err != nil {
		return err
	}

	a, err := exchange(l.client, request)
	if err != nil {
		return err
	}
	if l.check != nil {
		return l.check(i, a)
	}

	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d %q", a.StatusCode, a.Text)
	}

	return nil
}

// exchange is send for other goroutines than the test's, which must not call
// Fatal.
func exchange(c *http.Client, r *http.Request) (answer, error) {
	response, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)

	return answer{Response: response, Text: string(text)}, err
}

// post returns a function that makes POSTs to url. The body is the request's
// number.
func post(url string) func(i int) (*http.Request, error) {
	return func(i int) (*http.Request, error) {
		return http.NewRequest(http.MethodPost, url, strings.NewReader(fmt.Sprint(i)))
	}
}

// gets returns a function that makes GETs of url.
func gets(url string) func(i int) (*http.Request, error) {
	return func(int) (*http.Request, error) { return http.NewRequest(http.MethodGet, url, nil) }
}

// tally counts arrivals by a key.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) Add(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[key]++
}

func (c *tally) Of(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[key]
}

// wantOnce fails unless each of the numbers 1 to n arrived exactly once.
func (c *tally) wantOnce(t *testing.T, n int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()

	missing, twice := 0, 0
	for i := range n {
		switch count := c.counts[fmt.Sprint(i+1)]; {
		case count == 0:
			missing++
		case count > 1:
			twice++
		}
	}

	if missing > 0 || twice > 0 || len(c.counts) != n {
		t.Errorf("of %d requests %d never arrived and %d arrived more than once (%d different)", n, missing, twice,
			len(c.counts))
	}
}
