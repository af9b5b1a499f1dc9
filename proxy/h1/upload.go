package h1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// upload sends what the first write did not send: the rest of it, and a body
// that is not in memory. It runs beside the goroutine that waits for the
// response, because a backend may answer before it has read everything, or stop
// reading until its answer is taken.
type upload struct {
	l       *link
	request *http.Request
	said    wire.Said // by the head
	rest    [][]byte  // of the head and the inline body
	body    io.ReadCloser
	length  int64
	gate    chan struct{} // closed when the backend wants the body; nil if it need not be asked
	quit    chan struct{}
	done    chan struct{}
	started bool
	writes  sync.Mutex // held while a piece is written
	reset   bool       // a write found the connection reset; guarded by writes
	sent    int64      // bytes that were written; read when the upload has ended

	mu      sync.Mutex // guards the fields below
	over    bool       // the request must not be read any more
	touched bool       // the body was read, or is to be
	whole   bool       // everything was sent
	end     time.Time  // when it ended, complete or not
	err     error      // what ends the transaction
}

func newUpload(l *link, content io.ReadCloser, length int64) *upload {
	return &upload{
		l:       l,
		request: l.request,
		said:    l.call.Said(),
		body:    content,
		length:  length,
		quit:    make(chan struct{}),
		done:    make(chan struct{}),
	}
}

// uploadRest starts the upload that prepare has planned, or one for what the
// kernel did not take of the first write.
func (l *link) uploadRest() {
	if l.up == nil {
		l.up = newUpload(l, nil, 0)
	}
	if l.up.started {
		return
	}

	pieces := [3][]byte{l.out, l.inline}
	skip(&pieces, l.accepted)
	l.up.rest = pieces[:2]
	l.up.started = true
	go l.up.run()
}

// run is the upload's goroutine. A fault of the client ends the transaction. A
// failed write does not, because the answer that explains it may be on its way.
func (u *upload) run() {
	err := u.send()
	var fault *wire.Error
	u.mu.Lock()
	u.end = time.Now()
	u.whole = err == nil
	if errors.As(err, &fault) {
		u.err = &wire.Error{Timeout: fault.Timeout, Client: fault.Client, Err: fault.Err}
	}

	failed := u.err != nil
	u.mu.Unlock()
	if failed {
		u.l.c.SetReadDeadline(past)
	}

	close(u.done)
}

func (u *upload) send() error {
	for _, p := range u.rest {
		if err := u.write(p); err != nil {
			return err
		}
	}

	if u.body == nil {
		return nil
	}

	if u.gate != nil {
		select {
		case <-u.gate:
		case <-u.quit:
			return errInterrupted
		}
	}

	if !u.hesitate() || !u.touch() {
		<-u.quit
		return errInterrupted
	}
	if u.length < 0 {
		return u.sendChunks()
	}

	return u.sendLength()
}

// write fails with a *wire.Error if the backend takes nothing for the stall
// timeout.
func (u *upload) write(p []byte) error {
	for len(p) > 0 {
		u.l.armWrite()
		n, err := u.put(p)
		p = p[n:]

		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n == 0 || u.l.raw == nil:
			return &wire.Error{Timeout: true, Err: errTimeout}
		}
	}

	return nil
}

// clientError returns the error of a read that failed, which is always a fault
// of the client.
func clientError(err error) error {
	var known *wire.Error
	if errors.As(err, &known) {
		return err
	}
	return clientFault(noEOF(err))
}

// sendLength sends exactly as many bytes as were declared.
func (u *upload) sendLength() error {
	buf := u.l.t.borrow()
	defer u.l.t.giveBack(buf)
	for left := u.length; left > 0; {
		if n, err := u.splice(left); n > 0 || err != nil {
			left -= n
			u.sent += n
			if err != nil {
				return err
			}
			continue
		}

		n, err := u.body.Read((*buf)[:min(int64(len(*buf)), left)])
		left -= int64(n)
		if n > 0 {
			if err := u.write((*buf)[:n]); err != nil {
				return err
			}
		}

		if err != nil && (err != io.EOF || left > 0) {
			return clientError(err)
		}
	}

	return nil
}

