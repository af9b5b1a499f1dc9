package compress

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// decoded reads as much as can be decoded.
func decoded(t *testing.T, c wire.Coding, coded []byte) (string, error) {
	t.Helper()
	var r io.Reader
	var err error
	if c == wire.Gzip {
		r, err = gzip.NewReader(bytes.NewReader(coded))
	} else {
		r, err = zstd.NewReader(bytes.NewReader(coded), zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), err
}

// pieces is a body of which each piece is one read, and of which nothing is
// known in advance.
type pieces struct {
	left   []string
	end    error
	read   func(n int) // called before each read
	n      int
	closed int
}

func (p *pieces) Read(to []byte) (int, error) {
	if p.read != nil {
		p.read(p.n)
	}
	p.n++
	if len(p.left) == 0 {
		return 0, p.end
	}
	n := copy(to, p.left[0])
	if p.left[0] = p.left[0][n:]; p.left[0] == "" {
		p.left = p.left[1:]
	}
	return n, nil
}

func (p *pieces) Close() error { p.closed++; return nil }

// known is a body that knows when it waits: before the reads that are listed.
type known struct {
	pieces
	waits map[int]bool
}

func (k *known) Ready() bool { return !k.waits[k.n] }

// compressing makes the compressed answer of a body.
func compressing(t *testing.T, e *Encoders, c wire.Coding, body io.ReadCloser, length int64) (*Sender, *http.Response) {
	t.Helper()
	s := &Sender{Rules: standard(t), Encoders: e}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Encoding", c.String())
	s.Ask(r)
	resp := &http.Response{
		StatusCode: 200, ContentLength: length, Body: body,
		Header: fields("Content-Type: text/plain", `Etag: "a"`, "Accept-Ranges: bytes", "Content-Length: 99999"),
	}
	s.Answer(r, nil, resp)
	return s, resp
}

func TestBody_AllThatWasReadCanBeDecodedBeforeItWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []wire.Coding{wire.Gzip, wire.Zstd} {
		e := NewEncoders(4)
		var out bytes.Buffer
		want, got := "", ""
		all := []string{"a", "hello", strings.Repeat("long ", 5000), "b"}
		source := &pieces{left: append([]string(nil), all...), end: io.EOF}
		source.read = func(n int) {
			got, _ = decoded(t, c, out.Bytes())
			if got != want {
				t.Errorf("%v: %d bytes of %d can be decoded before read %d", c, len(got), len(want), n)
			}
			if n < len(all) {
				want += all[n]
			}
		}
		s, resp := compressing(t, e, c, source, -1)
		if _, err := resp.Body.(io.WriterTo).WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		if text, err := decoded(t, c, out.Bytes()); text != want || err != nil {
			t.Errorf("%v: %d bytes, %v", c, len(text), err)
		}
		resp.Body.Close()
		s.body.Close()
		if source.closed != 1 || e.used.Load() != 0 {
			t.Errorf("closed %d times, %d encoders in use", source.closed, e.used.Load())
		}
		if stats := e.Stats(); stats.BytesIn != int64(len(want)) || stats.BytesOut != int64(out.Len()) {
			t.Errorf("%+v", stats)
		}
	}
}

// flushes counts when the client is shown what was written.
type flushes struct {
	bytes.Buffer
	at []int
}

func (f *flushes) Flush() { f.at = append(f.at, f.Len()) }

func TestBody_FlushesOnlyWhereItWaits(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("some words of no interest ", 1000)
	source := &known{pieces{left: []string{text, text, text, text}, end: io.EOF}, map[int]bool{0: true, 3: true}}
	_, resp := compressing(t, NewEncoders(4), wire.Gzip, source, -1)
	var w flushes
	resp.Body.(io.WriterTo).WriteTo(&w)
	if len(w.at) != 2 || w.at[0] != 0 || w.at[1] == 0 || w.at[1] == w.Len() {
		t.Errorf("flushed at %v of %d", w.at, w.Len())
	}
}

func TestBody_AtItsKnownEndNothingIsFlushed(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x", 5000)
	_, resp := compressing(t, NewEncoders(4), wire.Gzip, &pieces{left: []string{text}, end: io.EOF}, 5000)
	var w flushes
	resp.Body.(io.WriterTo).WriteTo(&w)
	if len(w.at) != 1 { // the head
		t.Errorf("flushed at %v of %d", w.at, w.Len())
	}
	if resp.ContentLength != -1 || resp.Header["Content-Length"] != nil || resp.Header["Accept-Ranges"] != nil ||
		resp.Header.Get("Etag") != `W/"a"` || resp.Header.Get("Vary") != "Accept-Encoding" ||
		resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%v", resp.Header)
	}
}

func TestBody_ACutBodyHasNoEnd(t *testing.T) {
	t.Parallel()
	broken := &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Err: errors.New("cut")}
	for _, c := range []wire.Coding{wire.Gzip, wire.Zstd} {
		for _, known := range []int64{-1, 5000} {
			text := strings.Repeat("y", 2000)
			e := NewEncoders(4)
			_, resp := compressing(t, e, c, &pieces{left: []string{text}, end: broken}, known)
			coded, err := io.ReadAll(resp.Body)
			if err != error(broken) {
				t.Errorf("%v: %v", c, err)
			}
			got, err := decoded(t, c, coded)
			if got != text || err == nil {
				t.Errorf("%v: %d bytes and %v: what came before the cut is lost, or it looks whole", c, len(got), err)
			}
			if _, err := resp.Body.Read(make([]byte, 1)); err != error(broken) {
				t.Errorf("%v: then %v", c, err)
			}
			if e.used.Load() != 0 {
				t.Error("the encoder is lost")
			}
		}
	}
}

