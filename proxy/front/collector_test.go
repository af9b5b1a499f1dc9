package front

import "testing"

func TestCollector_BeginsAtTheFloor(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, c := range []struct{ floor, live, roots uint64 }{
		{16 * mib, 3 * mib, 1 * mib}, {16 * mib, 1 * mib, 0}, {4 * mib, 3 * mib, 1 * mib}, {16 * mib, 9 * mib, mib},
		{16 * mib, 16 * mib, mib}, {16 * mib, 100 * mib, 40 * mib}, {16 * mib, 0, 0},
	} {
		percent := percentFor(c.floor, 1<<62, c.live, c.roots)
		begins := func(percent int) uint64 { // what the runtime makes of it
			return max(4*mib*uint64(percent)/100, c.live+(c.live+c.roots)*uint64(percent)/100)
		}
		next := begins(percent)
		if want := max(c.floor, begins(usualPercent)); next > want || next < want-want/50 || percent < usualPercent {
			t.Errorf("%+v: %d %% is %d, not %d", c, percent, next, want)
		}
	}
}

func TestCollector_EndsAtTheCeiling(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		live uint64 // per cent of the ceiling
		want int
	}{{10, 100}, {40, 100}, {60, 66}, {75, 33}, {90, leastPercent}, {100, leastPercent}, {300, leastPercent}} {
		const ceiling = 1 << 30
		if got := percentFor(1<<20, ceiling, ceiling/100*c.live, 0); got != c.want {
			t.Errorf("with %d%% of the ceiling alive: %d, want %d", c.live, got, c.want)
		}
	}
}
