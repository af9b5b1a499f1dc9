package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// resolveLimit is how long Resolve waits for any target. It is longer than a
// look-up in DNS may last, whose own error names the server that is silent.
const resolveLimit = lookupDeadline + 2*time.Second

// Answer is what a target stands for at one time.
type Answer struct {
	Target   Target
	Backends []Backend
	Refused  []string // parts of an answer that are no backends, and why
	Preview  bool     // the backends begin to exist when the source runs
	Err      error    // nil: the answer is whole
}

// Ask returns what each target stands for now, in the order of the list. It
// waits for all of them, at most for resolveLimit, and sends nothing to
// backends.
func Ask(ctx context.Context, cfg *config.Config, targets []Target, opts Options) []Answer {
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	k := newKinds(cfg, opts.withDefaults(cfg.Platform))
	if len(targets) == 0 {
		targets = []Target{attributeOfMachine()}
	}

	answers := make([]Answer, len(targets))
	var running sync.WaitGroup
	for i, t := range targets {
		running.Go(func() {
			a, err := first(ctx, k, t)
			answers[i] = Answer{
				Target: t, Backends: a.backends, Refused: a.refused, Err: err,
				Preview: named(t.Kind).preview != nil,
			}
		})
	}
	running.Wait()

	return answers
}

// Resolve writes what each target resolves to now, one block a target in the
// order of the list, and the error of each that resolves to nothing. It returns
// an error if there was one. Nothing is sent to a backend.
func Resolve(ctx context.Context, cfg *config.Config, targets []Target, opts Options,
	w io.Writer) error {
	failed := 0
	answers := Ask(ctx, cfg, targets, opts)
	for _, a := range answers {
		if a.Err != nil {
			failed++
		}

		if _, err := io.WriteString(w, a.described()); err != nil {
			return err
		}
	}

	if failed > 0 {
		return fmt.Errorf("%d of %d targets could not be resolved", failed, len(answers))
	}

	return nil
}

// first returns the first full answer or failure of t's source.
func first(ctx context.Context, k *kinds, t Target) (answer, error) {
	if preview := named(t.Kind).preview; preview != nil {
		return preview(t), nil
	}

	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var found answer
	failed := errors.New("no full answer came in time")
	k.source(t).run(ctx, func(a answer, err error) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			return
		}

		if found, failed = a, err; err == nil && a.partial {
			failed = errors.New("not all items of the list were resolved in time")
			return
		}

		cancel()
	})

	cancel()
	return found, failed
}

// described returns the block of one target.
func (a Answer) described() string {
	var s strings.Builder
	fmt.Fprintln(&s, a.Target.Item)
	for _, b := range a.Backends {
		fmt.Fprintf(&s, "  %s\n", b.line())
	}

	for _, r := range a.Refused {
		fmt.Fprintf(&s, "  refused: %s\n", r)
	}

	if a.Err != nil {
		fmt.Fprintf(&s, "  error: %v\n", a.Err)
	}

	return s.String()
}

// line returns the text about one backend.
func (b Backend) line() string {
	scheme := "http"
	if b.TLS {
		scheme = "https"
	}

	line := fmt.Sprintf("%s  %s://%s", b.Name, scheme, b.Address)
	if b.Fallback != "" {
		line += " or " + b.Fallback
	}

	if b.Protocol != config.Auto {
		line += "  protocol " + string(b.Protocol)
	}

	if b.Weight != 1 {
		line += fmt.Sprintf("  weight %d", b.Weight)
	}

	if b.Priority != 0 {
		line += fmt.Sprintf("  priority %d", b.Priority)
	}

	if b.Audience != "" {
		line += "  identity for " + b.Audience
	}

	return line
}
