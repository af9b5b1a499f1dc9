package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/discovery/metadata"
)

// nestedPatience is how long Pillion waits for the sources of a new list. After
// that, the backends that have been found replace those of the old list.
const nestedPatience = 5 * time.Second

// nested follows a list of targets in a metadata attribute or in a file. The
// targets of a valid list run as a list inside this source. The next valid list
// replaces it when it is complete. An invalid list changes nothing, and neither
// does the deletion of the list.
type nested struct {
	target   Target
	place    listPlace
	log      *slog.Logger
	sourceOf func(Target) source
	report   func(answer, error)
	running  sync.WaitGroup

	mu      sync.Mutex
	applied string      // the text of next or current
	current *generation // its backends were reported last; nil at first
	next    *generation // waits to replace current; nil for none
	failed  bool        // the last reading is not the value in use
}

// listPlace is the location of a list.
type listPlace struct {
	what string // the list in words
	// followed logs that a new list is in use, with its number of backends
	followed func(log *slog.Logger, backends int)
	// readers read the places where the list may be. Each runs until its
	// context ends.
	readers []func(context.Context, chan<- reading)
}

// generation is the list of one value.
type generation struct {
	list     *list
	cancel   context.CancelFunc
	backends []Backend
	complete bool
	ready    bool // it may be used although it is not complete
}

func (n *nested) run(ctx context.Context, report func(answer, error)) {
	n.report = report
	defer n.running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	readings := make(chan reading)

	for _, read := range n.place.readers {
		n.running.Go(func() { read(ctx, readings) })
	}

	var places [2]reading
	var patience <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-readings:
			places[r.place] = r
			if n.judge(ctx, n.effective(places)) {
				patience = time.After(nestedPatience)
			}
		case <-patience:
			n.hurry()
		}
	}
}

// effective returns the reading that counts: that of Path, or that of Fallback
// while Path is known to be undefined.
func (n *nested) effective(places [2]reading) reading {
	if n.target.Fallback == "" || !errors.Is(places[0].err, metadata.ErrUndefined) {
		return places[0]
	}

	if errors.Is(places[1].err, metadata.ErrUndefined) {
		places[1].err = &failure{undefined, fmt.Errorf("neither %s nor %s is defined",
			n.target.Path, n.target.Fallback)}
	}

	return places[1]
}

// judge handles a new reading, and reports whether it started a new list.
func (n *nested) judge(ctx context.Context, r reading) bool {
	switch {
	case !r.made:
		return false
	case r.err != nil:
		n.fail(r.err)
		return false
	case n.confirm(r.value):
		return false
	}

	targets, problems := grammar{variable: listVariable, nested: true}.parse(Items(r.value))
	if len(problems) > 0 {
		n.fail(&failure{"bad value " + r.value, fmt.Errorf("%s is refused as a whole: %s; accepted: %s",
			n.place.what, problems[0].Reason, problems[0].Accepted)})
		return false
	}

	if len(targets) == 0 {
		n.fail(&failure{"bad value", fmt.Errorf("%s is refused: it lists nothing", n.place.what)})
		return false
	}

	n.start(ctx, r.value, targets)
	return true
}

func (n *nested) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failed = true
	n.report(answer{}, err)
}

// confirm reports whether value is in use already. If so, it reports the
// backends again.
func (n *nested) confirm(value string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current == nil && n.next == nil || n.applied != value {
		return false
	}

	n.failed = false
	if n.current != nil {
		n.tell(n.current)
	}

	return true
}

// start runs the list of a new value beside the list that it will replace.
func (n *nested) start(ctx context.Context, value string, targets []Target) {
	for i := range targets {
		targets[i].Template.Source = n.target.Item
	}

	ctx, cancel := context.WithCancel(ctx)
	g := &generation{cancel: cancel}
	n.mu.Lock()
	previous := n.current
	g.ready = previous == nil
	if n.next != nil {
		n.next.cancel()
	}

	n.next, n.applied, n.failed = g, value, false
	n.mu.Unlock()
	var before *list
	if previous != nil {
		before = previous.list
	}

	g.list = newList(targets, n.log, n.sourceOf, before, func(backends []Backend, complete bool) {
		n.found(g, backends, complete)
	})

	n.running.Go(func() { g.list.run(ctx) })
}

// found handles a publication of g's list.
func (n *nested) found(g *generation, backends []Backend, complete bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	g.backends, g.complete = backends, complete

	switch {
	case g == n.current:
		n.tell(g)
	case g == n.next && (g.complete || g.ready):
		n.promote()
	}
}

// hurry is called after nestedPatience: the next list is used although it is
// not complete.
func (n *nested) hurry() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == nil {
		return
	}

	n.next.ready = true
	if len(n.next.backends) > 0 {
		n.promote()
	}
}

// promote replaces the current list by the next one. The caller holds mu.
func (n *nested) promote() {
	if n.current != nil {
		n.current.cancel()
	}

	n.current, n.next = n.next, nil
	n.place.followed(n.log, len(n.current.backends))
	n.tell(n.current)
}

// tell reports the backends of g. The caller holds mu.
func (n *nested) tell(g *generation) {
	n.report(answer{backends: g.backends, partial: !g.complete, stale: n.failed}, nil)
}

// states returns the states of the sources of the list in use.
func (n *nested) states() []State {
	n.mu.Lock()
	g := n.current
	n.mu.Unlock()
	if g == nil {
		return nil
	}

	states := g.list.states()
	for i := range states {
		states[i].Source = n.target.Item + " " + states[i].Source
	}

	return states
}
