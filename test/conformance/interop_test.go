package conformance

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// caseVariable makes the test binary run one case, because grpc-go's cases end
// their process when they fail. Its value is the case's name. The second
// variable is the address to call.
const (
	caseVariable    = "PILLION_INTEROP_CASE"
	addressVariable = "PILLION_INTEROP_ADDRESS"
)

// runInteropCase runs the case if the process was started for one. Otherwise it
// returns.
func runInteropCase() {
	name := os.Getenv(caseVariable)
	if name == "" {
		return
	}

	for _, c := range interopCases {
		if c.name != name {
			continue
		}

		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		conn := dial(os.Getenv(addressVariable))
		if err := c.run(ctx, testgrpc.NewTestServiceClient(conn), conn); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}

		os.Exit(0)
	}

	fmt.Fprintln(os.Stderr, "no such case:", name)
	os.Exit(1)
}

// sayDeadline sends the remaining time of a unary call in x-deadline-seen.
func sayDeadline(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if at, ok := ctx.Deadline(); ok {
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-deadline-seen", time.Until(at).String()))
	}
	return next(ctx, req)
}

// serveInterop serves grpc-go's interoperability service.
func serveInterop(t *testing.T, l net.Listener) *grpc.Server {
	t.Helper()
	s := grpc.NewServer(grpc.UnaryInterceptor(sayDeadline))
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})

	return s
}

// TestInterop_EveryCasePasses runs every case in clear text, with HTTP/2 to the
// backend for either reason: the target is h2c, or LB_PROTOCOL=auto detects a
// gRPC request.
func TestInterop_EveryCasePasses(t *testing.T) {
	for _, scheme := range []string{"h2c", "http"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			l := backend.Listen(t)
			serveInterop(t, l)
			p := pillion.Start(t, "LB_BACKENDS="+scheme+"://"+l.Addr().String())
			for _, c := range interopCases {
				t.Run(c.name, func(t *testing.T) { runCase(t, c.name, p.Address) })
			}
		})
	}
}

func TestInterop_WithoutABackendACallIsUnavailable(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_BACKENDS=h2c://"+backend.Closed(t), "LB_START_HOLD=0s")
	runInProcess(t, p.Address, wantUnavailable)
}

func runCase(t *testing.T, name, address string) {
	t.Helper()
	if err := tryCase(t.Context(), name, address); err != nil {
		t.Error(err)
	}
}

// tryCase runs a case in a new process. It returns the output if the case
// fails.
func tryCase(ctx context.Context, name, address string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}

	cmd := exec.CommandContext(ctx, self)
	cmd.Env = []string{caseVariable + "=" + name, addressVariable + "=" + address}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(out.String()))
	}

	return nil
}

// runInProcess runs a case that returns an error instead of ending the process.
func runInProcess(t *testing.T, address string,
	run func(context.Context, testgrpc.TestServiceClient, *grpc.ClientConn) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn := dial(address)
	defer conn.Close()
	if err := run(ctx, testgrpc.NewTestServiceClient(conn), conn); err != nil {
		t.Error(err)
	}
}
