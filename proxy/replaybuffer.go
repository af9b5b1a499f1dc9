package proxy

import "github.com/pillion-lb/pillion/proxy/socket"

// replayBuffer holds the part of a request's body that is kept for another
// attempt. Beyond the first 4 KiB it takes its memory from the budget. If the
// budget refuses, nothing more is kept and the body can't be sent twice. It
// belongs to one request at a time, and is reused for the next.
type replayBuffer struct {
	bytes  []byte
	budget *socket.Budget
}

// replayFree is how much is kept without asking the budget. This much stays
// allocated for the next request.
const replayFree = 4 << 10

// add appends bytes and reports whether they fit into the limit and the budget.
func (k *replayBuffer) add(p []byte, limit int64) bool {
	need := int64(len(k.bytes) + len(p))
	if need > limit {
		return false
	}

	if size := int64(cap(k.bytes)); need > size {
		larger := max(need, min(2*size, limit), min(replayFree, limit))
		if !k.budget.Take(beyond(larger)-beyond(size), socket.Optional) {
			return false
		}
		k.bytes = append(make([]byte, 0, larger), k.bytes...)
	}

	k.bytes = append(k.bytes, p...)
	return true
}

// clear drops the bytes and gives their memory back.
func (k *replayBuffer) clear() {
	k.bytes = k.bytes[:0]
	if size := int64(cap(k.bytes)); size > replayFree {
		k.budget.Give(beyond(size))
		k.bytes = nil
	}
}

// beyond returns how much of a size is taken from the budget.
func beyond(size int64) int64 { return max(0, size-replayFree) }
