package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/config"
)

func logConfig(format string, level slog.Level) *config.Config {
	return &config.Config{Process: config.Process{LogFormat: config.LogFormat(format), LogLevel: level}}
}

func TestLog_JSONHasCloudLoggingsNames(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cfg := logConfig("", slog.LevelDebug)
	cfg.Platform.ProjectID = "p-1"
	log := NewLogger(&out, cfg)
	ctx := trace.ContextWithSpanContext(t.Context(), remote(true))
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		log.Logger().With("k", 1).Log(ctx, level, "m")
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(&out)
	for _, severity := range []string{"DEBUG", "INFO", "WARNING", "ERROR"} {
		var got map[string]any
		if err := decoder.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["time"])); err != nil {
			t.Error(err)
		}
		delete(got, "time")
		want := map[string]any{
			"severity": severity, "message": "m", "k": 1.0, "logging.googleapis.com/trace_sampled": true,
			"logging.googleapis.com/trace":  "projects/p-1/traces/" + traceID.String(),
			"logging.googleapis.com/spanId": parentID.String(),
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
}

func TestLog_TextIsShort(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := NewLogger(&out, logConfig("text", slog.LevelInfo))
	log.Logger().Debug("unseen")
	log.Logger().With("a", 1).WithGroup("g").Warn("backend\n\x1b[2Jejected", "time", "7", "name", "a b")
	log.Logger().Info("plain")
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	if len(lines) != 3 || len(lines[0]) < 13 ||
		lines[0][12:] != ` WARN  "backend\n\x1b[2Jejected" a=1 g.time=7 g.name="a b"`+"\n" ||
		lines[1][12:] != " INFO  plain\n" {
		t.Errorf("got %q", lines)
	}
}

func TestLog_FileIsNoTerminal(t *testing.T) {
	t.Parallel()
	f, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if NewLogger(f, logConfig("", 0)).text {
		t.Error("a file gets text")
	}
}

// valve is an output that blocks while it is shut.
type valve struct {
	mu   sync.Mutex
	open chan struct{}
	out  bytes.Buffer
}

func (v *valve) Write(p []byte) (int, error) {
	<-v.open
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.out.Write(p)
}

func TestLog_BlockedOutputBlocksNoRequestAndDropsAreCountedAndSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := &valve{open: make(chan struct{})}
		log := NewLogger(v, logConfig("json", slog.LevelInfo))
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = log.Run(ctx) }()
		log.Logger().Info("first")
		synctest.Wait() // the writer is blocked now
		const said = 60_000
		for range said {
			log.Access(&AccessLine{Method: "GET", URL: "/x", Status: 200})
		}
		dropped := log.Dropped()
		if dropped == 0 || len(log.queue.buf) > queueBytes {
			t.Errorf("%d lines dropped, %d bytes wait", dropped, len(log.queue.buf))
		}
		close(v.open)
		synctest.Wait()
		time.Sleep(writeGap)
		synctest.Wait()
		cancel()
		text := v.out.String()
		if got := strings.Count(text, `"requestUrl":"/x"`); int64(got)+dropped != said {
			t.Errorf("%d lines written and %d dropped of %d", got, dropped, said)
		}
		if want := fmt.Sprintf(`"lines":%d}`, dropped); !strings.Contains(text, want) || strings.Count(text, "WARNING") != 1 {
			t.Errorf("no line says %s once", want)
		}
	})
}

func TestLog_CloseGivesUpOnABlockedOutput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := &valve{open: make(chan struct{})}
		log := NewLogger(v, logConfig("json", slog.LevelInfo))
		log.Logger().Info("first")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := log.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close says %v", err)
		}
		log.Logger().Info("too late")
		if log.Dropped() != 1 {
			t.Errorf("%d lines dropped, want 1", log.Dropped())
		}
		close(v.open)
	})
}

func TestLog_LinesOfABrokenOutputAreDropped(t *testing.T) {
	t.Parallel()
	written := 0
	q := newLineQueue(writerFunc(func(p []byte) (int, error) {
		written++
		if written == 1 {
			return len("one\ntw"), errors.New("broken")
		}
		return len(p), nil
	}), func(n int64) []byte { return fmt.Appendf(nil, "%d dropped\n", n) })
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		q.put([]byte(line))
	}
	<-q.writer
	q.flush()
	if got := q.dropped.Load(); got != 2 {
		t.Errorf("%d lines dropped, want 2: the cut one and the one after it", got)
	}
	q.flush()
	if written != 2 || q.told != 2 {
		t.Errorf("%d writes, %d drops said, want 2 and 2", written, q.told)
	}
}

func TestLog_LinesAreWholeAndInOrderUnderLoad(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := NewLogger(&out, logConfig("json", slog.LevelInfo))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { _ = log.Run(ctx); close(ended) }()
	var group sync.WaitGroup
	const each, talkers = 500, 4
	for talker := range talkers {
		group.Go(func() {
			for i := range each {
				log.Access(&AccessLine{Method: "GET", URL: fmt.Sprint("/", talker), Status: 200, Attempts: i + 1})
			}
		})
	}
	group.Wait()
	cancel()
	<-ended
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for line := range strings.Lines(out.String()) {
		var got struct {
			Attempts    int
			HTTPRequest struct{ RequestURL string } `json:"httpRequest"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if url := got.HTTPRequest.RequestURL; got.Attempts != seen[url]+1 {
			t.Fatalf("%s: line %d follows line %d", url, got.Attempts, seen[url])
		}
		seen[got.HTTPRequest.RequestURL]++
	}
	if len(seen) != talkers || seen["/0"] != each {
		t.Errorf("lines %v", seen)
	}
}
