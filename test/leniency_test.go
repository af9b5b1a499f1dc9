package test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// Where HTTP defines how to read an incorrect answer of a backend, clients get
// the answer as if it were correct.

func TestLeniency_AnAnswerWithoutABodyIsFramedByNothing(t *testing.T) {
	t.Parallel()
	const both = "Content-Length: 8\r\nTransfer-Encoding: chunked\r\n"

	cases := map[string]struct{ method, head, length string }{
		"HEAD with both":         {"HEAD", "200 OK\r\n" + both, ""},
		"HEAD with its length":   {"HEAD", "200 OK\r\nContent-Length: 8\r\n", "8"},
		"HEAD with two lengths":  {"HEAD", "200 OK\r\nContent-Length: 8\r\nContent-Length: 9\r\n", ""},
		"204 with both":          {"GET", "204 No Content\r\n" + both, ""},
		"204 with a length":      {"GET", "204 No Content\r\nContent-Length: 0\r\n", ""},
		"304 with both":          {"GET", "304 Not Modified\r\n" + both, ""},
		"304 with its length":    {"GET", "304 Not Modified\r\nContent-Length: 8\r\n", "8"},
		"304 to a HEAD, chunked": {"HEAD", "304 Not Modified\r\nTransfer-Encoding: chunked\r\n", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := backend.StartScript(t, "lenient", func(r backend.Request) string {
				if strings.HasPrefix(r.Head, "PUT ") {
					return backend.Answer(200, "next")
				}
				return "HTTP/1.1 " + c.head + "\r\n"
			})
			p := pillion.Start(t, append(calm, b.Environment())...)

			raw := wire.Dial(t, p.Address)
			raw.Send(wire.Request(c.method, "/", ""))
			head := strings.ToLower(raw.Head())
			if !strings.HasPrefix(head, "http/1.1 "+strings.ToLower(c.head[:3])) || strings.Contains(head, "transfer-encoding") {
				t.Errorf("the client got %q", head)
			}

			if strings.Contains(head, "content-length: 8") != (c.length != "") ||
				c.length == "" && strings.Contains(head, "content-length: 9") {
				t.Errorf("the client got %q", head)
			}

			raw.Send(wire.Request("PUT", "/", "x", "Content-Length: 1"))
			if resp, body := raw.Response("PUT"); body != "next" {
				t.Errorf("then it got %d %q", resp.StatusCode, body)
			}

			a, err := newH2CClient(t).Do(newRequest(t, c.method, p.URL("/"), nil))
			if err != nil {
				t.Fatal(err)
			}

			_ = a.Body.Close() // net/http's client may report the missing body of a 304 as an error
			if fmt.Sprint(a.StatusCode) != c.head[:3] || c.length != "" && a.Header.Get("Content-Length") != c.length {
				t.Errorf("over HTTP/2: %d %v", a.StatusCode, a.Header)
			}
		})
	}
}

func TestLeniency_AnyNumberOfInterimAnswersMayComeFirst(t *testing.T) {
	t.Parallel()
	const n = 100
	b := backend.StartScript(t, "patient", func(backend.Request) string {
		var answer strings.Builder
		for i := range n {
			_, _ = fmt.Fprintf(&answer, "HTTP/1.1 104 Upload Resumption Supported\r\nUpload-Offset: %d\r\n\r\n", i)
		}
		return answer.String() + backend.Answer(201, "done")
	})

	p := pillion.Start(t, append(calm, b.Environment())...)
	for protocol, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "h2c": newH2CClient(t)} {
		var seen atomic.Int32
		r := newRequest(t, "POST", p.URL("/"), strings.NewReader("hi"))
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == 104 && h.Get("Upload-Offset") == fmt.Sprint(seen.Load()) {
					seen.Add(1)
				}
				return nil
			},
		}))
		if a := send(t, client, r); a.StatusCode != http.StatusCreated || a.Text != "done" || seen.Load() != n {
			t.Errorf("%s: %d %q after %d interim answers", protocol, a.StatusCode, a.Text, seen.Load())
		}
	}
}

func TestLeniency_AForbiddenTrailerIsLeftOut(t *testing.T) {
	t.Parallel()
	const body = "5\r\nhello\r\n0\r\n"
	for name, c := range map[string]struct{ announced, trailers string }{
		"a length":       {"", "Content-Length: 0\r\nX-Sum: 1\r\n"},
		"a type":         {"", "X-Sum: 1\r\nContent-Type: text/html\r\n"},
		"a cookie":       {"Trailer: X-Sum\r\n", "Set-Cookie: a=b\r\nX-Sum: 1\r\n"},
		"a coding":       {"Trailer: Transfer-Encoding, X-Sum\r\n", "Transfer-Encoding: chunked\r\nX-Sum: 1\r\n"},
		"its name alone": {"Trailer: Content-Type, X-Sum\r\n", "X-Sum: 1\r\n"},
		"no name at all": {"Trailer: X Sum, X-Sum\r\n", "X-Sum: 1\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := backend.StartScript(t, "lenient", func(backend.Request) string {
				return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + c.announced + "\r\n" + body + c.trailers + "\r\n"
			})

			p := pillion.Start(t, append(calm, b.Environment())...)
			for protocol, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "h2c": newH2CClient(t)} {
				a := send(t, client, newRequest(t, "GET", p.URL("/"), nil, "TE", "trailers"))
				if a.Text != "hello" || len(a.Trailer) != 1 || a.Trailer.Get("X-Sum") != "1" {
					t.Errorf("%s: %q with trailers %v", protocol, a.Text, a.Trailer)
				}
			}
		})
	}
}

