package proxy

import (
	"runtime"
	"runtime/debug"
	readings "runtime/metrics" // metrics are ours
)

// roomyHeap is how far the heap may grow before garbage is collected at all. What lives of this program is two or three
// MiB, and the runtime alone would collect at four: several times a second under load, each time at the cost of requests
// that wait for it.
const roomyHeap = 12 << 20

// CollectLater makes the garbage collector begin at 12 MiB, or at a quarter of the memory limit where that is less. A heap
// of which more than half of that lives is collected when it has doubled, as ever. A collector that GOGC has set is left
// alone. It works by adjusting GOGC after each collection; a process calls it once, when its memory limit is set.
func CollectLater() {
	if percent := debug.SetGCPercent(usualPercent); percent != usualPercent {
		debug.SetGCPercent(percent)
		return
	}
	c := &collector{floor: min(roomyHeap, uint64(debug.SetMemoryLimit(-1))/4), percent: usualPercent, samples: []readings.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}}
	c.watch()
}

// usualPercent is what GOGC is when nobody says.
const usualPercent = 100

type collector struct {
	floor   uint64
	percent int
	samples []readings.Sample
}

// watch waits for the next collection: it finds an object that nobody holds.
func (c *collector) watch() {
	runtime.AddCleanup(&canary{new(byte)}, func(c *collector) {
		c.adjust()
		c.watch()
	}, c)
}

// canary holds a pointer, or the runtime would put it into a block with others.
type canary struct{ _ *byte }

// adjust sets GOGC so that the next collection begins at the floor at the earliest. Each change stops the program for a
// moment, so that a small one is not made.
func (c *collector) adjust() {
	readings.Read(c.samples)
	live := c.samples[0].Value.Uint64()
	roots := c.samples[1].Value.Uint64() + c.samples[2].Value.Uint64()
	percent := percentFor(c.floor, live, roots)
	if percent > c.percent+c.percent/8 || percent < c.percent-c.percent/8 {
		c.percent = percent
		debug.SetGCPercent(percent)
	}
}

// percentFor is the value of GOGC that lets a heap grow to floor: the runtime adds that much of what lives and of the
// roots, and the same part of the four MiB with which it begins whatever lives (Go's guide to the garbage collector, "GOGC").
func percentFor(floor, live, roots uint64) int {
	if live >= floor {
		return usualPercent
	}
	most := floor * usualPercent / (4 << 20)
	return int(max(usualPercent, min(most, (floor-live)*100/max(1, live+roots))))
}
