package discovery

import (
	"context"
	"math/rand/v2"
	"time"
)

// wait sleeps until d has passed by the wall clock, and reports false if ctx
// ended before. Timers stand still while the platform stops the CPU or the
// machine sleeps, so it reads the clock every few seconds.
func wait(ctx context.Context, d time.Duration) bool {
	due := wallClock().Add(d)
	for {
		left := due.Sub(wallClock())
		if left <= 0 {
			return ctx.Err() == nil
		}

		timer := time.NewTimer(min(left, 5*time.Second))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// jittered returns d, longer or shorter by up to a tenth, so that many
// instances don't ask at the same time.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// backoff returns the pause after a number of failures in a row: 1 s, doubled
// each time up to limit.
func backoff(failures int, limit time.Duration) time.Duration {
	d := time.Second << min(failures-1, 10)
	return jittered(min(d, limit))
}

// poll is the source of targets that are looked up periodically: it looks up,
// reports, and waits.
type poll struct {
	lookup   func(context.Context) (answer, error)
	interval time.Duration // between good answers
	deadline time.Duration // of one look-up
	slowest  time.Duration // pause between failures
}

func (p *poll) run(ctx context.Context, report func(answer, error)) {
	failures := 0
	for {
		a, err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}

		report(a, err)
		if err == nil && a.final {
			return
		}

		pause := jittered(p.interval)
		if failures++; err == nil {
			failures = 0
		} else {
			pause = max(backoff(failures, p.slowest), refusalPause(err, failures, p.interval))
		}

		if !wait(ctx, pause) {
			return
		}
	}
}

func (p *poll) once(ctx context.Context) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.deadline)
	defer cancel()
	return p.lookup(ctx)
}
