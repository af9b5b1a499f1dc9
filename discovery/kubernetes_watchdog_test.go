package discovery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A stream of a frozen process may be dead and does not say so.
func TestKubernetes_AWatchThatSaysNothingIsEnded(t *testing.T) {
	t.Parallel()
	for watching, limit := range map[bool]time.Duration{false: listLimit, true: watchLife + watchGrace} {
		synctest.Test(t, func(t *testing.T) {
			dog := &watchdog{}
			dog.hear()
			dog.watching.Store(watching)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			began := time.Now()
			dog.run(ctx, cancel)
			if took := time.Since(began); ctx.Err() == nil || took < limit || took > limit+2*dogTick {
				t.Errorf("watching %t: ended after %s, not %s", watching, took, limit)
			}
		})
	}
}
