package h2

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// handshake opens a connection to s, in memory, as a client that has made one
// request, and hands out its framer. What the server sends meanwhile is read
// and dropped until the answer has ended.
func handshake(t *testing.T, s *Server) (*http2.Framer, net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	go s.Serve(server)
	out := bufio.NewWriterSize(client, 1<<10)
	f := http2.NewFramer(out, client)
	io.WriteString(out, http2.ClientPreface)
	f.WriteSettings()
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: get(), EndStream: true, EndHeaders: true})
	go out.Flush() // a pipe has no buffer: the server says something before it reads
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if frame.Header().StreamID == 1 && frame.Header().Flags.Has(http2.FlagHeadersEndStream) {
			return http2.NewFramer(client, client), client
		}
	}
}

// get is the head of a GET.
func get() []byte {
	var b []byte
	w := hpack.NewEncoder(writeFunc(func(p []byte) { b = append(b, p...) }))
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "app.example"}, {":path", "/"}} {
		w.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return b
}

type writeFunc func([]byte)

func (w writeFunc) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// An idle connection is asked for a sign of life after a minute. One that
// answers stays, one that does not is closed.
func TestServer_PingsIdleConnections(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]int{"an answering client": 3, "a vanished client": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), StallTimeout: time.Minute,
					IdleTimeout: time.Hour}
				f, client := handshake(t, s)
				defer s.Close()
				defer client.Close()
				last, asked := time.Now(), 0
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						break
					}
					ping, ok := frame.(*http2.PingFrame)
					if !ok {
						continue
					}
					if since := time.Since(last).Round(time.Second); since != time.Minute {
						t.Errorf("asked after %v", since)
					}
					last = time.Now()
					if asked++; asked <= answers {
						f.WritePing(true, ping.Data)
					}
				}
				if since := time.Since(last).Round(time.Second); asked != answers+1 || since != 15*time.Second {
					t.Errorf("closed %v after question %d", since, asked)
				}
			})
		})
	}
}

// A write may fail while a batch of frames is read, and end the connection. The
// requests in the rest of the batch must not begin, because their handlers
// would never learn that the client is gone.
func TestServer_NoRequestBeginsOnAConnectionThatHasEnded(t *testing.T) {
	t.Parallel()
	var batch bytes.Buffer
	batch.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&batch, nil)
	framer.WriteSettings()
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: get(), EndStream: true, EndHeaders: true})

	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	begun := make(chan struct{}, 1)
	s := &Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { begun <- struct{}{} })}
	c := newConn(ours, s.headLimit(), serverWindow)
	c.server, c.account = s, socket.NewAccount(nil)
	if !s.enter(c) {
		t.Fatal("the server takes no connection")
	}
	defer s.leave(c)

	c.borrow()
	c.w = copy(c.buf, batch.Bytes())
	c.abort(errClosed)
	if err := c.process(); err == nil || c.running > 0 || len(begun) > 0 {
		t.Errorf("%v, and %d requests are running", err, c.running)
	}
}
