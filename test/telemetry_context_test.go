package test

import (
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	program "github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/otlp"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// decimal is a span id as X-Cloud-Trace-Context has it.
func decimal(span string) string {
	raw, _ := hex.DecodeString(span)
	return strconv.FormatUint(binary.BigEndian.Uint64(raw), 10)
}

// seenBy sends a request and returns what the backend saw of it.
func seenBy(t *testing.T, p *program.Process, raw *backend.Raw, fields ...string) backend.Request {
	t.Helper()
	wantStatus(t, get(t, newClient(t), p.URL("/"), fields...), http.StatusOK)
	all := raw.Requests.All()
	return all[len(all)-1]
}

func TestTelemetry_CloudTraceContextIsReadAndWritten(t *testing.T) {
	t.Parallel()
	p, raw, receiver := traced(t)
	for option, sampled := range map[string]bool{";o=1": true, ";o=0": false, "": false} {
		from := newCaller()
		seen := seenBy(t, p, raw, "X-Cloud-Trace-Context", from.Trace+"/"+decimal(from.Span)+option)
		trace, parent := parentSeen(t, seen)

		written := ";o=0"
		if sampled {
			written = ";o=1"
			servers, clients := otlp.Split(receiver.Trace(t, from.Trace, 2))
			if servers[0].Parent != from.Span || clients[0].ID != parent {
				t.Errorf("%q: the server's parent is %s, the client %s; want %s and %s", option, servers[0].Parent, clients[0].ID,
					from.Span, parent)
			}
		}

		if got := seen.Fields("X-Cloud-Trace-Context"); trace != from.Trace ||
			!slices.Equal(got, []string{trace + "/" + decimal(parent) + written}) {
			t.Errorf("%q: the backend saw the trace %s and %q", option, trace, got)
		}
	}

	from, other := newCaller(), newCaller()
	seen := seenBy(t, p, raw, "Traceparent", from.Field(), "X-Cloud-Trace-Context", other.Trace+"/1;o=1")
	if trace, _ := parentSeen(t, seen); trace != from.Trace ||
		!strings.HasPrefix(seen.Fields("X-Cloud-Trace-Context")[0], from.Trace+"/") {
		t.Errorf("traceparent does not win: %q", seen.Head)
	}

	if seen = seenBy(t, p, raw, "Traceparent", from.Field()); len(seen.Fields("X-Cloud-Trace-Context")) != 0 {
		t.Error("X-Cloud-Trace-Context was made up")
	}
}

func TestTelemetry_BaggageAndTracestatePass(t *testing.T) {
	t.Parallel()
	p, raw, _ := traced(t)

	from := newCaller()
	for state, want := range map[string][]string{
		"a=1,b@c=2": {"a=1,b@c=2"}, "a=1,a=2": {"a=1,a=2"}, "A=1": nil, "a=1,@b=2": nil, "a=": nil,
	} {
		seen := seenBy(t, p, raw, "Traceparent", from.Field(), "Tracestate", state, "Baggage", "k=v;p, x = y%20z")
		if got := seen.Fields("Tracestate"); !slices.Equal(got, want) {
			t.Errorf("tracestate %q went on as %q, want %q", state, got, want)
		}
		if got := seen.Fields("Baggage"); !slices.Equal(got, []string{"k=v;p, x = y%20z"}) {
			t.Errorf("baggage went on as %q", got)
		}
	}
}

func TestTelemetry_EverySamplerDecidesByItsRule(t *testing.T) {
	t.Parallel()
	nowhere := "GCE_METADATA_HOST=" + backend.Closed(t)
	for _, c := range []struct {
		env []string
		// flags of a request without a parent, with a sampled one, with an
		// unsampled one
		want string
	}{
		{nil, "01 01 00"},
		{[]string{"OTEL_TRACES_SAMPLER=always_on"}, "01 01 01"},
		{[]string{"OTEL_TRACES_SAMPLER=always_off"}, "00 00 00"},
		{[]string{"OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"}, "00 00 00"},
		{[]string{"OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=1"}, "01 01 01"},
		{[]string{"OTEL_TRACES_SAMPLER=parentbased_always_on"}, "01 01 00"},
		{[]string{"OTEL_TRACES_SAMPLER=parentbased_always_off"}, "00 01 00"},
		{[]string{"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"}, "00 01 00"},
		{[]string{"LB_TRACE_PLATFORM_UNSAMPLED=100%"}, "01 01 00"}, // not on Cloud Run
		{[]string{"LB_TRACE_PLATFORM_UNSAMPLED=100%", "K_SERVICE=s", "K_REVISION=s-1", nowhere}, "01 01 01"},
		{[]string{"LB_TRACE_PLATFORM_UNSAMPLED=100%", "K_SERVICE=s", nowhere, "OTEL_TRACES_SAMPLER=parentbased_always_on"},
			"01 01 00"},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			t.Parallel()
			p, raw, _ := traced(t, c.env...)
			on, off := newCaller(), newCaller()
			var got []string
			for _, fields := range [][]string{nil, {"Traceparent", on.Field()},
				{"Traceparent", "00-" + off.Trace + "-" + off.Span + "-00"}} {
				field := seenBy(t, p, raw, fields...).Fields("Traceparent")[0]
				got = append(got, field[len(field)-2:])
			}

			if strings.Join(got, " ") != c.want {
				t.Errorf("flags %q, want %s", got, c.want)
			}
		})
	}
}

