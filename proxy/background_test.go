package proxy

import (
	"context"
	"testing"
	"testing/synctest"
)

// Without health checks no service has anything to do in Run, and what goes on
// in the background still lasts as long as Run.
func TestBackground_LastsAsLongAsRunAndNoLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := testProxy(t, Options{}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() {
			defer close(ran)
			_ = p.Run(ctx)
		}()
		synctest.Wait()

		ended := false
		if !p.background.start(mirrorWork, func() { <-p.background.ctx.Done(); ended = true }) {
			t.Fatal("nothing is begun while the process runs")
		}
		synctest.Wait()
		if ended {
			t.Fatal("what was begun was ended while the process runs")
		}

		cancel()
		<-ran
		if !ended {
			t.Error("Run did not wait for what it ended")
		}
		if p.background.start(mirrorWork, func() { t.Error("begun after the end") }) {
			t.Error("something is begun after the end")
		}
	})
}
