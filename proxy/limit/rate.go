package limit

import (
	"time"

	"github.com/pillion-lb/pillion/config"
)

// rate is the generic cell rate algorithm (ITU-T I.371) with the parameters of
// one limit, in nanoseconds. For each key it keeps the theoretical arrival
// time, at which the key has its whole burst again. There is no timer, so time
// in which the process was frozen counts too.
type rate struct {
	emission int64 // the time that one request costs
	window   int64 // the time that a whole burst costs
}

// newRate makes the rate of a limit. It rounds the cost of a request up, so
// that a limit never allows more than configured.
func newRate(c *config.RateLimit) rate {
	emission := (int64(c.Period) + int64(c.Count) - 1) / int64(c.Count)
	return rate{emission, emission * int64(c.Burst)}
}

// take charges a request to an arrival time. It returns the new one, and how
// long the request is too early; 0 lets it pass. A request that is too early
// costs nothing.
func (r rate) take(arrival, now int64) (next int64, early time.Duration) {
	if !r.live(arrival, now) {
		arrival = now
	}
	next = arrival + r.emission
	if wait := next - r.window - now; wait > 0 {
		return arrival, time.Duration(wait)
	}

	return next, 0
}

// live reports whether an arrival time still counts. It does not if it has
// passed, or if it is so late that the clock must have been set back since.
// Requests read the clock before they come here, in any order, so a second is
// added.
func (r rate) live(arrival, now int64) bool {
	return arrival > now && arrival-now <= r.window+max(r.window, int64(time.Second))
}

// refusedUntil returns the arrival time of a key whose next request is allowed
// after wait.
func (r rate) refusedUntil(now int64, wait time.Duration) int64 {
	return now + int64(wait) + r.window - r.emission
}
