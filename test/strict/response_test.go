package strict

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// response is one case: the answer of a backend, and the answer that a client
// may get.
type response struct {
	name   string
	method string
	raw    string // from an HTTP/1.1 backend, whose connection ends behind it where end is set
	end    bool
	frames func(*answerer) // from an HTTP/2 backend
	// status and body of an answer that is passed on; "" is 502 or a cut answer
	as string
}

// broken is an answer that no client may see as complete.
func broken(name, raw string) response { return response{name: name, raw: raw} }

// ended is broken, and the backend closes its connection.
func ended(name, raw string) response { return response{name: name, raw: raw, end: true} }

// fine is an answer that is forwarded.
func fine(name, raw, as string) response { return response{name: name, raw: raw, as: as} }

// misframed is broken in HTTP/2.
func misframed(name string, frames func(*answerer)) response {
	return response{name: name, frames: frames}
}

// ambiguity is a backend that answers /bad with the present case, and other
// requests with their path.
type ambiguity struct{ present atomic.Pointer[response] }

func (b *ambiguity) start(t *testing.T) string {
	return backend.StartRaw(t, "raw", func(c *backend.Conn) {
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}

			target := strings.Split(r.Head, " ")[1]
			if target != "/bad" {
				_, _ = io.WriteString(c, backend.Answer(200, target))
				continue
			}

			present := b.present.Load()
			if _, err := io.WriteString(c, present.raw); err != nil || present.end {
				return
			}
		}
	}).Target()
}

func (b *ambiguity) startFramed(t *testing.T) string {
	return startFramed(t, new(await.Values[string]), func(s seen, a *answerer) {
		if s.target == "/bad" {
			b.present.Load().frames(a)
			return
		}
		a.headers(false, pair{":status", "200"})
		a.data(true, s.target)
	})
}

// After every broken answer, clients of both protocols get the right answer to
// their next request.
func TestResponses(t *testing.T) {
	t.Parallel()
	for protocol, cases := range map[string][]response{"http": responses, "h2c": framedResponses} {
		for client, fetch := range map[string]func(*testing.T, string, response, string) string{"HTTP/1": overHTTP1,
			"HTTP/2": overHTTP2} {
			t.Run(client+" from "+protocol, func(t *testing.T) {
				t.Parallel()
				b := &ambiguity{}
				target := b.start
				if protocol == "h2c" {
					target = b.startFramed
				}

				p := start(t, target(t))
				for i, c := range cases {
					b.present.Store(&c)
					if problem := fetch(t, p.Address, c, fmt.Sprintf("/good/%d", i)); problem != "" {
						t.Errorf("%s: %s", c.name, problem)
					}
				}
			})
		}
	}
}

// overHTTP1 sends a request for the bad answer and then one for a good answer,
// on the same connection if it is still open.
func overHTTP1(t *testing.T, address string, c response, good string) string {
	method := c.method
	if method == "" {
		method = "GET"
	}

	conn, in := connect(t, address)
	defer func() { conn.Close() }()
	_, _ = io.WriteString(conn, line(method+" /bad HTTP/1.1"))
	status, body, last, err := whole(in, method)
	if problem := c.judge(status, body, err); problem != "" {
		return problem
	}

	if err != nil || last {
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			return fmt.Sprintf("behind the answer came %q", rest)
		}
		conn.Close()
		conn, in = connect(t, address)
	}

	_, _ = io.WriteString(conn, line("GET "+good+" HTTP/1.1"))
	if status, body, _, err = whole(in, "GET"); status != 200 || body != good || err != nil {
		return fmt.Sprintf("then: %d %q (%v)", status, body, err)
	}

	return ""
}

func connect(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(await.Limit))

	return conn, bufio.NewReader(conn)
}

// whole reads one final response. err is not nil if it is cut.
func whole(in *bufio.Reader, method string) (status int, body string, last bool, err error) {
	for {
		r, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return 0, "", true, err
		}

		text, err := io.ReadAll(r.Body)
		if r.StatusCode >= 200 || r.StatusCode == http.StatusSwitchingProtocols || err != nil {
			return r.StatusCode, string(text), r.Close, err
		}
	}
}

// overHTTP2 sends both requests on one connection.
func overHTTP2(t *testing.T, address string, c response, good string) string {
	method := c.method
	if method == "" {
		method = "GET"
	}

	conn := dialFramed(t, address)
	defer conn.Close()
	_ = conn.send(1, true, pseudo(method, "/bad"))
	conn.next = 3
	got := conn.wait(1)
	var err error
	if !got.ended {
		err = fmt.Errorf("cut: %s", got.cut)
	}

	var status int
	_, _ = fmt.Sscan(got.status, &status)
	if problem := c.judge(status, got.body, err); problem != "" {
		return problem
	}

	if r := conn.fetch(good); r.status != "200" || r.body != good || !r.ended {
		return "then: " + r.String()
	}

	return ""
}

// judge compares the answer that a client got with the one that it may get.
func (c response) judge(status int, body string, err error) string {
	switch {
	case isTimeout(err) || err != nil && strings.Contains(err.Error(), "i/o timeout"):
		return "no answer"
	case c.as != "":
		if got := fmt.Sprintf("%d %s", status, body); got != c.as || err != nil {
			return fmt.Sprintf("%q (%v), want %q", got, err, c.as)
		}
	case err == nil && status < 500, strings.Contains(body, "smuggled"):
		return fmt.Sprintf("passed on: %d %q (%v)", status, body, err)
	}

	return ""
}
