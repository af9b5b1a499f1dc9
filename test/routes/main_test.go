// Package routes tests routes. It runs the whole program with several backend
// services.
package routes

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

type line = binary.Line

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) { os.Exit(binary.Main(m, "../..", &pillion)) }

// spare adds a second name to a list with one backend. It gets no requests.
// With one name only, a service would have no sessions.
const spare = ";http://127.0.0.1:1?name=spare&weight=0"

// startEcho starts a backend that answers with its name and the request that it
// received: the request line, then a line for each field.
func startEcho(t *testing.T, name string) *backend.Server {
	t.Helper()

	return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s\n%s %s\nHost: %s\n", name, r.Method, r.RequestURI, r.Host)
		for _, field := range slices.Sorted(maps.Keys(r.Header)) {
			for _, value := range r.Header[field] {
				fmt.Fprintf(w, "%s: %s\n", field, value)
			}
		}
	})
}

// answer is a response with its complete body.
type answer struct {
	*http.Response
	text string
}

// from returns the name of the backend that answered, or "" for Pillion's own
// answers.
func (a answer) from() string { return a.Header.Get(backend.NameField) }

// line returns the request line that the backend received.
func (a answer) line() string {
	lines := strings.Split(a.text, "\n")
	if len(lines) < 2 {
		return ""
	}

	return lines[1]
}

// saw returns the first value of a field that the backend received.
func (a answer) saw(name string) string {
	for line := range strings.SplitSeq(a.text, "\n") {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return value
		}
	}

	return ""
}

// raw sends a request on a new connection and returns the answer. request is
// method, host and target, as in "GET example.com/x". The target is sent as it
// is given, which net/http would not do.
func raw(t *testing.T, p *binary.Process, request string, fields ...string) answer {
	t.Helper()
	method, rest, _ := strings.Cut(request, " ")
	slash := strings.IndexAny(rest, `/\`)
	host, target := rest[:slash], rest[slash:]
	if host == "" {
		host = p.Address
	}

	conn, err := net.Dial("tcp", p.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, target, host)
	for _, f := range fields {
		head += f + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		t.Fatal(err)
	}

	return read(t, conn, method)
}

func read(t *testing.T, conn net.Conn, method string) answer {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}

	return answer{response, string(text)}
}

// get is raw for a GET. target is a path for any host, or a host and a path.
func get(t *testing.T, p *binary.Process, target string, fields ...string) answer {
	t.Helper()

	return raw(t, p, "GET "+target, fields...)
}

// client returns a client that keeps no cookies and follows no redirects.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)

	return &http.Client{Transport: transport, Timeout: await.Limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// list returns a variable with the targets of servers.
func list(variable string, servers ...*backend.Server) string {
	_, targets, _ := strings.Cut(backend.Backends(servers...), "=")

	return variable + "=" + targets
}
