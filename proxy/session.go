package proxy

import (
	"net/http"
	"strings"
)

// readCookie takes our cookie out of the request and judges it. It reports whether the request is answered already:
// a strict session whose backend is not published any more ends here.
func (x *exchange) readCookie() bool {
	a := x.p.service.affinity
	if a == nil {
		return false
	}
	x.ring, x.verdict = x.snap.ring, cookieNone
	if fields := x.r.Header["Cookie"]; len(fields) > 0 {
		rest, found := takeCookie(fields, a.cfg.CookieName, x.cookies[:0])
		if len(rest) == 0 {
			delete(x.r.Header, "Cookie")
		} else {
			x.r.Header["Cookie"] = rest
		}
		x.judge(a, found)
	}
	if a.cfg.Strict && x.verdict == cookieUnknown {
		return x.fail(ending{http.StatusServiceUnavailable, "us", "pick"}, errStrict)
	}
	return false
}

// judge takes the first of the request's cookies that is valid; browsers may send several of one name.
func (x *exchange) judge(a *affinity, found []string) {
	for _, value := range found {
		b, verdict := a.verify(x.ring, value, x.record.Start)
		x.verdict = verdict
		if verdict != cookieValid {
			continue
		}
		x.binding = b
		e := x.snap.bound(b.key, b.id)
		if e == nil {
			x.verdict = cookieUnknown
			continue
		}
		x.bound = e.ep
		return
	}
}

// bind sets the cookie that binds the session to the endpoint that answered, if the client does not have it already.
// Errors bind nobody, and a response that carries the cookie is private to its client.
func (x *exchange) bind(ep *endpoint, status int, from, h http.Header) {
	a := x.p.service.affinity
	if a == nil {
		return
	}
	if x.verdict == cookieValid && (x.bound == nil || x.bound.name != ep.name) {
		x.verdict = cookieMoved
	}
	issued := x.record.Start.Unix()
	if x.verdict == cookieValid {
		if !a.stale(x.binding, x.record.Start) {
			return
		}
		issued = x.binding.issued
	}
	if status >= 502 && status <= 504 || status == http.StatusNotModified {
		return
	}
	line := a.setCookie(x.ring, ep.name, issued, x.record.Start, x.secure)
	theirs := from["Set-Cookie"]
	h["Set-Cookie"] = append(theirs[:len(theirs):len(theirs)], line)
	keepPrivate(from["Cache-Control"], h)
}

// keepPrivate keeps shared caches from giving one client's cookie to another (RFC 9111 section 5.2.2.7).
func keepPrivate(lines []string, h http.Header) {
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(strings.Trim(directive, " \t"), "=")
			if strings.EqualFold(name, "private") || strings.EqualFold(name, "no-store") {
				return
			}
		}
	}
	h["Cache-Control"] = []string{privately(lines)}
}

// privately adds the directive to what the app said, without the directives that private contradicts.
func privately(lines []string) string {
	kept := []string{"private"}
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			directive = strings.Trim(directive, " \t")
			name, _, _ := strings.Cut(directive, "=")
			switch strings.ToLower(name) {
			case "", "public", "s-maxage", "proxy-revalidate":
				continue
			}
			kept = append(kept, directive)
		}
	}
	return strings.Join(kept, ", ")
}

// lostSession is the Set-Cookie line of the one error that carries one: a strict session's backend is gone for good,
// so the client must begin a new session.
func (x *exchange) lostSession() string {
	a := x.p.service.affinity
	if a == nil || !a.cfg.Strict || x.verdict != cookieUnknown || x.cause != nil {
		return ""
	}
	return a.deleteCookie(x.secure)
}
