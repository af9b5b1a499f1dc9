package cache

import (
	"net/http"
	"slices"
	"strings"
)

// settle completes the freshness: an answer that has to be validated before
// each use gets the lifetime 0.
func (a *answer) settle() {
	if a.noCache {
		a.lifetime = 0
	}
	if a.mustUnderstand {
		a.noStore = false // for a status that is understood, which mayStore requires
	}
}

// mayStore reports whether an answer may be stored (RFC 9111 section 3), by
// rules that are stricter than the RFC's wherever a client could get the answer
// of another one.
func (l *Lookup) mayStore(resp *http.Response, a *answer) bool {
	h := resp.Header
	switch s := resp.StatusCode; {
	case s < 200, s == http.StatusPartialContent, s == http.StatusNotModified,
		a.mustUnderstand && !understood(s):
		return false
	case a.noStore, a.private, len(h["Set-Cookie"]) > 0, len(resp.Trailer) > 0, streamed(h):
		return false
	}
	var ok bool
	a.vary, ok = varyNames(h["Vary"])
	if !ok || len(l.request.Header["Cookie"]) > 0 && slices.Contains(a.vary, "Cookie") ||
		slices.Contains(a.vary, "Accept-Encoding") && !knownCodings(h["Content-Encoding"]) {
		return false
	}
	if l.asked.credentials && !l.forAll(h, a) {
		return false
	}
	if a.left(a.stored) <= 0 && !hasValidator(h) || !a.explicit && !a.inferred && !a.noCache {
		return false
	}
	if resp.ContentLength > l.Cache.mostObject {
		l.Cache.refuse(tooLarge)
		return false
	}
	return true
}

// forAll reports whether the answer to a request with credentials is meant for
// other clients too. must-revalidate is not enough for that, although RFC 9111
// section 3.5 would allow it.
func (l *Lookup) forAll(h http.Header, a *answer) bool {
	return a.public || a.sMaxAge.said || a.targeted && a.maxAge.said ||
		l.asked.cookies && a.explicit && staticType(h)
}

// streamed reports whether an answer is a stream without an end, or one of
// several parts.
func streamed(h http.Header) bool {
	media := strings.ToLower(first(h, "Content-Type"))
	return strings.HasPrefix(media, "text/event-stream") || strings.HasPrefix(media, "multipart/")
}
