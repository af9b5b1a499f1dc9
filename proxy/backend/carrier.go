package backend

import (
	"strings"
	"time"

	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/affinity"
)

// runCookie is the cookie by which Cloud Run keeps a session on an instance. It
// has one name for all services and regions.
const runCookie = "GAESA"

// carriedBy returns the names of a backend's own affinity cookies, nil for
// none.
func (s *Service) carriedBy(b discovery.Backend) []string {
	switch cookies := s.cfg.Affinity.BackendCookies; {
	case s.affinity == nil:
		return nil
	case !cookies.Auto:
		return cookies.Names
	case !b.Run && !onRun(b.Host) && !onRun(b.SetHost):
		return nil
	}

	s.behindRun.Store(true)

	return []string{runCookie}
}

func onRun(host string) bool { return strings.HasSuffix(hostOnly(host), ".run.app") }

// ForeignCookies returns the names of the cookies that clients may have of
// another front end and that no endpoint of the service may see.
func (s *Service) ForeignCookies() []string {
	switch {
	case s.affinity == nil:
		return nil
	case s.behindRun.Load():
		return []string{runCookie}
	}

	return s.cfg.Affinity.BackendCookies.Names
}

// CarriedCookies returns the names of the endpoint's own affinity cookies,
// which come and go in the carrier.
func (p *Place) CarriedCookies() []string { return p.carried }

// Carries reports whether the cookies of a request's carrier are those of the
// place's endpoint.
func (p *Place) Carries(c *Claim, carried *affinity.Carried) bool {
	return len(p.carried) > 0 && carried.Of(c.Session.ring, p.Name)
}

// Carry returns the Set-Cookie line of the carrier for what the place's
// endpoint has set, "" for none. It is not ok if there is too much to carry.
func (p *Place) Carry(
	c *Claim, had affinity.Carried, set []affinity.BackendCookie, now time.Time, secure bool,
) (line string, ok bool) {
	line, ok = p.service.affinity.Carry(c.Session.ring, p.Name, had, set, now, secure)
	if !ok && !p.service.carrierLogged.Swap(true) {
		p.service.log.Warn("the affinity cookies of a backend are too long to be carried",
			"backend", p.Name)
	}

	return line, ok
}

// DeleteCarrier returns the Set-Cookie line that deletes the carrier.
func (s *Service) DeleteCarrier(secure bool) string { return s.affinity.DeleteCarrier(secure) }
