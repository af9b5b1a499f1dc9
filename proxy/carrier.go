package proxy

import (
	"net/http"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/affinity"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// carrier is the content of the request's carrier: the affinity cookies of one
// backend, which no other backend may get.
type carrier struct {
	carried affinity.Carried
	carries bool // there is one
}

// takeCarrier removes the carriers of all services from the request, and also
// the cookies of backends that another front end has set.
func (x *exchange) takeCarrier() {
	if len(x.p.routing.carriers) == 0 || len(x.r.Header["Cookie"]) == 0 {
		return
	}

	own := affinity.CarrierName(x.service.Config().Affinity.CookieName)
	for _, name := range x.p.routing.carriers {
		found := affinity.TakeFrom(x.r.Header, name, x.cookies[:0])
		if name == own && len(found) > 0 {
			x.carried, x.carries = affinity.ReadCarrier(found[0])
		}
	}

	for _, name := range x.service.ForeignCookies() {
		affinity.TakeFrom(x.r.Header, name, nil)
	}
}

// showCarried adds the carried cookies to an attempt at their own endpoint.
func (x *exchange) showCarried() {
	if !x.carries || !x.place.Carries(&x.claim, &x.carried) {
		return
	}

	before := strings.Join(x.r.Header["Cookie"], "; ")
	if line := x.carried.AppendTo(before, x.place.CarriedCookies()); line != before {
		x.call.Fields = append(x.call.Fields, wire.Field{Name: "Cookie", Value: line})
	}
}

// carry removes the endpoint's own affinity cookies from the Set-Cookie lines
// of its answer. line is the Set-Cookie line of the carrier, or "" if the
// client has it already.
func (x *exchange) carry(lines []string) (rest []string, line string) {
	names := x.place.CarriedCookies()
	if len(names) == 0 || len(lines) == 0 {
		return lines, ""
	}

	now := time.Now()
	rest, set := affinity.TakeBackendCookies(lines, names, now)
	if len(set) == 0 {
		return lines, ""
	}

	line, ok := x.place.Carry(&x.claim, x.carried, set, now, x.hop.Secure)
	if !ok {
		return lines, ""
	}

	return rest, line
}

// dropCarried removes the endpoint's own affinity cookies from an interim
// response.
func (x *exchange) dropCarried(h http.Header) {
	if lines := h["Set-Cookie"]; len(lines) > 0 {
		h["Set-Cookie"], _ = affinity.TakeBackendCookies(lines, x.place.CarriedCookies(), time.Now())
	}
}
