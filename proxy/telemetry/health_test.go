package telemetry

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

func TestHealth_SaysEachChangeOnceWithTheLoss(t *testing.T) {
	t.Parallel()
	var said lockedBuffer
	h := &health{logger: slog.New(slog.NewTextHandler(&said, nil)), what: "spans"}
	h.working(0)
	h.failing(errors.New("refused"))
	h.failing(errors.New("refused again"))
	h.working(500) // lost meanwhile
	h.working(500)
	h.working(500)
	h.working(520) // too slow
	h.working(530)
	h.working(530)
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	for i, want := range []string{"error=refused", "again\" lost=500", "too slow\" lost=20", "again\" lost=30"} {
		if len(lines) != 4 || !strings.Contains(lines[i], want) {
			t.Fatalf("line %d lacks %q:\n%s", i, want, &said)
		}
	}
}

func TestLimits_AreTheStandardsWithItsDefaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		queue, batch, delay, timeout string
		want                         limits
	}{
		{"", "", "", "", limits{2048, 512, longestWait, 30e9}},
		{"10", "20", "50", "100", limits{10, 10, 50e6, 100e6}},
		{"-1", "x", "0", "1e3", limits{2048, 512, longestWait, 30e9}},
		{"2147483647", "1", "99999", "1", limits{mostQueued, 1, longestWait, 1e6}},
	} {
		cfg, problems := config.Load([]string{
			"LB_BACKENDS=:9000",
			"OTEL_BSP_MAX_QUEUE_SIZE=" + c.queue, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=" + c.batch,
			"OTEL_BSP_SCHEDULE_DELAY=" + c.delay, "OTEL_BSP_EXPORT_TIMEOUT=" + c.timeout,
		})
		if got := newLimits(cfg.Telemetry, longestWait); got != c.want || len(problems) > 0 {
			t.Errorf("%+v: got %+v, want %+v; %v", c, got, c.want, problems)
		}
	}
	if got, want := newLimits(config.Telemetry{}, longestWait), (limits{2048, 512, longestWait, 30e9}); got != want {
		t.Errorf("nothing loaded: got %+v, want %+v", got, want)
	}
}
