package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-lb/pillion/config"
)

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func httpTo(t *testing.T, url string) sdktrace.SpanExporter {
	t.Helper()
	e, err := newHTTPSpanExporter(t.Context(), &receiver{Receiver: config.Receiver{Endpoint: url + "/v1/traces"}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// loudTracing exports with a log.
func loudTracing(e sdktrace.SpanExporter, l limits) (*Tracing, *lockedBuffer) {
	var said lockedBuffer
	tracing := tracingTo(e, l)
	tracing.processor.delivery.health = &health{logger: slog.New(slog.NewTextHandler(&said, nil)), what: "spans"}
	return tracing, &said
}

// flush exports everything that waits.
func flush(t *testing.T, tracing *Tracing) {
	t.Helper()
	if err := tracing.processor.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDelivery_ConnectionThatBrokeUnseenLosesNothing(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	tracing := tracingTo(httpTo(t, c.server.URL), testLimits)
	endSpan(tracing)
	flush(t, tracing)
	var resets atomic.Int32
	c.misbehave(func(w http.ResponseWriter, _ *http.Request) bool {
		if resets.Add(1) > 1 {
			return false
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return false
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // the peer sees a reset
		_ = conn.Close()
		return true
	})
	endSpan(tracing)
	flush(t, tracing)
	if got := len(c.got()); got != 2 || tracing.Dropped() != 0 || resets.Load() != 2 {
		t.Errorf("%d spans arrived, %d dropped, %d attempts, want 2, 0 and 2", got, tracing.Dropped(), resets.Load())
	}
}

func TestDelivery_RefusedConnectionIsAskedAgainAndSaidOnce(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	c := newCollector(t)
	tracing, said := loudTracing(httpTo(t, "http://"+address), testLimits)
	work(t, tracing)
	request(tracing)
	for !strings.Contains(said.String(), "spans cannot be exported") {
		time.Sleep(time.Millisecond)
	}
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Skip("somebody else took the port: ", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(c.serve)}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
	c.await(t, 1)
	for !strings.Contains(said.String(), "exported again") {
		time.Sleep(time.Millisecond)
	}
	if n := strings.Count(said.String(), "\n"); n != 2 || tracing.Dropped() != 0 {
		t.Errorf("%d lines, %d dropped, want 2 and 0:\n%s", n, tracing.Dropped(), said)
	}
}

func TestDelivery_AccountIsExactWhateverTheCollectorDoes(t *testing.T) {
	t.Parallel()
	for name, behave := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"hangs": func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
		"slow down": func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		},
		"refuses": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadRequest); return true },
		"breaks":  func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"works":   func(http.ResponseWriter, *http.Request) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t)
			c.misbehave(behave)
			l := limits{queue: 64, batch: 16, delay: longestWait, timeout: time.Second} // far above what a busy machine delays
			tracing, said := loudTracing(httpTo(t, c.server.URL), l)
			stop := work(t, tracing)
			const ended = 400
			for range ended {
				begun := time.Now()
				request(tracing)
				if took := time.Since(begun); took > l.timeout/2 {
					t.Errorf("a request took %v", took)
				}
				time.Sleep(time.Millisecond / 4)
			}
			stop()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = tracing.shutdown(ctx)
			arrived, dropped := len(c.got()), tracing.Dropped()
			if arrived+int(dropped) != ended || name == "works" && dropped != 0 || name != "works" && arrived != 0 {
				t.Errorf("%d arrived and %d dropped of %d", arrived, dropped, ended)
			}
			if n := strings.Count(said.String(), "\n"); n > 1 || name == "works" && n > 0 {
				t.Errorf("said %d times:\n%s", n, said)
			}
		})
	}
}

func TestDelivery_PartialSuccessCountsWhatWasRejected(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	c.misbehave(func(w http.ResponseWriter, _ *http.Request) bool {
		raw, _ := proto.Marshal(&coltracepb.ExportTraceServiceResponse{
			PartialSuccess: &coltracepb.ExportTracePartialSuccess{RejectedSpans: 2, ErrorMessage: "too old"},
		})
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(raw)
		return true
	})
	tracing := tracingTo(httpTo(t, c.server.URL), testLimits)
	for range 5 {
		endSpan(tracing)
	}
	flush(t, tracing)
	if tracing.Dropped() != 2 || c.requests != 1 {
		t.Errorf("%d spans dropped in %d requests, want 2 in 1", tracing.Dropped(), c.requests)
	}
}

func TestDelivery_DeadCollectorOverGRPCIsAskedAgain(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	address := c.listenGRPC(t)
	e, err := newGRPCSpanExporter(t.Context(), &receiver{Receiver: config.Receiver{Endpoint: "http://" + address}})
	if err != nil {
		t.Fatal(err)
	}
	c.server.Close()
	tracing := tracingTo(e, testLimits)
	for range 20 {
		endSpan(tracing)
	}
	flush(t, tracing)
	if n := len(c.got()); n != 20 {
		t.Errorf("%d spans arrived, want 20", n)
	}
}

func TestDelivery_ResourceIsCompletedLate(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	tracing := tracingTo(httpTo(t, c.server.URL), testLimits)
	late := newLateResource(resource.NewSchemaless(attributes[0]), true)
	tracing.processor.delivery.resource = late
	late.complete(slices.Clone(attributes[:2]))
	endSpan(tracing)
	flush(t, tracing)
	if got := c.resources[0].Attributes; len(got) != 2 {
		t.Errorf("resource %v, want two attributes", got)
	}
}
