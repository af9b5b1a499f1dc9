package telemetry

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// collector is a real OTLP receiver, over HTTP and gRPC, that can be told to
// misbehave.
type collector struct {
	coltracepb.UnimplementedTraceServiceServer
	server *httptest.Server

	mu        sync.Mutex
	behave    func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	spans     []*tracepb.Span
	resources []*resourcepb.Resource
	requests  int
	arrived   chan struct{} // one token per accepted request
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{arrived: make(chan struct{}, 10_000)}
	c.server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.server.Close)
	return c
}

func (c *collector) misbehave(f func(w http.ResponseWriter, r *http.Request) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.behave = f
}

func (c *collector) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	c.mu.Lock()
	c.requests++
	behave := c.behave
	c.mu.Unlock()
	if behave != nil && behave(w, r) {
		return
	}
	var request coltracepb.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	answer, _ := c.Export(r.Context(), &request)
	raw, _ := proto.Marshal(answer)
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(raw)
}

// Export is the gRPC service.
func (c *collector) Export(
	_ context.Context, request *coltracepb.ExportTraceServiceRequest,
) (*coltracepb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range request.ResourceSpans {
		c.resources = append(c.resources, rs.Resource)
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
	c.arrived <- struct{}{}
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

func (c *collector) listenGRPC(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func (c *collector) got() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*tracepb.Span(nil), c.spans...)
}

// await waits for n spans.
func (c *collector) await(t *testing.T, n int) []*tracepb.Span {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if spans := c.got(); len(spans) >= n {
			return spans
		}
		select {
		case <-c.arrived:
		case <-deadline:
			t.Fatalf("%d of %d spans arrived", len(c.got()), n)
		}
	}
}
