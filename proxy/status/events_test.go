package status

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestEvents_KeepsTheNewestHundred(t *testing.T) {
	t.Parallel()
	e := NewEvents(slog.DiscardHandler)
	for i := range 300 {
		slog.New(e).Info(fmt.Sprint("message ", i))
	}

	all := e.All()
	if len(all) != maxEvents || all[0].Message != "message 299" || all[maxEvents-1].Message != "message 200" {
		t.Errorf("%d: %v … %v", len(all), all[0], all[len(all)-1])
	}
}

func TestEvents_NoMessageDrivesTheOthersOut(t *testing.T) {
	t.Parallel()
	e := NewEvents(slog.DiscardHandler)
	log := slog.New(e)
	log.Warn("backend ejected", "backend", "blue")
	for i := range 500 {
		log.Warn("request refused", "n", i)
	}

	all := e.All()
	if len(all) != maxAlike+1 || all[maxAlike].Message != "backend ejected" || all[0].Details != "n=499" ||
		all[maxAlike-1].Details != "n=460" {
		t.Errorf("%d: %v … %v", len(all), all[0], all[len(all)-1])
	}
}

func TestEvents_AreWhatTheLogGets(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	e := NewEvents(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}))
	log := slog.New(e).With("service", "api")
	log.Debug("detail")
	log.Info("backend joined", "backend", "blue", "wait", time.Second)
	log.WithGroup("g").Error("start failed", "long", strings.Repeat("ä", 400))

	all := e.All()
	if len(all) != 2 || all[1].Level != "INFO" || all[1].Message != "backend joined" ||
		all[1].Details != "service=api backend=blue wait=1s" {
		t.Fatalf("got %+v", all)
	}
	if d := all[0].Details; len(d) > longestEvent+len("…") || !strings.HasSuffix(d, "ä…") || all[0].At.IsZero() {
		t.Errorf("got %d bytes: %s", len(d), d)
	}
	if s := out.String(); strings.Contains(s, "backend joined") ||
		!strings.Contains(s, `msg="start failed" service=api g.long=`) {
		t.Errorf("the log got %s", s)
	}
}
