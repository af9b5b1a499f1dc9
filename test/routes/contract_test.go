package routes

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// expect is the expected answer to a request.
type expect struct {
	request, fields string // fields are separated by " | "
	from            string // the backend's name, or "" for Pillion itself
	line            string // the request line that the backend received
	status          int    // 0 means 200
	location        string
}

func (e expect) check(t *testing.T, a answer) {
	t.Helper()
	if e.status == 0 {
		e.status = http.StatusOK
	}
	if a.StatusCode != e.status || a.from() != e.from || a.Header.Get("Location") != e.location {
		t.Errorf("%s %s: status %d from %q, Location %q, want %+v", e.request, e.fields, a.StatusCode, a.from(),
			a.Header.Get("Location"), e)
	}
	if e.line != "" && a.line() != e.line {
		t.Errorf("%s: the backend received %q, want %q", e.request, a.line(), e.line)
	}
}

// The examples in the documentation do what it says.
func TestRoutes_Examples(t *testing.T) {
	t.Parallel()
	ui, api := startEcho(t, "ui"), startEcho(t, "api")
	for name, c := range map[string]struct {
		env    []string
		expect []expect
	}{
		"UI and API in one service": {
			[]string{list("LB_BACKENDS", ui), list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*"},
			[]expect{
				{request: "GET /", from: "ui"},
				{request: "GET /api/x?y=z", from: "api", line: "GET /api/x?y=z"},
				{request: "GET /api", from: "api"},
				{request: "GET /apix", from: "ui"},
			},
		},
		"the API knows no prefix, uploads may take long": {
			[]string{
				list("LB_BACKENDS", ui), list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*", "LB_REWRITE__API=/*",
				"LB_ROUTE__UPLOADS=/api/uploads/*?method=POST|PUT", "LB_SERVICE__UPLOADS=api", "LB_REWRITE__UPLOADS=/uploads/*",
				"LB_RESPONSE_TIMEOUT__UPLOADS=10m",
			},
			[]expect{
				{request: "GET /api/x%2fy?q", from: "api", line: "GET /x%2fy?q"},
				{request: "GET /api", from: "api", line: "GET /"},
				{request: "GET /api//evil.com/", from: "api", line: "GET /evil.com/"},
				{request: "POST /api/uploads/a", fields: "Content-Length: 0", from: "api", line: "POST /uploads/a"},
				{request: "GET /api/uploads/a", from: "api", line: "GET /uploads/a"},
			},
		},
		"by host": {
			[]string{list("LB_BACKENDS", ui), list("LB_BACKENDS__ADMIN", api), "LB_ROUTE__ADMIN=admin.example.com"},
			[]expect{
				{request: "GET admin.example.com/x", from: "api"},
				{request: "GET ADMIN.example.com.:80/x", from: "api"},
				{request: "GET www.example.com/x", from: "ui"},
			},
		},
		"a wildcard and one exception": {
			[]string{list("LB_BACKENDS", ui), list("LB_BACKENDS__SHOPS", api),
				"LB_ROUTE__SHOPS=*.shops.example.com;big.shops.example.com/api/*",
				"LB_ROUTE__BIG=big.shops.example.com", "LB_SERVICE__BIG=default"},
			[]expect{
				{request: "GET a.b.shops.example.com/", from: "api"},
				{request: "GET shops.example.com/", from: "ui"},
				{request: "GET big.shops.example.com/api/x", from: "api"},
				{request: "GET big.shops.example.com/x", from: "ui"},
			},
		},
		"a canary for who asks for it": {
			[]string{list("LB_BACKENDS", ui), list("LB_BACKENDS__CANARY", api),
				"LB_ROUTE__CANARY=/*?share=0%;/*?cookie.canary=always;/*?header.x-canary"},
			[]expect{
				{request: "GET /", from: "ui"},
				{request: "GET /", fields: "Cookie: a=b; canary=always", from: "api"},
				{request: "GET /", fields: "X-Canary: ", from: "api"},
			},
		},
		"www to the bare name, a moved section": {
			[]string{list("LB_BACKENDS", ui), "LB_ROUTE__WWW=www.example.com", "LB_REDIRECT__WWW=https://example.com/*",
				"LB_REDIRECT_STATUS__WWW=301",
				"LB_ROUTE__OLD=/blog/*", "LB_REDIRECT__OLD=/articles/*"},
			[]expect{
				{request: "GET www.example.com/a/b?c=d", status: 301, location: "https://example.com/a/b?c=d"},
				{request: "GET www.example.com//evil.com", status: 301, location: "https://example.com//evil.com"},
				{request: "HEAD /blog/a%20b?x", status: 302, location: "/articles/a%20b?x"},
				{request: "GET /blog", status: 302, location: "/articles"},
				{request: "GET /blogs", from: "ui"},
			},
		},
		"maintenance, not for testers": {
			[]string{list("LB_BACKENDS", ui), "LB_ROUTE__DOWN=/*", "LB_ROUTE_FIRST__DOWN=true", "LB_RESPOND__DOWN=503",
				"LB_ROUTE__TESTERS=/*?cookie.preview=1", "LB_ROUTE_FIRST__TESTERS=true"},
			[]expect{
				{request: "GET /x", status: 503},
				{request: "GET /x", fields: "Cookie: preview=1", from: "ui"},
			},
		},
		"robots of a staging host": {
			[]string{list("LB_BACKENDS", ui), "LB_ROUTE__ROBOTS=staging.example.com/robots.txt", "LB_RESPOND__ROBOTS=200",
				"LB_RESPOND_BODY__ROBOTS=User-agent: *%0ADisallow: /"},
			[]expect{
				{request: "GET staging.example.com/robots.txt"},
				{request: "GET example.com/robots.txt", from: "ui"},
			},
		},
		"an egress by name": {
			[]string{"LB_ROLE=egress", list("LB_BACKENDS__PAYMENTS", api), "LB_ROUTE__PAYMENTS=//payments"},
			[]expect{
				{request: "GET payments/charge", from: "api"},
				{request: "GET other/charge", status: 404},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, c.env...)
			for _, e := range c.expect {
				var fields []string
				if e.fields != "" {
					fields = strings.Split(e.fields, " | ")
				}
				e.check(t, raw(t, p, e.request, fields...))
			}
		})
	}
}

func TestRoutes_AFixedAnswerHasTheConfiguredContent(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_ROUTE__ROBOTS=/robots.txt", "LB_RESPOND__ROBOTS=200",
		"LB_RESPOND_BODY__ROBOTS=User-agent: *%0ADisallow: /",
		"LB_ROUTE__DOWN=/*", "LB_RESPOND__DOWN=503")
	if a := get(t, p, "/robots.txt"); a.text != "User-agent: *\nDisallow: /" ||
		!strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("/robots.txt: %q, want the configured text as text/plain: %v", a.text, a.Header)
	}
	if a := get(t, p, "/"); a.StatusCode != 503 || a.Header.Get("Retry-After") != "60" ||
		a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, want 503 with Retry-After and no-store: %v", a.StatusCode, a.Header)
	}
	if a := raw(t, p, "HEAD /robots.txt"); a.text != "" || a.ContentLength != 25 {
		t.Errorf("HEAD: body %q, length %d, want no body and length 25", a.text, a.ContentLength)
	}
}

func TestRoutes_ARequestWithoutARouteGets404(t *testing.T) {
	t.Parallel()
	api := startEcho(t, "api")
	p := pillion.Start(t, list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*",
		"LB_RESPONSE_HEADERS=X-Frame-Options=DENY")
	a := get(t, p, "/other")
	if a.StatusCode != 404 || a.Header.Get("X-Frame-Options") != "DENY" || a.Header.Get("X-Request-Id") == "" {
		t.Errorf("status %d, want 404 with the header rules and a request id: %v", a.StatusCode, a.Header)
	}
	if api.Hits() != 0 {
		t.Error("the backend received a request, want none")
	}
}

// The service learns which prefix was stripped, and Pillion puts it back into
// the service's redirects.
func TestRoutes_AStrippedPrefixIsPutBackIntoRedirects(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 10)
	api := backend.Start(t, "api", func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("X-Forwarded-Prefix")
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
	})
	p := pillion.Start(t, list("LB_BACKENDS", startEcho(t, "ui")), list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*",
		"LB_REWRITE__API=/*")
	for to, want := range map[string]string{
		"/login":                    "/api/login",
		"/api/login":                "/api/login",
		"http://shop.example/login": "http://shop.example/api/login",
		"https://other.example/":    "https://other.example/",
		"relative":                  "relative",
	} {
		a := get(t, p, "shop.example/api/x?to="+to, "X-Forwarded-Prefix: /evil")
		if got := a.Header.Get("Location"); got != want {
			t.Errorf("Location %q came back as %q, want %q", to, got, want)
		}
		if got := <-seen; got != "/api" {
			t.Errorf("X-Forwarded-Prefix is %q, want /api", got)
		}
	}
}
