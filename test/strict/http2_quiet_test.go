package strict

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// quiet is how long calls are silent: more than twice the 15 s after which many
// proxies send a PING to a backend.
const quiet = 35 * time.Second

// quietBackend begins every answer, and completes it only for /whole. It counts
// PINGs.
type quietBackend struct {
	target string
	pings  atomic.Int64
}

func startQuiet(t *testing.T) *quietBackend {
	b := new(quietBackend)
	raw := backend.StartRaw(t, "quiet", func(c *backend.Conn) {
		if _, err := io.CopyN(io.Discard, c.In, int64(len(http2.ClientPreface))); err != nil {
			return
		}

		f := newFrames(struct {
			io.Reader
			io.Writer
		}{c.In, c})
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}

			f.housekeeping(frame)
			switch frame := frame.(type) {
			case *http2.PingFrame:
				if !frame.IsAck() {
					b.pings.Add(1)
				}
			case *http2.MetaHeadersFrame:
				a := &answerer{f, c, frame.StreamID}
				a.headers(false, pair{":status", "200"}, pair{"content-type", "application/grpc"})
				a.data(frame.PseudoValue("path") == "/whole", "begun")
			}
		}
	})
	b.target = "h2c://" + raw.Address + "?name=quiet"

	return b
}

// gRPC servers close a connection that sends PINGs more often than every five
// minutes during calls, or any without calls. So Pillion sends none on a
// connection with a silent call, from a client of either version, and none on
// an idle one. An idle connection gets one PING before it is used again.
func TestHTTP2_AQuietCallIsNotPinged(t *testing.T) {
	t.Parallel()
	calls, idle := startQuiet(t), startQuiet(t)
	p := pillion.Start(t, "LB_BACKENDS="+calls.target, "LB_EJECT_ERRORS=0")
	rested := pillion.Start(t, "LB_BACKENDS="+idle.target, "LB_EJECT_ERRORS=0", "LB_IDLE_CONN_TIMEOUT=5m")

	long := func(c *framed) *framed {
		_ = c.SetDeadline(time.Now().Add(quiet + await.Limit))
		return c
	}
	grpc := long(dialFramed(t, p.Address))
	head := pseudo("POST", "/pkg.Events/Watch", pair{"content-type", "application/grpc"}, pair{"te", "trailers"})
	call := grpc.open(head...)
	grpc.read(t, call, len("begun"))

	events, in := connect(t, p.Address)
	_ = events.SetDeadline(time.Now().Add(quiet + await.Limit))
	_, _ = io.WriteString(events, get())
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, len("begun"))); err != nil {
		t.Fatal(err)
	}

	other := long(dialFramed(t, rested.Address))
	if got := other.fetch("/whole"); got.body != "begun" {
		t.Fatalf("%v", got)
	}

	<-time.After(quiet) // the duration is the promise

	if n := calls.pings.Load(); n > 0 {
		t.Errorf("%d PINGs on a connection with quiet calls", n)
	}
	if n := idle.pings.Load(); n > 0 {
		t.Errorf("%d PINGs on an idle connection", n)
	}

	if got := other.fetch("/whole"); got.body != "begun" || idle.pings.Load() != 1 {
		t.Errorf("then %v after %d PINGs, want one", got, idle.pings.Load())
	}
	if got := long(dialFramed(t, p.Address)).fetch("/whole"); got.body != "begun" {
		t.Errorf("a call beside the quiet ones: %v", got)
	}

	_ = grpc.WriteData(call, false, []byte("still here"))
	if got := grpc.fetch("/whole"); got.body != "begun" {
		t.Errorf("on the connection of the quiet call: %v", got)
	}
}
