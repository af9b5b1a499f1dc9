//go:build race

package proxy

// racing says that the race detector is on, under which a sync.Pool loses
// things on purpose.
const racing = true
