package h2

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// script is a side of a connection that costs next to nothing.
type script struct {
	net.Conn
	in  *bufio.Reader
	out []byte
}

func newScript(c net.Conn) *script {
	s := &script{Conn: c, in: bufio.NewReaderSize(c, 64<<10)}
	s.out = appendSettings(s.out, setting{settingInitialWindowSize, largestValue})
	s.out = appendWindowUpdate(s.out, 0, 1<<30)
	return s
}

func (s *script) flush() {
	_, _ = s.Write(s.out)
	s.out = s.out[:0]
}

// frame reads a frame and drops its payload.
func (s *script) frame() (kind, flags byte, id uint32, err error) {
	head, err := s.in.Peek(frameHead)
	if err != nil {
		return 0, 0, 0, err
	}
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	kind, flags, id = head[3], head[4], binary.BigEndian.Uint32(head[5:])
	_, err = s.in.Discard(frameHead + length)
	return kind, flags, id, err
}

// block encodes fields for a connection that has no table.
func block(fields ...string) []byte {
	var b []byte
	e := hpack.NewEncoder(writeFunc(func(p []byte) { b = append(b, p...) }))
	e.SetMaxDynamicTableSize(0)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b
}

func (s *script) headers(id uint32, end bool, block []byte) {
	flags := flagEndHeaders
	if end {
		flags |= flagEndStream
	}
	s.out = append(appendFrame(s.out, len(block), frameHeaders, flags, id), block...)
}

func (s *script) data(id uint32, end bool, p []byte) {
	flags := byte(0)
	if end {
		flags = flagEndStream
	}
	s.out = append(appendFrame(s.out, len(p), frameData, flags, id), p...)
}

// scriptBackend answers unary calls.
func scriptBackend(b *testing.B) *Transport {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s := newScript(c)
		_, _ = io.ReadFull(s.in, make([]byte, len(http2.ClientPreface)))
		head := block(":status", "200", "content-type", "application/grpc")
		trailers := block("grpc-status", "0")
		message := make([]byte, 69)
		for {
			kind, flags, id, err := s.frame()
			if err != nil {
				return
			}
			if kind == frameSettings && flags&flagAck == 0 {
				s.out = appendFrame(s.out, 0, frameSettings, flagAck, 0)
			}
			if kind == frameData && flags&flagEndStream != 0 {
				s.headers(id, false, head)
				s.data(id, false, message)
				s.headers(id, true, trailers)
			}
			if s.in.Buffered() < frameHead && len(s.out) > 0 {
				s.flush()
			}
		}
	}()
	return &Transport{Address: l.Addr().String()}
}

// BenchmarkRelay is a unary call through a server and a transport, 100 at a
// time on one connection.
func BenchmarkRelay(b *testing.B) {
	transport := scriptBackend(b)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call wire.Call
		resp, err := transport.Send(r, &call)
		if err != nil {
			b.Error(err)
			return
		}
		writer := w.(*writer)
		writer.WriteHeaderFrom(resp.StatusCode, resp.Header)
		writer.Flush()
		if _, err := writer.ReadFrom(resp.Body); err != nil {
			b.Error(err)
		}
		for name, values := range resp.Trailer {
			w.Header()[http.TrailerPrefix+name] = values
		}
		resp.Body.Close()
	})
	server := &Server{Handler: handler}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			server.Serve(c)
		}
	}()
	defer server.Close()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	s := newScript(c)
	s.out = append([]byte(preface), s.out...)
	head := block(":method", "POST", ":scheme", "http", ":path", "/package.Service/Method", ":authority", "app.example",
		"content-type", "application/grpc", "user-agent", "bench", "te", "trailers")
	message := make([]byte, 69)

	const together = 100
	b.ReportAllocs()
	next := uint32(1)
	for n := 0; n < b.N; n += together {
		for range together {
			s.headers(next, false, head)
			s.data(next, true, message)
			next += 2
		}
		s.flush()
		for left := together; left > 0; {
			kind, flags, _, err := s.frame()
			switch {
			case err != nil:
				b.Fatal(err)
			case kind == frameSettings && flags&flagAck == 0:
				s.out = appendFrame(s.out, 0, frameSettings, flagAck, 0)
			case kind == frameHeaders && flags&flagEndStream != 0:
				left--
			case kind == frameRSTStream || kind == frameGoAway:
				b.Fatal("an error")
			}
		}
	}
}
