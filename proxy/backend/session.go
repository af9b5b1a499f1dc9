package backend

import "github.com/pillion-lb/pillion/proxy/affinity"

// Session is what a request's affinity cookie says. The zero value is for a
// service without affinity.
type Session struct {
	State affinity.State

	binding  affinity.Binding
	ring     *affinity.Keyring
	endpoint *Endpoint // of a valid cookie whose backend is published
}

// Bound reports whether the cookie is valid and its backend is published.
func (s *Session) Bound() bool { return s.endpoint != nil }

// lost reports whether a strict session has ended, because its backend is no
// longer published.
func (s *Session) lost(svc *Service) bool {
	return svc.affinity != nil && svc.cfg.Affinity.Strict && s.State == affinity.Unknown
}

// readSession reads the first valid cookie of the request. Browsers may send
// several with one name.
func (s *Service) readSession(c *Claim, cookies []string) {
	if s.affinity == nil {
		return
	}

	session := &c.Session
	session.ring, session.State = c.snap.ring, affinity.None
	for _, value := range cookies {
		b, state := s.affinity.Verify(session.ring, value, c.Start)
		session.State = state
		if state != affinity.Valid {
			continue
		}

		session.binding = b
		e := c.snap.entryOf(b)
		if e == nil {
			session.State = affinity.Unknown
			continue
		}

		session.endpoint = e.ep

		return
	}
}

// Answered notes which endpoint answered. If it is another one than the
// cookie's, the session has moved.
func (s *Session) Answered(ep *Endpoint) {
	if s.State == affinity.Valid && (s.endpoint == nil || s.endpoint.Name != ep.Name) {
		s.State = affinity.Moved
	}
}

// SetCookie returns the Set-Cookie line that binds the claim's session to an
// endpoint, or "" if the client has that cookie already. While only one name
// was ever published there is nothing to remember, and a cookie would keep
// answers out of shared caches.
func (s *Service) SetCookie(c *Claim, ep *Endpoint, secure bool) string {
	if s.affinity == nil || !s.several.Load() {
		return ""
	}

	issued := c.Start.Unix()
	if c.Session.State == affinity.Valid {
		if !s.affinity.NeedsRenewal(c.Session.binding, c.Start) {
			return ""
		}
		issued = c.Session.binding.Issued
	}

	return s.affinity.SetCookie(c.Session.ring, ep.Name, issued, c.Start, secure)
}

// DeleteCookie returns the Set-Cookie line for a strict session whose backend
// is gone for good, so that the client begins a new session. It returns "" for
// any other claim.
func (s *Service) DeleteCookie(c *Claim, secure bool) string {
	if !c.Session.lost(s) {
		return ""
	}

	return s.affinity.DeleteCookie(secure)
}
