package otlp

import (
	"context"
	"net"
	"testing"

	service "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// StartGRPC is Start over OTLP/gRPC.
func StartGRPC(tb testing.TB) *Receiver {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}

	return ServeGRPC(tb, l)
}

// ServeGRPC is StartGRPC with a listener that the test has opened.
func ServeGRPC(tb testing.TB, l net.Listener) *Receiver {
	tb.Helper()

	r := &Receiver{protocol: "grpc", Endpoint: "http://" + l.Addr().String()}
	server := grpc.NewServer()
	service.RegisterTraceServiceServer(server, traces{receiver: r})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	tb.Cleanup(func() {
		server.Stop()
		<-done
	})

	return r
}

// traces is the gRPC service that receives spans.
type traces struct {
	service.UnimplementedTraceServiceServer
	receiver *Receiver
}

// Export receives one export.
func (t traces) Export(
	_ context.Context, r *service.ExportTraceServiceRequest,
) (*service.ExportTraceServiceResponse, error) {
	t.receiver.take(r.ResourceSpans)
	return &service.ExportTraceServiceResponse{}, nil
}
