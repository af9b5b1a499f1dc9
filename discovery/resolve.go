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

// resolveLimit is how long Resolve waits for any target.
const resolveLimit = 10 * time.Second

// Resolve writes what each target resolves to now, one block a target in the order of the list, and the error of each
// that resolves to nothing. It returns an error if there was one. Nothing is sent to a backend.
func Resolve(ctx context.Context, cfg *config.Config, targets []Target, opts Options, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	k := newKinds(cfg, opts.withDefaults())
	if len(targets) == 0 {
		targets = []Target{attributeOfMachine()}
	}
	answers := make([]answer, len(targets))
	failures := make([]error, len(targets))
	var running sync.WaitGroup
	for i, t := range targets {
		running.Go(func() { answers[i], failures[i] = first(ctx, k, t) })
	}
	running.Wait()
	failed := 0
	for i, t := range targets {
		if failures[i] != nil {
			failed++
		}
		if _, err := io.WriteString(w, described(t, answers[i], failures[i])); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d targets could not be resolved", failed, len(targets))
	}
	return nil
}

// first is the first full answer or failure of t's source.
func first(ctx context.Context, k *kinds, t Target) (answer, error) {
	if t.Kind == Demo {
		return demoAnswer(t), nil
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
			failed = errors.New("not all items of the attribute were resolved in time")
			return
		}
		cancel()
	})
	cancel()
	return found, failed
}

// demoAnswer names the demo backends without starting them.
func demoAnswer(t Target) answer {
	var a answer
	for i := range t.Count {
		b := t.Template
		b.Name, b.Address = fmt.Sprintf("demo-%d", i+1), "127.0.0.1:(any)"
		a.backends = append(a.backends, b)
	}
	return a
}

// described is the block of one target.
func described(t Target, a answer, err error) string {
	var s strings.Builder
	fmt.Fprintln(&s, t.Item)
	for _, b := range a.backends {
		fmt.Fprintf(&s, "  %s\n", b.line())
	}
	for _, r := range a.refused {
		fmt.Fprintf(&s, "  refused: %s\n", r)
	}
	if err != nil {
		fmt.Fprintf(&s, "  error: %v\n", err)
	}
	return s.String()
}

// line is one backend in words.
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