func TestEncoders_NoMoreThanAllowedAndThenPlain(t *testing.T) {
	t.Parallel()
	e := NewEncoders(2)
	var open []*http.Response
	for i := range 3 {
		_, resp := compressing(t, e, wire.Zstd, &pieces{left: []string{"text"}, end: io.EOF}, -1)
		open = append(open, resp)
		if got := resp.Header.Get("Content-Encoding") != ""; got != (i < 2) {
			t.Errorf("answer %d: compressed %v", i, got)
		}
	}
	if plain := open[2]; plain.Header.Get("Vary") == "" || plain.Header.Get("Etag") != `"a"` ||
		plain.Header.Get("Content-Length") == "" {
		t.Errorf("%v", plain.Header)
	}
	if n := e.Stats().Skipped["encoders"]; n != 1 {
		t.Errorf("counted %d", n)
	}
	for _, resp := range open {
		resp.Body.Close()
		resp.Body.Close()
	}
	if e.used.Load() != 0 {
		t.Errorf("%d in use", e.used.Load())
	}
	_, resp := compressing(t, e, wire.Zstd, &pieces{left: []string{"text"}, end: io.EOF}, -1)
	coded, _ := io.ReadAll(resp.Body)
	if text, err := decoded(t, wire.Zstd, coded); text != "text" || err != nil {
		t.Errorf("a used encoder makes %q, %v", text, err)
	}
}

// TestEncoders_TakeNoMoreMemoryThanIsCounted has many in use at once.
func TestEncoders_TakeNoMoreMemoryThanIsCounted(t *testing.T) {
	const many = 20
	noise := make([]byte, 300<<10)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	for _, c := range []wire.Coding{wire.Gzip, wire.Zstd} {
		e := NewEncoders(many)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var open []*http.Response
		for range many {
			_, resp := compressing(t, e, c, &pieces{left: []string{string(noise), "more"}, end: io.EOF}, -1)
			var sink bytes.Buffer
			io.CopyN(&sink, resp.Body, 100)
			open = append(open, resp)
		}
		noise = append([]byte(nil), noise...)
		runtime.GC()
		runtime.ReadMemStats(&after)
		own := int64(after.HeapAlloc) - int64(before.HeapAlloc) - many*int64(len(noise))
		if each := own / many; each > config.EncoderMemory {
			t.Errorf("%v: %d KiB each", c, each>>10)
		} else {
			t.Logf("%v: %d KiB each", c, each>>10)
		}
		runtime.KeepAlive(open)
	}
}

func TestSender_HeadIsThatOfGet(t *testing.T) {
	t.Parallel()
	s := &Sender{Rules: standard(t), Encoders: NewEncoders(1)}
	r := httptest.NewRequest("HEAD", "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	s.Ask(r)
	for _, length := range []string{"Content-Length: 2000", "X: y"} {
		resp := &http.Response{StatusCode: 200, Body: http.NoBody,
			Header: fields("Content-Type: text/css", `Etag: "a"`, length)}
		if strings.HasPrefix(length, "Content") {
			resp.ContentLength = 2000
		}
		s.Answer(r, nil, resp)
		if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Etag") != `W/"a"` ||
			resp.Header["Content-Length"] != nil || resp.Body != http.NoBody {
			t.Errorf("%s: %v", length, resp.Header)
		}
	}
	if s.Encoders.used.Load() != 0 {
		t.Error("an encoder is taken for nothing")
	}
}

// answering is a Sender that remembers what it was asked.
type answering struct{ call wire.Call }

func (a *answering) Send(_ *http.Request, c *wire.Call) (*http.Response, error) {
	a.call = *c
	return &http.Response{StatusCode: 304, Header: fields(`Etag: "a"`), Body: http.NoBody}, nil
}

func TestSender_ConditionsAreOfferedInBothForms(t *testing.T) {
	t.Parallel()
	next := &answering{}
	s := &Sender{Rules: standard(t), Encoders: NewEncoders(1), Next: next}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("If-None-Match", `W/"a"`)
	r.Header.Set("Accept-Encoding", "gzip")
	s.Ask(r)
	c := &wire.Call{Fields: []wire.Field{{Name: "X", Value: "y"}}}
	resp, err := s.Send(r, c)
	if err != nil || resp.Header.Get("Etag") != `W/"a"` || resp.Header.Get("Vary") != "Accept-Encoding" ||
		c.Coded != wire.CodedHere {
		t.Errorf("%v %v", resp, err)
	}
	if f := next.call.Fields; len(f) != 2 || f[1] != (wire.Field{Name: "If-None-Match", Value: `W/"a", "a"`}) ||
		len(c.Fields) != 1 {
		t.Errorf("%v", next.call.Fields)
	}

	// Fields of the Call stand for those of the request.
	c.Fields = []wire.Field{{Name: "If-None-Match", Value: ""}, {Name: "If-Match", Value: `W/"b"`}}
	s.Send(r, c)
	if f := next.call.Fields; len(f) != 2 || f[0].Value != "" || f[1].Value != `W/"b", "b"` ||
		c.Fields[1].Value != `W/"b"` {
		t.Errorf("%v", f)
	}
}
