package h2

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// testPatience is how long a test waits for what has to happen.
const testPatience = 20 * time.Second

// peer is the other side of a connection, which speaks by frames and breaks
// what rules it likes.
type peer struct {
	*http2.Framer               // of what the test sends
	in            *http2.Framer // of what comes, and of what is sent for that: a framer has one user
	net.Conn
	t     *testing.T
	block bytes.Buffer
	enc   *hpack.Encoder
}

func newPeer(t *testing.T, c net.Conn) *peer {
	p := &peer{Framer: http2.NewFramer(c, c), in: http2.NewFramer(c, c), Conn: c, t: t}
	p.AllowIllegalWrites = true
	p.enc = hpack.NewEncoder(&p.block)
	p.in.ReadMetaHeaders = hpack.NewDecoder(tableSize, nil)
	_ = c.SetDeadline(time.Now().Add(testPatience))
	t.Cleanup(func() { _ = c.Close() })
	return p
}

// ReadFrame reads what comes.
func (p *peer) ReadFrame() (http2.Frame, error) { return p.in.ReadFrame() }

// section encodes fields, which are names and values in turn.
func (p *peer) section(fields ...string) []byte {
	p.block.Reset()
	for i := 0; i+1 < len(fields); i += 2 {
		_ = p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(p.block.Bytes())
}

// request sends the head of a request.
func (p *peer) request(id uint32, end bool, fields ...string) {
	p.t.Helper()
	head := []string{":method", "GET", ":scheme", "http", ":authority", "app.example", ":path", "/"}
	if !end {
		head[1] = "POST"
	}
	p.headers(id, end, append(head, fields...)...)
}

func (p *peer) headers(id uint32, end bool, fields ...string) {
	p.t.Helper()
	_ = p.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: p.section(fields...), EndStream: end, EndHeaders: true,
	})
}

// settle acknowledges the server's settings. Otherwise next would do it, maybe
// between two frames of a test that writes meanwhile.
func (p *peer) settle() {
	p.t.Helper()
	f, err := p.ReadFrame()
	if s, ok := f.(*http2.SettingsFrame); !ok || s.IsAck() {
		p.t.Fatalf("the server begins with %v, %v", f, err)
	}
	_ = p.in.WriteSettingsAck()
}

// next returns the next frame that is no housekeeping; nil is the end.
func (p *peer) next() http2.Frame {
	p.t.Helper()
	for {
		f, err := p.ReadFrame()
		if err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				p.t.Fatal("nothing came")
			}
			p.t.Log(err)
			return nil
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = p.in.WriteSettingsAck()
			}
			continue
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = p.in.WritePing(true, f.Data)
				continue
			}
		case *http2.WindowUpdateFrame:
			continue
		}
		return f
	}
}

// fate is how a peer that broke a rule is answered: "RST_STREAM CODE", "GOAWAY
// CODE", the status of an answer, or "closed".
func (p *peer) fate(id uint32) string {
	p.t.Helper()
	for {
		switch f := p.next().(type) {
		case nil:
			return "closed"
		case *http2.GoAwayFrame:
			return "GOAWAY " + f.ErrCode.String()
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return "RST_STREAM " + f.ErrCode.String()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				return f.PseudoValue("status")
			}
		}
	}
}

// serve serves connections with s until the test ends.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		_ = s.Close()
	})
	s.Idle = new(socket.IdleSet)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			o := &owner{}
			o.session = s.Session(c, o)
			o.Awake()
		}
	}()
	return l.Addr().String()
}

// owner owns a connection that may sleep, as the server of HTTP/1.1 does.
type owner struct{ session Session }

func (o *owner) Awake() { go o.session.Serve() }

// client connects to a server of ours as a client that has said its preface.
func client(t *testing.T, s *Server) *peer {
	t.Helper()
	c, err := net.Dial("tcp", serve(t, s))
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, c)
	_, _ = io.WriteString(c, http2.ClientPreface)
	_ = p.WriteSettings()
	return p
}

// backendPeer is a backend whose frames a test writes itself. script gets
// each connection, whose preface was read.
func backendPeer(t *testing.T, script func(p *peer)) *Transport {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &Transport{Address: l.Addr().String()}
	t.Cleanup(func() {
		transport.CloseIdle()
		_ = l.Close()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p := newPeer(t, c)
			if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
				return
			}
			_ = p.WriteSettings()
			go script(p)
		}
	}()
	return transport
}

// awaitRequest returns the number of the next stream whose request is whole; 0
// is the end of the connection.
func (p *peer) awaitRequest() uint32 {
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return 0
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = p.in.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = p.in.WritePing(true, f.Data)
			}
		case *http2.MetaHeadersFrame:
			if f.StreamEnded() {
				return f.StreamID
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				return f.StreamID
			}
		}
	}
}

// fetch makes a GET by a transport of ours.
func fetch(t *testing.T, transport *Transport, path string) (status int, body string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://app.example"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
