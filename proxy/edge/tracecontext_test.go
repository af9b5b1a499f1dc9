package edge

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/proxy/wire"
	otelprop "go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
)

func TestTraceparent_Forms(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"00-" + traceID + "-" + spanID + "-01":                  true,
		" 00-" + traceID + "-" + spanID + "-00\t":               true,
		"00-" + traceID + "-" + spanID + "-ff":                  true,
		"cc-" + traceID + "-" + spanID + "-01":                  true,
		"cc-" + traceID + "-" + spanID + "-01-more":             true,
		"cc-" + traceID + "-" + spanID + "-01.more":             false,
		"00-" + traceID + "-" + spanID + "-01-more":             false,
		"ff-" + traceID + "-" + spanID + "-01":                  false,
		"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01":  false,
		"00-" + traceID + "-0000000000000000-01":                false,
		"00-" + strings.ToUpper(traceID) + "-" + spanID + "-01": false,
		"00-" + traceID + "-" + spanID + "-0g":                  false,
		"00-" + traceID + "-" + spanID + "-1":                   false,
		"00_" + traceID + "-" + spanID + "-01":                  false,
		"":                                                      false,
	} {
		id, span, _, ok := parseTraceparent([]string{line})
		if ok != want || ok && (id.String() != traceID || span.String() != spanID) {
			t.Errorf("%q: %v %s %s", line, ok, id, span)
		}
	}

	valid := "00-" + traceID + "-" + spanID + "-01"
	if _, _, _, ok := parseTraceparent([]string{valid, valid}); ok {
		t.Error("two fields are taken for one")
	}
}

func TestTraceparent_OursIsRead(t *testing.T) {
	t.Parallel()
	id, span, _, _ := parseTraceparent([]string{"00-" + traceID + "-" + spanID + "-01"})
	for want, state := range []Trace{
		{TraceID: id}, {TraceID: id, Sampled: true}, {TraceID: id, random: 2}, {TraceID: id, random: 2, Sampled: true},
	} {
		gotID, gotSpan, flags, ok := parseTraceparent([]string{state.traceparent(span, new(wire.Texts))})
		if !ok || gotID != id || gotSpan != span || int(flags) != want {
			t.Errorf("%s %s %d, not %d, %v", gotID, gotSpan, flags, want, ok)
		}
	}
}

func TestCloudTrace_Forms(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		traceID + "/12345;o=1":                       "3039 1",
		" " + traceID + "/12345;o=1\t":               "3039 1",
		strings.ToUpper(traceID) + "/12345;o=1":      "3039 1",
		traceID + "/18446744073709551615":            "ffffffffffffffff 0",
		traceID + "/1;o=0":                           "1 0",
		traceID + "/1; o=1":                          "1 1",
		traceID + "/1;o=1;more":                      "1 1",
		traceID + "/1;o=3":                           "1 1",
		traceID + "/1;o=2":                           "1 0",
		traceID + "/1;o=many":                        "1 0",
		traceID + "/0;o=1":                           " 1",
		traceID + "/;o=1":                            " 1",
		traceID + ";o=1":                             " 1",
		traceID:                                      " 0",
		traceID + "/18446744073709551616;o=1":        "",
		traceID + "/-1;o=1":                          "",
		traceID + "/a;o=1":                           "",
		traceID[:31] + "/1;o=1":                      "",
		traceID + "0/1;o=1":                          "",
		strings.Repeat("0", 32) + "/1;o=1":           "",
		strings.Replace(traceID, "a", "x", 1) + "/1": "",
		"": "",
	} {
		id, span, flags, ok := parseCloudTrace([]string{line})
		got := ""
		if ok {
			got = strings.TrimLeft(span.String(), "0") + " " + string('0'+flags)
		}

		if got != want || ok && id.String() != traceID {
			t.Errorf("%s: %q, not %q", line, got, want)
		}
	}
}

func TestPassingTrace_IsTheCallers(t *testing.T) {
	t.Parallel()
	other := strings.Replace(traceID, "0", "1", 1)
	for _, test := range []struct {
		parent, cloud string
		id            string
		sampled       bool
	}{
		{"", "", "", false},
		{"00-" + traceID + "-" + spanID + "-01", "", traceID, true},
		{"00-" + traceID + "-" + spanID + "-00", "", traceID, false},
		{"00-" + traceID + "-" + spanID + "-03", "", traceID, true},
		{"", traceID + "/1;o=1", traceID, true},
		{"", traceID + "/1;o=0", traceID, false},
		{"", traceID, traceID, false},
		{"00-" + traceID + "-" + spanID + "-00", other + "/1;o=1", traceID, false},
		{"broken", other + "/1;o=1", other, true},
	} {
		h := http.Header{}
		if test.parent != "" {
			h.Set("Traceparent", test.parent)
		}
		if test.cloud != "" {
			h.Set("X-Cloud-Trace-Context", test.cloud)
		}

		before := len(h)
		trace := PassingTrace(h)
		if trace.ID != test.id || trace.Sampled != test.sampled || trace.TraceID.IsValid() != (test.id != "") {
			t.Errorf("%+v: got %s, sampled %v", test, trace.ID, trace.Sampled)
		}

		if len(h) != before {
			t.Errorf("%+v: fields were taken out", test)
		}
	}
}

