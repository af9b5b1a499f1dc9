package telemetry

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
)

func TestSDKErrors_AreSaidOncePerChangeAndNeverOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said lockedBuffer
		e := &sdkErrors{logger: slog.New(slog.NewTextHandler(&said, nil))}
		for range 1000 {
			e.Handle(errors.New("the same"))
			time.Sleep(time.Second)
		}
		e.Handle(errors.New("another"))
		for range 5 {
			e.Handle(errors.New("a third, too soon"))
		}
		if got := said.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "not_said=999") {
			t.Errorf("said:\n%s", got)
		}
	})
}

func TestSDKErrors_LoggerPassesWarningsAndErrorsOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said lockedBuffer
		log := logr.New(sdkSink{&sdkErrors{logger: slog.New(slog.NewTextHandler(&said, nil))}})
		for _, say := range []func(){
			func() { log.V(8).Info("debug") }, func() { log.V(4).Info("info") },
			func() { log.V(1).Info("warning", "k", 1) },
			func() { log.WithName("n").WithValues("k", 1).Error(errors.New("e"), "error") },
		} {
			say()
			time.Sleep(sdkErrorGap)
		}
		if got := said.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "warning") ||
			!strings.Contains(got, `"error: e"`) {
			t.Errorf("said:\n%s", got)
		}
	})
}
