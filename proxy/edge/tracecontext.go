package edge

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
	"go.opentelemetry.io/otel/trace"
)

// The trace context is in traceparent and tracestate (W3C Trace Context), or in
// Google's X-Cloud-Trace-Context. They are read and written here without the
// OpenTelemetry propagators, because most requests are not recorded.

// Propagation is the set of formats that OTEL_PROPAGATORS asks for.
type Propagation struct{ w3c, cloud bool }

// NewPropagation makes a Propagation from the names in OTEL_PROPAGATORS.
// Baggage is always passed through.
func NewPropagation(names []string) Propagation {
	var p Propagation
	for _, name := range names {
		p.w3c = p.w3c || name == "tracecontext"
		p.cloud = p.cloud || name == "xcloudtrace"
	}

	return p
}

// Trace is the trace that a request belongs to.
type Trace struct {
	ID      string // hexadecimal; "" if there is no trace
	TraceID trace.TraceID
	Parent  trace.SpanContext // the caller's span; invalid without one
	State   string            // tracestate as it came, if it is valid
	Sampled bool              // whether it is recorded; the caller of Read sets it before Renew

	caller bool // the caller began it
	// The caller's flag that the trace id is random (Trace Context Level 2,
	// section 3.2.2.5.2).
	random byte
	cloud  bool // X-Cloud-Trace-Context came in, so it is sent too
	span   trace.SpanID
	line   string // traceparent of the attempt with the span above
}

// PassingTrace returns the trace of a request when telemetry is off. The
// request's fields stay as they are, and Sampled is the caller's decision.
func PassingTrace(h http.Header) (t Trace) {
	id, _, flags, known := parseTraceparent(h["Traceparent"])
	if known {
		// HTTP/2 may leave blanks around the value.
		t.ID = strings.Trim(h["Traceparent"][0], " \t")[3:35]
	} else if id, _, flags, known = parseCloudTrace(h["X-Cloud-Trace-Context"]); known {
		t.ID = id.String()
	}

	t.TraceID, t.Sampled, t.caller = id, flags&1 == 1, known
	return t
}

// Read returns the trace of the caller. It removes the trace fields from the
// request, valid or not, because each attempt writes its own. If there is no
// caller's span, it begins a trace.
func (p Propagation) Read(h http.Header) (t Trace) {
	flags, known := byte(0), false
	var span trace.SpanID
	if p.w3c {
		t.TraceID, span, flags, known = parseTraceparent(h["Traceparent"])
	}

	if known {
		t.State = joinState(h["Tracestate"])
	}

	if cloud := h["X-Cloud-Trace-Context"]; len(cloud) > 0 && cloud[0] != "" && p.cloud {
		t.cloud = true
		if !known {
			t.TraceID, span, flags, known = parseCloudTrace(cloud)
		}
		delete(h, "X-Cloud-Trace-Context")
	}

	if p.w3c {
		delete(h, "Traceparent")
		delete(h, "Tracestate")
	}

	t.caller = known
	switch {
	case known && span.IsValid():
		t.random = flags & 2
		t.Parent = trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: t.TraceID, SpanID: span, TraceFlags: trace.TraceFlags(flags & 1), Remote: true,
		})
	case !known:
		binary.BigEndian.PutUint64(t.TraceID[:], rand.Uint64())
		binary.BigEndian.PutUint64(t.TraceID[8:], rand.Uint64()|1)
	}

	return t
}

// Renew gives the next attempt of a request that is not recorded a random span.
func (t *Trace) Renew(texts *wire.Texts) { t.RenewAs(randomSpan(), texts) }

// RenewAs gives the next attempt its span. It is the parent of the backend's
// span.
func (t *Trace) RenewAs(span trace.SpanID, texts *wire.Texts) {
	t.span, t.line = span, t.traceparent(span, texts)
	t.ID = t.line[3:35]
}

