package test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// Chaos tests break backends on purpose while clients make requests. With
// shorter limits they take seconds. With this flag they run for minutes, with
// the default limits.
var chaosFull = flag.Bool("chaos.full", false, "run the chaos tests in their full length, on default settings")

// lasting returns the duration of a part of a chaos test: in an ordinary run,
// or in a full one.
func lasting(ordinary, full time.Duration) time.Duration {
	if *chaosFull {
		return full
	}
	return ordinary
}

// question is a request of an asker.
type question struct {
	Method, Target string
	Number         string // the backend reports it; it is also the body of a POST
	Cookie         string
	Client         string // the client's address that a proxy before Pillion reports
}

// reply is what an asker received, complete or not.
type reply struct {
	question
	Response *http.Response // nil if no head was received
	Text     string
	Err      error // not nil if the answer is incomplete
	Began    time.Time
	Took     time.Duration
}

// Status returns the reply's status, or 0 without a head.
func (r reply) Status() int {
	if r.Response == nil {
		return 0
	}
	return r.Response.StatusCode
}

// Backend returns the name of the backend that answered.
func (r reply) Backend() string {
	if r.Response == nil {
		return ""
	}
	return r.Response.Header.Get(backend.NameField)
}

// OK reports whether the reply is a complete answer with status 200.
func (r reply) OK() bool { return r.Err == nil && r.Status() == http.StatusOK }

// Cut reports whether the reply has status 200 and ended with an error.
func (r reply) Cut() bool { return r.Err != nil && r.Status() == http.StatusOK }

func (r reply) String() string {
	return fmt.Sprintf("%s %s (%s): status %d from %q, %v, after %v", r.Method, r.Target, r.Number, r.Status(),
		r.Backend(), r.Err, r.Took)
}

// asker is a client on one connection. Unlike net/http's client, it never
// repeats a request by itself.
type asker struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
}

// Close closes the connection. The next call opens another.
func (c *asker) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// Call sends a request and reads its reply.
func (c *asker) Call(q question) reply {
	r := reply{question: q, Began: time.Now()}
	r.Response, r.Text, r.Err = c.exchange(q)
	r.Took = time.Since(r.Began)
	if r.Err != nil || r.Response.Close {
		c.Close()
	}

	return r
}

func (c *asker) exchange(q question) (*http.Response, string, error) {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.address, await.Limit)
		if err != nil {
			return nil, "", err
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}

	_ = c.conn.SetDeadline(time.Now().Add(3 * await.Limit))
	if _, err := io.WriteString(c.conn, q.wire()); err != nil {
		return nil, "", err
	}

	response, err := http.ReadResponse(c.in, &http.Request{Method: q.Method})
	if err != nil {
		return nil, "", err
	}

	text, err := io.ReadAll(response.Body)
	return response, string(text), err
}

func (q question) wire() string {
	var b strings.Builder
	b.WriteString(q.Method + " " + q.Target + " HTTP/1.1\r\nHost: app.example\r\n" + backend.NumberField + ": " +
		q.Number + "\r\n")
	if q.Cookie != "" {
		b.WriteString("Cookie: " + q.Cookie + "\r\n")
	}

	if q.Client != "" {
		b.WriteString("X-Forwarded-For: " + q.Client + "\r\n")
	}

	body := ""
	if q.Method == http.MethodPost {
		body = q.Number
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}

	b.WriteString("\r\n" + body)
	return b.String()
}

// clientLoad is a number of callers that make requests until they are stopped.
type clientLoad struct {
	address string
	callers int
	// Time between two requests of the whole load, whether or not the one
	// before was answered. 0: each caller sends its next request right after an
	// answer.
	every   time.Duration
	ask     func(i int) question // returns the request with number i, from 1
	served  atomic.Int64         // replies so far
	replies await.Values[reply]  // all of them
	next    atomic.Int64         // number of the last request
	stop    chan struct{}        // closed by Stop
	running sync.WaitGroup       // the callers
}

// start starts the callers. They end with the test at the latest.
func (c *clientLoad) start(t *testing.T) *clientLoad {
	c.stop = make(chan struct{})
	begin := time.Now()
	for range c.callers {
		c.running.Go(func() {
			asker := &asker{address: c.address}
			defer asker.Close()
			for {
				i := c.next.Add(1)
				if !c.due(begin.Add(time.Duration(i) * c.every)) {
					return
				}
				c.replies.Add(asker.Call(c.ask(int(i))))
				c.served.Add(1)
			}
		})
	}

	t.Cleanup(c.Stop)
	return c
}

// due waits until a request is due. It reports false if the load was stopped.
func (c *clientLoad) due(at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	if c.every == 0 {
		timer.Reset(0)
	}

	select {
	case <-c.stop:
		return false
	case <-timer.C:
	}

	select {
	case <-c.stop:
		return false
	default:
		return true
	}
}

// Stop stops the callers. It waits for the answers to their last requests.
func (c *clientLoad) Stop() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.running.Wait()
}

// After waits until n more requests are answered.
func (c *clientLoad) After(t *testing.T, n int64) {
	t.Helper()
	n += c.served.Load()
	await.Until(t, fmt.Sprintf("%d requests are answered", n), func() bool { return c.served.Load() >= n })
}

// since returns the replies to requests that began after a moment.
func since(all []reply, moment time.Time) []reply {
	var late []reply
	for _, r := range all {
		if r.Began.After(moment) {
			late = append(late, r)
		}
	}
	return late
}

// wantAll fails the test if a reply is not good. It prints the first few of
// those.
func wantAll(t *testing.T, what string, all []reply, good func(reply) bool) {
	t.Helper()
	bad := 0
	for _, r := range all {
		if good(r) {
			continue
		}
		if bad++; bad <= 5 {
			t.Errorf("%s: %v", what, r)
		}
	}

	if bad > 0 {
		t.Errorf("%s: %d of %d replies are wrong", what, bad, len(all))
	}
}

// asking returns a function that makes the same request with different numbers.
func asking(method, target string) func(int) question {
	return func(i int) question { return question{Method: method, Target: target, Number: fmt.Sprint(i)} }
}

// startWorkers starts n backends, each in its own process.
func startWorkers(t *testing.T, n int) []*backend.Worker {
	t.Helper()
	workers := make([]*backend.Worker, n)
	for i := range workers {
		workers[i] = backend.StartWorker(t, string(rune('a'+i)), "127.0.0.1:0")
	}

	return workers
}

// target is a backend that can be an item of LB_BACKENDS.
type target interface{ Target(...string) string }

// targets returns a value of LB_BACKENDS.
func targets[T target](all ...T) string {
	var items []string
	for _, b := range all {
		items = append(items, b.Target())
	}
	return "LB_BACKENDS=" + strings.Join(items, ";")
}

// resetConn closes a connection with a TCP reset.
func resetConn(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// processTime returns the CPU time that a process has used.
func processTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skip("no /proc here")
	}

	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])

	// Linux reports it in ticks of 10 ms.
	return time.Duration(user+system) * 10 * time.Millisecond
}
