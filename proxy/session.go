package proxy

import (
	"net/http"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/affinity"
)

// takeCookies removes the affinity cookies of all services from the request. It
// returns the values of the cookie of its own service.
func (x *exchange) takeCookies() (found []string) {
	own := &x.service.Config().Affinity
	for _, name := range x.p.routing.sessions {
		if own.Cookie && name == own.CookieName {
			found = affinity.TakeFrom(x.r.Header, name, x.cookies[:0])
		} else {
			affinity.TakeFrom(x.r.Header, name, nil)
		}
	}

	return found
}

// issueCookie sets the cookie that binds the session to the endpoint that
// answered, unless the client has it already. Errors set no cookie. A response
// with the cookie must not be stored by shared caches.
func (x *exchange) issueCookie(status int, from, h http.Header) {
	x.claim.Session.Answered(x.place.Endpoint)
	theirs, carrier := x.carry(from["Set-Cookie"])
	if len(theirs) < len(from["Set-Cookie"]) {
		h["Set-Cookie"] = theirs
	}
	if status >= 502 && status <= 504 || status == http.StatusNotModified {
		return
	}

	lines := theirs[:len(theirs):len(theirs)]
	own := [...]string{
		x.service.SetCookie(&x.claim, x.place.Endpoint, x.hop.Secure),
		x.shareCookie(status),
		carrier,
	}
	for _, line := range own {
		if line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == len(theirs) {
		return
	}

	h["Set-Cookie"] = lines
	affinity.KeepPrivate(from, h)
	if own[0] != "" && !x.hop.Secure && x.service.Config().Affinity.SameSite == config.SameSiteNone {
		x.p.hintInsecure()
	}
}

// hintInsecure says once that browsers drop the cookie.
func (p *Proxy) hintInsecure() {
	if p.insecureHint.Load() || !p.insecureHint.CompareAndSwap(false, true) {
		return
	}
	p.log.Warn("browsers drop the affinity cookie: LB_AFFINITY_SAMESITE=none makes it Secure, " +
		"but a request came over http; where a proxy ends TLS, name it in LB_TRUSTED_PROXIES")
}

// hintForged says once that a cookie is another service's, or made up.
// Instances with different secrets lose all sessions, and each for itself looks
// healthy.
func (p *Proxy) hintForged() {
	if p.forgedHint.Load() || !p.forgedHint.CompareAndSwap(false, true) {
		return
	}
	p.log.Info("an affinity cookie was not used, because no key of this service signed it; " +
		"instances share sessions by the same LB_AFFINITY_SECRET and the same name of the service")
}

// shareCookie returns the Set-Cookie line with the number that was drawn for
// the browser, or "" if none was drawn.
func (x *exchange) shareCookie(status int) string {
	c := x.p.routing.shareCookie
	if c == nil || status >= http.StatusBadGateway {
		return ""
	}
	number, drawn := x.asked.Drawn()
	if !drawn {
		return ""
	}

	return c.SetCookie(number, x.hop.Secure)
}
