//go:build linux

package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// frames is an HTTP/2 client that writes single frames and reads nothing.
type frames struct {
	net.Conn
	*http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	next    uint32
}

// dialFrames connects and sends the preface, with a window size for streams.
func dialFrames(t *testing.T, address string, window uint32) *frames {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, await.Limit)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(await.Limit))
	_, _ = io.WriteString(conn, http2.ClientPreface)
	f := &frames{Conn: conn, Framer: http2.NewFramer(conn, conn), next: 1}
	f.encoder = hpack.NewEncoder(&f.block)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})

	return f
}

// open sends the HEADERS of a request.
func (f *frames) open(method, path string, end bool) (stream uint32, err error) {
	f.block.Reset()
	for _, field := range [][2]string{
		{":method", method}, {":scheme", "http"}, {":authority", "app.example"}, {":path", path},
	} {
		_ = f.encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}

	stream = f.next
	f.next += 2

	return stream, f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: f.block.Bytes(), EndHeaders: true, EndStream: end,
	})
}

// holdings is what a process has in use: bytes of its memory budget, as it
// reports itself, and open files.
type holdings struct {
	memory int64
	files  int
}

func holdingsOf(t *testing.T, c *http.Client, p *binary.Process) holdings {
	t.Helper()
	a := get(t, c, p.URL("/.lb/metrics"), "Authorization", "Bearer "+watchword)
	wantStatus(t, a, http.StatusOK)

	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		t.Fatal(err)
	}

	return holdings{sum(a.Text, "lb_memory_taken_bytes"), len(files)}
}

// After a connection has ended, nothing of it is kept: neither unread bodies,
// nor unsent answers, nor calls in progress.
func TestMemory_OfConnectionsThatAreGoneNothingIsKept(t *testing.T) {
	t.Parallel()
	hanging := backend.Start(t, "hanging", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big" {
			_, _ = w.Write(make([]byte, 1<<20))
			return
		}
		<-r.Context().Done()
	})

	for name, leave := range map[string]func(f *frames){
		"unread bodies": func(f *frames) {
			for range 4 {
				stream, _ := f.open("POST", "/hang", false)
				for range 4 {
					_ = f.WriteData(stream, false, make([]byte, 16<<10-1))
				}
			}
		},
		"unread answers": func(f *frames) {
			for range 20 {
				_, _ = f.open("GET", "/big", true)
			}
		},
		"a head without an end": func(f *frames) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: make([]byte, 16<<10-1)})
		},
		"calls": func(f *frames) {
			for range 20 {
				_, _ = f.open("POST", "/hang", false)
			}
		},
	} {
		for _, scheme := range []string{"http", "h2c"} {
			t.Run(name+" for "+scheme, func(t *testing.T) {
				t.Parallel()
				p := pillion.Start(t, append(calm, "LB_BACKENDS="+scheme+"://"+hanging.Address, "LB_IDLE_TIMEOUT=10m",
					"LB_IDLE_CONN_TIMEOUT=1s", "GOMEMLIMIT=57MiB", "LB_STATUS_TOKEN="+watchword)...)
				client := newClient(t)
				before := holdingsOf(t, client, p)

				for round := range 5 {
					var held []*frames
					for range 20 {
						f := dialFrames(t, p.Address, 0)
						leave(f)
						held = append(held, f)
					}

					if round == 0 {
						await.Until(t, "it costs something", func() bool { return holdingsOf(t, client, p).memory > before.memory })
					}
					for _, f := range held {
						_ = f.Close()
					}
				}

				// Only a connection to the backend may remain, to be used
				// again.
				var now holdings
				defer func() { t.Logf("at first %v, now %v", before, now) }()
				await.Until(t, "nothing is kept", func() bool {
					now = holdingsOf(t, client, p)
					return now.memory <= before.memory+64<<10 && now.files <= before.files+2
				})
			})
		}
	}
}

// A client that requests many answers and reads none of them makes Pillion
// buffer only a bounded part, whichever version of HTTP the backend uses.
func TestMemory_AConnectionThatTakesNothingHoldsLittle(t *testing.T) {
	t.Parallel()
	big := backend.Start(t, "big", func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			if _, err := w.Write(make([]byte, 16<<10)); err != nil {
				return
			}
		}
	})

	for _, scheme := range []string{"http", "h2c"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, append(calm, "LB_BACKENDS="+scheme+"://"+big.Address, "GOMEMLIMIT=57MiB",
				"LB_STATUS_TOKEN="+watchword)...)
			before := peak(t, p.PID())

			f := dialFrames(t, p.Address, 0)
			for range 250 {
				if _, err := f.open("GET", "/", true); err != nil {
					break
				}
			}

			for range 50 { // other clients are served meanwhile
				wantStatus(t, get(t, newClient(t), p.URL("/.lb/live")), http.StatusOK)
			}
			if grown := peak(t, p.PID()) - before; grown > 24<<20 && !binary.Race {
				t.Errorf("it took %d MiB", grown>>20)
			}

		})
	}
}
