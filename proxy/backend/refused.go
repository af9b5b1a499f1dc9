package backend

// Refusal is why a claim got no place.
type Refusal uint8

// The refusals.
const (
	NotReady   Refusal = iota + 1 // discovery has not published a set of backends yet
	NoBackend                     // no backend may be chosen
	Exhausted                     // every backend that may be chosen was tried
	StrictLost                    // a strict session's backend can't be used, or is gone for good
	Full                          // every backend has as many requests in flight as it may have
	Late                          // the request's deadline came while it waited
	ClientGone                    // the client left while its request waited
)

// Refused is the type of every error of Begin, Take and AwaitStart.
type Refused struct {
	Why   Refusal
	Phase string // the step that failed: "discovery", "pick", "queue" or "hold"
}

// Error returns the reason, for the log.
func (r *Refused) Error() string {
	switch r.Why {
	case NotReady:
		return "discovery has not answered yet"
	case StrictLost:
		return "the session's backend can't be used and LB_AFFINITY_STRICT is on"
	case Full:
		return "every backend has LB_MAX_IN_FLIGHT requests in flight"
	case Late:
		return "LB_REQUEST_TIMEOUT ended the wait"
	case ClientGone:
		return "the client left"
	}

	return "no backend"
}
