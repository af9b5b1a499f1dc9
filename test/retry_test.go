package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// calm turns ejection off, for tests that count attempts.
var calm = []string{"LB_EJECT_ERRORS=0", "LB_EJECT_RATE=0"}

// silent starts a backend that reads every request and closes the connection
// without an answer.
func silent(t *testing.T) *backend.Raw {
	return backend.StartScript(t, "silent", func(backend.Request) string { return "" })
}

// unfair returns a value of LB_BACKENDS with a broken backend, whose weight
// makes it nearly always the first choice, and a good one.
func unfair(broken *backend.Raw, good *backend.Server) string {
	return "LB_BACKENDS=" + broken.Target("weight=256") + ";" + good.Target("weight=1")
}

func TestRetry_AClosedPortCostsNoRequest(t *testing.T) {
	t.Parallel()
	const n = 10_000
	arrived := new(tally)
	count := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived.Add(string(body))
	}
	one, two := backend.Start(t, "one", count), backend.Start(t, "two", count)
	p := pillion.Start(t, "LB_BACKENDS=http://"+backend.Closed(t)+"?name=closed;"+one.Target()+";"+two.Target())
	load{client: newClient(t), workers: 16, requests: n, make: gets(p.URL("/"))}.run(t)
	if got := arrived.Of(""); got != n {
		t.Errorf("%d GETs arrived, want %d", got, n)
	}

	arrived.counts = nil
	load{client: newClient(t), workers: 16, requests: n, make: post(p.URL("/"))}.run(t)
	arrived.wantOnce(t, n)
}

// The same without ejection, so that the closed port is tried first in a third
// of all requests to the end.
func TestRetry_AClosedPortCostsNoRequestEvenUnejected(t *testing.T) {
	t.Parallel()
	const n = 2000
	arrived := new(tally)
	good := backend.Start(t, "good", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived.Add(string(body))
	})
	closed := "http://" + backend.Closed(t)
	p := pillion.Start(t, append(calm,
		"LB_BACKENDS="+closed+"?name=a;"+good.Target()+";http://"+backend.Closed(t)+"?name=b")...)
	load{client: newClient(t), workers: 16, requests: n, make: post(p.URL("/"))}.run(t)
	arrived.wantOnce(t, n)
}

func TestRetry_AnUnansweredGetGoesElsewhere(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			broken, good := silent(t), backend.Start(t, "good", nil)
			p := pillion.Start(t, append(calm, unfair(broken, good))...)

			client := newClient(t)
			for range 20 {
				a := send(t, client, newRequest(t, method, p.URL("/"), nil))
				if a.StatusCode != http.StatusOK || a.Backend() != "good" {
					t.Fatalf("%d from %q", a.StatusCode, a.Backend())
				}
			}

			if n := broken.Requests.Len(); n < 10 {
				t.Errorf("the broken backend was tried %d times in 20", n)
			}
		})
	}
}

func TestRetry_AnUnansweredPostIsSentOnceAndSaysSo(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"POST", "PATCH", "FROB"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			broken, good := silent(t), backend.Start(t, "good", nil)
			p := pillion.Start(t, append(calm, unfair(broken, good))...)
			client := newClient(t)

			answered := 0
			for i := range 20 {
				before, hits := broken.Requests.Len(), good.Hits()
				a := send(t, client, newRequest(t, method, p.URL("/"), strings.NewReader(fmt.Sprint(i))))

				sent, took := broken.Requests.Len()-before, good.Hits()-hits
				switch {
				case sent == 1 && took == 0 && a.StatusCode == http.StatusBadGateway:
					answered++
				case sent == 0 && took == 1 && a.StatusCode == http.StatusOK:
				default:
					t.Errorf("status %d after %d tries at the broken and %d at the good backend", a.StatusCode, sent, took)
				}
			}

			if answered < 10 {
				t.Errorf("%d of 20 were answered 502", answered)
			}
		})
	}
}

