package test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// over starts Pillion with one net/http backend, and returns a client for each
// protocol.
func over(t *testing.T, handler http.HandlerFunc, env ...string) (*binary.Process, map[string]*http.Client) {
	t.Helper()
	p := pillion.Start(t, append(env, backend.Backends(backend.Start(t, "one", handler)))...)
	return p, map[string]*http.Client{"http/1.1": newClient(t), "h2c": newH2CClient(t)}
}

func TestRelay_MethodsStatusesAndEmptyBodies(t *testing.T) {
	t.Parallel()
	p, clients := over(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Method", r.Method)
		var status int
		_, _ = fmt.Sscan(r.URL.Path[1:], &status)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "text")
	}, calm...)
	for protocol, client := range clients {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FROB"} {
			for _, status := range []int{200, 201, 204, 206, 304, 404, 418, 500, 599} {
				a := send(t, client, newRequest(t, method, p.URL(fmt.Sprint("/", status)), nil))
				want := "text"
				if method == "HEAD" || status == 204 || status == 304 {
					want = ""
				}

				if a.StatusCode != status || a.Text != want || a.Header.Get("Method") != method {
					t.Errorf("%s %s: %d %q by %s, want %d %q", protocol, method, a.StatusCode, a.Text, a.Header.Get("Method"), status,
						want)
				}
			}
		}
	}
}

func TestRelay_HeadKeepsTheLength(t *testing.T) {
	t.Parallel()
	p, clients := over(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "12345") })
	for protocol, client := range clients {
		a := send(t, client, newRequest(t, "HEAD", p.URL("/"), nil))
		if a.ContentLength != 12345 {
			t.Errorf("%s: Content-Length %d", protocol, a.ContentLength)
		}
	}
}

func TestRelay_LargeBodiesArriveWhole(t *testing.T) {
	t.Parallel()
	p, clients := over(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Sum", fmt.Sprintf("%x", sha256.Sum256(body)))
		if r.URL.Path == "/known" {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		_, _ = w.Write(body)
	})
	body := bytes.Repeat([]byte("0123456789abcde\n"), 10<<20/16)

	sum := fmt.Sprintf("%x", sha256.Sum256(body))
	for protocol, client := range clients {
		for _, path := range []string{"/known", "/chunked"} {
			reader := io.Reader(bytes.NewReader(body))
			if path == "/chunked" {
				reader = io.MultiReader(reader)
			}

			a := send(t, client, newRequest(t, "POST", p.URL(path), reader))
			if a.Header.Get("Sum") != sum || a.Text != string(body) {
				t.Errorf("%s %s: %d bytes came back, the sum there was %s", protocol, path, len(a.Text), a.Header.Get("Sum"))
			}
		}
	}
}

func TestRelay_EarlyHintsComeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{}, 2)

	p, clients := over(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 2 {
			w.Header().Set("Link", fmt.Sprintf("</%d.css>; rel=preload", i))
			w.WriteHeader(http.StatusEarlyHints)
		}

		<-release
		w.Header().Set("Link", "</last>")
		_, _ = io.WriteString(w, "done")
	})
	for protocol, client := range clients {
		var hints []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, " ", header.Get("Link")))
			if len(hints) == 2 {
				release <- struct{}{}
			}
			return nil
		}}
		request := newRequest(t, "GET", p.URL("/"), nil)
		a := send(t, client, request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
		if got := strings.Join(hints, "; "); got != "103 </0.css>; rel=preload; 103 </1.css>; rel=preload" {
			t.Errorf("%s: hints %q", protocol, got)
		}

		if a.Text != "done" || strings.Join(a.Header.Values("Link"), ";") != "</last>" {
			t.Errorf("%s: the answer %q with Link %q", protocol, a.Text, a.Header.Values("Link"))
		}
	}
}

func TestRelay_ExpectContinueIsTheBackendsToAnswer(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	raw := backend.StartRaw(t, "one", func(c *backend.Conn) {
		if _, err := c.ReadHead(); err != nil {
			return
		}

		asked <- struct{}{}
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		body := make([]byte, 5)
		_, _ = io.ReadFull(c.In, body)
		_, _ = io.WriteString(c, backend.Answer(200, string(body)))
	})
	p := pillion.Start(t, raw.Environment())
	c := wire.Dial(t, p.Address)
	c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	soon(t, "the request", asked)
	if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 100") {
		t.Fatalf("first came %q", head)
	}

	c.Send("hello")
	if r, body := c.Response("POST"); r.StatusCode != 200 || body != "hello" {
		t.Errorf("%d %q", r.StatusCode, body)
	}
}

