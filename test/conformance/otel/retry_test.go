package otel

import (
	"net/http"
	"regexp"
	"slices"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

func TestCollector_ARetryIsThreeSpansOverBothTransports(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			retry(t, protocol)
		})
	}
}

// retry sends requests until one was retried. It checks that request in the
// Collector, in the log and at the backends.
func retry(t *testing.T, protocol string) {
	c := startCollector(t)
	endpoint := map[string]string{"grpc": c.GRPC, "http/protobuf": c.HTTP}[protocol]
	broken := backend.StartScript(t, "broken", func(backend.Request) string { return "" })
	good := backend.StartScript(t, "good", func(backend.Request) string { return backend.Answer(200, "ok") })

	p := pillion.Start(t, "LB_BACKENDS="+broken.Target("weight=256")+";"+good.Target(), "LB_EJECT_ERRORS=0",
		"LB_EJECT_RATE=0",
		"LB_ACCESS_LOG=on", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
		"OTEL_METRIC_EXPORT_INTERVAL=200", "OTEL_SERVICE_NAME=front")
	for range 50 {
		response, err := http.Get(p.URL("/retried"))
		if err != nil {
			t.Fatal(err)
		}

		_ = response.Body.Close()
		if broken.Requests.Len() > 0 {
			break
		}
	}

	first, second := parent(t, broken.Requests.All()[0]), parent(t, good.Requests.All()[good.Requests.Len()-1])
	server, clients := c.trace(t, first[0])
	if server.ParentSpanID().String() != "" || len(clients) != 2 {
		t.Fatalf("the server span's parent is %q, and it has %d client spans", server.ParentSpanID(), len(clients))
	}

	for i, seen := range [][2]string{first, second} {
		s := clients[i]
		if s.ParentSpanID() != server.SpanID() || s.SpanID().String() != seen[1] || s.TraceID().String() != seen[0] {
			t.Errorf("attempt %d: span %s below %s, and the backend saw %q", i, s.SpanID(), s.ParentSpanID(), seen)
		}
	}

	wantString(t, clients[0], "lb.pick.reason", "random")
	wantString(t, clients[0], "error.type", "no_answer")
	wantString(t, clients[1], "lb.pick.reason", "retry")
	wantString(t, clients[1], "lb.backend.name", "good")
	line := p.Line("of the retried request", func(l binary.Line) bool {
		return l.String("logging.googleapis.com/trace") == first[0]
	})
	if line.String("logging.googleapis.com/spanId") != server.SpanID().String() || line.Fields["attempts"] != 2.0 {
		t.Errorf("the log says %s, want the span %s", line.Text, server.SpanID())
	}

	for _, service := range c.services.All() {
		if service != "front" {
			t.Errorf("service.name %q", service)
		}
	}

	await.Until(t, "metrics arrive",
		func() bool { return slices.Contains(c.metrics.All(), "http.server.request.duration") })
}

// parent is the trace and the span that a backend received.
func parent(t *testing.T, r backend.Request) [2]string {
	t.Helper()
	m := regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-01$`).FindStringSubmatch(r.Fields("Traceparent")[0])
	if m == nil {
		t.Fatalf("the backend saw %q", r.Fields("Traceparent"))
	}

	return [2]string{m[1], m[2]}
}

// trace waits for the three spans of a trace. It returns them with the client
// spans in order.
func (c *collector) trace(t *testing.T, id string) (server ptrace.Span, clients []ptrace.Span) {
	t.Helper()
	server = ptrace.NewSpan()
	if !c.spans.Wait(await.Limit, nil, func(all []ptrace.Span) bool {
		clients = nil
		servers := 0
		for _, s := range all {
			switch {
			case s.TraceID().String() != id:
			case s.Kind() == ptrace.SpanKindServer:
				server = s
				servers++
			default:
				clients = append(clients, s)
			}
		}

		return servers == 1 && len(clients) >= 2
	}) {
		t.Fatalf("the Collector has %d client spans of the trace %s", len(clients), id)
	}

	slices.SortFunc(clients, func(a, b ptrace.Span) int { return int(a.StartTimestamp()) - int(b.StartTimestamp()) })
	return server, clients
}

func wantString(t *testing.T, s ptrace.Span, name, want string) {
	t.Helper()
	if got, _ := s.Attributes().Get(name); got.AsString() != want {
		t.Errorf("%s is %q, want %q", name, got.AsString(), want)
	}
}
