package backend

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// workerVariable turns the test binary into a worker. Its value is the worker's
// name.
const workerVariable = "PILLION_TEST_WORKER"

// NumberField has the number of a request, which a worker reports.
const NumberField = "Number"

// Worker is a backend in its own process. It reports every request before it
// handles it, so that its requests are known even if it is killed meanwhile.
// Query parameters control the answer: "wait" is the time before the answer,
// "long" the time in the middle of its body, "control" its Cache-Control.
type Worker struct {
	Name    string
	Address string
	Seen    await.Values[string] // the numbers of the requests that its handler received

	process *exec.Cmd
	read    chan struct{} // closed when all reports are in Seen
}

// RunWorker runs the worker if the process is one, and does not return then.
// TestMain calls it first.
func RunWorker() {
	name := os.Getenv(workerVariable)
	if name == "" {
		return
	}

	l, err := net.Listen("tcp", os.Getenv(workerVariable+"_ADDRESS"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}

	fmt.Println(l.Addr())
	go func() { // the pipe is closed when the parent ends, for any reason
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)

	server := &http.Server{Protocols: &protocols, ErrorLog: quiet,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// a single write is atomic
			_, _ = os.Stdout.WriteString(r.Header.Get(NumberField) + "\n")
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set(NameField, name)
			work(w, r)
		})}
	ended := make(chan struct{})

	go func() { // stop as an app does that gets SIGTERM
		defer close(ended)
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGTERM)
		<-told
		_ = server.Shutdown(context.Background())
	}()
	if err := server.Serve(l); errors.Is(err, http.ErrServerClosed) {
		<-ended
	}

	os.Exit(0)
}

// Long is the body of an answer with a pause in its middle.
var Long = strings.Repeat("0123456789abcdef", 64)

func work(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if control := query.Get("control"); control != "" {
		w.Header().Set("Cache-Control", control)
	}
	if d, err := time.ParseDuration(query.Get("wait")); err == nil {
		time.Sleep(d)
	}

	d, err := time.ParseDuration(query.Get("long"))
	if err != nil {
		_, _ = io.WriteString(w, "done")
		return
	}

	w.Header().Set("Content-Length", fmt.Sprint(len(Long)))
	_, _ = io.WriteString(w, Long[:100])
	_ = http.NewResponseController(w).Flush()
	time.Sleep(d)
	_, _ = io.WriteString(w, Long[100:])
}

// StartWorker starts a worker on address ("127.0.0.1:0" for a new one) and
// waits until it listens.
func StartWorker(tb testing.TB, name, address string) *Worker {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}

	cmd := exec.Command(self)
	cmd.Env = []string{workerVariable + "=" + name, workerVariable + "_ADDRESS=" + address}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}

	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}

	w := &Worker{Name: name, process: cmd, read: make(chan struct{})}
	reports := bufio.NewScanner(stdout)
	if reports.Scan() {
		w.Address = reports.Text()
	}

	go func() {
		defer close(w.read)
		for reports.Scan() {
			w.Seen.Add(reports.Text())
		}
	}()
	tb.Cleanup(func() {
		_ = stdin.Close()
		w.Kill()
	})
	if w.Address == "" {
		tb.Fatalf("worker %s did not start", name)
	}

	return w
}

// Kill kills the process, which closes its connections and its port, and reads
// its last reports. It may be called twice.
func (w *Worker) Kill() {
	_ = w.process.Process.Kill()
	<-w.read
	_ = w.process.Wait()
}

// Gone returns a channel that is closed when the process has ended and its last
// report has been read.
func (w *Worker) Gone() <-chan struct{} { return w.read }

// Stop freezes the process. The kernel still accepts connections for it, but
// nothing answers.
func (w *Worker) Stop() error { return w.process.Process.Signal(syscall.SIGSTOP) }

// Leave sends SIGTERM to the process, as platforms do. The process finishes its
// requests and closes its connections.
func (w *Worker) Leave() error { return w.process.Process.Signal(syscall.SIGTERM) }

// Target returns the worker as an item of LB_BACKENDS.
func (w *Worker) Target(options ...string) string {
	return Target("http://"+w.Address, w.Name, options...)
}
