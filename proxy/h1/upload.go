package h1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// upload sends what did not fit into the first write: the rest of it, and a body that is not in memory. It works beside
// the goroutine that waits for the response, because a backend may answer before it has read everything, or stop reading
// until its answer is taken.
type upload struct {
	l       *link
	request *http.Request
	rest    [][]byte // of head and inline body
	body    io.ReadCloser
	length  int64
	gate    chan struct{} // closed when the backend wants the body; nil: at once
	quit    chan struct{}
	done    chan struct{}
	started bool

	mu    sync.Mutex
	whole bool      // all was sent
	end   time.Time // when it ended, whole or not
	err   error     // what ends the exchange
}

func newUpload(l *link, content io.ReadCloser, length int64) *upload {
	return &upload{l: l, request: l.request, body: content, length: length, quit: make(chan struct{}), done: make(chan struct{})}
}

// uploadRest starts the upload that prepare has planned, or one for what the kernel did not take of the first write.
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

// run is the upload's goroutine. What a client did wrong ends the exchange; a write that fails does not, for the answer
// that explains it may be on its way.
func (u *upload) run() {
	err := u.send()
	var fault *Error
	u.mu.Lock()
	u.end = time.Now()
	u.whole = err == nil
	if errors.As(err, &fault) {
		u.err = &Error{Timeout: fault.Timeout, Client: fault.Client, Err: fault.Err}
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
	if u.length < 0 {
		return u.sendChunks()
	}
	return u.sendLength()
}

// write fails with an *Error when the backend takes nothing for the stall timeout.
func (u *upload) write(p []byte) error {
	for len(p) > 0 {
		u.l.armWrite()
		n, err := u.l.c.Write(p)
		p = p[n:]
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n == 0 || u.l.raw == nil:
			return &Error{Timeout: true, Err: errTimeout}
		}
	}
	return nil
}

// clientError is a read that failed: the client's doing in any case.
func clientError(err error) error {
	var known *Error
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

// Room in front of a chunk for its size, and behind it for its end.
const (
	chunkHead = 10
	chunkTail = 2
)

// sendChunks sends a body of unknown length, one chunk for each read, and the request's trailers behind it.
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

// frameChunk puts the size in front of n bytes at chunkHead and the end behind them.
func frameChunk(buf []byte, n int) []byte {
	var size [chunkHead]byte
	head := append(strconv.AppendInt(size[:0], int64(n), 16), crlf...)
	start := chunkHead - len(head)
	copy(buf[start:], head)
	end := chunkHead + n
	end += copy(buf[end:], crlf)
	return buf[start:end]
}

func (u *upload) sendTrailers() error {
	end, err := appendTrailers(nil, u.request.Trailer)
	if err != nil {
		return &Error{Client: BadBody, Err: err}
	}
	return u.write(end)
}

// finished is when the upload ended; zero while it works.
func (u *upload) finished() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.end
}

// grace is what an upload has to come to its end when the response is there: its last write may have returned only now.
const grace = 5 * time.Millisecond

// complete says that the backend was given everything.
func (u *upload) complete() bool {
	if u.started && u.finished().IsZero() {
		select {
		case <-u.done:
		case <-time.After(grace):
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.whole
}

// failed is why the exchange cannot go on.
func (u *upload) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// stop ends the upload and waits for it. Its link was closed before if it was not at its end. A body that is not ours may
// be unable to end a read in progress: then the goroutine is left to end with that read, and finds its link closed.
func (u *upload) stop() {
	if !u.started {
		return
	}
	close(u.quit)
	if u.body == nil || u.held() || !u.finished().IsZero() {
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
	case <-time.After(grace):
	}
}

// held says that the body was not touched yet.
func (u *upload) held() bool {
	if u.gate == nil {
		return false
	}
	select {
	case <-u.gate:
		return false
	default:
		return true
	}
}

// borrow is a buffer for copying.
func (t *Transport) borrow() *[]byte {
	if b, ok := t.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 32<<10)
	return &b
}

func (t *Transport) giveBack(b *[]byte) { t.buffers.Put(b) }