// Space before a chunk for its size, and after it for its end.
const (
	chunkHead = 10
	chunkTail = 2
)

// sendChunks sends a body of unknown length, one chunk for each read, and the
// request's trailers.
func (u *upload) sendChunks() error {
	buf := u.l.t.borrow()
	defer u.l.t.giveBack(buf)

	room := (*buf)[chunkHead : len(*buf)-chunkTail]
	for {
		n, err := u.body.Read(room)
		if n > 0 {
			if err := u.write(frameChunk(*buf, n)); err != nil {
				return err
			}
		}

		if err == io.EOF {
			return u.sendTrailers()
		}
		if err != nil {
			return clientError(err)
		}
	}
}

// frameChunk writes the size before n bytes at chunkHead, and the end after
// them.
func frameChunk(buf []byte, n int) []byte {
	var size [chunkHead]byte
	head := append(strconv.AppendInt(size[:0], int64(n), 16), crlf...)
	start := chunkHead - len(head)
	copy(buf[start:], head)
	end := chunkHead + n
	end += copy(buf[end:], crlf)

	return buf[start:end]
}

// sendTrailers ends a chunked body.
func (u *upload) sendTrailers() error {
	end, err := u.trailers()
	if err != nil {
		return err
	}

	return u.write(end)
}

// trailers returns the trailers of a request whose body was read to its end. It
// reads the request only while the transaction lasts, because a server reuses
// the memory of a request.
func (u *upload) trailers() ([]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()

	if u.over {
		return nil, errInterrupted
	}

	end, err := appendTrailers(nil, u.request.Trailer, u.said)
	if err != nil {
		return nil, &wire.Error{Client: wire.BadBody, Err: err}
	}

	return end, nil
}

// finished returns when the upload ended, or zero while it runs.
func (u *upload) finished() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.end
}

// uploadGrace is how long an upload may take to end when the response has come.
// Its last write may have returned just now.
const uploadGrace = 5 * time.Millisecond

// complete reports whether the backend was sent everything.
func (u *upload) complete() bool {
	if u.started && u.finished().IsZero() {
		select {
		case <-u.done:
		case <-time.After(uploadGrace):
		}
	}

	u.mu.Lock()
	defer u.mu.Unlock()
	return u.whole
}

// failed returns why the transaction can't go on.
func (u *upload) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// stop ends the upload and waits for it. If it is still running, its link was
// closed before. Some bodies can't end a read in progress, such as one that
// keeps what it reads for another attempt. The goroutine then ends with that
// read. Until then it uses only the body and the closed link.
func (u *upload) stop() {
	if !u.started {
		return
	}

	u.mu.Lock()
	u.over = true
	touched := u.touched
	u.mu.Unlock()
	close(u.quit)

	if !touched || !u.finished().IsZero() {
		<-u.done
		return
	}

	u.body.Close()
	if _, ours := u.body.(*body); ours {
		<-u.done
		return
	}

	select {
	case <-u.done:
	case <-time.After(uploadGrace):
	}
}

// Sizes of the buffers for copying. The small one is used when the budget is
// tight. It belongs to the connection's share.
const (
	uploadBuffer = 32 << 10
	smallUpload  = 4 << 10
)

// borrow returns a buffer for copying.
func (t *Transport) borrow() *[]byte {
	if !t.Budget.Take(uploadBuffer, socket.Optional) {
		b := make([]byte, smallUpload)
		return &b
	}

	if b, ok := t.buffers.Get().(*[]byte); ok {
		return b
	}

	b := make([]byte, uploadBuffer)
	return &b
}

func (t *Transport) giveBack(b *[]byte) {
	if len(*b) == uploadBuffer {
		t.buffers.Put(b)
		t.Budget.Give(uploadBuffer)
	}
}
