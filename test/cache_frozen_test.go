//go:build unix

package test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// TestCache_ABackendThatIsStoppedIsCovered stops the backend's process with
// SIGSTOP. Its connections stay open but it sends nothing.
func TestCache_ABackendThatIsStoppedIsCovered(t *testing.T) {
	t.Parallel()
	w := backend.StartWorker(t, "one", "127.0.0.1:0")
	p := pillion.Start(t, append(calm, "LB_BACKENDS="+w.Target(), "LB_CACHE=origin", "LB_RESPONSE_TIMEOUT=500ms",
		"LB_START_HOLD=0")...)
	client := newClient(t)
	stale, strict := p.URL("/?control=max-age%3D1"), p.URL("/?control=max-age%3D1,must-revalidate")
	get(t, client, stale)
	get(t, client, strict)
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the answer is stale", func() bool {
		a := get(t, client, stale)
		if a.StatusCode != 200 || a.Text != "done" {
			t.Fatalf("%d %q %v", a.StatusCode, a.Text, a.Header)
		}
		return strings.Contains(a.Header.Get("Cache-Status"), "stale-if-error")
	})
	for _, target := range []string{strict, p.URL("/other")} {
		if a := get(t, client, target); a.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("%s: %d", target, a.StatusCode)
		}
	}
}

// TestCache_AFreezeOutlivesNoRefresh stops Pillion during a refresh, for longer
// than a refresh may take. Afterwards stored answers are still used, and
// refreshed once.
func TestCache_AFreezeOutlivesNoRefresh(t *testing.T) {
	t.Parallel()
	var version atomic.Int64
	hold, asked := make(chan bool), make(chan bool, 9)
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=0, stale-while-revalidate=600")
		w.Header().Set("Etag", `"v"`)
		if version.Add(1) == 2 {
			asked <- true
			<-hold
		}
		if version.Load() > 2 {
			w.Header().Set("Cache-Control", "max-age=600")
			_, _ = io.WriteString(w, "new")
			return
		}
		_, _ = io.WriteString(w, "old")
	})
	p := startCache(t, b, "LB_REQUEST_TIMEOUT=1s")
	client := newClient(t)
	get(t, client, p.URL("/"))
	if a := get(t, client, p.URL("/")); a.Text != "old" {
		t.Fatalf("%q", a.Text)
	}
	soon(t, "the refresh", asked)
	p.Signal(syscall.SIGSTOP)
	<-time.After(1500 * time.Millisecond) // a stopped process can't be asked whether the time has come
	p.Signal(syscall.SIGCONT)
	defer close(hold)

	if a := get(t, client, p.URL("/")); a.StatusCode != 200 || a.Text != "old" {
		t.Errorf("after the freeze: %d %q", a.StatusCode, a.Text)
	}
	await.Until(t, "another refresh has come", func() bool {
		a := get(t, client, p.URL("/"))
		return a.Text == "new" && isHit(a)
	})
	if n := version.Load(); n != 3 {
		t.Errorf("the backend was asked %d times", n)
	}
}
