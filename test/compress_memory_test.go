//go:build linux

package test

import (
	"io"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// TestCompress_SlowReadersCostCompressionAndNoMemory has 500 clients ask for
// pages and read nothing but their heads, of a balancer that believes to be in
// a container of 64 MiB.
func TestCompress_SlowReadersCostCompressionAndNoMemory(t *testing.T) {
	const readers, size = 500, 8 << 20
	page := make([]byte, size)
	letters := rand.New(rand.NewSource(1))
	for i := range page {
		page[i] = 'a' + byte(letters.Intn(26))
	}
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		if r.URL.Path == "/short" {
			_, _ = w.Write(page[:8192])
			return
		}
		_, _ = w.Write(page)
	})
	p := pillion.Start(t, "LB_BACKENDS="+b.Target(), "LB_COMPRESS=zstd;gzip", "GOMEMLIMIT=57MiB",
		"LB_STATUS_TOKEN="+watchword)

	coded, plain := 0, 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for range readers {
		c := wire.Dial(t, p.Address)
		c.Get("/", "Accept-Encoding: gzip")
		all.Go(func() {
			response, err := http.ReadResponse(c.In, nil)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil || response.StatusCode != http.StatusOK: // load is shed
			case response.Header.Get("Content-Encoding") == "gzip":
				coded++
			default:
				plain++
			}
		})
	}
	all.Wait()
	// How many encoders there are depends on the memory that connections left.
	// Those that are cut, because it is short, leave their encoders to others.
	if coded < 1 || coded > readers/10 || plain < readers/2 {
		t.Errorf("%d answers are compressed, %d are not", coded, plain)
	}

	client := newClient(t)
	a := get(t, client, p.URL("/short"), "Accept-Encoding", "gzip")
	for end := time.Now().Add(10 * time.Second); a.StatusCode == http.StatusServiceUnavailable && time.Now().Before(end); {
		a = get(t, client, p.URL("/short"), "Accept-Encoding", "gzip") // load was shed
	}
	if decodedText(t, a) != string(page[:8192]) || a.Header.Get("Vary") == "" {
		t.Errorf("beside them: %v", a.Header)
	}
	if n := sum(metricsText(t, p.URL("")), `lb_compress_skipped_total{lb_compress_reason="encoders"`); n < int64(plain) {
		t.Errorf("%d of %d are counted", n, plain)
	}
	if most := peak(t, p.PID()); most > 64<<20 && !binary.Race {
		t.Errorf("it took %d MiB", most>>20)
	}
}

// An answer that is plain because all encoders were in use is stored as what it
// is. It does not stay the answer for those who can have it compressed.
func TestCompress_AShortageIsNotKeptInTheCache(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("a page, and what it says. ", 512)
	noise := make([]byte, 8<<20)
	letters := rand.New(rand.NewSource(2))
	for i := range noise {
		noise[i] = 'a' + byte(letters.Intn(26))
	}
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		switch r.URL.Path {
		case "/noise":
			w.Header().Set("Cache-Control", "no-store")
			_, _ = w.Write(noise)
			return
		case "/page":
			w.Header().Set("Cache-Control", "max-age=600")
		default:
			w.Header().Set("Cache-Control", "no-store")
		}
		_, _ = w.Write([]byte(page))
	})
	p := pillion.Start(t, "LB_BACKENDS="+b.Target(), "LB_COMPRESS=gzip", "LB_CACHE=origin", "GOMEMLIMIT=57MiB")
	client := newClient(t)
	ask := func(path, coding string) answer {
		t.Helper()
		a := get(t, client, p.URL(path), "Accept-Encoding", coding)
		if a.StatusCode != http.StatusOK || decodedText(t, a) != page {
			t.Fatalf("%s: %d %v", path, a.StatusCode, a.Header)
		}
		return a
	}

	var slow []net.Conn
	for range 16 {
		conn, err := net.Dial("tcp", p.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetReadBuffer(2048)
		_, _ = io.WriteString(conn, wire.Request("GET", "/noise", "", "Accept-Encoding: gzip"))
		slow = append(slow, conn)
	}
	await.Until(t, "all encoders are in use", func() bool {
		return ask("/other",
			"gzip").Header.Get("Content-Encoding") == ""
	})
	for _, want := range []string{"stored", "hit"} {
		if a := ask("/page", "gzip"); a.Header.Get("Content-Encoding") != "" ||
			!strings.Contains(a.Header.Get("Cache-Status"), want) {
			t.Fatalf("without an encoder: %v", a.Header)
		}
	}

	for _, conn := range slow {
		conn.Close()
	}
	await.Until(t, "the page is compressed", func() bool {
		return ask("/page",
			"gzip").Header.Get("Content-Encoding") == "gzip"
	})
	if a := ask("/page", "identity"); a.Header.Get("Content-Encoding") != "" ||
		!strings.Contains(a.Header.Get("Cache-Status"), "hit") {
		t.Errorf("who takes no coding: %v", a.Header)
	}
}