func TestTelemetry_WithoutPropagatorsFieldsPassAndSpansStillCome(t *testing.T) {
	t.Parallel()
	p, raw, receiver := traced(t, "OTEL_PROPAGATORS=none")
	from := newCaller()
	fields := []string{"Traceparent", from.Field(), "Tracestate", "A=1", "X-Cloud-Trace-Context", from.Trace + "/1;o=1"}
	seen := seenBy(t, p, raw, fields...)
	for i := 0; i < len(fields); i += 2 {
		if got := seen.Fields(fields[i]); !slices.Equal(got, fields[i+1:i+2]) {
			t.Errorf("%s reached the backend as %q", fields[i], got)
		}
	}

	await.Until(t, "both spans arrive", func() bool { return receiver.Len() == 2 })
	if s := receiver.All()[0]; s.Trace == from.Trace {
		t.Error("the caller's trace was read")
	}
}

func TestTelemetry_ATunnelsSpanEndsWithItAndCountsBothWays(t *testing.T) {
	t.Parallel()
	receiver := otlp.Start(t)
	hello, first := text("hello", false), text("first", true)
	p := pillion.Start(t, append(receiver.Environment(), echo(t, hello).Environment())...)
	from := newCaller()
	c := wire.Dial(t, p.Address)
	c.Send(wire.Request("GET", "/socket", "", append([]string{"Traceparent: " + from.Field()}, handshake...)...))
	c.Head()
	c.Send(first)
	c.Expect(hello + first)
	for _, s := range receiver.All() {
		if s.Trace == from.Trace {
			t.Fatalf("the span %s ended before its tunnel", s.Name)
		}
	}

	_ = c.Close()
	servers, clients := otlp.Split(receiver.Trace(t, from.Trace, 2))
	want := map[string]any{
		"http.response.status_code": int64(101), "lb.tunnel.bytes_in": int64(len(first)),
		"lb.tunnel.bytes_out": int64(len(hello) + len(first)),
	}
	wantAttributes(t, "server", servers[0].Attributes, want)
	wantAttributes(t, "client", clients[0].Attributes, want)
	if servers[0].Failed || clients[0].Failed {
		t.Error("a tunnel that was closed is a failure")
	}
}

// The version is part of what people query by: another one is a change for the
// change log.
func TestTelemetry_ConventionsAreVersion143(t *testing.T) {
	t.Parallel()
	p, raw, receiver := traced(t)
	from := newCaller()
	seenBy(t, p, raw, "Traceparent", from.Field())
	for _, s := range receiver.Trace(t, from.Trace, 2) {
		if s.Schema != "https://opentelemetry.io/schemas/1.43.0" {
			t.Errorf("%s: schema %q", s.Name, s.Schema)
		}
	}
}

func TestTelemetry_CredentialsInAQueryAreRedacted(t *testing.T) {
	t.Parallel()
	p, raw, receiver := traced(t, "LB_ACCESS_LOG=on")
	from := newCaller()
	query := "a=1&sig=hush1&X-Goog-Signature=hush2&AWSAccessKeyId=hush3&Signature=hush4&b=2"
	wantStatus(t, get(t, newClient(t), p.URL("/p?"+query), "Traceparent", from.Field()), http.StatusOK)
	if head := raw.Requests.All()[0].Head; !strings.Contains(head, query) {
		t.Errorf("the backend got %q", head)
	}

	servers, clients := otlp.Split(receiver.Trace(t, from.Trace, 2))
	const shown = "a=1&sig=REDACTED&X-Goog-Signature=REDACTED&AWSAccessKeyId=REDACTED&Signature=REDACTED&b=2"
	full, _ := clients[0].Attributes["url.full"].(string)
	if servers[0].Attributes["url.query"] != shown || !strings.HasSuffix(full, "/p?"+shown) {
		t.Errorf("query %v, full %s", servers[0].Attributes["url.query"], full)
	}

	p.Line("of the request", func(l program.Line) bool { return strings.Contains(l.Text, from.Trace) })
	if strings.Contains(p.Printed(), "hush") {
		t.Errorf("the log says %s", p.Printed())
	}
}

