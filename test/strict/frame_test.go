package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// frames writes HTTP/2 frames with any fields, without a library that checks
// them.
type frames struct {
	*http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
}

func newFrames(rw io.ReadWriter) *frames {
	f := &frames{Framer: http2.NewFramer(rw, rw)}
	f.AllowIllegalWrites = true
	f.encoder = hpack.NewEncoder(&f.block)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return f
}

// encode returns a header block. Its bytes are valid until the next call.
func (f *frames) encode(fields []pair) []byte {
	f.block.Reset()
	for _, p := range fields {
		// a bytes.Buffer returns no error
		_ = f.encoder.WriteField(hpack.HeaderField{Name: p.name, Value: p.value})
	}
	return f.block.Bytes()
}

// send writes a header block in one frame, or in continuations if it is long.
func (f *frames) send(stream uint32, end bool, fields []pair) error {
	const most = 16 << 10
	block := f.encode(fields)
	n := min(len(block), most)
	err := f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: block[:n], EndStream: end, EndHeaders: n == len(block),
	})
	for block = block[n:]; err == nil && len(block) > 0; block = block[n:] {
		n = min(len(block), most)
		err = f.WriteContinuation(stream, n == len(block), block[:n])
	}

	return err
}

// housekeeping answers the frames that every connection has to answer.
func (f *frames) housekeeping(frame http2.Frame) {
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			_ = f.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			_ = f.WritePing(true, frame.Data)
		}

	case *http2.DataFrame:
		if n := uint32(len(frame.Data())); n > 0 {
			_ = f.WriteWindowUpdate(0, n)
			if !frame.StreamEnded() {
				_ = f.WriteWindowUpdate(frame.StreamID, n)
			}
		}
	}
}

// answerer writes the answer of a stream.
type answerer struct {
	*frames
	conn   net.Conn
	stream uint32
}

func (a *answerer) headers(end bool, fields ...pair) { _ = a.send(a.stream, end, fields) }
func (a *answerer) data(end bool, data string)       { _ = a.WriteData(a.stream, end, []byte(data)) }

// startFramed starts an h2c backend that calls answer with each complete
// request, and returns its item of LB_BACKENDS. Malformed frames are added to
// faults.
func startFramed(tb testing.TB, faults *await.Values[string], answer func(seen, *answerer)) string {
	raw := backend.StartRaw(tb, "framed", func(c *backend.Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c.In, preface); err != nil {
			return
		}

		if string(preface) != http2.ClientPreface {
			faults.Add(fmt.Sprintf("preface %q", preface))
			return
		}

		f := newFrames(struct {
			io.Reader
			io.Writer
		}{c.In, c})
		_ = f.WriteSettings()

		open := map[uint32]*seen{}
		for {
			frame, err := f.ReadFrame()
			if bad := (http2.StreamError{}); errors.As(err, &bad) {
				faults.Add(err.Error())
				_ = f.WriteRSTStream(bad.StreamID, bad.Code)
				continue
			}

			if err != nil {
				return
			}

			f.housekeeping(frame)
			if s := collect(open, frame); s != nil {
				answer(*s, &answerer{f, c, frame.Header().StreamID})
			}
		}
	})
	return "h2c://" + raw.Address + "?name=framed"
}

// collect adds a frame to the request of its stream. It returns the request
// when it is complete.
func collect(open map[uint32]*seen, frame http2.Frame) *seen {
	id := frame.Header().StreamID
	s := open[id]
	switch frame := frame.(type) {
	case *http2.MetaHeadersFrame:
		if s == nil {
			s = &seen{method: frame.PseudoValue("method"), target: frame.PseudoValue("path"),
				host: frame.PseudoValue("authority")}
			s.fields = regular(frame)
			open[id] = s
		} else {
			s.trailers = regular(frame)
		}
	case *http2.DataFrame:
		if s != nil {
			s.body += string(frame.Data())
		}
	case *http2.RSTStreamFrame:
		delete(open, id)
		return nil
	default:
		return nil
	}

	if s == nil || !frame.Header().Flags.Has(http2.FlagDataEndStream) {
		return nil
	}

	delete(open, id)
	return s
}

// regular returns the fields of a header block without the pseudo fields.
func regular(frame *http2.MetaHeadersFrame) []pair {
	var fields []pair
	for _, f := range frame.RegularFields() {
		fields = append(fields, pair{f.Name, f.Value})
	}
	return fields
}

// framed is a client connection that speaks HTTP/2 by frames.
type framed struct {
	*frames
	net.Conn
	next uint32
}

// dialFramed connects and sends the preface.
func dialFramed(t *testing.T, address string) *framed {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, await.Limit)
	if err != nil {
		t.Fatal(err)
	}

	return speakFramed(t, conn)
}

// speakFramed sends the preface on a connection, which it closes when the test
// ends.
func speakFramed(t *testing.T, conn net.Conn) *framed {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(await.Limit))
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}

	c := &framed{frames: newFrames(conn), Conn: conn, next: 1}
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}

	return c
}

// reply is the result of a stream.
type reply struct {
	status   string // of the final head, "" without one
	body     string
	ended    bool // by END_STREAM
	fields   []pair
	trailers []pair
	cut      string // how it ended otherwise
}

func (r reply) String() string {
	return fmt.Sprintf("status %q body %q ended %v cut %q", r.status, r.body, r.ended, r.cut)
}

// wait reads until the stream has ended.
func (c *framed) wait(stream uint32) reply {
	var r reply
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			r.cut = err.Error()
			return r
		}

		c.housekeeping(frame)
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo || frame.LastStreamID < stream {
				r.cut = "GOAWAY " + frame.ErrCode.String()
				return r
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == stream {
				if !r.ended {
					r.cut = "RST_STREAM " + frame.ErrCode.String()
				}
				return r
			}
		case *http2.MetaHeadersFrame:
			if frame.StreamID == stream && r.add(frame) {
				return r
			}

		case *http2.DataFrame:
			if frame.StreamID == stream {
				r.body += string(frame.Data())
				if r.ended = frame.StreamEnded(); r.ended {
					return r
				}
			}
		}
	}
}

// add adds a head or trailers and reports whether the stream has ended.
func (r *reply) add(frame *http2.MetaHeadersFrame) bool {
	switch status := frame.PseudoValue("status"); {
	case r.status != "":
		r.trailers = regular(frame)
	case strings.HasPrefix(status, "1"):
		return false
	default:
		r.status, r.fields = status, regular(frame)
	}

	r.ended = frame.StreamEnded()
	return r.ended
}

// fetch sends a GET and returns its result.
func (c *framed) fetch(path string) reply {
	stream := c.next
	c.next += 2
	_ = c.send(stream, true, pseudo("GET", path))
	return c.wait(stream)
}

// pseudo returns the head of an HTTP/2 request.
func pseudo(method, path string, fields ...pair) []pair {
	return append([]pair{{":method", method}, {":scheme", "http"}, {":authority", "app.example"}, {":path", path}},
		fields...)
}
