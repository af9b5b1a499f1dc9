package routes

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// startLenient starts an app that reads paths in many ways: decoded once, with
// "\" as "/", without parameters, resolved, and any combination. It sends
// targets to reached that mean /admin in one of them.
func startLenient(t *testing.T, name string, reached chan<- string) *backend.Server {
	t.Helper()

	return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
		target, _, _ := strings.Cut(r.RequestURI, "?")
		for _, p := range readings(target) {
			if p == "/admin" || strings.HasPrefix(p, "/admin/") {
				reached <- target
			}
		}
	})
}

// readings returns what servers may read a path as.
func readings(p string) []string {
	all := []string{p}
	for _, f := range []func(string) string{
		func(s string) string {
			if d, err := url.PathUnescape(s); err == nil {
				return d
			}
			return s
		},
		func(s string) string { return strings.ReplaceAll(s, `\`, "/") },
		func(s string) string {
			segments := strings.Split(s, "/")
			for i := range segments {
				segments[i], _, _ = strings.Cut(segments[i], ";")
			}
			return strings.Join(segments, "/")
		},
		func(s string) string { return "/" + strings.TrimLeft(s, "/") },
		path.Clean,
	} {
		for _, s := range all {
			all = append(all, f(s))
		}
	}

	return all
}

// spellings returns paths below /public that mean /admin to some server.
func spellings() []string {
	slashes := []string{"/", "%2f", "%2F", `\`, "%5c", "%5C", "//", `/\`, "/./", "/.;/", "/%2e/", "/;x/", "/%3Bx/"}
	dots := []string{"..", "%2e%2e", ".%2e", "%2E.", "..;", "..;x=y", "%2e%2e%3bx", "..%3B"}
	admin := []string{"admin", "%61dmin", "admin/", "admin;x", "admin%2fx", `admin\x`, "x/../admin", "./admin"}
	var all []string
	for _, s := range slashes {
		for _, d := range dots {
			for _, a := range admin {
				for _, s2 := range slashes {
					all = append(all, "/public"+s+d+s2+a)
				}
			}
		}
		for _, a := range admin {
			all = append(all, s+a, "/public/x"+s+".."+s+".."+s+a)
		}
	}
	all = slices.DeleteFunc(all, func(p string) bool { return p[0] != '/' })

	return append(all, "/public/%2e%2e/admin/..%2fpublic", "/admin/..;/public/", "/public/..%252fadmin", "/%2561dmin")
}

// No spelling of a path reaches an admin page by the public route, over
// HTTP/1.1 and over HTTP/2.
func TestPaths_NoSpellingReachesAdminByAnotherRoute(t *testing.T) {
	t.Parallel()
	reached := make(chan string, 100_000)
	public, admin := startLenient(t, "public", reached), backend.Start(t, "admin", nil)
	p := pillion.Start(t, list("LB_BACKENDS__PUBLIC", public), "LB_ROUTE__PUBLIC=/public/*;/*",
		list("LB_BACKENDS__ADMIN", admin), "LB_ROUTE__ADMIN=/admin/*")

	counts := map[int]int{}
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	defer transport.CloseIdleConnections()
	h2 := dialHTTP2(t, p.Address)
	for _, target := range spellings() {
		if strings.HasPrefix(target, "//") { // net/http would read a host
			counts[get(t, p, target).StatusCode]++
			continue
		}
		r := &http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: p.Address, Opaque: target}, Host: "x",
			Header: http.Header{}}
		response, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		counts[response.StatusCode]++
		if status := h2.get(t, target); status != response.StatusCode {
			t.Errorf("%s: status %d over HTTP/1.1 and %d over HTTP/2, want the same", target, response.StatusCode, status)
		}
	}
	close(reached)
	for target := range reached {
		t.Errorf("%s reached the public service, where it means /admin", target)
	}
	if counts[400] == 0 || counts[200] == 0 {
		t.Errorf("statuses %v, want some of 400 and of 200", counts)
	}
}

// Fields with which frameworks replace the path or the method can't avoid a
// route. They lead neither to a page behind a password nor to one that is
// blocked or has no route.
func TestPaths_NoFieldLeadsAroundARoute(t *testing.T) {
	t.Parallel()
	app := startEcho(t, "app")
	fields := []string{"X-Original-URL: /admin", "X_Rewrite_Url: /internal/x", "X.Original.Uri: /elsewhere",
		"X-HTTP-Method-Override: DELETE"}
	p := pillion.Start(t, list("LB_BACKENDS", app), "LB_ROUTE=/shop/*",
		"LB_ROUTE__ADMIN=/admin", "LB_SERVICE__ADMIN=default", "LB_BASIC_AUTH__ADMIN=ann:correct horse",
		"LB_ROUTE__CHANGE=/shop/*?method=DELETE", "LB_SERVICE__CHANGE=default", "LB_BASIC_AUTH__CHANGE=ann:correct horse",
		"LB_ROUTE__INTERNAL=/internal/*", "LB_RESPOND__INTERNAL=403")
	a := get(t, p, "/shop/1", fields...)
	if a.line() != "GET /shop/1" || strings.Contains(a.text, "rl: /") ||
		strings.Contains(a.text, "ri: /") || strings.Contains(a.text, "DELETE") {
		t.Errorf("status %d, want GET /shop/1 without the fields:\n%s", a.StatusCode, a.text)
	}

	// If no route and no gate depends on the path or the method, the fields
	// are passed on to the app.
	p = pillion.Start(t, list("LB_BACKENDS", app), list("LB_BACKENDS__NEXT", app), "LB_ROUTE__NEXT=/*?share=0%")
	if a := get(t, p, "/shop/1", fields...); a.saw("X-Original-Url") != "/admin" ||
		a.saw("X-Http-Method-Override") != "DELETE" {
		t.Errorf("status %d, want the fields passed on:\n%s", a.StatusCode, a.text)
	}
}

// Paths that all servers read alike pass unchanged.
func TestPaths_UnambiguousPathsPassUnchanged(t *testing.T) {
	t.Parallel()
	api := startEcho(t, "api")
	p := pillion.Start(t, list("LB_BACKENDS", startEcho(t, "ui")), list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*")
	for _, target := range []string{
		"/api/projects/group%2Fsub%2Fname/x", "/api/@scope%2fname", "/api/a;b=c/d", "/api//x", "/api/.well-known/y",
		"/api/%E4%BD%A0", "/api/a%5Cb", "/api/x?to=/../admin%2f..", "/api/%2525", "/api/x/../y",
	} {
		if a := get(t, p, target); a.line() != "GET "+target {
			t.Errorf("%s: status %d, the backend received %q, want the target unchanged", target, a.StatusCode, a.line())
		}
	}
}

// An absolute target is routed by its path and host.
func TestPaths_AnAbsoluteTargetIsRoutedByItsHostAndPath(t *testing.T) {
	t.Parallel()
	ui, api := startEcho(t, "ui"), startEcho(t, "api")
	p := pillion.Start(t, list("LB_BACKENDS", ui), list("LB_BACKENDS__API", api), "LB_ROUTE__API=api.example/v1/*",
		"LB_REWRITE__API=/*")
	for target, want := range map[string]string{
		"http://api.example/v1/x%2fy?q": "GET /x%2fy?q",
		"http://API.example:80/v1":      "GET /",
		"http://other.example/v1/x":     "GET /v1/x",
	} {
		a := rawTarget(t, p.Address, target)
		if a.line() != want {
			t.Errorf("%s: the backend received %q, want %q", target, a.line(), want)
		}
	}
}

// rawTarget sends a GET with a whole URL as its target.
func rawTarget(t *testing.T, address, target string) answer {
	t.Helper()
	conn := dial(t, address)
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", target,
		u.Host); err != nil {
		t.Fatal(err)
	}

	return read(t, conn, "GET")
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })

	return conn
}

// http2Conn is a connection on which any :path can be sent.
type http2Conn struct{ conn *http.ClientConn }

func dialHTTP2(t *testing.T, address string) *http2Conn {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	conn, err := transport.NewClientConn(t.Context(), "http", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })

	return &http2Conn{conn}
}

// get sends a GET for a path as it is given and returns the status.
func (c *http2Conn) get(t *testing.T, target string) int {
	t.Helper()
	r := (&http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: "x", Opaque: "//x" + target}, Host: "x",
		Header: http.Header{}}).
		WithContext(context.Background())
	response, err := c.conn.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()

	return response.StatusCode
}
