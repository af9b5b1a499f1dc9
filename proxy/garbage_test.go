package proxy

import "testing"

func TestCollector_BeginsAtTheFloor(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, c := range []struct{ floor, live, roots uint64 }{
		{16 * mib, 3 * mib, 1 * mib}, {16 * mib, 1 * mib, 0}, {4 * mib, 3 * mib, 1 * mib}, {16 * mib, 9 * mib, mib},
		{16 * mib, 16 * mib, mib}, {16 * mib, 100 * mib, 40 * mib}, {16 * mib, 0, 0},
	} {
		percent := percentFor(c.floor, c.live, c.roots)
		next := c.live + (c.live+c.roots)*uint64(percent)/100 // what the runtime makes of it
		usual := c.live + (c.live + c.roots)
		if want := max(c.floor, usual); c.live > 0 && (next > want || next < want-want/50) || percent < usualPercent {
			t.Errorf("%+v: %d %% is %d, not %d", c, percent, next, want)
		}
	}
}
