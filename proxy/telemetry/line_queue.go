package telemetry

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the lines that wait for a slow or blocked output. There are at most
// two buffers of queueBytes: one that is filled and one that is written.
const (
	queueBytes = 1 << 20
	queueLines = 16 << 10
	// writeGap is the least time between two writes. A line after a pause is
	// written at once. Under load, one system call writes all lines of this
	// time.
	writeGap = 2 * time.Millisecond
)

// lineQueue buffers log lines, so that a blocked output never blocks a caller.
// A caller copies its line under a mutex, which is never held during a write.
type lineQueue struct {
	w       io.Writer
	missing func(dropped int64) []byte // makes the line with the number of dropped lines

	mu     sync.Mutex
	buf    []byte // whole lines, in order
	lines  int
	closed bool

	dropped atomic.Int64
	wake    chan struct{} // holds one token if there is something to write
	// holds one token; the goroutine that took it may write and owns the fields
	// below
	writer chan struct{}
	spare  []byte
	told   int64 // drops that were logged
}

func newLineQueue(w io.Writer, missing func(int64) []byte) *lineQueue {
	q := &lineQueue{w: w, missing: missing, wake: make(chan struct{}, 1),
		writer: make(chan struct{}, 1)}
	q.writer <- struct{}{}
	return q
}

// put appends one whole line with its line break, or drops and counts it. It
// never waits for the output.
func (q *lineQueue) put(line []byte) {
	q.mu.Lock()
	if q.closed || q.lines >= queueLines || len(q.buf)+len(line) > queueBytes {
		q.mu.Unlock()
		q.dropped.Add(1)
		return
	}

	q.buf = append(q.buf, line...)
	q.lines++
	first := q.lines == 1
	q.mu.Unlock()
	if first {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// Write makes the queue the output of a slog handler, which writes each record
// with one call.
func (q *lineQueue) Write(line []byte) (int, error) {
	q.put(line)
	return len(line), nil
}

// run writes until ctx ends. A blocked output blocks it, but not close.
func (q *lineQueue) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}

		select { // the end of the last pause
		case <-ctx.Done():
			return
		case <-pause.C:
		}

		<-q.writer
		q.flush()
		q.writer <- struct{}{}
		pause.Reset(writeGap)
	}
}

// flush writes all lines that wait. Only the owner of the writer token calls
// it.
func (q *lineQueue) flush() {
	q.mu.Lock()
	full := q.buf
	q.buf, q.lines = q.spare[:0], 0
	q.mu.Unlock()
	q.spare = full[:0]
	if len(full) > 0 && !q.write(full) {
		return
	}

	if lost := q.dropped.Load(); lost > q.told && q.write(q.missing(lost-q.told)) {
		q.told = lost
	}
}

// write writes lines, and reports whether the output accepted all of them. The
// others are dropped and counted, also a line that was cut.
func (q *lineQueue) write(lines []byte) bool {
	n, err := q.w.Write(lines)
	if err == nil {
		return true
	}

	q.dropped.Add(int64(bytes.Count(lines[min(max(n, 0), len(lines)):], []byte{'\n'})))
	return false
}

// close ends the queue: it drops later lines, and writes those that wait, until
// ctx ends.
func (q *lineQueue) close(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	flushed := make(chan struct{})
	go func() {
		<-q.writer
		q.flush()
		q.writer <- struct{}{}
		close(flushed)
	}()

	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
