package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// serviceVariable turns the test binary into an interoperability service. Its
// value is the name that the service sends in nameKey.
const (
	serviceVariable = "PILLION_INTEROP_SERVICE"
	nameKey         = "x-backend"
)

// runInteropService runs the service if the process is one. Otherwise it
// returns.
func runInteropService() {
	name := os.Getenv(serviceVariable)
	if name == "" {
		return
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}

	fmt.Println(l.Addr())
	go func() { // the parent's end of this pipe closes however the parent ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	s := grpc.NewServer(grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo,
		next grpc.StreamHandler) error {
		_ = stream.SetHeader(metadata.Pairs(nameKey, name))
		return next(srv, stream)
	}), grpc.UnaryInterceptor(sayDeadline))
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	_ = s.Serve(l)
	os.Exit(1)
}

// services starts n services as processes and returns LB_BACKENDS' items.
func services(t *testing.T, scheme string, n int) ([]*exec.Cmd, *published) {
	t.Helper()
	var processes []*exec.Cmd
	var targets []string

	for i := range n {
		name := string(rune('a' + i))
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}

		cmd := exec.Command(self)
		cmd.Env = []string{serviceVariable + "=" + name}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}

		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}

		t.Cleanup(func() { _ = stdin.Close(); end(cmd) })
		address, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}

		processes = append(processes, cmd)
		targets = append(targets, scheme+"://"+strings.TrimSpace(address)+"?name="+name)
	}

	list, err := publish(targets)
	if err != nil {
		t.Fatal(err)
	}

	return processes, list
}

// keepChanging publishes one list after the other until stop is called.
func (p *published) keepChanging() (stop func()) {
	ended, done := make(chan os.Signal), make(chan struct{})
	go func() {
		defer close(done)
		changes.run(ended, p, nil)
	}()
	return sync.OnceFunc(func() { close(ended); <-done })
}

// TestInterop_EveryCasePassesWhileBackendsChange runs the cases in parallel
// while the list of backends changes many times a second. A backend that leaves
// the list finishes its calls.
func TestInterop_EveryCasePassesWhileBackendsChange(t *testing.T) {
	for _, scheme := range []string{"h2c", "http"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			_, list := services(t, scheme, 3)
			p := pillion.Start(t, list.environment())
			t.Cleanup(list.keepChanging())

			t.Run("cases", func(t *testing.T) {
				for _, c := range interopCases {
					t.Run(c.name, func(t *testing.T) {
						t.Parallel()
						runCase(t, c.name, p.Address)
					})
				}
			})
		})
	}
}

// noticed is how long after the death of a backend calls may still be sent to
// it.
const noticed = 200 * time.Millisecond

// TestInterop_ABackendsDeathEndsItsCallsOnly kills one of three backends in the
// middle of streams, calls and cases.
func TestInterop_ABackendsDeathEndsItsCallsOnly(t *testing.T) {
	for _, scheme := range []string{"h2c", "http"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			processes, list := services(t, scheme, 3)
			p := pillion.Start(t, list.environment())
			conn := dial(p.Address)
			t.Cleanup(func() { _ = conn.Close() })
			client := testgrpc.NewTestServiceClient(conn)
			ctx, cancel := context.WithTimeout(t.Context(), 2*await.Limit)
			t.Cleanup(cancel)
			streams := openStreams(ctx, t, client, 30)
			traffic := startTraffic(ctx, client, p.Address)
			traffic.after(t, 300)
			died := time.Now()
			_ = processes[1].Process.Kill()
			judgeStreams(t, streams, "b")
			traffic.after(t, 300)
			traffic.judge(t, died)
		})
	}
}

// stream is a call in both directions with one answer so far.
type stream struct {
	grpc.BidiStreamingClient[testgrpc.StreamingOutputCallRequest, testgrpc.StreamingOutputCallResponse]
	backend string
}

