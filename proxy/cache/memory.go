package cache

import "sync/atomic"

// overhead is the number of bytes that an entry counts beside its body, its
// fields and its key. That is about what the entry, its resource and their maps
// take.
const overhead = 1 << 10

// memory bounds what all entries hold together. Memory is taken before it is
// used, so the bound is never exceeded.
type memory struct {
	most int64
	used atomic.Int64
}

// take takes n bytes if that many are free.
func (m *memory) take(n int64) bool {
	for {
		used := m.used.Load()
		if used+n > m.most {
			return false
		}
		if m.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (m *memory) give(n int64) { m.used.Add(-n) }
