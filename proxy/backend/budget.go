package backend

import "time"

// budget keeps retries from becoming a storm. In any ten seconds there may be
// ten retries for each second, plus a share of the requests. A retry after an
// attempt that sent nothing is not counted.
type budget struct {
	share  float64
	window window
}

// The kinds of events in a budget's window.
const (
	countedRequest = iota
	countedRetry
)

// minRetries is the number of retries that any ten seconds allow.
const minRetries = 10 * windowSeconds

// count counts a request. again says that it is a further attempt of a request
// that was counted, which count ignores.
func (b *budget) count(again bool, now time.Time) {
	if !again {
		b.window.add(countedRequest, now)
	}
}

// take pays for a retry if the budget allows it.
func (b *budget) take(now time.Time) bool {
	if b.left(now) < 1 {
		return false
	}
	b.window.add(countedRetry, now)
	return true
}

// left returns how many retries may be made now.
func (b *budget) left(now time.Time) float64 {
	counts := b.window.sum(now, windowSeconds)

	return b.share*float64(counts[countedRequest]) + minRetries - float64(counts[countedRetry])
}
