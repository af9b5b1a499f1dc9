package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// Trace context travels in traceparent and tracestate (W3C Trace Context), or in Google's X-Cloud-Trace-Context. Both
// are read and written here by hand: what a request that is not recorded costs is one string.

// propagation says which formats OTEL_PROPAGATORS asks for.
type propagation struct{ w3c, baggage, cloud bool }

func newPropagation(names []string) propagation {
	var p propagation
	for _, name := range names {
		p.w3c = p.w3c || name == "tracecontext"
		p.baggage = p.baggage || name == "baggage"
		p.cloud = p.cloud || name == "xcloudtrace"
	}
	return p
}

// traceState is the trace that a request belongs to.
type traceState struct {
	id      string // hexadecimal; "" when there is no trace
	trace   trace.TraceID
	parent  trace.SpanContext // the caller's span; invalid without one
	state   string            // tracestate as it came, valid
	sampled bool
	random  byte // the caller's flag that its trace id is random (Trace Context Level 2, section 3.2.2.5.2)
	cloud   bool // X-Cloud-Trace-Context came in, so it goes out too
	span    trace.SpanID
	line    string // traceparent of the attempt, whose span is the one above
}

// readTrace finds the caller's span and decides whether the request is recorded. Without telemetry the fields stay as
// they are; with it they are taken out, valid or not, and ours are written by each attempt.
func (x *exchange) readTrace(h http.Header) {
	t := &x.trace
	flags, known := byte(0), false
	var span trace.SpanID
	if x.p.formats.w3c || x.p.tracing == nil {
		t.trace, span, flags, known = parseTraceparent(h["Traceparent"])
	}
	if x.p.tracing == nil {
		if known {
			line := strings.Trim(h["Traceparent"][0], " \t") // HTTP/2 may leave blanks around it
			t.id, x.record.TraceID = line[3:35], t.trace
		}
		return
	}
	if known {
		t.state = joinState(h["Tracestate"])
	}
	if cloud := first(h, "X-Cloud-Trace-Context"); cloud != "" && x.p.formats.cloud {
		t.cloud = true
		if !known {
			t.trace, span, flags, known = parseCloudTrace(cloud)
		}
		delete(h, "X-Cloud-Trace-Context")
	}
	if x.p.formats.w3c {
		delete(h, "Traceparent")
		delete(h, "Tracestate")
	}
	if known {
		t.random = flags & 2
		t.parent = trace.NewSpanContext(trace.SpanContextConfig{TraceID: t.trace, SpanID: span, TraceFlags: trace.TraceFlags(flags & 1), Remote: true})
	} else {
		binary.BigEndian.PutUint64(t.trace[:], rand.Uint64())
		binary.BigEndian.PutUint64(t.trace[8:], rand.Uint64()|1)
	}
	t.sampled = x.p.tracing.Sampled(t.parent, t.trace)
	x.startSpan()
	t.renew(randomSpan())
	t.id = t.line[3:35]
	x.record.TraceID, x.record.Sampled = t.trace, t.sampled
}

// traceFields writes the trace context of an attempt into its overlay. The backend's parent is the CLIENT span.
func (x *exchange) traceFields(c *h1.Call) {
	if x.p.tracing == nil {
		return
	}
	t := &x.trace
	switch {
	case x.client != nil:
		t.renew(x.client.SpanContext().SpanID())
	case x.record.Attempts > 1:
		t.renew(randomSpan())
	}
	if x.p.formats.w3c {
		c.Fields = append(c.Fields, h1.Field{Name: "Traceparent", Value: t.line})
		if t.state != "" {
			c.Fields = append(c.Fields, h1.Field{Name: "Tracestate", Value: t.state})
		}
	}
	if t.cloud {
		number := strconv.FormatUint(binary.BigEndian.Uint64(t.span[:]), 10)
		c.Fields = append(c.Fields, h1.Field{Name: "X-Cloud-Trace-Context", Value: t.id + "/" + number + cloudOption(t.sampled)})
	}
}

// renew gives the next attempt its span.
func (t *traceState) renew(span trace.SpanID) { t.span, t.line = span, t.traceparent(span) }

