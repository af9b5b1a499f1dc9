package test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// A backend that takes the body of a request for another request answers twice,
// and one that sends a body where there can be none sends more than its answer.
// No request may get what comes behind an answer, so the connection is not used
// again, however soon the next request comes.
func TestSurplus_AnAnswerTooManyReachesNoRequest(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

	cases := map[string]struct{ request, answer string }{
		"POST":               {wire.Request("POST", "/", "body", "Content-Length: 4"), ok},
		"POST in chunks":     {wire.Request("POST", "/", "4\r\nbody\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), ok},
		"POST without body":  {wire.Request("POST", "/", "", "Content-Length: 0"), ok},
		"PUT":                {wire.Request("PUT", "/", "body", "Content-Length: 4"), ok},
		"PATCH":              {wire.Request("PATCH", "/", "body", "Content-Length: 4"), ok},
		"DELETE":             {wire.Request("DELETE", "/", ""), ok},
		"GET with a body":    {wire.Request("GET", "/", "body", "Content-Length: 4"), ok},
		"OPTIONS":            {wire.Request("OPTIONS", "/", "body", "Content-Length: 4"), ok},
		"HEAD":               {wire.Request("HEAD", "/", ""), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"},
		"no content":         {wire.Request("GET", "/", ""), "HTTP/1.1 204 No Content\r\n\r\n"},
		"not modified":       {wire.Request("GET", "/", ""), "HTTP/1.1 304 Not Modified\r\n\r\n"},
		"an upgrade refused": {wire.Request("POST", "/", "", "Connection: upgrade", "Upgrade: websocket"), ok},
	}
	for name, c := range cases {
		for _, next := range []string{"GET", "HEAD", "POST"} {
			t.Run(name+" then "+next, func(t *testing.T) {
				t.Parallel()
				runSurplus(t, nil, c.request, c.answer, next)
			})
		}
	}
}

// Under TLS a surplus answer may have been read together with the one before
// it, so that the socket has nothing to show.
func TestSurplus_AnAnswerTooManyReachesNoRequestUnderTLS(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{authority.Certificate(t)}, NextProtos: []string{"http/1.1"}}
	post := wire.Request("POST", "/", "body", "Content-Length: 4")

	for _, kind := range []string{"later", "in the same segment", "in the same record"} {
		for _, next := range []string{"GET", "HEAD", "POST"} {
			t.Run(kind+", then "+next, func(t *testing.T) {
				t.Parallel()
				secure := &secureSurplus{config: config.Clone(), file: authority.File, kind: kind}
				runSurplus(t, secure, post, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", next)
			})
		}
	}
}

// secureSurplus says how a backend sends its surplus under TLS.
type secureSurplus struct {
	config *tls.Config
	file   string // of the authority
	kind   string
}

// segment is a connection that can hold writes back and send them together.
type segment struct {
	net.Conn
	holds bool
	held  bytes.Buffer
}

// Write sends bytes, or holds them back.
func (s *segment) Write(p []byte) (int, error) {
	if s.holds {
		return s.held.Write(p)
	}
	return s.Conn.Write(p)
}

// release sends the bytes that were held back.
func (s *segment) release() {
	s.holds = false
	_, _ = s.held.WriteTo(s.Conn)
}

// runSurplus has a backend answer one client twice and then asks for another.
func runSurplus(t *testing.T, secure *secureSurplus, request, answer, next string) {
	answered, sent := make(chan struct{}), make(chan struct{})
	surplus := backend.Answer(200, "POISON", "Set-Cookie: session=attacker")
	b := backend.StartRaw(t, "surplus", func(c *backend.Conn) {
		out := &segment{Conn: c.Conn}
		if secure != nil {
			conn := tls.Server(out, secure.config)
			c = &backend.Conn{Conn: conn, In: bufio.NewReader(conn)}
		}

		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}

			if strings.Contains(r.Head, "X-Victim") {
				_, _ = fmt.Fprint(c, backend.Answer(200, "", "X-Mine: yes"))
				continue
			}

			switch {
			case secure != nil && secure.kind == "in the same record":
				_, _ = io.WriteString(c, answer+surplus)
			case secure != nil && secure.kind == "in the same segment":
				out.holds = true
				_, _ = io.WriteString(c, answer)
				_, _ = io.WriteString(c, surplus)
				out.release()
			default:
				_, _ = io.WriteString(c, answer)
				<-answered
				_, _ = io.WriteString(c, surplus)
			}
			close(sent)
		}
	})

	env := append(calm, b.Environment())
	if secure != nil {
		env = append(calm, "LB_BACKENDS=https://"+b.Address, "LB_CA_FILE="+secure.file)
	}
	p := pillion.Start(t, env...)

	attacker, victim := wire.Dial(t, p.Address), wire.Dial(t, p.Address)
	method, _, _ := strings.Cut(request, " ")
	attacker.Send(request)
	attacker.Response(method)
	close(answered)
	soon(t, "the surplus", sent)

	victim.Send(wire.Request(next, "/", "", "X-Victim: yes", "Content-Length: 0"))
	if resp, body := victim.Response(next); resp.Header.Get("X-Mine") == "" {
		t.Errorf("the next %s got %d %q with %v", next, resp.StatusCode, body, resp.Header)
	}
}
