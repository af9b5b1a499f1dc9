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

// Chaos tests break backends on purpose while clients look on. What takes minutes is done in seconds, by shorter limits
// on both sides, unless this flag asks for the whole of it.
var chaosFull = flag.Bool("chaos.full", false, "run the chaos tests in their full length, on default settings")

// lasting is a chaos test's duration: in an ordinary run, and in a full one.
func lasting(ordinary, full time.Duration) time.Duration {
	if *chaosFull {
		return full
	}
	return ordinary
}

// question is one request of a asker.
type question struct {
	Method, Target string
	Number         string // the backend reports it, and a POST's body is this
	Cookie         string
}

// reply is what a asker saw of it, however broken.
type reply struct {
	question
	Response *http.Response // nil when no head came
	Text     string
	Err      error // set when the answer was not whole
	Began    time.Time
	Took     time.Duration
}

// Status is the reply's status, 0 without a head.
func (r reply) Status() int {
	if r.Response == nil {
		return 0
	}
	return r.Response.StatusCode
}

// Backend is who answered.
func (r reply) Backend() string {
	if r.Response == nil {
		return ""
	}
	return r.Response.Header.Get(backend.NameField)
}

// OK reports a whole answer with status 200.
func (r reply) OK() bool { return r.Err == nil && r.Status() == http.StatusOK }

// Cut reports an answer that began and visibly did not end.
func (r reply) Cut() bool { return r.Err != nil && r.Status() == http.StatusOK }

func (r reply) String() string {
	return fmt.Sprintf("%s %s (%s): status %d from %q, %v, after %v", r.Method, r.Target, r.Number, r.Status(), r.Backend(), r.Err, r.Took)
}

// asker is one client connection that never repeats anything by itself, which net/http's client would.
type asker struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
}

// Close ends the connection; the next call makes another.
func (c *asker) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// Call makes one exchange.
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
	b.WriteString(q.Method + " " + q.Target + " HTTP/1.1\r\nHost: app.example\r\n" + backend.NumberField + ": " + q.Number + "\r\n")
	if q.Cookie != "" {
		b.WriteString("Cookie: " + q.Cookie + "\r\n")
	}
	body := ""
	if q.Method == http.MethodPost {
		body = q.Number
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.String()
}

// crowd is callers that go on asking until they are told to stop.
type crowd struct {
	address string
	callers int
	every   time.Duration        // 0: the next request follows its answer at once; else the crowd's pace, answered or not
	ask     func(i int) question // i counts from 1
	served  atomic.Int64         // replies so far
	replies await.Values[reply]  // all of them
	next    atomic.Int64         // number of the last request
	stop    chan struct{}        // closed by Stop
	running sync.WaitGroup       // the callers
}

// start lets the callers begin. They end with the test at the latest.
func (c *crowd) start(t *testing.T) *crowd {
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

// due waits for a request's moment and reports false when there is to be none.
func (c *crowd) due(at time.Time) bool {
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

// Stop ends the callers after the answers that they wait for.
func (c *crowd) Stop() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.running.Wait()
}

// After waits until n more requests are answered.
func (c *crowd) After(t *testing.T, n int64) {
	t.Helper()
	n += c.served.Load()
	await.Until(t, fmt.Sprintf("%d requests are answered", n), func() bool { return c.served.Load() >= n })
}

// since is the replies to requests that began after a moment.
func since(all []reply, moment time.Time) []reply {
	var late []reply
	for _, r := range all {
		if r.Began.After(moment) {
			late = append(late, r)
		}
	}
	return late
}

// wantAll fails the test with the first few replies that are not as they should be.
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

// asking makes one and the same request again and again, numbered.
func asking(method, target string) func(int) question {
	return func(i int) question { return question{Method: method, Target: target, Number: fmt.Sprint(i)} }
}

// workers starts n backends in processes of their own.
func startWorkers(t *testing.T, n int) []*backend.Worker {
	t.Helper()
	workers := make([]*backend.Worker, n)
	for i := range workers {
		workers[i] = backend.StartWorker(t, string(rune('a'+i)), "127.0.0.1:0")
	}
	return workers
}

// target is an item of LB_BACKENDS.
type target interface{ Target(...string) string }

// targets is LB_BACKENDS with backends of one kind.
func targets[T target](all ...T) string {
	var items []string
	for _, b := range all {
		items = append(items, b.Target())
	}
	return "LB_BACKENDS=" + strings.Join(items, ";")
}

// resetConn ends a connection with an RST.
func resetConn(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// processTime is the CPU time that a process has used.
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
	return time.Duration(user+system) * 10 * time.Millisecond // in ticks, of which Linux shows a hundred a second
}
