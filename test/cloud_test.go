package test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// machine is the metadata server of one test.
type machine struct {
	*server.Server
	Environment string // GCE_METADATA_HOST
}

// newMachine serves metadata until the test ends.
func newMachine(t *testing.T) machine {
	t.Helper()
	return newMachineAt(t, backend.Listen(t))
}

func newMachineAt(t *testing.T, l net.Listener) machine {
	t.Helper()
	m := machine{server.New(server.Identity{}), "GCE_METADATA_HOST=" + l.Addr().String()}
	hs := &httptest.Server{Listener: l, Config: &http.Server{Handler: m}}
	hs.Start()
	t.Cleanup(hs.Close)
	t.Cleanup(hs.CloseClientConnections)
	t.Cleanup(func() { m.SetFault(server.Fault{Mode: server.Gone}) }) // ends what waits

	return m
}

// absent is an address where nobody listens yet, and what listens there later.
func absent(t *testing.T) (address string, listen func() net.Listener) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}

	file := os.NewFile(uintptr(fd), "absent")
	t.Cleanup(func() { _ = file.Close() })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}

	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}

	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port), func() net.Listener {
		if err := syscall.Listen(fd, 64); err != nil {
			t.Fatal(err)
		}

		l, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}

		return l
	}
}

// stream is callers that make one request after the other, each at most every
// ten milliseconds, until they are told to stop. None of them may fail.
type stream struct {
	served   atomic.Int64
	failures await.Values[string]
	stop     chan struct{}
	running  sync.WaitGroup
}

// startStream lets callers ask url; fields are names and values in turn.
func startStream(t *testing.T, callers int, url string, fields ...string) *stream {
	t.Helper()
	s := &stream{stop: make(chan struct{})}
	for i := range callers {
		client := newClient(t)
		if i%2 == 1 {
			client = newH2CClient(t)
		}
		s.running.Go(func() { s.call(client, []string{"GET", "POST"}[i%2], url, fields) })
	}

	return s
}

func (s *stream) call(c *http.Client, method, url string, fields []string) {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-pace.C:
		}

		r, err := http.NewRequest(method, url, strings.NewReader("body"))
		if err == nil {
			for i := 0; i < len(fields); i += 2 {
				r.Header[fields[i]] = []string{fields[i+1]}
			}

			var a answer
			if a, err = exchange(c, r); err == nil && a.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s %q", a.Status, a.Text)
			}
		}

		if err != nil {
			s.failures.Add(fmt.Sprint(method, " ", err))
		}

		s.served.Add(1)
	}
}

// More waits until n further requests were answered.
func (s *stream) More(t *testing.T, n int64) {
	t.Helper()
	n += s.served.Load()
	await.Until(t, "requests are answered", func() bool { return s.served.Load() >= n })
}

// Stop ends the callers and fails the test for every request that failed. It
// returns how many there were.
func (s *stream) Stop(t *testing.T) int64 {
	t.Helper()
	close(s.stop)
	s.running.Wait()
	if all := s.failures.All(); len(all) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(all), s.served.Load(), all[0])
	}

	return s.served.Load()
}

// warnings is the lines about a source that are warnings.
func warnings(p *binary.Process, source string) (found []binary.Line) {
	for _, l := range p.Lines() {
		if l.String("severity") == "WARNING" && strings.Contains(l.String("source"), source) {
			found = append(found, l)
		}
	}
	return found
}

// slowMachine is what a promise in milliseconds is multiplied by where every
// instruction is observed.
func slowMachine(d time.Duration) time.Duration {
	if binary.Race {
		return 5 * d
	}
	return d
}

// countingListener counts the connections that were made.
type countingListener struct {
	net.Listener
	accepted atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

// messages is how many lines say message of a backend.
func messages(p *binary.Process, message, name string) (n int) {
	for _, l := range p.Lines() {
		if l.String("message") == message && l.String("backend") == name {
			n++
		}
	}
	return n
}
