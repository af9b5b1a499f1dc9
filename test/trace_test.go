package test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/otlp"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// traceparent is the W3C field in its four parts.
var traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$`)

// caller is the trace context of a client.
type caller struct{ Trace, Span string }

func newCaller() caller {
	id := make([]byte, 24)
	_, _ = rand.Read(id)
	id[0] |= 1
	id[16] |= 1
	return caller{Trace: hex.EncodeToString(id[:16]), Span: hex.EncodeToString(id[16:])}
}

// Field returns the caller's traceparent field, with the sampled flag.
func (c caller) Field() string { return "00-" + c.Trace + "-" + c.Span + "-01" }

// traced starts Pillion with a receiver for its spans, and with one backend
// that records requests.
func traced(t *testing.T, env ...string) (*binary.Process, *backend.Raw, *otlp.Receiver) {
	t.Helper()
	receiver := otlp.Start(t)
	raw := backend.StartScript(t, "one", func(backend.Request) string { return backend.Answer(200, "ok") })
	env = append(receiver.Environment(), env...)
	return pillion.Start(t, append(env, raw.Environment()+spare)...), raw, receiver
}

// parentSeen returns the trace id and the parent id that a backend received.
func parentSeen(t *testing.T, r backend.Request) (trace, parent string) {
	t.Helper()
	fields := r.Fields("Traceparent")
	if len(fields) != 1 {
		t.Fatalf("the backend saw the traceparents %q, want one", fields)
	}

	m := traceparent.FindStringSubmatch(fields[0])
	if m == nil {
		t.Fatalf("the backend saw the traceparent %q", fields[0])
	}

	return m[1], m[2]
}

func TestTrace_EveryHopIsNested(t *testing.T) {
	t.Parallel()
	p, raw, receiver := traced(t, "OTEL_SERVICE_NAME=front")

	client := newClient(t)
	for i := range 5 {
		c := newCaller()
		wantStatus(t, get(t, client, p.URL("/path?q=1"), "Traceparent", c.Field(), "Tracestate", "vendor=1"), http.StatusOK)
		trace, parent := parentSeen(t, raw.Requests.All()[i])
		spans := receiver.Trace(t, c.Trace, 2)
		servers, clients := otlp.Split(spans)
		if len(spans) != 2 || len(servers) != 1 || len(clients) != 1 {
			t.Fatalf("%d spans, %d of a server and %d of a client, want one each", len(spans), len(servers), len(clients))
		}

		if trace != c.Trace || servers[0].Parent != c.Span || clients[0].Parent != servers[0].ID || parent != clients[0].ID {
			t.Errorf("caller %v, server %+v, client %+v, backend's parent %s", c, servers[0], clients[0], parent)
		}
		if clients[0].Start.Before(servers[0].Start) || clients[0].End.After(servers[0].End) {
			t.Errorf("the client span %v-%v is not inside the server span %v-%v", clients[0].Start, clients[0].End,
				servers[0].Start, servers[0].End)
		}

		if state := raw.Requests.All()[i].Fields("Tracestate"); !slices.Equal(state, []string{"vendor=1"}) {
			t.Errorf("the backend saw the tracestate %q", state)
		}
		if got := servers[0].Resource["service.name"]; got != "front" {
			t.Errorf("service.name %v", got)
		}
	}
}

func TestTrace_ARequestWithoutAParentBeginsATrace(t *testing.T) {
	t.Parallel()
	p, raw, receiver := traced(t)
	client := newClient(t)

	seen := map[string]bool{}
	for i := range 5 {
		wantStatus(t, get(t, client, p.URL("/")), http.StatusOK)
		trace, parent := parentSeen(t, raw.Requests.All()[i])
		servers, clients := otlp.Split(receiver.Trace(t, trace, 2))
		if len(servers) != 1 || len(clients) != 1 || servers[0].Parent != "" || clients[0].ID != parent {
			t.Errorf("server %+v, client %+v, backend's parent %s", servers, clients, parent)
		}

		seen[trace] = true
	}

	if len(seen) != 5 {
		t.Errorf("five requests made %d traces", len(seen))
	}
}

// Protobuf has only text that is UTF-8: a collector refuses a whole export for
// one byte that is not.
func TestTrace_NoBytesOfAClientSpoilAnExport(t *testing.T) {
	t.Parallel()
	p, _, receiver := traced(t)
	for target, agent := range map[string]string{"/a%ffb": "plain", "/plain": "a\xff\xfeb"} {
		c := newCaller()
		conn := wire.Dial(t, p.Address)
		conn.Get(target, "User-Agent: "+agent, "Traceparent: "+c.Field())
		conn.Head()
		servers, clients := otlp.Split(receiver.Trace(t, c.Trace, 2))
		if len(servers) != 1 || len(clients) != 1 {
			t.Errorf("%s %q: %d spans of a server and %d of a client", target, agent, len(servers), len(clients))
		}
	}
}

func TestTrace_InvalidContextIsReplacedAndNeverForwarded(t *testing.T) {
	t.Parallel()
	p, raw, _ := traced(t)
	c := wire.Dial(t, p.Address)

	good := newCaller()
	for _, fields := range [][]string{
		{"traceparent: x"},
		{"traceparent: "},
		{"traceparent: 00-" + strings.Repeat("0", 32) + "-" + good.Span + "-01"},
		{"traceparent: 00-" + good.Trace + "-" + strings.Repeat("0", 16) + "-01"},
		{"traceparent: ff-" + good.Trace + "-" + good.Span + "-01"},
		{"traceparent: 00-" + strings.ToUpper(good.Trace[:31]) + "Z-" + good.Span + "-01"},
		{"traceparent: " + good.Field() + "-extra"},
		{"traceparent: " + newCaller().Field(), "traceparent: " + newCaller().Field()},
		{"traceparent: broken", "tracestate: orphan=1"},
		{"tracestate: orphan=1"},
	} {
		n := raw.Requests.Len()
		c.Get("/", fields...)
		if r, _ := c.Response("GET"); r.StatusCode != http.StatusOK {
			t.Fatalf("%q: status %d", fields, r.StatusCode)
		}

		seen := raw.Requests.All()[n]
		trace, _ := parentSeen(t, seen)
		if trace == good.Trace || strings.Contains(strings.Join(fields, " "), trace) {
			t.Errorf("%q: the backend saw the trace %s", fields, trace)
		}

		if state := seen.Fields("Tracestate"); len(state) != 0 {
			t.Errorf("%q: the backend saw the tracestate %q", fields, state)
		}
	}
}

func TestTrace_ARetryIsASecondClientSpan(t *testing.T) {
	t.Parallel()
	receiver := otlp.Start(t)
	broken := silent(t)
	good := backend.StartScript(t, "good", func(backend.Request) string { return backend.Answer(200, "ok") })
	env := append(receiver.Environment(), calm...)
	p := pillion.Start(t, append(env, "LB_BACKENDS="+broken.Target("weight=256")+";"+good.Target("weight=1"))...)
	client := newClient(t)

	retried := 0
	for range 10 {
		tries, hits := broken.Requests.Len(), good.Requests.Len()
		c := newCaller()
		wantStatus(t, get(t, client, p.URL("/"), "Traceparent", c.Field()), http.StatusOK)
		if broken.Requests.Len() == tries {
			continue
		}

		retried++
		spans := receiver.Trace(t, c.Trace, 3)
		servers, clients := otlp.Split(spans)
		if len(spans) != 3 || len(servers) != 1 || len(clients) != 2 {
			t.Fatalf("%d spans, %d servers, %d clients", len(spans), len(servers), len(clients))
		}

		_, first := parentSeen(t, broken.Requests.All()[tries])
		_, second := parentSeen(t, good.Requests.All()[hits])
		if clients[0].ID != first || clients[1].ID != second || first == second {
			t.Errorf("the backends' parents %s and %s are not the client spans %s and %s", first, second, clients[0].ID,
				clients[1].ID)
		}

		if clients[0].Parent != servers[0].ID || clients[1].Parent != servers[0].ID {
			t.Error("an attempt is not a child of the server span")
		}
		if _, ok := clients[0].Attributes["http.request.resend_count"]; ok {
			t.Error("the first attempt has a resend count")
		}

		if got := clients[1].Attributes["http.request.resend_count"]; got != int64(1) {
			t.Errorf("the second attempt's resend count is %v", got)
		}
		if !clients[0].Failed || clients[0].Attributes["error.type"] == nil || clients[1].Failed || servers[0].Failed {
			t.Errorf("failed: %v %v %v, error.type %v", clients[0].Failed, clients[1].Failed, servers[0].Failed,
				clients[0].Attributes["error.type"])
		}
	}

	if retried == 0 {
		t.Error("no request was retried")
	}
}

func TestTrace_AttributesFollowTheConventions(t *testing.T) {
	t.Parallel()
	p, raw, receiver := traced(t)
	c := newCaller()
	get(t, newClient(t), p.URL("/path/x%3Fy%20%2f?q=1"), "Traceparent", c.Field(), "User-Agent", "probe/1", "Host",
		"shop.example:8443")
	servers, clients := otlp.Split(receiver.Trace(t, c.Trace, 2))

	wantAttributes(t, "server", servers[0].Attributes, map[string]any{
		"http.request.method": "GET", "url.path": "/path/x%3Fy%20%2f", "url.query": "q=1", "url.scheme": "http",
		"http.response.status_code": int64(200), "network.protocol.version": "1.1",
		"server.address": "shop.example", "server.port": int64(8443),
		"user_agent.original": "probe/1", "client.address": "127.0.0.1",
	})
	host, port, _ := strings.Cut(raw.Address, ":")
	wantAttributes(t, "client", clients[0].Attributes, map[string]any{
		"http.request.method": "GET", "http.response.status_code": int64(200),
		"url.full": "http://shop.example:8443/path/x%3Fy%20%2f?q=1", "server.address": host, "server.port": number(port),
	})
	if servers[0].Name != "GET" || clients[0].Name != "GET" {
		t.Errorf("names %q and %q, want the method", servers[0].Name, clients[0].Name)
	}
}

func number(s string) int64 {
	var n int64
	_, _ = fmt.Sscan(s, &n)
	return n
}

func wantAttributes(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s span: %s is %v (%T), want %v", what, name, got[name], got[name], value)
		}
	}
}

// says reports whether a span has an attribute of ours with a value.
func says(s *otlp.Span, value string) bool {
	for name, v := range s.Attributes {
		if strings.HasPrefix(name, "lb.") && v == value {
			return true
		}
	}
	return false
}

func TestTrace_SaysWhichBackendWhyAndWhatTheCookieWas(t *testing.T) {
	t.Parallel()
	p, _, receiver := traced(t, affine)
	client := newClient(t)

	s := newSession(t, client, p.URL("/"))
	for _, c := range []struct{ cookie, reason, verdict string }{
		{"a=1", "random", "none"}, {s.Cookie(), "cookie", "valid"}, {s.Name + "=x", "random", "forged"},
	} {
		from := newCaller()
		wantStatus(t, get(t, client, p.URL("/"), "Traceparent", from.Field(), "Cookie", c.cookie), http.StatusOK)
		servers, clients := otlp.Split(receiver.Trace(t, from.Trace, 2))
		if !says(clients[0], "one") || !says(clients[0], c.reason) {
			t.Errorf("%s: the client span does not say backend and reason %q: %v", c.cookie, c.reason, clients[0].Attributes)
		}

		if !says(servers[0], c.verdict) && !says(clients[0], c.verdict) {
			t.Errorf("%s: no span says the verdict %q: %v %v", c.cookie, c.verdict, servers[0].Attributes, clients[0].Attributes)
		}
	}
}

func TestTrace_ErrorsAreErrorsAndDepartedClientsAreNot(t *testing.T) {
	t.Parallel()
	receiver := otlp.Start(t)
	arrived, gone := make(chan struct{}, 1), make(chan struct{})

	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/500":
			w.WriteHeader(500)
		case "/404":
			w.WriteHeader(404)
		case "/wait":
			arrived <- struct{}{}
			<-r.Context().Done()
			close(gone)
		}
	})
	p := pillion.Start(t, append(receiver.Environment(), backend.Backends(b))...)

	client := newClient(t)
	for path, failed := range map[string][2]bool{"/500": {true, true}, "/404": {false, true}, "/": {false, false}} {
		from := newCaller()
		get(t, client, p.URL(path), "Traceparent", from.Field())
		servers, clients := otlp.Split(receiver.Trace(t, from.Trace, 2))
		if servers[0].Failed != failed[0] || clients[0].Failed != failed[1] {
			t.Errorf("%s: failed %v and %v, want %v", path, servers[0].Failed, clients[0].Failed, failed)
		}
	}

	from := newCaller()
	c := wire.Dial(t, p.Address)
	c.Get("/wait", "Traceparent: "+from.Field())
	soon(t, "the request", arrived)
	c.Reset()
	soon(t, "the backend's end", gone)
	servers, _ := otlp.Split(receiver.Trace(t, from.Trace, 2))
	if servers[0].Failed || servers[0].Attributes["http.response.status_code"] != int64(499) {
		t.Errorf("the departed client's span failed: %v, %v", servers[0].Failed, servers[0].Attributes)
	}
}

func TestTrace_UnsampledCallersAreNotExported(t *testing.T) {
	t.Parallel()
	p, raw, receiver := traced(t)
	client := newClient(t)
	off, on := newCaller(), newCaller()
	get(t, client, p.URL("/"), "Traceparent", "00-"+off.Trace+"-"+off.Span+"-00")
	get(t, client, p.URL("/"), "Traceparent", on.Field())
	receiver.Trace(t, on.Trace, 2)
	for _, s := range receiver.All() {
		if s.Trace == off.Trace {
			t.Error("an unsampled trace was exported")
		}
	}

	if trace, _ := parentSeen(t, raw.Requests.All()[0]); trace != off.Trace {
		t.Errorf("the unsampled trace went on as %s", trace)
	}
	if f := raw.Requests.All()[0].Fields("Traceparent")[0]; !strings.HasSuffix(f, "-00") {
		t.Errorf("the unsampled trace went on as %s", f)
	}
}

func TestTrace_WithoutExportHeadersPassUnchanged(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"nothing set": nil,
		"none": {"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318",
			"OTEL_METRICS_EXPORTER=none"},
		"disabled": {"OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=otlp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := backend.StartScript(t, "one", func(backend.Request) string { return backend.Answer(200, "ok") })
			p := pillion.Start(t, append(env, raw.Environment())...)
			from := newCaller()
			fields := []string{"Traceparent", from.Field(), "Tracestate", "a=1,b=2", "Baggage", "k=v",
				"X-Cloud-Trace-Context", from.Trace + "/1;o=1", "B3", "1"}
			get(t, newClient(t), p.URL("/"), fields...)
			for i := 0; i < len(fields); i += 2 {
				if got := raw.Requests.All()[0].Fields(fields[i]); !slices.Equal(got, fields[i+1:i+2]) {
					t.Errorf("%s reached the backend as %q, want %q", fields[i], got, fields[i+1])
				}
			}

			get(t, newClient(t), p.URL("/"))
			if got := raw.Requests.All()[1].Fields("Traceparent"); len(got) != 0 {
				t.Errorf("a traceparent %q was made up", got)
			}
		})
	}
}

func TestTrace_ConsolePrintsSpans(t *testing.T) {
	t.Parallel()
	raw := backend.StartScript(t, "one", func(backend.Request) string { return backend.Answer(200, "ok") })
	p := pillion.Start(t, "OTEL_TRACES_EXPORTER=console", "OTEL_BSP_SCHEDULE_DELAY=50", raw.Environment())
	from := newCaller()
	get(t, newClient(t), p.URL("/"), "Traceparent", from.Field())
	_, parent := parentSeen(t, raw.Requests.All()[0])
	await.Until(t, "both spans are printed", func() bool {
		printed := p.Printed()
		return strings.Count(printed, from.Trace) >= 2 && strings.Contains(printed, parent)
	})
}

func TestTrace_ADeadCollectorDelaysNoRequest(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, backend.Backends(backend.StartMany(t, 2)...),
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+backend.Closed(t), "OTEL_BSP_SCHEDULE_DELAY=50")
	load{client: newClient(t), workers: 8, requests: 1000, make: gets(p.URL("/"))}.run(t)
}
