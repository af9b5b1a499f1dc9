package auth

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// ownAudience is an audience that comes from the platform's metadata: this
// service for Identity-Aware Proxy, this project for Firebase. Safe for
// concurrent use.
type ownAudience struct {
	owner *Keys
	kind  config.ProviderKind

	mu      sync.Mutex
	value   string
	began   time.Time
	running chan struct{}
	failed  error // of the last question; nil: it was answered
}

// fault returns the reason why the audience is not known. It returns "" if the
// audience is known, or was not requested yet.
func (a *ownAudience) fault() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.value != "" || a.failed == nil {
		return ""
	}

	return "the audience of its tokens is not known: " + a.failed.Error()
}

// get returns the audience, or "" if it is not known. The first requests wait
// for it.
func (a *ownAudience) get(ctx context.Context, now time.Time) string {
	a.mu.Lock()
	if a.value != "" {
		defer a.mu.Unlock()
		return a.value
	}
	a.begin(wall(now))
	running := a.running
	a.mu.Unlock()

	await(ctx, running, firstWait)
	a.mu.Lock()
	defer a.mu.Unlock()

	return a.value
}

// known reports whether the audience is known. If it is not, it begins to ask.
func (a *ownAudience) known(_ context.Context, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.value == "" {
		a.begin(now)
	}

	return a.value != ""
}

// begin asks the metadata server, unless a question is in progress or was asked
// within the last second. The caller holds the mutex.
func (a *ownAudience) begin(now time.Time) {
	pause := betweenTries
	if a.running != nil {
		pause = 2 * fetchLimit
	}
	since := now.Sub(a.began)
	if a.owner.metadata == nil || !a.began.IsZero() && -pause < since && since < pause {
		return
	}

	done := make(chan struct{})
	if a.owner.spawn(func(ctx context.Context) { a.fetch(ctx, done) }) {
		a.began, a.running = now, done
	}
}

func (a *ownAudience) fetch(ctx context.Context, done chan struct{}) {
	value, err := a.ask(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	defer close(done)
	if a.running == done {
		a.running = nil
	}
	if a.failed = err; err == nil {
		a.value = value
	} else if ctx.Err() == nil {
		a.owner.log.Warn("the audience of tokens cannot be found in the metadata",
			"provider", string(a.kind), "error", err.Error())
	}
}

// ask makes the audience from the metadata.
func (a *ownAudience) ask(ctx context.Context) (string, error) {
	if a.kind == config.Firebase {
		return a.owner.metadata(ctx, "project/project-id")
	}

	// "projects/NUMBER/regions/REGION"
	region, err := a.owner.metadata(ctx, "instance/region")
	if err != nil {
		return "", err
	}
	number, name, _ := strings.Cut(strings.TrimPrefix(region, "projects/"), "/regions/")

	return "/projects/" + number + "/locations/" + name + "/services/" + a.owner.platform.Service, nil
}
