package discovery

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// maxEvent bounds one event of a watch. A slice has at most 1,000 endpoints.
const maxEvent = 8 << 20

// watchEvent is one line of a watch.
type watchEvent struct {
	Type   string
	Object json.RawMessage
}

// watch reads the changes after the version, until the watch ends. That is not
// a failure: the next watch continues there.
func (s *endpointSlices) watch(ctx context.Context) error {
	dog := &watchdog{}
	dog.hear()
	watching, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { dog.run(watching, cancel) })
	defer running.Wait()
	defer cancel()

	resp, err := s.ask(watching, url.Values{
		"watch": {"1"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {s.version},
		"timeoutSeconds": {strconv.Itoa(int(watchLife.Seconds()))},
	})
	if err != nil {
		return s.explained(err, "watch")
	}
	defer resp.Body.Close()

	dog.watching.Store(true)
	dog.hear()
	s.blind = false
	s.tell()

	return s.readEvents(resp.Body, dog)
}

// readEvents applies the events of a watch until its end.
func (s *endpointSlices) readEvents(events io.Reader, dog *watchdog) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(make([]byte, 0, 4<<10), maxEvent)
	for lines.Scan() {
		dog.hear()
		if s.left -= len(lines.Bytes()); s.left < 0 { // a list finds what is still there
			s.version = ""
			return nil
		}
		if err := s.take(lines.Bytes()); err != nil {
			return err
		}
		s.tell()
	}

	if lines.Err() == bufio.ErrTooLong {
		return &failure{"event", fmt.Errorf("an event of the watch has more than %d bytes", maxEvent)}
	}

	return nil
}

// take applies one event.
func (s *endpointSlices) take(line []byte) error {
	var event watchEvent
	if err := json.Unmarshal(line, &event); err != nil {
		return &failure{"event", fmt.Errorf("an event of the watch can't be read: %w", err)}
	}
	if event.Type == "ERROR" {
		return s.explained(readStatus(event.Object, http.StatusInternalServerError), "watch")
	}

	var slice endpointSlice
	if err := json.Unmarshal(event.Object, &slice); err != nil {
		return &failure{"event", fmt.Errorf("an event of the watch can't be read: %w", err)}
	}

	switch event.Type {
	case "ADDED", "MODIFIED":
		s.slices[slice.Metadata.Name] = slice
	case "DELETED":
		delete(s.slices, slice.Metadata.Name)
	case "BOOKMARK":
	default:
		return &failure{"event", fmt.Errorf("the watch has an event of the unknown type %.40q",
			event.Type)}
	}

	if v := slice.Metadata.ResourceVersion; v != "" {
		s.version = v
	}

	return nil
}

// watchdog ends a dead watch. After the process was frozen, its stream may be
// dead without an error.
type watchdog struct {
	watching atomic.Bool  // the answer's head has come
	heard    atomic.Int64 // when the last bytes came, in Unix nanoseconds of the wall clock
}

const (
	dogTick = 5 * time.Second
	// frozenAfter is how late a tick must be to conclude that the process was
	// frozen.
	frozenAfter = 30 * time.Second
)

func (d *watchdog) hear() { d.heard.Store(wallClock().UnixNano()) }

// run checks the watch until ctx ends.
func (d *watchdog) run(ctx context.Context, end func()) {
	tick := time.NewTicker(dogTick)
	defer tick.Stop()
	before := wallClock()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		limit := listLimit
		if d.watching.Load() {
			limit = watchLife + watchGrace
		}

		now := wallClock()
		silence := now.Sub(time.Unix(0, d.heard.Load()))
		if now.Sub(before) > frozenAfter || silence > limit {
			end()
			return
		}
		before = now
	}
}

// maxAnswer bounds the size of an API's answer, all pages together.
const maxAnswer = 64 << 20

// maxPages bounds the pages of a list, which may be empty.
const maxPages = 1000

// readJSON reads a whole answer of at most left bytes, and subtracts its length
// from left.
func readJSON(r io.Reader, left *int, into any) error {
	body, err := io.ReadAll(io.LimitReader(r, int64(*left)+1))
	switch {
	case err != nil:
		return err
	case len(body) > *left:
		return &failure{"too_long", fmt.Errorf("the answer, all pages together, has more than %d MiB",
			maxAnswer>>20)}
	}
	*left -= len(body)

	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the answer can't be read: %w", err)
	}

	return nil
}
