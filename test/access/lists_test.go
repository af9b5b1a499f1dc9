package access

import (
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

func TestLists_DecideByMethodPathAndAddress(t *testing.T) {
	t.Parallel()
	app := startEcho(t)
	p := pillion.Start(t, backend.Backends(app), "LB_TRUSTED_PROXIES=127.0.0.0/8", "LB_ALLOW_METHODS=GET;POST",
		"LB_ALLOW_PATHS=/*", "LB_DENY_PATHS=/admin/*", "LB_ALLOW_FROM=203.0.113.0/24;private", "LB_DENY_FROM=203.0.113.66")
	from := func(address string) string { return "X-Forwarded-For: " + address }

	for _, c := range []struct {
		request, address string
		status           int
	}{
		{"GET /", "203.0.113.1", 200},
		{"HEAD /", "203.0.113.1", 200},
		{"DELETE /", "203.0.113.1", 405},
		{"GET /admin", "203.0.113.1", 404},
		{"GET /ADMIN/x", "203.0.113.1", 404},
		{"GET /x/%2e%2e/admin", "203.0.113.1", 404},
		{"GET /x/..;/y", "203.0.113.1", 404}, // servers disagree about what this path means
		{"GET /", "203.0.113.66", 403},
		{"GET /", "198.51.100.1", 403},
		{"GET /", "10.1.2.3", 200},
		{"GET /", "fd00::1", 200},
	} {
		a := raw(t, p, c.request, from(c.address))
		if a.StatusCode != c.status {
			t.Errorf("%s of %s: status %d, want %d", c.request, c.address, a.StatusCode, c.status)
		}
		if c.status == 405 && a.Header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: Allow is %q, want GET, HEAD, POST", c.request, a.Header.Get("Allow"))
		}
	}
	if app.Hits() != 4 {
		t.Errorf("the app received %d requests, want 4", app.Hits())
	}

	line := p.Line("a refusal in the log", func(l binary.Line) bool { return l.String("message") == "access refused" })
	if line.String("reason") == "" || line.String("client") == "" || line.String("request_id") == "" {
		t.Errorf("the line has no reason, client or request_id: %v", line)
	}
}

func TestLists_DoNotApplyToStatusPaths(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, backend.Backends(startEcho(t)), "LB_ALLOW_FROM=192.0.2.0/24", "LB_DENY_PATHS=/*",
		"LB_STATUS_TOKEN=0123456789abcdef",
		"LB_ACCESS_LOG=on", "OTEL_METRICS_EXPORTER=prometheus")
	if a := raw(t, p, "GET /.lb/live"); a.StatusCode != 200 {
		t.Errorf("/.lb/live: status %d, want 200", a.StatusCode)
	}
	if a := raw(t, p, "GET /x"); a.StatusCode != 404 {
		t.Errorf("/x: status %d, want 404", a.StatusCode)
	}

	line := p.Line("the refused request in the access log", func(l binary.Line) bool { return l.String("access") != "" })
	if line.String("access") != "path" || line.String("ended") != "us/access" {
		t.Errorf("access %q, ended %q, want path and us/access", line.String("access"), line.String("ended"))
	}
	if a := raw(t, p, "GET /.lb/metrics", "Authorization: Bearer 0123456789abcdef"); !strings.Contains(a.text,
		`lb_access="path"`) {
		t.Errorf("the metrics have no refusal by path: status %d\n%s", a.StatusCode, a.text)
	}
}
