package compress

import (
	"net/http"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// wanted returns the coding for the answer to a request, or why the answer is
// not compressed.
func (r *Rules) wanted(q *http.Request) (wire.Coding, skip) {
	switch {
	case q.ProtoMajor == 1 && q.ProtoMinor == 0:
		return wire.Identity, byVersion
	case len(q.Header["Range"]) > 0:
		return wire.Identity, byRange
	case keepsForm(q.Header):
		return wire.Identity, byTransform
	}

	best := r.preferred(q.Header["Accept-Encoding"])
	switch {
	case best == wire.Identity:
		return best, byClient
	case exposed(q.Header):
		return wire.Identity, byOrigin
	}

	return best, compressed
}

// preferred returns the coding with the highest weight, and among equal ones
// the first in LB_COMPRESS (RFC 9110 section 12.5.3). It is Identity if the
// client accepts none of them, even if the client excludes Identity.
func (r *Rules) preferred(lines []string) wire.Coding {
	if len(lines) == 0 {
		return wire.Identity
	}

	a := wire.AcceptEncoding(lines)
	best, weight := wire.Identity, 0
	for _, c := range r.codings {
		if w := a.Weight(c); w > weight {
			best, weight = c, w
		}
	}
	if a.Names(wire.Identity) && a.Weight(wire.Identity) > weight {
		return wire.Identity
	}

	return best
}

// keepsForm reports whether a message has the directive no-transform (RFC 9110
// section 7.7).
func keepsForm(h http.Header) bool {
	return wire.HasToken(h["Cache-Control"], "no-transform")
}

// exposed reports whether a page of another site may have made the request with
// the user's credentials. A navigation is not exposed, because the other site
// can't observe its answer.
func exposed(h http.Header) bool {
	if len(h["Cookie"]) == 0 && len(h["Authorization"]) == 0 ||
		!said(h["Sec-Fetch-Site"], "cross-site") {
		return false
	}

	return !said(h["Sec-Fetch-Dest"], "document")
}

func said(lines []string, word string) bool {
	return len(lines) == 1 && wire.EqualFold(wire.TrimBlanks(lines[0]), word)
}
