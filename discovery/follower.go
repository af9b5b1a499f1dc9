package discovery

import (
	"context"
	"errors"
	"time"

	"github.com/pillion-lb/pillion/discovery/metadata"
)

const (
	// followPause is the shortest pause between two questions, for a server
	// that answers at once instead of waiting for a change.
	followPause = 100 * time.Millisecond
	// followRetry is the pause if the server can't wait for a change: the
	// attribute is not defined, or the server answers at once without a change.
	followRetry = time.Second
)

// follower reads one attribute and waits for its changes. The client's own
// Subscribe is not used, because it ends when the attribute is deleted, and
// ignores its context while it sleeps.
type follower struct {
	metadata *metadata.Client
	place    int // where its readings belong
	path     string
}

// reading is the result of one read of a list.
type reading struct {
	place int
	made  bool
	value string
	err   error
}

func (f follower) run(ctx context.Context, readings chan<- reading) {
	failures, etag := 0, ""
	for {
		asked := wallClock()
		value, next, err := f.metadata.Next(ctx, f.path, etag)
		if ctx.Err() != nil {
			return
		}

		select {
		case readings <- reading{f.place, true, value, err}:
		case <-ctx.Done():
			return
		}

		pause := followPause
		switch {
		case err != nil && !errors.Is(err, metadata.ErrUndefined):
			failures++
			pause = backoff(failures, 15*time.Second)
		case next == "" || next == etag && wallClock().Sub(asked) < followRetry:
			failures, pause = 0, followRetry
		default:
			failures = 0
		}

		if etag = next; !wait(ctx, pause) {
			return
		}
	}
}
