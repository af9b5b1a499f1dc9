package test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/confine"
)

// A shortage on Pillion's own machine ejects no backend, neither by requests of
// any protocol nor by probes. The log says that Pillion ended the request.
func TestShortage_OfTheMachineBlamesNoBackend(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "h2c", "https", "h2"} {
		for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
			t.Run(scheme+", "+errno.Error(), func(t *testing.T) {
				t.Parallel()
				var targets []string
				for _, name := range []string{"one", "two", "three"} {
					targets = append(targets, backend.Target(scheme+"://"+backend.Closed(t), name))
				}

				// A few refusals of a backend's would be enough to eject it.
				p := confine.Start(t, pillion, confine.Refusal{Call: syscall.SYS_CONNECT, Errno: errno},
					"LB_BACKENDS="+strings.Join(targets, ";"), "LB_EJECT_ERRORS=1", "LB_START_HOLD=0s", "LB_ACCESS_LOG=on",
					"LB_HEALTH_CHECK=/", "LB_HEALTH_CHECK_INTERVAL=100ms", "LB_HEALTH_CHECK_UNHEALTHY=1")
				// New clients each time: idle connections are ended to make room.
				for range 10 {
					for _, client := range []*http.Client{newClient(t), newH2CClient(t)} {
						wantStatus(t, get(t, client, p.URL("/")), http.StatusServiceUnavailable)
					}
				}

				await.Until(t, "all are logged as our own", func() bool {
					return count(p, func(l binary.Line) bool { return l.String("ended") == "us/connect" }) == 20
				})
				for _, l := range p.Lines() {
					if m := l.String("message"); m == "backend ejected" || m == "backend unhealthy" {
						t.Fatalf("a backend is blamed: %s", l.Text)
					}
				}
			})
		}
	}
}
