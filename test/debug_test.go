package test

import (
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

func TestDebug_SaysWhatEachAttemptProbeAndSourceDid(t *testing.T) {
	t.Parallel()
	server := backend.StartMany(t, 1)[0]
	p := pillion.Start(t, "LB_LOG_LEVEL=debug", "LB_HEALTH_CHECK=/healthz", "LB_START_HOLD=0s",
		"LB_BACKENDS="+server.Target()+";http://"+backend.Closed(t)+"?name=dead")
	says := func(message string, fields map[string]any) {
		t.Helper()
		p.Line(message, func(l binary.Line) bool {
			for name, want := range fields {
				if l.Fields[name] != want {
					return false
				}
			}
			return l.String("message") == message && l.String("severity") == "DEBUG"
		})
	}

	says("discovery answered", map[string]any{"backends": 1.0})
	says("probe", map[string]any{"passed": true, "result": "status 200"})
	says("probe", map[string]any{"passed": false, "backend": "dead", "result": "connection refused"})

	client := newClient(t)
	await.Until(t, "a connection is used again", func() bool {
		get(t, client, p.URL("/"))
		return count(p, func(l binary.Line) bool { return l.String("connection") == "reused" }) > 0
	})
	says("attempt", map[string]any{"backend": "one", "pick": "random", "status": 200.0, "attempt": 1.0})
}

func TestDebug_IsSilentOtherwise(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_HEALTH_CHECK=/healthz", backend.Backends(backend.StartMany(t, 2)...))
	get(t, newClient(t), p.URL("/"))
	p.Signal(terminate)
	p.Wait(await.Limit)
	for _, l := range p.Lines() {
		if l.String("severity") == "DEBUG" {
			t.Errorf("a debug line: %s", l.Text)
		}
	}
}
