// Package access tests which requests are let in, and what backends learn about
// the user. It runs the whole program, with backends that send back the
// requests that they receive.
package access

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) { os.Exit(binary.Main(m, "../..", &pillion)) }

// startEcho starts a backend that answers with the request that it received:
// the request line, then a line for each field and each trailer.
func startEcho(t *testing.T) *backend.Server {
	t.Helper()

	return backend.Start(t, "app", func(w http.ResponseWriter, r *http.Request) {
		lines := []string{r.Method + " " + r.RequestURI}
		for name, values := range r.Header {
			for _, value := range values {
				lines = append(lines, name+": "+value)
			}
		}
		_, _ = io.Copy(io.Discard, r.Body)
		for name, values := range r.Trailer {
			for _, value := range values {
				lines = append(lines, "trailer "+name+": "+value)
			}
		}
		slices.Sort(lines[1:])
		fmt.Fprintln(w, strings.Join(lines, "\n"))
	})
}

// answer is a response with its complete body.
type answer struct {
	*http.Response
	text string
}

// saw returns the values of a field that the backend received. Case is ignored.
func (a answer) saw(name string) (values []string) {
	for line := range strings.SplitSeq(a.text, "\n") {
		if n, value, ok := strings.Cut(line, ": "); ok && strings.EqualFold(n, name) {
			values = append(values, value)
		}
	}

	return values
}

// raw sends a request on a new connection and returns the answer. request is
// the method and the target. The target is sent as it is given, which net/http
// would not do.
func raw(t *testing.T, p *binary.Process, request string, fields ...string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", p.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	head := fmt.Sprintf("%s HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n", request)
	for _, f := range fields {
		head += f + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		t.Fatal(err)
	}

	method, _, _ := strings.Cut(request, " ")
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