func TestRelay_ARefusedExpectationNeverSeesTheBody(t *testing.T) {
	t.Parallel()
	raw := backend.StartRaw(t, "one", func(c *backend.Conn) {
		if _, err := c.ReadHead(); err == nil {
			_, _ = io.WriteString(c, backend.Answer(417, "no", "Connection: close"))
		}
	})
	p := pillion.Start(t, raw.Environment())
	c := wire.Dial(t, p.Address)
	c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 417") {
		t.Errorf("came %q", head)
	}
}

func TestRelay_TrailersOfTheResponse(t *testing.T) {
	t.Parallel()
	p, clients := over(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Late", "2")
	})
	for protocol, client := range clients {
		a := get(t, client, p.URL("/"), "TE", "trailers")
		if a.Text != "body" || a.Trailer.Get("X-Sum") != "1" || a.Trailer.Get("X-Late") != "2" {
			t.Errorf("%s: %q with the trailers %v", protocol, a.Text, a.Trailer)
		}
	}
}

func TestRelay_TrailersOfTheRequest(t *testing.T) {
	t.Parallel()
	p, clients := over(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, r.Trailer.Get("X-Sum"), r.Trailer.Get("X-Late"))
	})
	for protocol, client := range clients {
		r := newRequest(t, "POST", p.URL("/"), io.MultiReader(strings.NewReader("body")))
		r.Trailer = http.Header{"X-Sum": {"1"}}
		if a := send(t, client, r); a.Text != "1" {
			t.Errorf("%s: the backend saw the trailer %q", protocol, a.Text)
		}
	}

	c := wire.Dial(t, p.Address)
	c.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Late: 2\r\n\r\n")
	if r, body := c.Response("POST"); r.StatusCode != 200 || body != "2" {
		t.Errorf("an unannounced trailer: %d %q", r.StatusCode, body)
	}
}

// The backend sends each part only after the part before has arrived. If a part
// is not passed on at once, the test fails.
func TestRelay_StreamsAreFlushedAsTheyCome(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"text/event-stream", "text/plain"} {
		next := make(chan struct{}, 5)
		p, clients := over(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			for i := range 5 {
				_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
				_ = http.NewResponseController(w).Flush()
				<-next
			}
		})
		for protocol, client := range clients {
			response, err := client.Do(newRequest(t, "GET", p.URL("/"), nil))
			if err != nil {
				t.Fatal(err)
			}

			for i := range 5 {
				part := make([]byte, len("data: 0\n\n"))
				if _, err := io.ReadFull(response.Body, part); err != nil || string(part) != fmt.Sprintf("data: %d\n\n", i) {
					t.Fatalf("%s %s: part %d is %q (%v)", protocol, kind, i, part, err)
				}
				next <- struct{}{}
			}

			_ = response.Body.Close()
		}
	}
}

// The client of an event stream gets the head at once, even if the first event
// comes hours later.
func TestRelay_AHeadIsSeenBeforeItsFirstByte(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for _, scheme := range []string{"http", "h2c"} {
		p := pillion.Start(t, "LB_BACKENDS="+scheme+"://"+b.Address)
		for protocol, client := range map[string]*http.Client{"http/1.1": newClient(t), "h2c": newH2CClient(t)} {
			t.Run(protocol+" client, "+scheme+" backend", func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				response, err := client.Do(newRequest(t, "GET", p.URL("/"), nil).WithContext(ctx))
				if err != nil {
					t.Fatal(err)
				}

				_ = response.Body.Close()
			})
		}
	}
}

// Request and response are relayed at the same time: each line is answered
// before the next is sent.
func TestRelay_BothDirectionsAtOnce(t *testing.T) {
	t.Parallel()
	p, clients := over(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_ = control.Flush()

		part := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, part); err != nil {
				return
			}
			_, _ = w.Write(part)
			_ = control.Flush()
		}
	})
	for protocol, client := range clients {
		out, in := io.Pipe()
		stuck := time.AfterFunc(await.Limit, func() { _ = in.CloseWithError(io.ErrNoProgress) })
		defer stuck.Stop()
		response, err := client.Do(newRequest(t, "POST", p.URL("/"), out))
		if err != nil {
			t.Fatalf("%s: %v", protocol, err)
		}

		for i := range 10 {
			line := fmt.Sprintf("%03d\n", i)
			if _, err := io.WriteString(in, line); err != nil {
				t.Fatalf("%s: %v", protocol, err)
			}

			got := make([]byte, 4)
			if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != line {
				t.Fatalf("%s: %q came back as %q (%v)", protocol, line, got, err)
			}
		}

		_ = in.Close()
		if rest, err := io.ReadAll(response.Body); err != nil || len(rest) != 0 {
			t.Errorf("%s: the end is %q (%v)", protocol, rest, err)
		}

		_ = response.Body.Close()
	}
}

