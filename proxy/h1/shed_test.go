package h1

import (
	"io"
	"sync/atomic"
	"testing"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// Clients that do not read can't be cut in the moment in which they have filled
// the memory. Whoever comes in that moment is served a little later.
func TestServer_AShortageThatHasJustBegunRefusesNobody(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	s := handler(hello)
	var asked atomic.Int32
	s.Budget = socket.NewBudget(limit)
	s.Budget.OnShort(func(int64) int64 {
		if asked.Add(1) == 2 {
			s.Budget.Give(limit) // it had ended by itself
		}
		return 0
	})
	s.Budget.Take(limit, socket.Needed)

	k := dial(t, serve(t, s))
	k.send(get)
	if _, body := k.response("GET"); body != "hello" || asked.Load() < 2 {
		t.Errorf("%q after asking %d times", body, asked.Load())
	}
}

// A shortage that lasts refuses at once: who waits would keep others waiting.
func TestServer_AShortageThatLastsRefusesConnections(t *testing.T) {
	t.Parallel()
	s := handler(hello)
	s.Budget = socket.NewBudget(1 << 20)
	s.Budget.Take(1<<20, socket.Needed)
	addr := serve(t, s)

	for range 3 {
		if b, _ := io.ReadAll(dial(t, addr)); len(b) > 0 {
			t.Errorf("%q", b)
		}
	}
	if n := s.Budget.Shed()[socket.RefusedConnection]; n != 3 {
		t.Errorf("%d refused connections are counted", n)
	}
}