func (s stream) ping() error {
	err := s.Send(&testgrpc.StreamingOutputCallRequest{
		ResponseParameters: []*testgrpc.ResponseParameters{{Size: 10}},
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = s.Recv() // which says why a Send failed, too
	return err
}

// silent sends nothing more and returns the result.
func (s stream) silent() error {
	_, err := s.Recv()
	return err
}

func openStreams(ctx context.Context, t *testing.T, c testgrpc.TestServiceClient, n int) (all []stream) {
	t.Helper()
	for range n {
		s, err := c.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}

		one := stream{BidiStreamingClient: s}
		if err := one.ping(); err != nil {
			t.Fatal(err)
		}

		head, err := s.Header()
		if err != nil {
			t.Fatal(err)
		}

		one.backend = strings.Join(head.Get(nameKey), "")
		all = append(all, one)
	}

	return all
}

// judgeStreams checks that the streams of the killed backend end with
// UNAVAILABLE, and that all others get an answer and end normally.
func judgeStreams(t *testing.T, all []stream, dead string) {
	t.Helper()
	ended := 0
	for _, s := range all {
		if s.backend == dead {
			ended++
			if err := s.silent(); status.Code(err) != codes.Unavailable {
				t.Errorf("a stream of the dead backend ends with %v", err)
			}
			continue
		}

		err := errors.Join(s.ping(), s.CloseSend())
		if _, end := s.Recv(); err != nil || !errors.Is(end, io.EOF) {
			t.Errorf("a stream of %s: %v, then %v", s.backend, err, end)
		}
	}

	t.Logf("%d of %d streams were on the dead backend", ended, len(all))
	if ended == 0 || ended == len(all) {
		t.Error("the death hit none, or all, so it proves nothing")
	}
}

// traffic runs calls and cases until judge.
type traffic struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	ended   await.Values[attempt]
}

// attempt is one call, or one case.
type attempt struct {
	what  string
	began time.Time
	err   error
}

func startTraffic(ctx context.Context, c testgrpc.TestServiceClient, address string) *traffic {
	l := &traffic{}
	going, cancel := context.WithCancel(ctx)
	l.cancel = cancel

	repeat := func(what string, one func(i int) error) {
		l.running.Go(func() {
			for i := 0; going.Err() == nil; i++ {
				began := time.Now()
				l.ended.Add(attempt{what, began, one(i)})
			}
		})
	}
	for range 4 {
		repeat("a call", func(int) error {
			_, err := c.EmptyCall(ctx, &testgrpc.Empty{})
			return err
		})
	}

	repeat("a case", func(i int) error {
		return tryCase(ctx, interopCases[i%len(interopCases)].name, address)
	})
	return l
}

// after waits for n more calls.
func (l *traffic) after(t *testing.T, n int) {
	t.Helper()
	n += l.ended.Len()
	if !l.ended.Wait(await.Limit, nil, func(all []attempt) bool { return len(all) >= n }) {
		t.Fatal("the calls do not go on")
	}
}

// judge ends the traffic. Calls that were in progress at the death may have
// ended with UNAVAILABLE. No other call may have failed, with one exception: a
// case whose stream has no answer yet and whose caller sends nothing more. It
// ends only at its deadline, because net/http's client waits for the next byte
// of a request before it ends the calls of a lost connection.
func (l *traffic) judge(t *testing.T, died time.Time) {
	t.Helper()
	l.cancel()
	l.running.Wait()

	hit, cases := 0, 0
	for _, a := range l.ended.All() {
		if a.what == "a case" {
			cases++
		}
		if a.err == nil {
			continue
		}

		hit++
		known := strings.Contains(a.err.Error(), "Unavailable")
		if !known || a.began.After(died.Add(noticed)) {
			t.Errorf("%s that began %v after the death: %v", a.what, a.began.Sub(died), a.err)
		}
	}

	t.Logf("%d calls and cases, %d of them cases, %d ended UNAVAILABLE", l.ended.Len(), cases, hit)
}