// A client may close its sending side and wait for the answer (RFC 9112 section
// 9.6). If its request is announced as the last of the connection (Connection:
// close, or HTTP/1.0), it gets the answer however long the backend takes.
// Without that, it looks like a client that has disconnected.
func TestLeniency_AClientThatSaidItsLastIsStillThere(t *testing.T) {
	t.Parallel()
	gone, release := make(chan struct{}, 1), make(chan struct{})
	b := backend.Start(t, "slow", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			<-r.Context().Done()
			gone <- struct{}{}
			return
		}

		select {
		case <-release:
		case <-r.Context().Done():
		}

		_, _ = io.WriteString(w, "late")
	})
	p := pillion.Start(t, append(calm, backend.Backends(b))...)

	var waiting []*wire.Conn

	for _, head := range []string{
		wire.Request("GET", "/", "", "Connection: close"),
		wire.Request("POST", "/", "hi", "Connection: close", "Content-Length: 2"),
		"GET / HTTP/1.0\r\nHost: app.example\r\n\r\n",
	} {
		c := wire.Dial(t, p.Address)
		c.Send(head)
		c.CloseWrite()
		waiting = append(waiting, c)
	}

	var pipelined []*wire.Conn
	for _, first := range []string{
		wire.Request("GET", "/first", ""), wire.Request("POST", "/first", "hi", "Content-Length: 2"),
	} {
		c := wire.Dial(t, p.Address)
		c.Send(first + wire.Request("GET", "/last", "", "Connection: close"))
		c.CloseWrite()
		pipelined = append(pipelined, c)
	}

	for range 3 { // long enough for several checks of the waiting clients
		c := wire.Dial(t, p.Address)
		c.Get("/gone")
		c.CloseWrite()
		soon(t, "the end of a client that can't be told from one that left", gone)
	}

	close(release)
	for i, c := range waiting {
		if resp, body := c.Response("GET"); body != "late" {
			t.Errorf("client %d got %d %q", i, resp.StatusCode, body)
		}
	}

	for _, c := range pipelined {
		for i := range 2 {
			if resp, body := c.Response("GET"); body != "late" {
				t.Errorf("answer %d to two requests at once is %d %q", i, resp.StatusCode, body)
			}
		}
	}
}

// Field names have no case, but some servers and clients recognise these names
// only in the spelling of RFC 6455.
func TestWebSocket_NamesAreSpelledAsInTheirRFC(t *testing.T) {
	t.Parallel()
	b := backend.StartScript(t, "switching", func(r backend.Request) string {
		return strings.ReplaceAll(switching(r), "\r\n\r\n",
			"\r\nsec-websocket-protocol: chat\r\nsec-websocket-new: 1\r\n\r\n")
	})
	p := pillion.Start(t, append(calm, b.Environment())...)
	c := wire.Dial(t, p.Address)
	c.Get("/", "Connection: Upgrade", "Upgrade: websocket", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
		"SEC-WEBSOCKET-VERSION: 13", "Sec-Websocket-Protocol: chat", "sec-websocket-extensions: x", "sec-websocket-new: 1")
	answer := c.Head()

	request := b.Requests.All()[0].Head
	for message, names := range map[string]string{
		answer:  "Accept Protocol New",
		request: "Key Version Protocol Extensions New",
	} {
		for name := range strings.FieldsSeq(names) {
			if !strings.Contains(message, "\r\nSec-WebSocket-"+name+": ") {
				t.Errorf("no Sec-WebSocket-%s in %q", name, message)
			}
		}
	}
}

// An answer without Content-Type is passed on without one. If a type were
// guessed, a browser could execute what the app meant as text.
func TestLeniency_NoContentTypeIsGuessed(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{
		"/html": "<html><script>alert(1)</script></html>", "/css": "body { color: red }\n", "/json": `{"a":1}`,
		"/large": strings.Repeat("\x00", 100_000), "/empty": "", "/404": "<!DOCTYPE html>", "/500": "<!DOCTYPE html>",
	}
	b := backend.Start(t, "untyped", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil // which keeps net/http from guessing
		w.Header().Set("Cache-Control", "max-age=60")
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err == nil {
			w.WriteHeader(status)
		}
		_, _ = io.WriteString(w, bodies[r.URL.Path])
	})

	settings := map[string][]string{"plain": nil, "cached": {"LB_CACHE=origin"}, "compressed": {"LB_COMPRESS=gzip"},
		"both": {"LB_CACHE=origin", "LB_COMPRESS=gzip"}}
	for _, scheme := range []string{"http", "h2c"} {
		for name, env := range settings {
			t.Run(scheme+" "+name, func(t *testing.T) {
				t.Parallel()
				p := pillion.Start(t, append(append(calm, env...), "LB_BACKENDS="+scheme+"://"+b.Address)...)
				for protocol, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "h2c": newH2CClient(t)} {
					for path, body := range bodies {
						for _, method := range []string{"GET", "HEAD", "GET", "POST"} {
							r := newRequest(t, method, p.URL(path), nil, "Accept-Encoding", "identity")
							a := send(t, client, r)
							if types, ok := a.Header["Content-Type"]; ok {
								t.Errorf("%s: %s %s is said to be %q", protocol, method, path, types)
							}
							if method != "HEAD" && a.Text != body {
								t.Errorf("%s: %s %s: %d, %d bytes", protocol, method, path, a.StatusCode, len(a.Text))
							}
						}
					}
				}
			})
		}
	}
}