func TestRetry_AnIdempotencyKeyAllowsIt(t *testing.T) {
	t.Parallel()
	broken, good := silent(t), backend.Start(t, "good", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	p := pillion.Start(t, append(calm, unfair(broken, good))...)

	client := newClient(t)
	for i := range 20 {
		body := fmt.Sprint("order ", i)
		a := send(t, client, newRequest(t, "POST", p.URL("/"), strings.NewReader(body), "Idempotency-Key", fmt.Sprint(i)))
		if a.StatusCode != http.StatusOK || a.Text != body {
			t.Fatalf("status %d with %q, want the body back", a.StatusCode, a.Text)
		}
	}
}

func TestRetry_ReplaysTheBodyByteForByte(t *testing.T) {
	t.Parallel()
	broken := silent(t)
	good := backend.Start(t, "good", func(w http.ResponseWriter, r *http.Request) {
		// read completely, because net/http drops the unread part when the
		// answer begins
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	p := pillion.Start(t, append(calm, unfair(broken, good))...)

	client := newClient(t)
	for _, size := range []int{0, 1, 1000, 16 << 10, 60 << 10} {
		body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		for name, reader := range map[string]io.Reader{"known": strings.NewReader(body),
			"chunked": io.MultiReader(strings.NewReader(body))} {
			a := send(t, client, newRequest(t, "PUT", p.URL("/"), reader))
			if a.StatusCode != http.StatusOK || a.Text != body {
				t.Errorf("%d bytes of %s length: status %d with %d bytes back", size, name, a.StatusCode, len(a.Text))
			}
		}
	}
}

func TestRetry_ABodyOverTheBufferIsNotSentTwice(t *testing.T) {
	t.Parallel()
	broken, good := silent(t), backend.Start(t, "good", nil)
	p := pillion.Start(t, append(calm, unfair(broken, good), "LB_RETRY_BUFFER=4KiB")...)

	client := newClient(t)
	for range 10 {
		before := broken.Requests.Len() + good.Hits()
		body := strings.NewReader(strings.Repeat("x", 256<<10))
		a := send(t, client, newRequest(t, "PUT", p.URL("/"), body))
		if a.StatusCode != http.StatusBadGateway && a.Backend() != "good" {
			t.Errorf("status %d from %q", a.StatusCode, a.Backend())
		}

		if n := broken.Requests.Len() + good.Hits() - before; n != 1 {
			t.Errorf("the backends saw the request %d times", n)
		}
	}
}

// After the first byte of a response, even of a 1xx, a request is not retried.
func TestRetry_NeverAfterTheFirstByteOfAnAnswer(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"half a status line": "HTTP/1.1 20",
		"early hints":        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
		"half a head":        "HTTP/1.1 200 OK\r\nContent-Le",
		"not HTTP":           "SSH-2.0-OpenSSH_9.2\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := brokenOff(t, reply)
			good := backend.Start(t, "good", nil)
			p := pillion.Start(t, append(calm, unfair(broken, good))...)

			client := newClient(t)
			for range 10 {
				before, hits := broken.Requests.Len(), good.Hits()
				a := get(t, client, p.URL("/"))
				if broken.Requests.Len() == before {
					continue
				}

				if a.StatusCode != http.StatusBadGateway || good.Hits() != hits {
					t.Errorf("status %d, and the good backend got %d requests", a.StatusCode, good.Hits()-hits)
				}
			}
		})
	}
}

// brokenOff starts a backend that answers with reply and closes the connection.
func brokenOff(t *testing.T, reply string) *backend.Raw {
	t.Helper()
	requests := make(chan *backend.Raw, 1)
	b := backend.StartRaw(t, "broken", func(c *backend.Conn) {
		self := <-requests
		requests <- self
		r, err := c.ReadRequest()
		if err != nil {
			return
		}

		self.Requests.Add(r)
		_, _ = io.WriteString(c, reply)
	})
	requests <- b

	return b
}

func TestRetry_CountIsBounded(t *testing.T) {
	t.Parallel()
	for retries, want := range map[string]int{"0": 1, "1": 2, "2": 3} {
		t.Run(retries, func(t *testing.T) {
			t.Parallel()
			var brokens []*backend.Raw
			var targets []string
			for i := range 5 {
				b := silent(t)
				brokens, targets = append(brokens, b), append(targets, b.Target()+fmt.Sprint(i))
			}

			p := pillion.Start(t, append(calm, "LB_RETRIES="+retries, "LB_BACKENDS="+strings.Join(targets, ";"))...)
			client := newClient(t)
			for range 5 {
				before := attempts(brokens)
				wantStatus(t, get(t, client, p.URL("/")), http.StatusBadGateway)
				if n := attempts(brokens) - before; n != want {
					t.Errorf("a GET was tried %d times, want %d", n, want)
				}
			}
		})
	}
}

func attempts(brokens []*backend.Raw) int {
	n := 0
	for _, b := range brokens {
		n += b.Requests.Len()
	}
	return n
}

func TestRetry_OfAStatusOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	bad := backend.StartScript(t, "bad", func(backend.Request) string { return backend.Answer(503, "busy") })
	good := backend.Start(t, "good", nil)
	plain := pillion.Start(t, append(calm, unfair(bad, good))...)
	asked := pillion.Start(t, append(calm, unfair(bad, good), "LB_RETRY_STATUS=503")...)
	client := newClient(t)

	passed, posts := 0, 0
	for range 20 {
		if get(t, client, plain.URL("/")).StatusCode == http.StatusServiceUnavailable {
			passed++
		}

		wantStatus(t, get(t, client, asked.URL("/")), http.StatusOK)
		if send(t, client, newRequest(t, "POST", asked.URL("/"),
			strings.NewReader("x"))).StatusCode == http.StatusServiceUnavailable {
			posts++
		}
	}

	if passed < 10 || posts < 10 {
		t.Errorf("%d of 20 GETs without the setting and %d of 20 POSTs with it got the backend's 503", passed, posts)
	}
}
