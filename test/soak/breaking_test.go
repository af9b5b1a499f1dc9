package soak

import (
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// The fields by which a visitor recognises a complete answer.
const (
	targetField = "X-Target" // the target of the request that is answered
	earlyField  = "X-Early"  // set if the backend did not read the body, so that it is not in the answer
)

// percent returns true with a probability of n percent.
func percent(n int) bool { return rand.IntN(100) < n }

// content returns the body of a complete answer.
func content(target string, body []byte) string { return target + "\n" + string(body) }

// breakHTTP1 answers each request with its target and its body, in one of the
// forms of HTTP/1.1, and breaks off at random places.
func breakHTTP1(c *backend.Conn) {
	defer func() {
		if percent(30) {
			_ = c.Conn.(*net.TCPConn).SetLinger(0) // so that closing sends a reset
		}
	}()
	for answerOne(c) {
	}
}

// answerOne answers a request. It reports whether the connection goes on.
func answerOne(c *backend.Conn) bool {
	r, err := http.ReadRequest(c.In)
	if err != nil || percent(2) {
		return false
	}

	if r.Header.Get("Upgrade") != "" {
		echoFrames(c)
		return false
	}

	early := r.Method == http.MethodPost && percent(5)
	if early {
		_, err := io.WriteString(c, form(r, nil, true, "Connection: close\r\n"+earlyField+": yes\r\n"))
		if err == nil && percent(50) { // else it closes on a body that is still coming
			_, _ = io.Copy(io.Discard, r.Body)
		}
		return false
	}

	if r.Header.Get("Expect") != "" {
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
	}

	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	if percent(5) {
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
	}

	return sayOrBreak(c, r, body)
}

// sayOrBreak sends an answer, or a part of it. If the end of the connection
// ends the answer, a part must be followed by a reset.
func sayOrBreak(c *backend.Conn, r *http.Request, body []byte) bool {
	untilClose := percent(5)
	answer := form(r, body, !untilClose, "")
	if percent(5) {
		_, _ = io.WriteString(c, answer[:rand.IntN(len(answer))])
		if untilClose {
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
		return false
	}

	_, err := io.WriteString(c, answer)
	if untilClose {
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c.In)
	}

	return err == nil && !untilClose
}

// form returns an answer to r. If framed, it has a length or chunks. Otherwise
// it ends with the connection.
func form(r *http.Request, body []byte, framed bool, fields string) string {
	text := content(r.RequestURI, body)
	head := "HTTP/1.1 200 OK\r\n" + targetField + ": " + r.RequestURI + "\r\n" + fields
	switch {
	case !framed:
		head += "Connection: close\r\n\r\n"
	case percent(50):
		head += fmt.Sprintf("Content-Length: %d\r\n\r\n", len(text))
	default:
		head += "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
		text = chunks(text)
	}

	if r.Method == http.MethodHead {
		return head
	}

	return head + text
}

// chunks returns text in chunks of random sizes, with a trailer.
func chunks(text string) string {
	var b strings.Builder
	for text != "" {
		n := 1 + rand.IntN(len(text))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, text[:n])
		text = text[n:]
	}
	return b.String() + "0\r\nX-Sum: 1\r\n\r\n"
}

// echoFrames sends back every byte of a tunnel, or some.
func echoFrames(c *backend.Conn) {
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	most := int64(1 << 20)
	if percent(20) {
		most = rand.Int64N(2000)
	}
	_, _ = io.CopyN(c, c.In, most)
}

// connKey is the context key of a handler's connection.
type connKey struct{}

// startHTTP2 is breakHTTP1 over HTTP/2. It resets streams, and sometimes the
// connection.
func startHTTP2(t *testing.T) string {
	t.Helper()
	l := backend.Listen(t)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)

	server := &http.Server{
		// it ends connections on which trailers come after its early answer
		ErrorLog:  log.New(io.Discard, "", 0),
		Protocols: &protocols, Handler: http.HandlerFunc(breakHTTP2),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})

	return backend.Target("h2c://"+l.Addr().String(), "d")
}

func breakHTTP2(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(targetField, r.RequestURI)
	switch rand.IntN(400) {
	case 0:
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	case 1, 2, 3, 4, 5, 6, 7, 8:
		panic(http.ErrAbortHandler)
	}

	if r.Method == http.MethodPost && percent(5) {
		w.Header().Set(earlyField, "yes")
		_, _ = io.WriteString(w, content(r.RequestURI, nil))
		return
	}

	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if percent(20) {
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	}

	text := content(r.RequestURI, body)
	if percent(5) {
		_, _ = io.WriteString(w, text[:rand.IntN(len(text))])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}

	_, _ = io.WriteString(w, text)
}
