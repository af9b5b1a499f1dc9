package compress

import "net/http"

// judge returns why an answer is never compressed, for any client, and whether
// the answers for its URL depend on the client's codings.
func (r *Rules) judge(resp *http.Response, head bool) (why skip, varies bool) {
	h := resp.Header
	switch {
	case resp.StatusCode < 200:
		return byStatus, false
	case len(h["Content-Encoding"]) > 0:
		return byCoding, false
	case keepsForm(h):
		return byTransform, false
	case said(h["X-Accel-Buffering"], "no"):
		return byBuffering, false
	case digested(h):
		return byDigest, false
	}

	types := h["Content-Type"]
	listed := len(types) == 1 && r.types.have(types[0])
	switch resp.StatusCode {
	case http.StatusNotModified:
		// A 304 has no Content-Type, as a rule.
		return byStatus, listed || len(types) == 0
	case http.StatusPartialContent:
		return byStatus, listed
	case http.StatusNoContent, http.StatusResetContent:
		return byStatus, false
	}

	switch {
	case len(h["Content-Range"]) > 0:
		return byStatus, false
	case !listed:
		return byType, false
	case short(resp, head, r.min):
		return byLength, false // whatever the client takes
	}

	return compressed, true
}

// digested reports whether a field describes the bytes of the content as they
// are (RFC 9530, RFC 3230).
func digested(h http.Header) bool {
	for _, name := range [...]string{"Content-Digest", "Repr-Digest", "Digest", "Content-Md5"} {
		if len(h[name]) > 0 {
			return true
		}
	}

	return false
}

// short reports whether the answer is known to be too short. An answer to HEAD
// has the length of the answer to GET, and may leave it out.
func short(resp *http.Response, head bool, least int64) bool {
	if head && len(resp.Header["Content-Length"]) == 0 {
		return false
	}

	return resp.ContentLength >= 0 && resp.ContentLength < least
}
