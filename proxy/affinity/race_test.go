//go:build race

package affinity

// racing reports whether the race detector is on. With it, a sync.Pool drops
// items on purpose.
const racing = true
