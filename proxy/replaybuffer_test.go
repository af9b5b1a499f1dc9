package proxy

import (
	"bytes"
	"testing"

	"github.com/pillion-lb/pillion/proxy/socket"
)

func TestReplayBuffer_TakesItsMemoryFromTheBudget(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	b := socket.NewBudget(8 * limit)

	k := replayBuffer{budget: b}
	for range 64 {
		if !k.add(make([]byte, 1<<10), limit) {
			t.Fatalf("refused after %d bytes", len(k.bytes))
		}
		if b.Used() > 2*int64(len(k.bytes)) || b.Used() < int64(len(k.bytes))-replayFree {
			t.Fatalf("%d bytes taken for %d", b.Used(), len(k.bytes))
		}
	}

	if k.add([]byte{1}, limit) || len(k.bytes) != limit {
		t.Errorf("%d bytes are kept, more than the limit", len(k.bytes))
	}

	k.clear()
	if b.Used() != 0 || len(k.bytes) != 0 {
		t.Errorf("%d bytes are left", b.Used())
	}
}

func TestReplayBuffer_LittleCostsTheBudgetNothing(t *testing.T) {
	t.Parallel()
	b := socket.NewBudget(1 << 20)

	k := replayBuffer{budget: b}
	for range 3 {
		k.add(bytes.Repeat([]byte("x"), replayFree), 64<<10)
		if b.Used() != 0 {
			t.Fatalf("%d bytes taken", b.Used())
		}
		k.clear()
	}

	if cap(k.bytes) != replayFree {
		t.Errorf("%d bytes stay for the next request", cap(k.bytes))
	}
}

func TestReplayBuffer_DoesWithoutWhenMemoryIsTight(t *testing.T) {
	t.Parallel()
	b := socket.NewBudget(1 << 20)
	b.Take(500<<10, socket.Needed)
	k := replayBuffer{budget: b}
	if !k.add(make([]byte, 16<<10), 64<<10) {
		t.Fatal("refused too early")
	}

	if k.add(make([]byte, 16<<10), 64<<10) || len(k.bytes) != 16<<10 {
		t.Errorf("%d bytes kept although half of the budget is taken", len(k.bytes))
	}

	k.clear()
	if b.Used() != 500<<10 {
		t.Errorf("%d bytes taken", b.Used())
	}
}