// Append appends the trace context of an attempt to its fields.
func (p Propagation) Append(fields []wire.Field, t *Trace) []wire.Field {
	if p.w3c {
		fields = append(fields, wire.Field{Name: "Traceparent", Value: t.line})
		if t.State != "" {
			fields = append(fields, wire.Field{Name: "Tracestate", Value: t.State})
		}
	}

	if t.cloud {
		number := strconv.FormatUint(binary.BigEndian.Uint64(t.span[:]), 10)
		fields = append(fields, wire.Field{
			Name: "X-Cloud-Trace-Context", Value: t.ID + "/" + number + cloudOption(t.Sampled),
		})
	}

	return fields
}

// traceparent formats a traceparent of version 00 (W3C Trace Context section
// 3.2.2) with the given parent.
func (t *Trace) traceparent(span trace.SpanID, texts *wire.Texts) string {
	var b [55]byte
	copy(b[:], "00-")
	hex.Encode(b[3:35], t.TraceID[:])
	b[35] = '-'
	hex.Encode(b[36:52], span[:])
	copy(b[52:], "-00")
	b[54] += t.random
	if t.Sampled {
		b[54]++
	}

	return texts.Make(b[:])
}

// cloudOption returns the end of X-Cloud-Trace-Context.
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

// parseTraceparent reads the traceparent field. ok is false if there is none,
// more than one, or one that is not valid. Later versions are read as version
// 00, as section 4.3 says.
func parseTraceparent(lines []string) (id trace.TraceID, span trace.SpanID, flags byte, ok bool) {
	if len(lines) != 1 {
		return
	}

	v := strings.Trim(lines[0], " \t")
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' || v[:2] == "ff" ||
		v[:2] == "00" && len(v) != 55 ||
		len(v) > 55 && v[55] != '-' {
		return
	}

	var version, flag [1]byte
	if !unhex(version[:], v[:2]) || !unhex(id[:], v[3:35]) || !unhex(span[:], v[36:52]) ||
		!unhex(flag[:], v[53:55]) {
		return trace.TraceID{}, trace.SpanID{}, 0, false
	}

	return id, span, flag[0], id.IsValid() && span.IsValid()
}

// unhex decodes hexadecimal digits in lower case.
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

// parseCloudTrace reads the first field of X-Cloud-Trace-Context,
// TRACE/SPAN;o=OPTIONS. The span is decimal. It is 0 or missing if the caller
// has no span; then the request belongs to the trace and has no parent.
func parseCloudTrace(lines []string) (id trace.TraceID, span trace.SpanID, flags byte, ok bool) {
	if len(lines) == 0 {
		return
	}

	head, options, _ := strings.Cut(strings.Trim(lines[0], " \t"), ";")
	hexID, number, _ := strings.Cut(head, "/")
	if len(hexID) != 32 || !unhex(id[:], strings.ToLower(hexID)) || !id.IsValid() {
		return trace.TraceID{}, trace.SpanID{}, 0, false
	}

	if number != "" {
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return trace.TraceID{}, trace.SpanID{}, 0, false
		}
		binary.BigEndian.PutUint64(span[:], n)
	}

	for option := range strings.SplitSeq(options, ";") {
		if mask, found := strings.CutPrefix(strings.Trim(option, " \t"), "o="); found {
			n, _ := strconv.ParseUint(mask, 10, 8)
			flags = byte(n) & 1
		}
	}

	return id, span, flags, true
}

// joinState returns the tracestate to send: the fields joined in order, or ""
// if they are not valid as a whole (Trace Context Level 2, section 3.3.1: up to
// 32 members). A repeated key is left as it is, which section 3.3.1.3 allows.
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

// stateKey reports whether k is a key of Level 2, section 3.3.1.3.1: up to 256
// characters, of which the first is a letter or a digit. Every key of Level 1
// is one of these.
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

// stateValue reports whether s is a value of section 3.3.1.3.2: up to 256
// printable characters except comma and equals sign.
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
