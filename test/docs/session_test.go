package docs

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// session does what a reader does with a page: it starts the program in one
// terminal and sends requests from another. The ports of the page are replaced
// by free ones, the same in all blocks, and "go run" by the built binary. Each
// port in a target of LB_BACKENDS has a backend that answers with that port.
type session struct {
	t       *testing.T
	dir     string
	ports   map[string]string // port of the page → port of this machine
	printed output
}

// output collects the output of a process. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// begin runs a "sh serve" block until the test ends. It returns as soon as the
// program is ready.
func begin(t *testing.T, b block) *session {
	t.Helper()
	shell := bash(t)
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}

	s := &session{t: t, dir: t.TempDir(), ports: map[string]string{}}
	s.backends(b.Text)
	command := exec.Command(shell, "-c", s.here(b.Text))
	command.Dir = s.dir
	command.Env = append(plain(s.dir), "PORT="+s.port("8080"))
	command.Stdout, command.Stderr = &s.printed, &s.printed
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}

	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	t.Cleanup(func() {
		// kills the shell's process group, and so what the shell has started
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		<-ended
		if t.Failed() {
			t.Logf("%s:%d printed:\n%s", b.Document, b.Line, s.printed.String())
		}
	})
	s.untilReady(ended)

	return s
}

// plain returns the environment of a new user, with only a path and a home.
func plain(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8"}
}

var (
	pagePort = regexp.MustCompile(`\b(80[0-9]{2}|90[0-9]{2}|4318|15001)\b`)
	target   = regexp.MustCompile(`:(90[0-9]{2})\b`)
)

// here returns a block's text with the ports and programs of this machine.
func (s *session) here(text string) string {
	text = pagePort.ReplaceAllStringFunc(text, s.port)
	text = strings.ReplaceAll(text, "/tmp/", s.dir+"/")
	text = strings.ReplaceAll(text, "go run ./test/fakemetadata", fakemetadata)
	return strings.ReplaceAll(text, "go run .", pillion.Path)
}

// port returns the port of this machine for a port of the page.
func (s *session) port(page string) string {
	if s.ports[page] == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		defer l.Close()
		_, s.ports[page], _ = net.SplitHostPort(l.Addr().String())
	}

	return s.ports[page]
}

// backends starts a server for each port in a target. It answers every request
// with that port.
func (s *session) backends(text string) {
	for _, m := range target.FindAllStringSubmatch(text, -1) {
		page := m[1]
		if s.ports[page] != "" {
			continue
		}

		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "backend %s\n", page)
		}))
		s.t.Cleanup(server.Close)
		_, s.ports[page], _ = net.SplitHostPort(server.Listener.Addr().String())
	}
}

// untilReady waits until the program reports that it is ready.
func (s *session) untilReady(ended <-chan struct{}) {
	s.t.Helper()
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			s.t.Fatalf("the program ended before it was ready: %s", s.printed.String())
		default:
		}

		answer, err := http.Get("http://127.0.0.1:" + s.port("8080") + "/.lb/ready")
		if err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
	}

	s.t.Fatal("the program is not ready after 20 s")
}

// client runs a "sh client" block and returns its output. It fails the test if
// the block fails.
func (s *session) client(b block) string {
	s.t.Helper()
	command := exec.Command(bash(s.t), "-euo", "pipefail", "-c", s.here(b.Text))
	command.Dir, command.Env = s.dir, plain(s.dir)
	out, err := command.Output()
	if err != nil {
		s.t.Errorf("%s:%d: %v, want success:\n%s", b.Document, b.Line, err, out)
	}

	return string(out)
}

// Every "sh serve" block starts the program, and every "sh client" block below
// it succeeds and prints something.
func TestSession_EveryBlockRuns(t *testing.T) {
	t.Parallel()
	for _, d := range pages(t) {
		var s *session
		var serve block
		for _, b := range d.blocks() {
			switch b.Kind {
			case "sh serve":
				if serve = b; strings.Contains(b.Text, "demo://3 LB_SESSION_AFFINITY=cookie OTEL_TRACES_EXPORTER=console") {
					serve = block{} // TestQuickStart runs this one
					continue
				}
				s = begin(t, b)
			case "sh client":
				if serve.Text == "" {
					continue
				}
				if s.client(b) == "" {
					t.Errorf("%s:%d prints nothing, want some output", b.Document, b.Line)
				}
			}
		}
	}
}

// quickStart returns the first "sh serve" block of the README with its client
// blocks.
func quickStart(t *testing.T) (serve block, client []block) {
	t.Helper()
	for _, b := range read(t, "README.md").blocks() {
		switch {
		case b.Kind == "sh serve" && serve.Text != "":
			return serve, client
		case b.Kind == "sh serve":
			serve = b
		case b.Kind == "sh client":
			client = append(client, b)
		}
	}

	return serve, client
}

// The quick start shows what the README says: all backends answer, then the
// cookie keeps one, then the trace of the caller has the spans.
func TestQuickStart_ShowsSpreadCookieAndSpans(t *testing.T) {
	t.Parallel()
	serve, client := quickStart(t)
	if len(client) != 3 {
		t.Fatalf("the quick start has %d client blocks, want 3", len(client))
	}

	s := begin(t, serve)

	seen := map[string]bool{}
	for range 5 { // six random picks miss one of three backends often, thirty once in 60,000 runs
		for line := range strings.Lines(s.client(client[0])) {
			seen[line] = true
		}
	}

	if len(seen) != 3 {
		t.Errorf("the first block reaches %v, want 3 backends", seen)
	}

	lines := strings.Fields(s.client(client[1]))
	if len(lines) != 4 {
		t.Fatalf("the second block prints %q, want 4 lines", lines)
	}

	for _, backend := range lines {
		if backend != lines[0] || !strings.HasPrefix(backend, "demo-") {
			t.Errorf("with the cookie the second block prints %q, want the same backend each time", lines)
		}
	}

	const trace = "0af7651916cd43dd8448eb211c80319c"
	if got := s.client(client[2]); !strings.Contains(got, "00-"+trace+"-") || strings.Contains(got, "b7ad6b7169203331") {
		t.Errorf("the third block prints %q, want the trace with another span", got)
	}

	spans := regexp.MustCompile(`(?m)^span .*\b(SERVER|CLIENT)\b.*` + trace)
	for begun := time.Now(); len(spans.FindAllString(s.printed.String(), -1)) != 2; time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("the two spans of the trace are not printed: %s", s.printed.String())
		}
	}
}
