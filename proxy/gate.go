package proxy

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// gate is a check before the service. The gates of a route are a list that is
// made once, in the order of the checks (gates.go).
//
// A gate reads only the head of the request. It copies parts that it needs
// after admit has returned.
type gate interface {
	// admit returns why the request is refused, or nil if it passes.
	admit(x *exchange) *refusal
}

// refusal is the answer of a gate that refuses a request. It is read-only after
// it was returned, so a gate can return one value for many requests.
type refusal struct {
	status int
	reason string      // one of a few words, for span, metric and log
	fields http.Header // of the answer, such as WWW-Authenticate; nil for none
	cause  error       // for the log
}

// allowed is the reason for a request that passed all gates of its route.
const allowed = "allowed"

// admitted asks the gates of the route, and reports whether the request passed
// all of them. If a gate refuses it, admitted answers it. Then its body is not
// read, no session begins, and nothing is counted for an endpoint or the retry
// budget.
func (x *exchange) admitted() bool {
	x.dropOverrides()
	for _, g := range x.route.gates {
		if r := g.admit(x); r != nil {
			x.turnAway(r)
			return false
		}
	}
	if len(x.route.gates) > 0 {
		x.record.Access = allowed
	}

	return true
}

// turnAway answers a request that a gate has refused.
func (x *exchange) turnAway(r *refusal) {
	x.record.Access = r.reason
	if m := x.p.metrics; m != nil {
		m.count("lb.access.refused", r.reason, "")
	}
	x.refusal = r.fields
	x.fail(ending{r.status, "us", "access"}, r.cause)

	if unsaid, due := x.p.turnedAway.count(r.reason, x.record.Start); due {
		x.p.log.Info("access refused", "reason", r.reason, "status", r.status,
			"client", x.hop.Client, "method", clip(x.record.Method), "route", x.record.Route,
			"request_id", x.record.RequestID, "unsaid", unsaid)
	}
}

// clientAddr returns the address of the client, as far as it is believed. It is
// the zero Addr if the believed text is not an address.
func (x *exchange) clientAddr() netip.Addr {
	a, err := netip.ParseAddr(x.hop.Client)
	if err != nil {
		return netip.Addr{}
	}

	return a.Unmap().WithZone("")
}

// turnedAway counts refusals by reason, and decides which of them are logged:
// one per second for each reason. Safe for concurrent use.
type turnedAway struct {
	mu sync.Mutex
	by map[string]*refusedFor
}

type refusedFor struct {
	unsaid int64     // refusals without a line since the last one
	said   time.Time // when the last line was logged
}

// mostOften is the least time between two lines for one reason.
const mostOften = time.Second

// count counts a refusal. It reports whether a line is due, and how many
// refusals had none since the last line.
func (t *turnedAway) count(reason string, now time.Time) (unsaid int64, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = make(map[string]*refusedFor)
	}
	f := t.by[reason]
	if f == nil {
		f = new(refusedFor)
		t.by[reason] = f
	}

	// After a clock was set back, lines must still be logged.
	if since := now.Sub(f.said); since >= 0 && since < mostOften {
		f.unsaid++
		return 0, false
	}
	unsaid, f.unsaid, f.said = f.unsaid, 0, now

	return unsaid, true
}
