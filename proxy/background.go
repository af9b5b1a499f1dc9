package proxy

import (
	"context"
	"sync"
)

// work is a kind of work in the background.
type work string

// The kinds of work: refreshes of the cache, mirrors, and the loops of hedges,
// because the losing loop may end after its request.
const (
	refreshing work = "refresh"
	mirrorWork work = "mirror"
	hedgeWork  work = "hedge"
)

// background is the work outside of the clients' goroutines. It ends with Run.
// The servers recover from panics in a client's goroutine. In the background, a
// panic would end the process.
type background struct {
	panicked func(w work, value any) // called for a panic, which ends that work only
	ctx      context.Context         // of all this work
	cancel   context.CancelFunc

	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

func (b *background) init(panicked func(w work, value any)) {
	b.panicked = panicked
	b.ctx, b.cancel = context.WithCancel(context.Background())
}

// start runs f in a goroutine of its own. It reports false, and runs nothing,
// if the process is ending.
func (b *background) start(w work, f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return false
	}

	b.running.Go(func() {
		defer func() {
			if value := recover(); value != nil {
				b.panicked(w, value)
			}
		}()
		f()
	})

	return true
}

// stop ends all work and waits for its end.
func (b *background) stop() {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()

	b.cancel()
	b.running.Wait()
}

// backgroundPanicked logs and counts a fault of Pillion's own.
func (p *Proxy) backgroundPanicked(w work, value any) {
	p.log.Error("work in the background panicked", "work", string(w), "panic", value)
	if p.metrics != nil {
		p.metrics.count("lb.background.panics", string(w), "")
	}
}

// beginPanics lets the faults of each kind of work begin at 0, so that a rate
// sees the first.
func (n *metrics) beginPanics() {
	for _, w := range [...]work{refreshing, mirrorWork, hedgeWork} {
		k := counterKey{"lb.background.panics", string(w), ""}
		n.counters.get(k, k.attributes)
	}
}
