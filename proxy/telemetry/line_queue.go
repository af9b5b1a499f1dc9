package telemetry

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what waits for a slow or blocked output. Two buffers of queueBytes exist at most: the one being filled and
// the one being written.
const (
	queueBytes = 1 << 20
	queueLines = 16 << 10
	// writeGap is the least time between two writes. A line that comes after a silence is written at once; under load
	// one system call and one wake-up carry all lines of this span.
	writeGap = 2 * time.Millisecond
)

// lineQueue stands between those who say something and an output that may block for ever. Putting a line costs a copy
// under a mutex that is never held during a write.
type lineQueue struct {
	w       io.Writer
	missing func(dropped int64) []byte // the line that says how many lines were dropped

	mu     sync.Mutex
	buf    []byte // whole lines, in order
	lines  int
	closed bool

	dropped atomic.Int64
	wake    chan struct{} // holds one token when there is something to write
	writer  chan struct{} // holds one token; whoever took it may write and owns the fields below
	spare   []byte
	told    int64 // drops that were said
}

func newLineQueue(w io.Writer, missing func(int64) []byte) *lineQueue {
	q := &lineQueue{w: w, missing: missing, wake: make(chan struct{}, 1), writer: make(chan struct{}, 1)}
	q.writer <- struct{}{}
	return q
}

// put takes one whole line with its line break, or drops and counts it. It never waits for the output.
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

// Write makes the queue the output of a slog handler, which writes each record with one call.
func (q *lineQueue) Write(line []byte) (int, error) {
	q.put(line)
	return len(line), nil
}

// run writes until ctx ends. A blocked output blocks it; close does not wait for it longer than it is told.
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

// flush writes everything that waits. Only the owner of the writer token calls it.
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

// write reports whether the output took everything. The lines that it did not take are dropped and counted; a line that
// was cut counts as dropped.
func (q *lineQueue) write(lines []byte) bool {
	n, err := q.w.Write(lines)
	if err == nil {
		return true
	}
	q.dropped.Add(int64(bytes.Count(lines[min(max(n, 0), len(lines)):], []byte{'\n'})))
	return false
}

// close takes no more lines and writes those that wait, for as long as ctx allows.
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
