package backend

import (
	"io"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Stream is a request to a backend that sends HTTP/2 frames one by one. Its
// methods send the answer. They may be called in any order, also a wrong one.
// What the client sends after the answer is ignored.
type Stream struct {
	Fields   map[string]string // the last value of each field of the head, pseudo fields included
	Body     []byte            // received so far
	Trailers int               // the number of fields in the trailers
	Ended    bool              // the client has ended the stream

	id   uint32
	conn *framed
	over bool
}

// framed is a connection of the proxy. One goroutine reads and answers.
type framed struct {
	*http2.Framer
	block   []byte
	streams map[uint32]*Stream
}

// StartFrames serves HTTP/2 with prior knowledge. It calls turn for each frame
// of a stream without a complete answer. Frames that arrive after the answer
// are ignored, as RFC 9113 section 5.1 asks. A net/http server would close the
// connection for them.
func StartFrames(tb testing.TB, name string, turn func(*Stream)) *Raw {
	tb.Helper()

	return StartRaw(tb, name, func(c *Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c.In, preface); err != nil {
			return
		}

		f := &framed{Framer: http2.NewFramer(c.Conn, c.In), streams: make(map[uint32]*Stream)}
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		const most = 1<<31 - 1
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: most},
			http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1000})
		_ = f.WriteWindowUpdate(0, most-65535)
		f.serve(turn)
	})
}

// serve reads frames until the connection ends.
func (f *framed) serve(turn func(*Stream)) {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}

		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = f.WritePing(true, frame.Data)
			}
		case *http2.RSTStreamFrame:
			delete(f.streams, frame.StreamID)
		case *http2.MetaHeadersFrame:
			f.head(frame)
		case *http2.DataFrame:
			if s := f.streams[frame.StreamID]; s != nil {
				s.Body = append(s.Body, frame.Data()...)
				s.Ended = frame.StreamEnded()
			}
		}

		if s := f.streams[frame.Header().StreamID]; s != nil {
			turn(s)
			if s.over {
				delete(f.streams, s.id)
			}
		}
	}
}

// head handles the head of a request, or its trailers.
func (f *framed) head(frame *http2.MetaHeadersFrame) {
	s := f.streams[frame.StreamID]
	if s != nil {
		s.Trailers, s.Ended = len(frame.Fields), true
		return
	}

	if frame.PseudoValue("method") == "" {
		return // these trailers were sent before the answer arrived
	}

	s = &Stream{Fields: make(map[string]string), id: frame.StreamID, conn: f, Ended: frame.StreamEnded()}
	for _, field := range frame.Fields {
		s.Fields[field.Name] = field.Value
	}

	f.streams[s.id] = s
}

// Head sends the head of a 200.
func (s *Stream) Head() {
	s.conn.block = append(s.conn.block[:0], 0x88) // ":status: 200" in the static table
	_ = s.conn.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: s.conn.block, EndHeaders: true})
}

// Data sends a part of the answer's body. If end is true, the answer is
// complete.
func (s *Stream) Data(p []byte, end bool) {
	_ = s.conn.WriteData(s.id, end, p)
	s.over = end
}

// Reset ends the answer with RST_STREAM, an internal error of the backend.
func (s *Stream) Reset() {
	_ = s.conn.WriteRSTStream(s.id, http2.ErrCodeInternal)
	s.over = true
}
