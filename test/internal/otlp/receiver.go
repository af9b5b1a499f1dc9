// Package otlp is an OpenTelemetry collector for tests. It receives spans over
// OTLP/HTTP in protobuf or over OTLP/gRPC, and returns them by trace.
package otlp

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// Receiver is a running collector.
type Receiver struct {
	Endpoint string // for OTEL_EXPORTER_OTLP_ENDPOINT
	protocol string // for OTEL_EXPORTER_OTLP_PROTOCOL
	spans    await.Values[*Span]
	instead  atomic.Pointer[http.HandlerFunc]
}

// Span has the parts of a span that tests read. Ids are in hex.
type Span struct {
	Trace, ID, Parent string
	State             string // the W3C tracestate
	Name              string
	Server            bool // the kind is SERVER
	Client            bool
	Start, End        time.Time
	Failed            bool // status Error
	Attributes        map[string]any
	Resource          map[string]any
	Schema            string // schema URL of the instrumentation scope
	Events            []string
	Links             []string // ids of spans
}

// Start receives spans until the test ends. Metrics and logs are accepted and
// discarded.
func Start(tb testing.TB) *Receiver {
	tb.Helper()
	return StartAt(tb, nil)
}

// StartAt is Start with a listener that the test has opened, or nil.
func StartAt(tb testing.TB, l net.Listener) *Receiver {
	tb.Helper()
	r := &Receiver{protocol: "http/protobuf"}
	mux := http.NewServeMux()

	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, req *http.Request) {
		if other := r.instead.Load(); other != nil {
			// net/http notices a disconnect only after the body was read
			_, _ = io.Copy(io.Discard, req.Body)
			(*other)(w, req)
			return
		}

		if err := r.receive(req); err != nil {
			tb.Errorf("the collector can't read an export: %v", err)
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /v1/metrics", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewUnstartedServer(mux)
	if l != nil {
		_ = server.Listener.Close()
		server.Listener = l
	}

	server.Start()
	tb.Cleanup(server.Close)
	tb.Cleanup(server.CloseClientConnections)
	r.Endpoint = server.URL

	return r
}

// Instead makes another handler answer the exports of spans from now on. With
// nil, r answers them again. Spans that the other handler gets never count as
// received.
func (r *Receiver) Instead(other http.HandlerFunc) {
	if other == nil {
		r.instead.Store(nil)
		return
	}
	r.instead.Store(&other)
}

// receive decodes one export. ExportTraceServiceRequest is encoded as
// TracesData is.
func (r *Receiver) receive(req *http.Request) error {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unzipped
	}

	raw, err := io.ReadAll(body)
	if err != nil {
		return err
	}

	var data trace.TracesData
	if err := proto.Unmarshal(raw, &data); err != nil {
		return err
	}

	r.take(data.ResourceSpans)
	return nil
}

func (r *Receiver) take(resources []*trace.ResourceSpans) {
	for _, resource := range resources {
		about := attributes(resource.Resource.GetAttributes())
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				one := span(s, about)
				one.Schema = scope.SchemaUrl
				r.spans.Add(one)
			}
		}
	}
}

func span(s *trace.Span, resource map[string]any) *Span {
	out := &Span{
		Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
		State: s.TraceState, Name: s.Name,
		Server: s.Kind == trace.Span_SPAN_KIND_SERVER, Client: s.Kind == trace.Span_SPAN_KIND_CLIENT,
		Start: time.Unix(0, int64(s.StartTimeUnixNano)), End: time.Unix(0, int64(s.EndTimeUnixNano)),
		Failed:     s.Status.GetCode() == trace.Status_STATUS_CODE_ERROR,
		Attributes: attributes(s.Attributes), Resource: resource,
	}
	for _, e := range s.Events {
		out.Events = append(out.Events, e.Name)
	}
	for _, l := range s.Links {
		out.Links = append(out.Links, hex.EncodeToString(l.SpanId))
	}

	return out
}

// attributes returns values with Go's types string, bool, int64 and float64.
// Lists are left out.
func attributes(list []*common.KeyValue) map[string]any {
	out := make(map[string]any, len(list))
	for _, kv := range list {
		switch v := kv.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[kv.Key] = v.StringValue
		case *common.AnyValue_BoolValue:
			out[kv.Key] = v.BoolValue
		case *common.AnyValue_IntValue:
			out[kv.Key] = v.IntValue
		case *common.AnyValue_DoubleValue:
			out[kv.Key] = v.DoubleValue
		}
	}

	return out
}

// Trace waits until at least n spans of a trace have arrived. It returns all
// that have, by their start time.
func (r *Receiver) Trace(tb testing.TB, id string, n int) []*Span {
	tb.Helper()
	var found []*Span
	if !r.spans.Wait(await.Limit, nil, func(all []*Span) bool {
		found = nil
		for _, s := range all {
			if s.Trace == id {
				found = append(found, s)
			}
		}
		return len(found) >= n
	}) {
		tb.Fatalf("%d spans of trace %s arrived, want %d", len(found), id, n)
	}

	return sorted(found)
}

// All returns all spans so far.
func (r *Receiver) All() []*Span { return r.spans.All() }

// Len returns the number of spans so far.
func (r *Receiver) Len() int { return r.spans.Len() }

// Environment returns variables that make a process send its spans here, soon
// after they end.
func (r *Receiver) Environment() []string {
	return []string{
		"OTEL_TRACES_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=none", "OTEL_EXPORTER_OTLP_PROTOCOL=" + r.protocol,
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.Endpoint, "OTEL_BSP_SCHEDULE_DELAY=50",
	}
}