// One retry is three spans, and the log names the same ones, whichever
// transport spans take.
func TestTelemetry_ARetryIsTheSameInSpansLogAndAtTheBackend(t *testing.T) {
	t.Parallel()
	for name, receiver := range map[string]*otlp.Receiver{"http": otlp.Start(t), "grpc": otlp.StartGRPC(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := silent(t)
			good := backend.StartScript(t, "good", func(backend.Request) string { return backend.Answer(200, "ok") })
			env := append(receiver.Environment(), calm...)
			p := pillion.Start(t, append(env, "LB_ACCESS_LOG=on",
				"LB_BACKENDS="+broken.Target("weight=256")+";"+good.Target())...)
			var from caller

			for range 50 {
				from = newCaller()
				wantStatus(t, get(t, newClient(t), p.URL("/"), "Traceparent", from.Field()), http.StatusOK)
				if broken.Requests.Len() > 0 {
					break
				}
			}

			spans := receiver.Trace(t, from.Trace, 3)
			servers, clients := otlp.Split(spans)
			if len(spans) != 3 || len(servers) != 1 || servers[0].Parent != from.Span {
				t.Fatalf("%d spans, %d of a server", len(spans), len(servers))
			}

			for i, c := range clients {
				b, why := []*backend.Raw{broken, good}[i], []string{"random", "retry"}[i]
				all := b.Requests.All()
				if _, seen := parentSeen(t, all[len(all)-1]); seen != c.ID || c.Parent != servers[0].ID ||
					c.Attributes["lb.pick.reason"] != why {
					t.Errorf("attempt %d: span %s below %s for %v, the backend saw %s", i, c.ID, c.Parent,
						c.Attributes["lb.pick.reason"], seen)
				}
			}

			line := p.Line("of the request",
				func(l program.Line) bool { return l.String("logging.googleapis.com/trace") == from.Trace })
			if line.String("logging.googleapis.com/spanId") != servers[0].ID || line.Fields["attempts"] != 2.0 ||
				line.String("backend") != "good" || line.String("pick") != "retry" {
				t.Errorf("the log says %s", line.Text)
			}
		})
	}
}

// An ejection stands on the span of the request that caused it, and on no
// other.
func TestTelemetry_AnEjectionIsAnEventOfItsRequest(t *testing.T) {
	t.Parallel()
	broken := silent(t)
	good := backend.Start(t, "good", nil)
	receiver := otlp.Start(t)
	p := pillion.Start(t, append(receiver.Environment(), unfair(broken, good), "LB_EJECT_ERRORS=3")...)

	made := 0
	for !slices.ContainsFunc(receiver.All(), func(s *otlp.Span) bool { return len(s.Events) > 0 }) && made < 200 {
		from := newCaller()
		wantStatus(t, get(t, newClient(t), p.URL("/"), "Traceparent", from.Field()), http.StatusOK)
		receiver.Trace(t, from.Trace, 2)
		made++
	}

	found := 0
	for _, s := range receiver.All() {
		if slices.Contains(s.Events, "ejected") {
			found++
			if !s.Server {
				t.Errorf("the event is on %s", s.Name)
			}
		}
	}

	if found != 1 {
		t.Errorf("%d spans of %d requests have the event, want one", found, made)
	}
}

// When no backend is healthy each is as good as another, and the request that
// went there says so.
func TestTelemetry_APanicIsAnEventOfItsRequests(t *testing.T) {
	t.Parallel()
	p, raw, receiver := traced(t, "LB_HEALTH_CHECK=/healthz", "LB_HEALTH_CHECK_STATUS=500")
	await.Until(t, "a request goes out in panic", func() bool {
		from := newCaller()
		seenBy(t, p, raw, "Traceparent", from.Field())
		servers, clients := otlp.Split(receiver.Trace(t, from.Trace, 2))
		panicked := clients[0].Attributes["lb.pick.reason"] == "panic"
		if panicked != slices.Contains(servers[0].Events, "panic") {
			t.Errorf("the reason is %v, and the events are %q", clients[0].Attributes["lb.pick.reason"], servers[0].Events)
		}

		return panicked
	})
}