// traceparent formats version 00 (W3C Trace Context section 3.2.2) with a span as the parent.
func (t *traceState) traceparent(span trace.SpanID) string {
	var b [55]byte
	copy(b[:], "00-")
	hex.Encode(b[3:35], t.trace[:])
	b[35] = '-'
	hex.Encode(b[36:52], span[:])
	copy(b[52:], "-00")
	b[54] += t.random
	if t.sampled {
		b[54]++
	}
	return string(b[:])
}

// cloudOption is the end of X-Cloud-Trace-Context.
func cloudOption(sampled bool) string {
	if sampled {
		return ";o=1"
	}
	return ";o=0"
}

func randomSpan() (s trace.SpanID) {
	binary.BigEndian.PutUint64(s[:], rand.Uint64()|1)
	return s
}

// parseTraceparent reads the one traceparent field. Later versions are read by the rules of version 00 as far as they
// agree with it (section 4.3).
func parseTraceparent(lines []string) (id trace.TraceID, span trace.SpanID, flags byte, ok bool) {
	if len(lines) != 1 {
		return
	}
	v := strings.Trim(lines[0], " \t")
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' || v[:2] == "ff" || v[:2] == "00" && len(v) != 55 || len(v) > 55 && v[55] != '-' {
		return
	}
	var version, flag [1]byte
	if !unhex(version[:], v[:2]) || !unhex(id[:], v[3:35]) || !unhex(span[:], v[36:52]) || !unhex(flag[:], v[53:55]) {
		return trace.TraceID{}, trace.SpanID{}, 0, false
	}
	return id, span, flag[0], id.IsValid() && span.IsValid()
}

// unhex decodes lower-case hexadecimal digits only.
func unhex(to []byte, from string) bool {
	for i := range to {
		hi, lo := nibble(from[2*i]), nibble(from[2*i+1])
		if hi > 15 || lo > 15 {
			return false
		}
		to[i] = hi<<4 | lo
	}
	return true
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// parseCloudTrace reads TRACE/SPAN;o=OPTIONS, where the span is decimal and the options may be missing.
func parseCloudTrace(v string) (id trace.TraceID, span trace.SpanID, flags byte, ok bool) {
	head, options, _ := strings.Cut(v, ";")
	hexID, number, _ := strings.Cut(head, "/")
	if len(hexID) != 32 || !unhex(id[:], strings.ToLower(hexID)) || !id.IsValid() {
		return trace.TraceID{}, trace.SpanID{}, 0, false
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 {
		return trace.TraceID{}, trace.SpanID{}, 0, false
	}
	binary.BigEndian.PutUint64(span[:], n)
	if strings.TrimSpace(options) == "o=1" {
		flags = 1
	}
	return id, span, flags, true
}

// joinState is the tracestate that goes on: the fields joined in their order, or nothing when they are not valid as a
// whole (Trace Context Level 2, section 3.3.1: up to 32 members). A key that stands twice goes on as it came, which
// section 3.3.1.3 leaves to whoever made it.
func joinState(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	whole := lines[0]
	if len(lines) > 1 {
		whole = strings.Join(lines, ",")
	}
	members := 0
	for rest, more := whole, true; more; {
		var member string
		member, rest, more = strings.Cut(rest, ",")
		if member = strings.Trim(member, " \t"); member == "" {
			continue
		}
		key, value, ok := strings.Cut(member, "=")
		if members++; !ok || members > 32 || !stateKey(key) || !stateValue(value) {
			return ""
		}
	}
	if members == 0 {
		return ""
	}
	return strings.Trim(whole, " \t")
}

// stateKey is a key of Level 2, section 3.3.1.3.1: up to 256 characters, the first a letter or a digit. Level 1 knew one
// "@" with a length on each side of it; every key of Level 1 is one of Level 2.
func stateKey(k string) bool {
	if k == "" || len(k) > 256 {
		return false
	}
	for i := range len(k) {
		c := k[i]
		word := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !word && (i == 0 || strings.IndexByte("_-*/@", c) < 0) {
			return false
		}
	}
	return true
}

// stateValue is a value of section 3.3.1.3.2: up to 256 printable characters but comma and equals sign.
func stateValue(s string) bool {
	if s == "" || len(s) > 256 || s[len(s)-1] == ' ' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == ',' || c == '=' {
			return false
		}
	}
	return true
}
