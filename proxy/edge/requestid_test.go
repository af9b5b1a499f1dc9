package edge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/proxy/wire"
)

func TestRequestID_TrustedElseTraceElseRandom(t *testing.T) {
	t.Parallel()
	theirs := http.Header{"X-Request-Id": {"theirs-1"}}
	trusted, other := Hop{Trusted: true}, Hop{}
	if id := trusted.RequestID(theirs, &Trace{}, new(wire.Texts)); id != "theirs-1" || len(trusted.Fields) != 0 {
		t.Error(id, trusted.Fields)
	}

	if id := other.RequestID(theirs, &Trace{}, new(wire.Texts)); len(id) != 32 || other.Fields[0].Value != id {
		t.Errorf("of an untrusted peer: %q, %v", id, other.Fields)
	}

	for _, test := range []struct{ trusted, caller, takes bool }{{true, true, true}, {false, true, false},
		{false, false, true}} {
		hop := Hop{Trusted: test.trusted}
		id := hop.RequestID(http.Header{}, &Trace{ID: traceID, caller: test.caller}, new(wire.Texts))
		if (id == traceID) != test.takes || len(id) != 32 {
			t.Errorf("%+v: %s", test, id)
		}
	}

	for _, bad := range []string{"", "a b", "a\"b", `a\b`, "a\x7f", "é", strings.Repeat("a", 129)} {
		if goodID(bad) {
			t.Errorf("%q passes for an id", bad)
		}
	}
}
