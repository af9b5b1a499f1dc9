package discovery

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// list runs the sources of a list of targets and merges their backends. A
// nested list is such a list inside of one source.
type list struct {
	log *slog.Logger
	// called with mu held, so that publications keep their order
	publish func([]Backend, bool)

	mu       sync.Mutex
	feeds    []*feed
	said     bool // something was published
	backends []Backend
	complete bool
	clashes  map[string]bool // names that two sources use, as "name source"
}

// newList makes a list whose sources come from sourceOf. It begins with the
// answers that previous, if not nil, has for the same targets.
func newList(targets []Target, log *slog.Logger, sourceOf func(Target) source, previous *list,
	publish func([]Backend, bool)) *list {
	l := &list{log: log, publish: publish}
	known := previous.known()
	for _, t := range targets {
		f := &feed{target: t, source: sourceOf(t), log: log.With("source", t.Item)}
		if old, ok := known[t]; ok {
			f.backends, f.refused, f.answered = old.backends, old.refused, old.answered
		}

		if fixed, ok := f.source.(static); ok {
			f.take(fixed.answer(), wallClock())
		}

		l.feeds = append(l.feeds, f)
	}

	return l
}

// known returns the last good answer for every target that has one.
func (l *list) known() map[Target]feed {
	if l == nil {
		return nil
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	known := map[Target]feed{}
	for _, f := range l.feeds {
		if !f.answered.IsZero() {
			known[f.target] = *f
		}
	}

	return known
}

// run publishes the known backends at once, and then every change, until ctx
// ends and all sources have returned.
func (l *list) run(ctx context.Context) {
	l.mu.Lock()
	l.changed()
	l.mu.Unlock()
	var running sync.WaitGroup

	for _, f := range l.feeds {
		running.Go(func() {
			f.source.run(ctx, func(a answer, err error) { l.take(f, a, err) })
		})
	}

	running.Wait()
	<-ctx.Done()
}

// take handles a source's report.
func (l *list) take(f *feed, a answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := wallClock()
	if err != nil {
		f.fail(err, now)
		return
	}

	if f.take(a, now) {
		l.changed()
	}
}

// changed merges all feeds and publishes the result if it differs. The caller
// holds mu.
func (l *list) changed() {
	backends, clashes, complete := merge(l.feeds)
	l.warn(clashes)
	if len(backends) == 0 && !complete {
		return
	}

	if l.said && complete == l.complete && slices.Equal(backends, l.backends) {
		return
	}

	l.said, l.backends, l.complete = true, backends, complete
	l.publish(slices.Clone(backends), complete)
}

// warn logs each clash of names once while it lasts.
func (l *list) warn(clashes []Backend) {
	now := map[string]bool{}
	for _, b := range clashes {
		key := b.Name + " " + b.Source
		if !l.clashes[key] && !now[key] {
			l.log.Warn("discovery found a name twice, the first in the list stays", "backend",
				b.Name, "source", b.Source)
		}

		now[key] = true
	}

	l.clashes = now
}

// merge returns the union of the feeds' backends, sorted by name. Of two
// backends with one name, the first in the list stays. The result is complete
// if every feed has answered.
func merge(feeds []*feed) (merged, clashes []Backend, complete bool) {
	complete = true
	for _, f := range feeds {
		merged = append(merged, f.backends...)
		complete = complete && !f.answered.IsZero()
	}

	slices.SortStableFunc(merged, func(a, b Backend) int { return strings.Compare(a.Name, b.Name) })
	unique := merged[:0]
	for _, b := range merged {
		if len(unique) > 0 && unique[len(unique)-1].Name == b.Name {
			clashes = append(clashes, b)
			continue
		}

		unique = append(unique, b)
	}

	return unique, clashes, complete
}

// states returns the state of every source. Those of a nested list come after
// it.
func (l *list) states() []State {
	l.mu.Lock()
	states := make([]State, 0, len(l.feeds))
	sources := make([]source, 0, len(l.feeds))
	for _, f := range l.feeds {
		states = append(states, f.report())
		sources = append(sources, f.source)
	}

	l.mu.Unlock() // a nested list locks its own mutex first, and this one second
	var all []State
	for i, state := range states {
		all = append(all, state)
		if a, ok := sources[i].(*nested); ok {
			all = append(all, a.states()...)
		}
	}

	return all
}

// wallClock returns the time without its monotonic part, which stands still
// while a machine sleeps.
func wallClock() time.Time { return time.Now().Round(0) }
