package proxy

import (
	"net/http"
	"strings"
)

// clean makes the client's request one that may go to a backend: what concerns only the hop to us goes, what claims to
// come from proxies before us goes unless they are trusted, and what we say ourselves is set. After it, the request is
// read-only.
func (x *exchange) clean() {
	h := x.r.Header
	connection := h["Connection"]
	te := trailersWanted(h["Te"])
	x.believePeer()
	dropped := x.sweep(h)
	if connection != nil {
		dropNamed(h, connection)
	}
	if te {
		h["Te"] = []string{"trailers"} // not in the overlay, which may not speak of the connection
	}
	if dropped != "" {
		x.hintTrust(dropped)
	}
	x.forward(h)
	x.readTrace(h)
	x.requestID(h)
	x.p.markLoop(x, h)
}

// sweep removes, in one pass over the fields, those that concern one connection only with those that older software
// uses so (RFC 9110 section 7.6.1), those that only we may set towards a backend, and what an untrusted peer claims of
// the client; the name of one of the last is returned. The caller's own Authorization always stays: where the identity
// goes in that field, the overlay replaces it.
func (x *exchange) sweep(h http.Header) (claimed string) {
	for name := range h {
		switch name {
		case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authorization", "Te", "Transfer-Encoding", "Upgrade",
			"Http2-Settings", "Trailer", "Proxy", "X-Serverless-Authorization":
			delete(h, name)
			continue
		case "Forwarded", "X-Real-Ip":
			if !x.trusted || x.p.preset {
				claimed = name
				delete(h, name)
			}
			continue
		}
		switch {
		case strings.HasPrefix(name, "X-Forwarded-"):
			if !x.trusted || x.p.preset && name != "X-Forwarded-For" && name != "X-Forwarded-Proto" {
				claimed = name
				delete(h, name)
			}
		case name == x.p.identityHeader && name != "Authorization":
			delete(h, name)
		case strings.IndexByte(name, '_') >= 0 && x.p.twin(name):
			claimed = name
			delete(h, name)
		}
	}
	if x.trusted {
		claimed = ""
	}
	return claimed
}

// twin reports whether a name with underscores is one that some servers can't tell from a field that we guard, because
// they turn both hyphens and underscores into the same variable.
func (p *Proxy) twin(name string) bool {
	name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	switch name {
	case "Forwarded", "X-Real-Ip", "Proxy", "X-Serverless-Authorization", "X-Request-Id", "Cdn-Loop", p.identityHeader:
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// trailersWanted reports whether TE says that the client takes trailers; gRPC asks for it.
func trailersWanted(te []string) bool {
	for _, line := range te {
		for coding := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(coding, " \t"), "trailers") {
				return true
			}
		}
	}
	return false
}

// wantsWebSocket reports whether the request asks for the one upgrade that is forwarded (RFC 6455 section 4.1). Others
// are dropped and the request goes on without.
func wantsWebSocket(r *http.Request) bool {
	up := r.Header["Upgrade"]
	if len(up) != 1 || r.ProtoMajor != 1 || r.ProtoMinor == 0 || r.Method != http.MethodGet || r.ContentLength != 0 {
		return false
	}
	if !strings.EqualFold(up[0], "websocket") {
		return false
	}
	for _, line := range r.Header["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(option, " \t"), "upgrade") {
				return true
			}
		}
	}
	return false
}
