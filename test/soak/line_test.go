package soak

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The kinds of lines.
const (
	webSocket   = "WebSocket"
	eventStream = "event stream"
	duplex      = "stream in both directions"
)

// line is an open connection through the program, from a client to a backend.
// Each side reports once when it has seen the end.
type line struct {
	kind, id string
	heard    atomic.Int64 // words that came to the client
	broken   atomic.Pointer[error]

	say        func() error   // makes the backend send a word to the client
	leave      func()         // ends the client's side
	hangUp     chan struct{}  // closed to end the backend's side
	speak      chan struct{}  // asks the backend for a word
	clientSaw  chan time.Time // the end, at the client
	backendSaw chan time.Time // the end, at the backend
}

// word is what both sides send.
const word = "word\n"

// chat sends a word after first, and then after each pause, until quiet is
// closed.
func (l *line) chat(quiet <-chan struct{}, pause, first time.Duration) {
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-quiet:
			return
		case <-timer.C:
		}

		if err := l.say(); err != nil {
			l.broke(err)
			return
		}

		timer.Reset(pause)
	}
}

func (l *line) broke(err error) { l.broken.CompareAndSwap(nil, &err) }

// listen counts words until the connection ends.
func (l *line) listen(r io.Reader) {
	in := bufio.NewReaderSize(r, 64)
	for {
		text, err := in.ReadString('\n')
		if err != nil {
			l.clientSaw <- time.Now()
			return
		}

		if text != word {
			l.broke(fmt.Errorf("heard %q", text))
		}

		l.heard.Add(1)
	}
}

// exchange has the lines by number, so that the backends can find them.
type exchange struct {
	mu    sync.Mutex
	lines map[string]*line
	next  int
}

func newExchange() *exchange { return &exchange{lines: map[string]*line{}} }

func (x *exchange) find(id string) *line {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.lines[id]
}

func (x *exchange) add(kind string) *line {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.next++
	l := &line{
		kind: kind, id: fmt.Sprint(x.next), hangUp: make(chan struct{}), speak: make(chan struct{}, 1),
		clientSaw: make(chan time.Time, 1), backendSaw: make(chan time.Time, 1),
	}
	x.lines[l.id] = l

	return l
}

// open opens the wanted number of lines of each kind.
func (x *exchange) open(t *testing.T, c *client, counts map[string]int) []*line {
	t.Helper()
	var all []*line
	for kind, n := range counts {
		for range n {
			l := x.add(kind)
			if err := c.open(l); err != nil {
				t.Fatalf("%s %s: %v", kind, l.id, err)
			}
			all = append(all, l)
		}
	}

	return all
}

// serve is the backend of every kind.
func (x *exchange) serve(w http.ResponseWriter, r *http.Request) {
	l := x.find(strings.TrimPrefix(r.URL.Path, "/"))
	switch {
	case l == nil:
		_, _ = io.WriteString(w, word)
	case l.kind == webSocket:
		l.serveSocket(w)
	default:
		l.serveStream(w, r)
	}
}

// serveSocket sends back every byte until the client closes the connection or
// the test ends it. A tunnel carries any bytes, so words have no WebSocket
// frames.
func (l *line) serveSocket(w http.ResponseWriter) {
	conn, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		l.broke(err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		_, _ = io.Copy(conn, in.Reader)
		l.backendSaw <- time.Now()
	}()

	select {
	case <-echoed:
	case <-l.hangUp:
		_ = conn.Close()
		<-echoed
	}
}

// serveStream sends a word for each word of the client, and for each value of
// speak.
func (l *line) serveStream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	asked, gone := l.speak, r.Context().Done()
	if l.kind == duplex {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		asked, gone = l.hear(r)
	}

	flush := http.NewResponseController(w).Flush
	for {
		_ = flush()
		select {
		case <-asked:
			_, _ = io.WriteString(w, word)
		case <-l.hangUp:
			return
		case <-gone:
			l.backendSaw <- time.Now()
			return
		}
	}
}

// hear reads the client's words. gone is closed when they end.
func (l *line) hear(r *http.Request) (asked chan struct{}, gone <-chan struct{}) {
	asked, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for in := bufio.NewReader(r.Body); ; {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}

			select {
			case asked <- struct{}{}:
			case <-l.hangUp:
				return
			}
		}
	}()
	return asked, ended
}
