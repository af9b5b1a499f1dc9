package proxy

import (
	"net/http"

	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// serve gets an answer from the service and passes it to the client. It does
// not see how many attempts the answer took.
func (x *exchange) serve() {
	if !x.reserve() {
		return
	}

	err := x.service.Begin(&x.claim, x.takeCookies())
	x.takeCarrier()
	if err != nil {
		refused := err.(*backend.Refused)
		x.fail(endingOfRefusal(refused), refused)
		return
	}

	x.shared = wire.Call{
		Fields:          x.hop.Fields,
		Settled:         x.settled,
		Trailers:        x.trailers,
		Upgrade:         x.upgrade,
		Target:          x.target,
		ResponseTimeout: x.route.ResponseTimeout,
		Deadline:        x.deadline,
		Informational:   x.inform,
	}
	client := x.r
	resp, err := x.answers().Send(client, &x.shared)
	x.r = client // the cache may have replaced it by a request of its own
	x.answeredFromMemory()
	if err != nil {
		f := failureOf(err)
		x.fail(f.ending, f.cause)
		return
	}

	x.pass(resp)
	x.release()
}

// pass sends an answer to the client and ends the attempt that the answer came
// from. An answer may turn out to be unusable. If nothing was sent yet, the
// client gets an error from Pillion instead. If the head was sent, the
// connection or the stream is cut, so that the client notices.
func (x *exchange) pass(resp *http.Response) {
	var e *wire.Error // how the attempt failed after its head; nil if it did not
	var f *failure    // what the client gets instead of the answer; nil for the answer

	relayed, closed := false, false
	defer func() {
		if !closed { // after a panic; others may wait for the body, and its connection be open
			resp.Body.Close()
		}
	}()

	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		e, f = x.tunnel(resp)
	case x.stream != nil && resp.StatusCode < 300:
		e, f = unswitched(errUnswitched)
	default:
		relayed, e = true, x.relay(resp)
	}

	if x.placed {
		x.endAttempt(resp, e)
	}
	closed = true
	resp.Body.Close()

	switch {
	case f != nil:
		x.fail(f.ending, f.cause)
	case relayed && e != nil:
		x.cut(e)
	}
}
