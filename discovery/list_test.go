package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// scripted is a source that reports what a test sends it.
type scripted chan func(report func(answer, error))

func (s scripted) run(ctx context.Context, report func(answer, error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case step := <-s:
			step(report)
		}
	}
}

func (s scripted) found(names ...string) {
	s <- func(report func(answer, error)) {
		var a answer
		for _, n := range names {
			a.backends = append(a.backends, Backend{Name: n, Source: fmt.Sprintf("%p", s)})
		}
		report(a, nil)
	}
}

func (s scripted) fails(err error) {
	s <- func(report func(answer, error)) { report(answer{}, err) }
}

// published records what a list publishes.
type published struct {
	mu   sync.Mutex
	sets []string
}

func (p *published) add(backends []Backend, complete bool) {
	var names []string
	for _, b := range backends {
		names = append(names, b.Name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sets = append(p.sets, fmt.Sprintf("%s %v", strings.Join(names, ","), complete))
}

func (p *published) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.sets, "; ")
}

// logged is a logger and what it wrote.
func logged() (*slog.Logger, *syncBuffer) {
	var b syncBuffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// twoSources is a running list of a fixed target and two scripted ones.
func twoSources(t *testing.T) (a, b scripted, l *list, sets *published, logs *syncBuffer) {
	a, b, sets = make(scripted), make(scripted), new(published)
	log, logs := logged()
	targets := []Target{{Item: "fixed"}, {Item: "a"}, {Item: "b"}}
	l = newList(targets, log, func(target Target) source {
		switch target.Item {
		case "a":
			return a
		case "b":
			return b
		}
		return static{Backend{Name: "m"}}
	}, nil, sets.add)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return a, b, l, sets, logs
}

func TestList_MergesSortsAndPublishesOnlyChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, _, sets, _ := twoSources(t)
		a.found("x", "c")
		a.found("x", "c")
		b.found("a")
		b.found("a")
		b.found("d")
		synctest.Wait()
		if got, want := sets.all(), "m false; c,m,x false; a,c,m,x true; c,d,m,x true"; got != want {
			t.Errorf("published %s\n    want %s", got, want)
		}
	})
}

func TestList_BecomingCompleteIsPublishedOnceEvenUnchanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, _, sets, _ := twoSources(t)
		a.found("m")
		b.found("m")
		b.found("m")
		synctest.Wait()
		if got, want := sets.all(), "m false; m true"; got != want {
			t.Errorf("published %s\n    want %s", got, want)
		}
	})
}

func TestList_FailureKeepsTheLastGoodSetAndHidesNoOtherSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, l, sets, logs := twoSources(t)
		a.found("x")
		a.fails(errors.New("first cause"))
		a.fails(errors.New("same state"))
		b.found("y")
		synctest.Wait()
		if got, want := sets.all(), "m false; m,x false; m,x,y true"; got != want {
			t.Errorf("published %s\n    want %s", got, want)
		}
		if n := strings.Count(logs.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings for one change of state:\n%s", n, logs)
		}
		if s := l.states()[1]; s.Err == nil || s.Backends != 1 || s.Answered.IsZero() {
			t.Errorf("state of the failing source: %+v", s)
		}
		a.fails(&failure{"other", errors.New("other state")})
		a.found("x")
		synctest.Wait()
		if n := strings.Count(logs.String(), "level=WARN"); n != 2 {
			t.Errorf("%d warnings for two states:\n%s", n, logs)
		}
		if !strings.Contains(logs.String(), "works again") || l.states()[1].Err != nil {
			t.Errorf("the recovery is not told:\n%s", logs)
		}
	})
}

func TestList_FirstOfTwoEqualNamesStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, l, _, logs := twoSources(t)
		b.found("x")
		a.found("x")
		b.found("x", "y")
		synctest.Wait()
		l.mu.Lock()
		got := l.backends
		l.mu.Unlock()
		if len(got) != 3 || got[1].Source != fmt.Sprintf("%p", a) {
			t.Errorf("published %+v", got)
		}
		if n := strings.Count(logs.String(), "name twice"); n != 1 {
			t.Errorf("the clash is logged %d times:\n%s", n, logs)
		}
	})
}

func TestDiscovery_FixedBackendsAreThereBeforeAnythingIsWaitedFor(t *testing.T) {
	t.Parallel()
	targets, problems := Parse([]string{":8082", ":8081"})
	if problems != nil {
		t.Fatal(problems)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var sets []Set
	err := New(&config.Config{}, targets, Options{}).Run(ctx, func(s Set) {
		sets = append(sets, s)
		cancel() // a Run that waited for anything first would find its context ended
	})
	if err != nil || len(sets) != 1 || !sets[0].Complete || len(sets[0].Backends) != 2 ||
		sets[0].Backends[0].Name != ":8081" {
		t.Errorf("Run published %+v and returned %v", sets, err)
	}
}

func TestState_AgeOfWhatCannotChangeIsZero(t *testing.T) {
	t.Parallel()
	now := wallClock()
	for _, test := range []struct {
		state State
		age   time.Duration
		known bool
	}{
		{State{}, 0, false},
		{State{Err: errors.New("no such host")}, 0, false},
		{State{Answered: now.Add(-5), Final: true}, 0, true},
		{State{Answered: now.Add(-5)}, 5, true},
		{State{Answered: now.Add(5)}, 0, true},
	} {
		if age, known := test.state.Age(now); age != test.age || known != test.known {
			t.Errorf("age of %+v = %s, %v", test.state, age, known)
		}
	}
}

func TestState_IsUpAfterAGoodRefreshOnly(t *testing.T) {
	t.Parallel()
	now, failed := wallClock(), errors.New("no such host")
	for want, states := range map[bool][]State{
		true:  {{Answered: now}, {Answered: now, Final: true}},
		false: {{}, {Err: failed}, {Answered: now, Err: failed}},
	} {
		for _, s := range states {
			if s.Up() != want {
				t.Errorf("%+v: up is %v", s, s.Up())
			}
		}
	}
}

// A thousand backends published again, unchanged: the cost of finding out that
// nothing has to be done.
func BenchmarkList_Unchanged(b *testing.B) {
	var a answer
	for i := range 1000 {
		a.backends = append(a.backends, Backend{Name: fmt.Sprintf("10.0.%d.%d:8080", i/256, i%256)})
	}
	l := newList([]Target{{Item: "a"}}, slog.New(slog.DiscardHandler), func(Target) source { return make(scripted) }, nil,
		func([]Backend, bool) {})
	l.take(l.feeds[0], a, nil)
	l.publish = func([]Backend, bool) { b.Fatal("published an unchanged set") }
	same := answer{backends: append([]Backend(nil), a.backends...)}
	b.ReportAllocs()
	for b.Loop() {
		l.take(l.feeds[0], same, nil)
	}
}
