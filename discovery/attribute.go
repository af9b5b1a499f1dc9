package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// attributePatience is how long a new value's own sources may take before what they have found by then replaces what
// the old value's found.
const attributePatience = 5 * time.Second

// attribute follows a metadata attribute whose value is a list of targets. While a value is good its targets run as a
// list inside this source; the next good value's list takes over once it is complete. A value that is bad in any part
// and the attribute's deletion change nothing.
type attribute struct {
	target   Target
	log      *slog.Logger
	metadata metadataClient
	sourceOf func(Target) source
	report   func(answer, error)
	running  sync.WaitGroup

	mu      sync.Mutex
	applied string      // the value that next or current runs for
	current *generation // whose backends were reported last; nil: none yet
	next    *generation // that waits to take over; nil: none
	failed  bool        // the newest reading is not the value that applies
}

// generation is the list of one value.
type generation struct {
	list     *list
	cancel   context.CancelFunc
	backends []Backend
	complete bool
	ready    bool // it may be reported although it is not complete
}

func newAttribute(t Target, log *slog.Logger, m metadataClient, sourceOf func(Target) source) source {
	return &attribute{target: t, log: log.With("attribute", t.Item), metadata: m, sourceOf: sourceOf}
}

func (a *attribute) run(ctx context.Context, report func(answer, error)) {
	a.report = report
	defer a.running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	readings := make(chan reading)
	for i, path := range []string{a.target.Path, a.target.Fallback} {
		if path != "" {
			f := follower{a.metadata, i, path, readings}
			a.running.Go(func() { f.run(ctx) })
		}
	}
	var places [2]reading
	var patience <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-readings:
			places[r.place] = r
			if a.judge(ctx, a.effective(places)) {
				patience = time.After(attributePatience)
			}
		case <-patience:
			a.hurry()
		}
	}
}

// effective is the reading that counts: of Path, and of Fallback only while Path is known to be undefined.
func (a *attribute) effective(places [2]reading) reading {
	if a.target.Fallback == "" || !isUndefined(places[0].err) {
		return places[0]
	}
	if isUndefined(places[1].err) {
		places[1].err = &failure{undefined, fmt.Errorf("neither %s nor %s is defined", a.target.Path, a.target.Fallback)}
	}
	return places[1]
}

// judge takes the newest reading and reports whether it started a new list.
func (a *attribute) judge(ctx context.Context, r reading) bool {
	switch {
	case !r.made:
		return false
	case r.err != nil:
		a.fail(r.err)
		return false
	case a.confirm(r.value):
		return false
	}
	targets, problems := grammar{attribute: true}.parse(Items(r.value))
	if len(problems) > 0 {
		a.fail(&failure{"bad value " + r.value, fmt.Errorf("the attribute's value is refused as a whole: %s; accepted: %s",
			problems[0].Reason, problems[0].Accepted)})
		return false
	}
	if len(targets) == 0 {
		a.fail(&failure{"bad value", errors.New("the attribute's value is refused: it lists nothing")})
		return false
	}
	a.start(ctx, r.value, targets)
	return true
}

func (a *attribute) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = true
	a.report(answer{}, err)
}

// confirm reports whether value is the one that applies already, and if so tells that it still does.
func (a *attribute) confirm(value string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil && a.next == nil || a.applied != value {
		return false
	}
	a.failed = false
	if a.current != nil {
		a.tell(a.current)
	}
	return true
}

// start runs the list of a new value beside the one that it will replace.
func (a *attribute) start(ctx context.Context, value string, targets []Target) {
	for i := range targets {
		targets[i].Template.Source = a.target.Item
	}
	ctx, cancel := context.WithCancel(ctx)
	g := &generation{cancel: cancel}
	a.mu.Lock()
	previous := a.current
	g.ready = previous == nil
	if a.next != nil {
		a.next.cancel()
	}
	a.next, a.applied, a.failed = g, value, false
	a.mu.Unlock()
	var before *list
	if previous != nil {
		before = previous.list
	}
	g.list = newList(targets, a.log, a.sourceOf, before, func(backends []Backend, complete bool) {
		a.found(g, backends, complete)
	})
	a.running.Go(func() { g.list.run(ctx) })
}

// found is a publication of g's list.
func (a *attribute) found(g *generation, backends []Backend, complete bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g.backends, g.complete = backends, complete
	switch {
	case g == a.current:
		a.tell(g)
	case g == a.next && (g.complete || g.ready):
		a.promote()
	}
}

// hurry ends the patience with the list that waits to take over.
func (a *attribute) hurry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		return
	}
	a.next.ready = true
	if len(a.next.backends) > 0 {
		a.promote()
	}
}

// promote lets the next list take over. The caller holds mu.
func (a *attribute) promote() {
	if a.current != nil {
		a.current.cancel()
	}
	a.current, a.next = a.next, nil
	a.log.Info("discovery follows a new value of the attribute", "backends", len(a.current.backends))
	a.tell(a.current)
}

// tell reports what g has found. The caller holds mu.
func (a *attribute) tell(g *generation) {
	a.report(answer{backends: g.backends, partial: !g.complete, stale: a.failed}, nil)
}

// states is how the sources of the value that applies are doing.
func (a *attribute) states() []State {
	a.mu.Lock()
	g := a.current
	a.mu.Unlock()
	if g == nil {
		return nil
	}
	states := g.list.states()
	for i := range states {
		states[i].Source = a.target.Item + " " + states[i].Source
	}
	return states
}
