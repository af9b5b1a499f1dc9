package proxy

import (
	"errors"
	"net/http"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// retryClass says why an attempt may be followed by another. It stands in spans and metrics under this name.
type retryClass string

const (
	never        retryClass = ""
	notSent      retryClass = "not_sent"      // no byte left us: any method, free of budget
	notProcessed retryClass = "not_processed" // the backend says it did nothing: any method
	idempotent   retryClass = "idempotent"    // no answer, and doing it twice does no harm (RFC 9110 section 9.2.2)
	byStatus     retryClass = "status"        // an answer whose status LB_RETRY_STATUS lists
)

// ending is what the client and the log are told of a failed exchange.
type ending struct {
	status int    // for the client; 499 is only for ourselves
	who    string // "client", "backend", "us"
	phase  string // "connect", "write", "head", "body", "tunnel", ...
}

// blame reports whether a failed attempt counts against its endpoint. A departed client does not, nor does a body that
// the client spoilt, nor a request that can't be put on the wire at all, nor an identity token that nobody gave us.
func blame(e *h1.Error) bool {
	return e.Client == h1.NoFault && (e.Outcome != h1.NotSent || e.Phase == h1.Connect) && !unidentified(e)
}

// tokenError is why an attempt could not be made: it lacked the endpoint's identity token. It is no chain to its cause,
// because what befell the request for a token must not count as if it had befallen the attempt.
type tokenError struct{ cause error }

// Error says what was lacking, and why.
func (n *tokenError) Error() string { return "no identity token: " + n.cause.Error() }

// unidentified reports whether an attempt failed for want of an identity token.
func unidentified(e *h1.Error) bool {
	_, is := e.Err.(*tokenError)
	return is
}

// retriable classes a failed attempt. repeatable says that the request's method, or its Idempotency-Key, allows a
// second delivery.
func retriable(e *h1.Error, repeatable bool) retryClass {
	switch {
	case e.Client != h1.NoFault:
		return never
	case e.Outcome == h1.NotSent:
		return notSent
	case e.Outcome == h1.NotProcessed:
		return notProcessed
	case e.Outcome == h1.NoAnswer && repeatable:
		return idempotent
	}
	return never
}

// endingOf translates a failed attempt that nothing followed.
func endingOf(e *h1.Error) ending {
	end := ending{phase: e.Phase.String(), who: "backend"}
	switch {
	case e.Client == h1.Gone:
		end.status, end.who = statusClientGone, "client"
	case e.Client == h1.BadBody:
		end.status, end.who = http.StatusBadRequest, "client"
	case e.Client == h1.Stalled:
		end.status, end.who = http.StatusRequestTimeout, "client"
	case e.Client == h1.TooLarge:
		end.status, end.who = http.StatusRequestEntityTooLarge, "us"
	case unidentified(e):
		end.who, end.phase, end.status = "us", "identity", http.StatusBadGateway
		if e.Timeout {
			end.status = http.StatusGatewayTimeout
		}
	case e.Timeout:
		end.status = http.StatusGatewayTimeout
	case e.Outcome == h1.NotSent:
		end.status = http.StatusServiceUnavailable
	default:
		end.status = http.StatusBadGateway
	}
	return end
}

// statusClientGone is what logs and spans say of a client that left before its answer. It is never sent.
const statusClientGone = 499

// repeatable reports whether a request may be delivered twice: the methods of RFC 9110 section 9.2.2, or any other
// whose sender vouches for it by an Idempotency-Key.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	_, ok := r.Header["Idempotency-Key"]
	return ok
}

// asError makes every failure of an upstream an *h1.Error; one that says nothing of itself is the worst kind.
func asError(err error) *h1.Error {
	if e, ok := errors.AsType[*h1.Error](err); ok {
		return e
	}
	return &h1.Error{Outcome: h1.Broken, Phase: h1.Head, Err: err}
}
