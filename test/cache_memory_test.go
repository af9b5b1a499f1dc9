//go:build linux

package test

import (
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

var cacheURLs = flag.Int("cache.urls", 5000,
	"how many URLs are asked for, each once, in each container; from 100,000 on answers are small")

// TestCache_StaysWithinItsMemory requests many URLs once each, from processes
// with container limits of 64 and 256 MiB. The answers have all sizes, some too
// large to be stored.
func TestCache_StaysWithinItsMemory(t *testing.T) {
	const largest = 300 << 10
	sizeOf := func(n int) int {
		if *cacheURLs >= 100_000 && n%100 != 0 {
			return n * 7919 % (8 << 10)
		}
		return n * 7919 % largest
	}
	content := strings.Repeat("z", largest)
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		w.Header().Set("Cache-Control", "max-age=600")
		if n%2 == 0 {
			w.Header().Set("Content-Length", strconv.Itoa(sizeOf(n)))
		}
		_, _ = w.Write([]byte(content[:sizeOf(n)]))
	})

	for _, container := range []int64{64, 256} {
		limit := container * 9 / 10
		p := startCache(t, b, fmt.Sprintf("GOMEMLIMIT=%dMiB", limit), "LB_STATUS_TOKEN="+watchword)
		bound := min(64<<20, limit<<20/4)
		idle := peak(t, p.PID())

		var next atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			client := newClient(t)
			all.Go(func() {
				for {
					n := int(next.Add(1))
					if n > *cacheURLs || t.Failed() {
						return
					}
					a := get(t, client, p.URL(fmt.Sprintf("/?n=%d", n)))
					if want := sizeOf(n); len(a.Text) != want {
						t.Errorf("%d bytes for %d", len(a.Text), want)
					}
					if n%500 == 0 {
						text := metricsText(t, p.URL(""))
						if used := sum(text, "lb_cache_bytes"); used == 0 || used > bound {
							t.Errorf("%d MiB: the cache holds %v bytes", container, used)
						}
					}
				}
			})
		}
		all.Wait()
		most := peak(t, p.PID())
		if n := sum(metricsText(t, p.URL("")), "lb_shed_total"); n > 0 {
			t.Errorf("%d MiB: load was shed %v times for what the cache holds", container, n)
		}
		t.Logf("%d MiB: %d MiB at most, idle %d MiB, bound of the cache %d MiB", container, most>>20, idle>>20, bound>>20)
		// Go's garbage collector lets a heap grow to twice its live size.
		if limit := min(container<<20, idle+bound*24/10); most > limit && !binary.Race {
			t.Errorf("%d MiB: it took %d MiB, and may take %d", container, most>>20, limit>>20)
		}
	}
}