func TestRead_TraceWithoutASpanHasNoParent(t *testing.T) {
	t.Parallel()
	p := NewPropagation([]string{"tracecontext", "xcloudtrace"})
	for _, line := range []string{traceID, traceID + "/0;o=1", traceID + ";o=1"} {
		trace := p.Read(http.Header{"X-Cloud-Trace-Context": {line}})
		if trace.TraceID.String() != traceID || trace.Parent.IsValid() {
			t.Errorf("%s: trace %s, parent %v", line, trace.TraceID, trace.Parent)
		}
	}
}

func TestTracestate_IsWholeOrNothing(t *testing.T) {
	t.Parallel()
	member := func(n int) string {
		return strings.Repeat("k", 200) + string(rune('a'+n%26)) + string(rune('a'+n/26)) + "=v"
	}
	var many []string
	for n := range 33 {
		many = append(many, member(n))
	}

	for _, c := range []struct {
		in   []string
		want string
	}{
		{nil, ""},
		{[]string{"a=1"}, "a=1"},
		{[]string{" a=1, b=2 "}, "a=1, b=2"},
		{[]string{"a=1", "b=2"}, "a=1,b=2"},
		{[]string{"a=1,,b=2"}, "a=1,,b=2"},
		{[]string{"0tenant@sys=1"}, "0tenant@sys=1"},
		{[]string{"a=1,a=2"}, "a=1,a=2"},
		{[]string{"a=1", "a=2"}, "a=1,a=2"},
		{[]string{"A=1"}, ""},
		{[]string{"1a=1"}, "1a=1"},
		{[]string{"a@=1,b@@c=2,d@e@f=3"}, "a@=1,b@@c=2,d@e@f=3"},
		{[]string{"@a=1,b=2"}, ""},
		{[]string{"a =1"}, ""},
		{[]string{"a"}, ""},
		{[]string{"a="}, ""},
		{[]string{"a=b=c"}, ""},
		{[]string{"a=\x01"}, ""},
		{[]string{"a@" + strings.Repeat("s", 254) + "=1"}, "a@" + strings.Repeat("s", 254) + "=1"},
		{[]string{strings.Repeat("k", 257) + "=1"}, ""},
		{[]string{"a=" + strings.Repeat("v", 257)}, ""},
		{[]string{strings.Join(many[:32], ",")}, strings.Join(many[:32], ",")},
		{[]string{strings.Join(many, ",")}, ""},
		{[]string{","}, ""},
	} {
		if got := joinState(c.in); got != c.want {
			t.Errorf("%.80q: %.80q", c.in, got)
		}
	}
}

// The specification's own reader is OpenTelemetry's.
func FuzzTraceparent_AgreesWithOpenTelemetry(f *testing.F) {
	f.Add("00-" + traceID + "-" + spanID + "-01")
	f.Add("cc-" + traceID + "-" + spanID + "-01-x")
	f.Add("00-" + traceID + "-" + spanID + "-03")

	f.Fuzz(func(t *testing.T, line string) {
		carrier := otelprop.HeaderCarrier(http.Header{"Traceparent": {line}})
		theirs := trace.SpanContextFromContext(otelprop.TraceContext{}.Extract(context.Background(), carrier))
		id, span, flags, ok := parseTraceparent([]string{line})
		if !theirs.IsValid() {
			return // they refuse flags that they don't know
		}

		if !ok || id != theirs.TraceID() || span != theirs.SpanID() || flags&1 == 1 != theirs.IsSampled() {
			t.Errorf("%q: %v %s %s %x", line, ok, id, span, flags)
		}
	})
}

// stateMember is a member by the grammar of Trace Context Level 2, section
// 3.3.1.
var stateMember = regexp.MustCompile(
	`^[0-9a-z][_0-9a-z\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$`)

func FuzzTracestate_WhatPassesIsValid(f *testing.F) {
	f.Add("a=1,b@c=2")
	f.Add(" a=1 ,, b= 2")
	f.Add("a=1,@b=2")

	f.Fuzz(func(t *testing.T, line string) {
		valid, members := true, 0
		for m := range strings.SplitSeq(line, ",") {
			if m = strings.Trim(m, " \t"); m != "" {
				members++
				valid = valid && stateMember.MatchString(m)
			}
		}

		valid = valid && members > 0 && members <= 32
		if out := joinState([]string{line}); (out != "") != valid {
			t.Errorf("%q: %q, valid %v", line, out, valid)
		}
	})
}

func FuzzCloudTrace_NeverPanics(f *testing.F) {
	f.Add(traceID + "/1;o=1")
	f.Add(traceID + "/18446744073709551615;o=0")
	f.Add(traceID)
	f.Add(traceID + "/0;o=2;x=y")
	f.Add("00000000000000000000000000000000/1")
	f.Add("105445aa7843bc8bf206b12000100000/2;o=")
	f.Fuzz(func(t *testing.T, line string) {
		id, span, flags, ok := parseCloudTrace([]string{line})
		if ok != id.IsValid() || !ok && span.IsValid() || flags > 1 {
			t.Errorf("%q: %s %s", line, id, span)
		}
	})
}
