package front

import (
	"runtime"
	"runtime/debug"
	readings "runtime/metrics" // metrics are ours

	"github.com/pillion-lb/pillion/proxy/socket"
)

// firstCollection is the size of the heap at which garbage is first collected.
// The live heap of this program is 2 to 3 MiB, and by default the runtime
// collects from 4 MiB on. Under load that would be several times a second, and
// each time requests wait for it.
const firstCollection = 12 << 20

// ownHeap is the live heap of the program without any connection, stacks
// included.
const ownHeap = 6 << 20

// CollectLater sets the memory limit of the garbage collector, unless it is 0,
// and when collections begin. A process calls it once.
//
// The first collection begins when the heap is 12 MiB, or a quarter of the
// memory limit where that is less. A live heap of more than half of that is
// collected when it has doubled, which is Go's usual rule, or at half of the
// limit, because the container holds more than the collector knows of. In any
// case the heap may grow by a quarter of what lives.
//
// This works by adjusting GOGC after each collection. A GOGC that the user has
// set is left alone. Each collection also tells the budget what it found,
// without what is reserved for parts that have a bound of their own.
func CollectLater(memoryLimit, reserved int64, budget *socket.Budget) {
	if memoryLimit > 0 {
		debug.SetMemoryLimit(memoryLimit)
	}

	if percent := debug.SetGCPercent(usualPercent); percent != usualPercent {
		debug.SetGCPercent(percent)
		return
	}

	limit := uint64(debug.SetMemoryLimit(-1))
	c := &collector{
		floor:   min(firstCollection, limit/4),
		ceiling: limit / 2,
		percent: usualPercent,
		budget:  budget,
		known:   ownHeap + reserved,
		samples: []readings.Sample{
			{Name: "/gc/heap/live:bytes"},
			{Name: "/gc/scan/stack:bytes"},
			{Name: "/gc/scan/globals:bytes"},
			{Name: "/memory/classes/heap/stacks:bytes"},
		},
	}
	c.watch()
}

const (
	usualPercent = 100 // the default of GOGC
	leastPercent = 25  // with less, the collector would always be at work
)

type collector struct {
	floor   uint64
	ceiling uint64
	percent int
	budget  *socket.Budget
	known   int64 // live bytes that are not the budget's
	samples []readings.Sample
}

// watch waits for the next collection, by an object that nothing refers to.
func (c *collector) watch() {
	runtime.AddCleanup(&canary{new(byte)}, func(c *collector) {
		c.adjust()
		c.watch()
	}, c)
}

// canary holds a pointer. Without one, the runtime would put it into a block
// with other objects.
type canary struct{ _ *byte }

// adjust sets GOGC so that the next collection does not begin before the floor.
// Each change stops the program for a moment, so small changes are left out.
func (c *collector) adjust() {
	readings.Read(c.samples)
	live := c.samples[0].Value.Uint64()
	roots := c.samples[1].Value.Uint64() + c.samples[2].Value.Uint64()
	c.budget.Observe(int64(live+c.samples[3].Value.Uint64()) - c.known)

	percent := percentFor(c.floor, c.ceiling, live, roots)
	if percent > c.percent+c.percent/8 || percent < c.percent-c.percent/8 {
		c.percent = percent
		debug.SetGCPercent(percent)
	}
}

// percentFor returns the value of GOGC with which a heap may grow to floor. The
// runtime adds that percentage of the live heap and the roots, with a minimum
// of 4 MiB times the percentage (Go's guide to the garbage collector, "GOGC").
// A live heap beyond the floor may grow to the ceiling, and at least by
// leastPercent.
func percentFor(floor, ceiling, live, roots uint64) int {
	if live >= floor {
		room := max(ceiling, live) - live
		return int(max(leastPercent, min(usualPercent, room/max(1, (live+roots)/100))))
	}

	most := floor * usualPercent / (4 << 20)

	return int(max(usualPercent, min(most, (floor-live)*100/max(1, live+roots))))
}
