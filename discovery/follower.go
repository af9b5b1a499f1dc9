package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

const (
	// followWait is how long the metadata server holds a question for a change before it answers anyway.
	followWait = 30 * time.Second
	// followPause is the shortest pause between two questions: a server that does not wait must not be hammered.
	followPause = 100 * time.Millisecond
	// followRetry is the pause where there is nothing to wait for: the attribute is not defined, or the server answers
	// at once although nothing changed.
	followRetry = time.Second
)

// follower reads one attribute and waits for its changes. (The client's own Subscribe ends when the attribute is
// deleted and sleeps without listening to its context.)
type follower struct {
	metadata metadataClient
	place    int // where its readings belong
	path     string
	readings chan<- reading
}

// reading is what one question about an attribute brought.
type reading struct {
	place int
	made  bool
	value string
	err   error
}

func (f *follower) run(ctx context.Context) {
	failures, etag := 0, ""
	for {
		asked := wallClock()
		value, next, err := f.read(ctx, etag)
		if ctx.Err() != nil {
			return
		}
		select {
		case f.readings <- reading{f.place, true, value, err}:
		case <-ctx.Done():
			return
		}
		pause := followPause
		switch {
		case err != nil && !isUndefined(err):
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

// read asks for the value as soon as it differs from the one that etag stands for; without etag, for the value as it
// is.
func (f *follower) read(ctx context.Context, etag string) (value, next string, err error) {
	path, deadline := f.path, metadataDeadline
	if etag != "" {
		deadline += followWait
		path += fmt.Sprintf("?wait_for_change=true&timeout_sec=%d&last_etag=%s", int(followWait.Seconds()), url.QueryEscape(etag))
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return f.metadata.get(ctx, path)
}

// isUndefined reports whether the metadata server said that there is no such attribute.
func isUndefined(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.state == undefined
}
