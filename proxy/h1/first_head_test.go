package h1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, errors.New("closed")
	}

	return c, nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }
func (p pipes) Close() error   { return nil }

// The time for the first head begins when the connection was accepted, that for
// later ones with their first byte.
func TestServer_TheFirstHeadHasItsTimeFromAccept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before  string // the first request
		late    string // said after 600 ms
		end     time.Duration
		answers string
	}{
		"nothing":                 {"", "", time.Second, ""},
		"half a head":             {"", "GET / HT", time.Second, "408"},
		"half of a second head":   {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HT", 1600 * time.Millisecond, "408"},
		"nothing after a request": {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", time.Minute, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := make(pipes)
				s := &Server{Handler: http.HandlerFunc(hello), HeaderTimeout: time.Second, IdleTimeout: time.Minute}
				go s.Serve(l)
				client, server := net.Pipe()
				l <- server
				begun := time.Now()
				ended := make(chan string)
				go func() {
					said, _ := io.ReadAll(client)
					ended <- string(said)
				}()

				io.WriteString(client, c.before)
				time.Sleep(600 * time.Millisecond)
				io.WriteString(client, c.late)

				said := <-ended
				if took := time.Since(begun) - c.end; took < 0 || took > 2*lateRead {
					t.Errorf("it ended %v after its time", took)
				}

				if c.answers != "" && !strings.Contains(said, " "+c.answers+" ") {
					t.Errorf("it ended with %q", said)
				}

				close(l)
				client.Close()
				s.Close()
			})
		})
	}
}
