package proxy

import (
	"net/http"

	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// retryClass is the reason why a further attempt is allowed. Spans and metrics
// have it under this name.
type retryClass string

const (
	never retryClass = ""
	// No byte was sent, or provably none arrived: any method, not counted by
	// the budget.
	notSent retryClass = "not_sent"
	// The backend says that it did nothing: any method.
	notProcessed retryClass = "not_processed"
	// There was no answer, and a second delivery does no harm (RFC 9110 section
	// 9.2.2).
	idempotent retryClass = "idempotent"
	// The answer has a status of LB_RETRY_STATUS.
	byStatus retryClass = "status"
	// There was no answer for a while (LB_HEDGE). The first attempt goes on.
	hedged retryClass = "hedge"
)

// ending is how a failed request ends, for the client and for the log.
type ending struct {
	status int    // for the client; 499 is never sent
	who    string // "client", "backend", or "us" for Pillion
	phase  string // "connect", "write", "head", "body", "tunnel", ...
}

// blame reports whether a failed attempt may count against its endpoint. It
// does not if the client caused it, if the request could not be put on the wire
// at all, if there was no identity token, or if Pillion lacked memory or
// descriptors.
func blame(e *wire.Error) bool {
	return e.Client == wire.NoFault && (e.Outcome != wire.NotSent || e.Phase == wire.Connect) &&
		!unidentified(e) &&
		!e.Shortage()
}

// unidentified reports whether an attempt failed because there was no identity
// token.
func unidentified(e *wire.Error) bool {
	_, is := e.Err.(*backend.TokenError)
	return is
}

// retriable returns why a failed attempt may be followed by another, or never.
// repeatable means that the method, or an Idempotency-Key, allows a second
// delivery.
func retriable(e *wire.Error, repeatable bool) retryClass {
	switch {
	case e.Client != wire.NoFault:
		return never
	case e.Outcome == wire.NotSent, e.Outcome == wire.Undelivered:
		return notSent
	case e.Outcome == wire.NotProcessed:
		return notProcessed
	case e.Outcome == wire.NoAnswer && repeatable:
		return idempotent
	}

	return never
}

// endingOf returns how a request ends whose last attempt failed.
func endingOf(e *wire.Error) ending {
	end := ending{phase: e.Phase.String(), who: "backend"}
	switch {
	case e.Client == wire.Gone:
		end.status, end.who = statusClientGone, "client"
	case e.Client == wire.BadBody:
		end.status, end.who = http.StatusBadRequest, "client"
	case e.Client == wire.Stalled:
		end.status, end.who = http.StatusRequestTimeout, "client"
	case e.Client == wire.TooLarge:
		end.status, end.who = http.StatusRequestEntityTooLarge, "us"
	case unidentified(e):
		end.who, end.phase, end.status = "us", "identity", http.StatusBadGateway
		if e.Timeout {
			end.status = http.StatusGatewayTimeout
		}
	case e.Shortage():
		end.who, end.status = "us", http.StatusServiceUnavailable
	case e.Timeout:
		end.status = http.StatusGatewayTimeout
	case e.Outcome == wire.NotSent, e.Outcome == wire.Undelivered:
		end.status = http.StatusServiceUnavailable
	default:
		end.status = http.StatusBadGateway
	}

	return end
}

// endingOfRefusal returns how a request ends that got no place.
func endingOfRefusal(r *backend.Refused) ending {
	switch r.Why {
	case backend.ClientGone:
		return ending{statusClientGone, "client", r.Phase}
	case backend.Late:
		return ending{http.StatusGatewayTimeout, "us", r.Phase}
	}

	return ending{http.StatusServiceUnavailable, "us", r.Phase}
}

// statusClientGone is the status in logs and spans for a client that left
// before its answer. It is never sent.
const statusClientGone = 499

// repeatable reports whether a request may be delivered twice. That is so for
// the idempotent methods of RFC 9110 section 9.2.2, and for any request with an
// Idempotency-Key.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}

	_, ok := r.Header["Idempotency-Key"]

	return ok
}
