package proxy

import "net/http"

// requestID gives the request an id that logs of all hops share: a trusted peer's, else the trace's, else a random one.
func (x *exchange) requestID(h http.Header) {
	if ids := h["X-Request-Id"]; len(ids) == 1 && x.trusted && goodID(ids[0]) {
		x.record.RequestID = ids[0]
		return
	}
	switch {
	case x.trace.id != "":
		x.record.RequestID = x.trace.id
	default:
		x.record.RequestID = randomID()
	}
	x.say("X-Request-Id", x.record.RequestID)
}

// goodID accepts what is safe in a log line and a header field: up to 128 visible characters without quotes.
func goodID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
