package proxy

import "github.com/pillion-lb/pillion/proxy/backend"

// stateWord returns the state of a backend in one word. The last backend is
// always eligible, so that requests have somewhere to go.
func stateWord(e backend.State) string {
	if e.Failing {
		return "failing"
	}

	return e.State
}

// beginEjections lets the ejections of every backend begin at 0. Without that
// the series would begin at its first ejection, and a rate does not see the
// beginning of a series.
func (n *metrics) beginEjections(list []backend.State) {
	for _, e := range list {
		if !e.Leaving {
			k := counterKey{"lb.ejections", e.Name, e.Service}
			n.counters.get(k, k.attributes)
		}
	}
}
