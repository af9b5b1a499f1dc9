package test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// sizes are those of the parts of a stream.
var sizes = []int{1, 7, 4096, 100, 65536, 1, 300, 20000, 2, 1}

// part is the n-th of them.
func part(n int) string {
	return strings.Repeat(strconv.Itoa(n)+" some words", sizes[n]/4+1)[:sizes[n]]
}

// TestCompress_NothingThatWasSentIsHeldBack has a backend send a part only when
// the part before was decoded, so a byte that is held back ends the test.
func TestCompress_NothingThatWasSentIsHeldBack(t *testing.T) {
	t.Parallel()
	total := 0
	for _, n := range sizes {
		total += n
	}
	sent := make(chan time.Time, 1)
	next := make(chan bool, 1)
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", strconv.Itoa(total))
		}
		w.Header().Set("Cache-Control", "max-age=60")
		for i := range sizes {
			_ = http.NewResponseController(w).Flush() // the head, and then each part
			if !<-next {
				return
			}
			sent <- time.Now()
			_, _ = io.WriteString(w, part(i))
		}
	})

	var took []time.Duration
	for _, scheme := range []string{"http", "h2c"} {
		for _, cache := range []string{"off", "origin"} {
			p := pillion.Start(t, "LB_BACKENDS="+scheme+"://"+b.Address, "LB_COMPRESS=gzip;zstd", "LB_CACHE="+cache)
			for version, client := range clients(t) {
				for _, coding := range []string{"gzip", "zstd"} {
					for _, path := range []string{"/length", "/none"} {
						target := p.URL(path + "?" + version)
						a, err := client.Do(newRequest(t, "GET", target, nil, "Accept-Encoding", coding))
						if err != nil {
							t.Fatalf("%s backend, cache %s, %s, %s: no head before the first byte: %v", scheme, cache, target, coding, err)
						}
						if got := a.Header.Get("Content-Encoding"); got != coding {
							t.Fatalf("%s is coded %q", target, got)
						}

						var decoded io.Reader
						for i := range sizes {
							next <- true
							at := <-sent
							if decoded == nil {
								decoded = decoder(t, a)
							}
							got := make([]byte, sizes[i])
							if _, err := io.ReadFull(decoded, got); err != nil || string(got) != part(i) {
								t.Fatalf("%s backend, cache %s, %s, %s: part %d: %v", scheme, cache, target, coding, i, err)
							}
							took = append(took, time.Since(at))
						}
						if rest, err := io.ReadAll(decoded); err != nil || len(rest) > 0 {
							t.Errorf("%s: %d bytes more, %v", target, len(rest), err)
						}
						a.Body.Close()
					}
				}
			}
		}
	}

	// Single ones may meet a busy machine.
	slices.Sort(took)
	if median := took[len(took)/2]; median > 10*time.Millisecond && !binary.Race {
		t.Errorf("half of the parts took longer than %v", median)
	}
}

// TestCompress_NoFramingIsTakenForContent has a backend stop in the middle of
// chunks, and of what is between them.
func TestCompress_NoFramingIsTakenForContent(t *testing.T) {
	t.Parallel()
	pieces := []struct{ bytes, text string }{
		{"5\r\nhel", "hel"}, {"lo\r", "lo"}, {"\n3\r\nabc\r\n", "abc"}, {"2", ""}, {"\r\nde", "de"}, {"\r\n", ""},
		{"1;x=y\r\nf\r\n4\r", "f"}, {"\ngh", "gh"}, {"ij\r\n0\r\nSum: 1\r\n", "ij"}, {"\r\n", ""},
	}
	next := make(chan bool, len(pieces))
	b := backend.StartRaw(t, "one", func(c *backend.Conn) {
		for {
			if _, err := c.ReadRequest(); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n")
			for i := range pieces {
				if !<-next {
					return
				}
				_, _ = io.WriteString(c, pieces[i].bytes)
			}
		}
	})
	for _, cache := range []string{"off", "origin"} {
		p := pillion.Start(t, b.Environment(), "LB_COMPRESS=gzip;zstd", "LB_CACHE="+cache)
		for version, client := range clients(t) {
			for _, coding := range []string{"gzip", "zstd"} {
				a, err := client.Do(newRequest(t, "GET", p.URL("/"), nil, "Accept-Encoding", coding))
				if err != nil {
					t.Fatal(err)
				}
				var decoded io.Reader
				for i, piece := range pieces {
					next <- true
					if piece.text == "" {
						continue
					}
					if decoded == nil {
						decoded = decoder(t, a)
					}
					got := make([]byte, len(piece.text))
					if _, err := io.ReadFull(decoded, got); err != nil || string(got) != piece.text {
						t.Fatalf("cache %s, %s, %s: piece %d: %q, %v", cache, version, coding, i, got, err)
					}
				}
				if rest, err := io.ReadAll(decoded); err != nil || len(rest) > 0 {
					t.Errorf("%q, %v", rest, err)
				}
				if _, err := io.Copy(io.Discard, a.Body); err != nil || a.Trailer.Get("Sum") != "1" {
					t.Errorf("cache %s, %s: trailers %v, %v", cache, version, a.Trailer, err)
				}
				a.Body.Close()
			}
		}
	}
}

// TestCompress_EventStreamsAreLeftAlone sends one event and then nothing.
func TestCompress_EventStreamsAreLeftAlone(t *testing.T) {
	t.Parallel()
	end := make(chan bool)
	defer close(end)
	b := backend.Start(t, "one", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = fmt.Fprint(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-end
	})
	p := pillion.Start(t, "LB_BACKENDS="+b.Target(), "LB_COMPRESS=gzip")
	for version, client := range clients(t) {
		a, err := client.Do(newRequest(t, "GET", p.URL("/"), nil, "Accept-Encoding", "gzip"))
		if err != nil {
			t.Fatal(err)
		}
		event := make([]byte, 9)
		if _, err := io.ReadFull(a.Body, event); string(event) != "data: 1\n\n" || a.Header.Get("Vary") != "" {
			t.Errorf("%s: %q, %v, %v", version, event, err, a.Header)
		}
		a.Body.Close()
	}
}