func TestRelay_AnEarlyAnswerReachesAClientThatStillSends(t *testing.T) {
	t.Parallel()
	p, clients := over(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	})
	for protocol, client := range clients {
		body := io.LimitReader(endless{}, 8<<20)
		a, err := exchange(client, newRequest(t, "POST", p.URL("/"), body))
		if err != nil || a.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %v, %v", protocol, a.Response, err)
		}
	}
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestRelay_ADepartedClientEndsTheBackendsWork(t *testing.T) {
	t.Parallel()
	arrived, gone := make(chan struct{}, 1), make(chan struct{}, 1)

	p, clients := over(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/streaming" {
			_ = http.NewResponseController(w).Flush()
		}
		arrived <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	for _, path := range []string{"/waiting", "/streaming"} {
		c := wire.Dial(t, p.Address)
		c.Get(path)
		soon(t, "the request", arrived)
		_ = c.Close()
		soon(t, "http/1.1 "+path, gone)
	}

	for _, path := range []string{"/waiting", "/streaming"} {
		request := newRequest(t, "GET", p.URL(path), nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = exchange(clients["h2c"], request.WithContext(ctx))
		}()
		soon(t, "the request", arrived)
		cancel()
		soon(t, "h2c "+path, gone)
		soon(t, "the end of the exchange", done)
	}
}

// A client must be able to see that an answer was cut: by fewer bytes than
// Content-Length, a missing last chunk, or a reset stream.
func TestRelay_ACutAnswerIsVisibleAsCut(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"by length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"by chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"in a size": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := brokenOff(t, reply)

			p := pillion.Start(t, append(calm, broken.Environment())...)
			for protocol, client := range map[string]*http.Client{"http/1.1": newClient(t), "h2c": newH2CClient(t)} {
				a, err := exchange(client, newRequest(t, "GET", p.URL("/"), nil))
				if err == nil {
					t.Errorf("%s: a clean answer %d %q", protocol, a.StatusCode, a.Text)
				}
			}

			c := wire.Dial(t, p.Address)
			c.Get("/")
			c.Head()
			rest, _ := c.Rest()
			if !strings.Contains(rest, "half") || strings.HasSuffix(rest, "0\r\n\r\n") {
				t.Errorf("the client read %q", rest)
			}
		})
	}
}

func TestRelay_ACutRequestIsNeverEndedCleanly(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{
		"by length": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
		"by chunks": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan error, 1)
			p, _ := over(t, func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				got <- err
			})
			c := wire.Dial(t, p.Address)
			c.Send(sent)
			c.CloseWrite()
			if err := soon(t, "the end of the body", got); err == nil {
				t.Error("the backend saw a whole body")
			}
		})
	}
}

func TestRelay_ABodyUntilCloseIsWhole(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.0", "1.1"} {
		raw := brokenOff(t, "HTTP/"+version+" 200 OK\r\n\r\nall of it")
		p := pillion.Start(t, raw.Environment())
		for protocol, client := range map[string]*http.Client{"http/1.1": newClient(t), "h2c": newH2CClient(t)} {
			if a := get(t, client, p.URL("/")); a.StatusCode != 200 || a.Text != "all of it" {
				t.Errorf("%s from HTTP/%s: %d %q", protocol, version, a.StatusCode, a.Text)
			}
		}
	}
}

func TestRelay_HTTP10ClientsAreServed(t *testing.T) {
	t.Parallel()
	p, _ := over(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "one")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "two")
	})
	c := wire.Dial(t, p.Address)
	c.Send("GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	all, err := c.Rest()
	if err != nil || !strings.HasSuffix(all, "\r\n\r\nonetwo") || strings.Contains(all, "chunked") {
		t.Errorf("read %q (%v)", all, err)
	}
}

func TestRelay_PipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	p, _ := over(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, string(body)+r.URL.Path)
	})
	c := wire.Dial(t, p.Address)
	var all strings.Builder
	for i := range 20 {
		body := strings.Repeat("x", i)
		all.WriteString(wire.Request("POST", fmt.Sprint("/", i), body, fmt.Sprint("Content-Length: ", i)))
	}

	c.Send(all.String())
	for i := range 20 {
		if r, body := c.Response("POST"); r.StatusCode != 200 || body != strings.Repeat("x", i)+fmt.Sprint("/", i) {
			t.Fatalf("answer %d is %d %q", i, r.StatusCode, body)
		}
	}
}
