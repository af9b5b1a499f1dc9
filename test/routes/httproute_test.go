package routes

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// The conformance tests of the Gateway API (v1, HTTPRoute), with Pillion's
// variables, as far as they need the whole program. The cases of matching alone
// are in proxy/route/httproute_test.go: httproute-matching,
// -matching-across-routes, -path-match-order, -exact-path-matching,
// -header-matching, -method-matching, -query-param-matching,
// -hostname-intersection.
//
// Other tests have these: -backend-protocol-h2c and -backend-protocol-websocket
// (TestProtocols and the WebSocket tests), -weight (the tests of LB_POLICY),
// -request-mirror and -request-percentage-mirror (TestMirror), and
// -omitted-backendrefs (LB_RESPOND).
//
// Pillion differs on purpose:
//   - a redirect that changes the scheme or the port alone: LB_REDIRECT takes a
//     path or a URL with its host; http to https is LB_HTTPS_REDIRECT, with 308
//   - -request-multiple-mirrors: a route has one mirror
//   - -rewrite-host: the host that a service sees is a setting of its backends
//     (?host=), so it needs a service for each
//   - -request-header-modifier-backend, -backend-request-redirect and
//     -backend-url-rewrite: rules belong to a route; two shares of one path are
//     two routes
//   - -cors: Access-Control-Expose-Headers is on answers and not on preflights,
//     where browsers do not read it
//   - -retry: a status is retried at another endpoint, so a single one is not
//     asked again
//   - -listener-port-matching, -https-listener and
//     -https-listener-detect-misdirected-requests: Pillion has one port
//
// All others are about Kubernetes objects: gateways, namespaces, grants,
// references, kinds, sections, generations.

// wants is the expected handling of a request: the service that answers, the
// request that it receives, and the answer that the client gets.
type wants struct {
	request, fields string // fields are separated by " | "
	status          int    // 0 means 200
	from            string
	line, host      string
	saw, unseen     string // fields of the request, "name: value | …", and names without one, "a | b"
	got, location   string
	ungot           string // names without a field in the answer, "a | b"
}

// bars splits a list at " | ".
func bars(s string) []string {
	if s == "" {
		return nil
	}

	return strings.Split(s, " | ")
}

func (w wants) check(t *testing.T, a answer) {
	t.Helper()
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if a.StatusCode != w.status || a.from() != w.from || a.Header.Get("Location") != w.location {
		t.Errorf("%s: status %d from %q, Location %q, want %d from %q, %q", w.request, a.StatusCode, a.from(),
			a.Header.Get("Location"), w.status, w.from, w.location)
	}
	if w.line != "" && a.line() != w.line {
		t.Errorf("%s: the service received %q, want %q", w.request, a.line(), w.line)
	}
	if w.host != "" && a.saw("Host") != w.host {
		t.Errorf("%s: the service received the host %q, want %q", w.request, a.saw("Host"), w.host)
	}
	for _, field := range bars(w.saw) {
		name, value, _ := strings.Cut(field, ": ")
		if got := a.sawAll(name); got != value {
			t.Errorf("%s: the service received %s: %q, want %q", w.request, name, got, value)
		}
	}
	for _, name := range bars(w.unseen) {
		if got := a.sawAll(name); got != "" {
			t.Errorf("%s: the service received %s: %q, want no such field", w.request, name, got)
		}
	}
	for _, field := range bars(w.got) {
		name, value, _ := strings.Cut(field, ": ")
		if got := strings.Join(a.Header.Values(name), ","); got != value {
			t.Errorf("%s: the answer has %s: %q, want %q", w.request, name, got, value)
		}
	}
	for _, name := range bars(w.ungot) {
		if got, there := a.Header[http.CanonicalHeaderKey(name)]; there {
			t.Errorf("%s: the answer has %s: %q, want no such field", w.request, name, got)
		}
	}
}

// sawAll returns the values of a field that the backend received, joined by
// commas.
func (a answer) sawAll(name string) string {
	var all []string
	for line := range strings.SplitSeq(a.text, "\n") {
		if value, ok := strings.CutPrefix(line, http.CanonicalHeaderKey(name)+": "); ok {
			all = append(all, value)
		}
	}

	return strings.Join(all, ",")
}

// scripted is startEcho with further fields of the answer, which the request
// names in X-Answer: "name=value" items separated by blanks.
func scripted(t *testing.T, name string) *backend.Server {
	t.Helper()
	return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
		for _, item := range strings.Fields(r.Header.Get("X-Answer")) {
			field, value, _ := strings.Cut(item, "=")
			w.Header().Add(field, value)
		}
		fmt.Fprintf(w, "%s\n%s %s\nHost: %s\n", name, r.Method, r.RequestURI, r.Host)
		for field, values := range r.Header {
			for _, value := range values {
				fmt.Fprintf(w, "%s: %s\n", field, value)
			}
		}
	})
}

func TestHTTPRoute_Redirects(t *testing.T) {
	t.Parallel()
	v1 := startEcho(t, "v1")
	env := []string{list("LB_BACKENDS", v1)}
	var cases []wants
	for i, c := range []struct{ path, target, status, request, location string }{
		// httproute-redirect-host-and-status
		{"/hostname-redirect", "http://example.org/hostname-redirect/*", "302", "/hostname-redirect",
			"http://example.org/hostname-redirect"},
		{"/host-and-status", "http://example.org/host-and-status/*", "301", "/host-and-status",
			"http://example.org/host-and-status"},
		// httproute-redirect-path
		{"/original-prefix", "/replacement-prefix/*", "302", "/original-prefix/lemon", "/replacement-prefix/lemon"},
		{"/full", "/full-path-replacement", "302", "/full/path/original", "/full-path-replacement"},
		{"/path-and-host", "http://example.org/replacement-prefix/*", "302", "/path-and-host",
			"http://example.org/replacement-prefix"},
		{"/path-and-status", "/replacement-prefix/*", "301", "/path-and-status", "/replacement-prefix"},
		{"/full-path-and-host", "http://example.org/replacement-full", "302", "/full-path-and-host",
			"http://example.org/replacement-full"},
		{"/full-path-and-status", "/replacement-full", "301", "/full-path-and-status", "/replacement-full"},
		// httproute-redirect-port, with a host
		{"/port-and-host", "http://example.org:8083/port-and-host/*", "302", "/port-and-host",
			"http://example.org:8083/port-and-host"},
		{"/port-and-host-and-status", "http://example.org:8083/p/*", "302", "/port-and-host-and-status/x",
			"http://example.org:8083/p/x"},
		// httproute-redirect-scheme, with a host
		{"/scheme-and-host", "https://example.org/scheme-and-host/*", "302", "/scheme-and-host",
			"https://example.org/scheme-and-host"},
		{"/scheme-and-host-and-status", "https://example.org/s/*", "301", "/scheme-and-host-and-status/x",
			"https://example.org/s/x"},
		// httproute-redirect-port-and-scheme
		{"/scheme-https-and-port-8443", "https://example.org:8443/x/*", "302", "/scheme-https-and-port-8443/y?q=1",
			"https://example.org:8443/x/y?q=1"},
		// httproute-303-redirect, -307-redirect, -308-redirect
		{"/see-other", "/there", "303", "/see-other", "/there"},
		{"/temporary", "/there", "307", "/temporary", "/there"},
		{"/permanent", "/there", "308", "/permanent", "/there"},
	} {
		env = append(env, fmt.Sprintf("LB_ROUTE__R%d=%s/*", i, c.path), fmt.Sprintf("LB_REDIRECT__R%d=%s", i, c.target),
			fmt.Sprintf("LB_REDIRECT_STATUS__R%d=%s", i, c.status))
		var status int
		_, _ = fmt.Sscan(c.status, &status)
		cases = append(cases, wants{request: "GET " + c.request, status: status, location: c.location})
	}
	p := pillion.Start(t, env...)
	for _, c := range cases {
		c.check(t, raw(t, p, c.request))
	}
}

func TestHTTPRoute_Rewrites(t *testing.T) {
	t.Parallel()
	v1, v2 := startEcho(t, "v1"), startEcho(t, "v2")
	const rules = "X-Header-Set=set-overwrites-values;+X-Header-Add=header-val-1;" +
		"+X-Header-Add-Append=header-val-2;-X-Header-Remove"
	const sent = "X-Header-Remove: remove-val | X-Header-Add-Append: append-val-1 | X-Header-Set: set-val"
	const saw = "X-Header-Add: header-val-1 | X-Header-Add-Append: append-val-1,header-val-2 | X-Header-Set: " +
		"set-overwrites-values"
	p := pillion.Start(t, list("LB_BACKENDS", v1),
		// httproute-rewrite-path
		"LB_ROUTE__A=/prefix/one/*", "LB_REWRITE__A=/one/*",
		"LB_ROUTE__B=/strip-prefix/*", "LB_REWRITE__B=/*",
		"LB_ROUTE__C=/full/one/*", "LB_REWRITE__C=/one",
		"LB_ROUTE__D=/full/rewrite-path-and-modify-headers/*", "LB_REWRITE__D=/test", "LB_REQUEST_HEADERS__D="+rules,
		"LB_ROUTE__E=/prefix/rewrite-path-and-modify-headers/*", "LB_REWRITE__E=/prefix/*", "LB_REQUEST_HEADERS__E="+rules,
		// httproute-rewrite-host
		"LB_BACKENDS__ONE="+v1.Target("host=one.example.org"), "LB_ROUTE__ONE=rewrite.example/one/*",
		"LB_HOST_HEADER__ONE=backend", "LB_BACKENDS__REST="+v2.Target("host=example.org"), "LB_ROUTE__REST=rewrite.example",
		"LB_HOST_HEADER__REST=backend", "LB_BACKENDS__BOTH="+v2.Target("host=test.example.org"),
		"LB_ROUTE__BOTH=rewrite.example/rewrite-host-and-modify-headers/*",
		"LB_HOST_HEADER__BOTH=backend", "LB_REQUEST_HEADERS__BOTH="+rules)
	for _, c := range []wants{
		{request: "GET /prefix/one/two", from: "v1", line: "GET /one/two"},
		{request: "GET /strip-prefix/three", from: "v1", line: "GET /three"},
		{request: "GET /strip-prefix", from: "v1", line: "GET /"},
		{request: "GET /full/one/two", from: "v1", line: "GET /one"},
		{request: "GET /full/rewrite-path-and-modify-headers/test", fields: sent, from: "v1", line: "GET /test", saw: saw,
			unseen: "X-Header-Remove"},
		{request: "GET /prefix/rewrite-path-and-modify-headers/one", fields: sent, from: "v1", line: "GET /prefix/one",
			saw: saw, unseen: "X-Header-Remove"},
		{request: "GET rewrite.example/one", from: "v1", line: "GET /one", host: "one.example.org"},
		{request: "GET rewrite.example/two", from: "v2", line: "GET /two", host: "example.org"},
		{request: "GET rewrite.example/rewrite-host-and-modify-headers", fields: sent, from: "v2", host: "test.example.org",
			saw: saw, unseen: "X-Header-Remove"},
	} {
		c.check(t, raw(t, p, c.request, bars(c.fields)...))
	}
}

// httproute-request-header-modifier and -response-header-modifier.
func TestHTTPRoute_HeaderModifiers(t *testing.T) {
	t.Parallel()
	v1 := scripted(t, "v1")
	const multiple = "X-Header-Set-1=header-set-1;X-Header-Set-2=header-set-2;+X-Header-Add-1=header-add-1;" +
		"+X-Header-Add-2=header-add-2;+X-Header-Add-3=header-add-3;-X-Header-Remove-1;-X-Header-Remove-2"
	const changed = "X-Header-Set-1: header-set-1 | X-Header-Set-2: header-set-2 | X-Header-Add-1: header-add-1 | " +
		"X-Header-Add-2: add-val-2,header-add-2 | X-Header-Add-3: header-add-3 | Another-Header: another-header-val"
	const anyCase = "X-Header-Set=header-set;+X-Header-Add=header-add;-X-Header-Remove;+x-lowercase-add=lowercase-add;" +
		"+x-Mixedcase-ADD-1=mixedcase-add-1;+X-UPPERCASE-ADD=uppercase-add"
	env := []string{list("LB_BACKENDS", v1)}
	for name, rules := range map[string]string{
		"SET": "X-Header-Set=set-overwrites-values", "ADD": "+X-Header-Add=add-appends-values", "REMOVE": "-X-Header-Remove",
		"MULTIPLE": multiple, "CASES": anyCase,
	} {
		small := strings.ToLower(name)
		env = append(env, "LB_ROUTE__"+name+"=/"+small+"/*", "LB_REQUEST_HEADERS__"+name+"="+rules,
			"LB_ROUTE__R"+name+"=/r-"+small+"/*", "LB_RESPONSE_HEADERS__R"+name+"="+rules)
	}
	env = append(env, "LB_ROUTE__BOTH=/both/*", "LB_RESPONSE_HEADERS__BOTH="+multiple,
		"LB_REQUEST_HEADERS__BOTH=X-Header-Set=set-overwrites-values;+X-Header-Add-Append=header-val-2;-X-Header-Remove")
	p := pillion.Start(t, env...)
	for _, c := range []wants{
		{request: "GET /set", fields: "Some-Other-Header: val",
			saw: "Some-Other-Header: val | X-Header-Set: set-overwrites-values"},
		{request: "GET /set", fields: "X-Header-Set: some-other-value", saw: "X-Header-Set: set-overwrites-values"},
		{request: "GET /add", fields: "Some-Other-Header: val",
			saw: "Some-Other-Header: val | X-Header-Add: add-appends-values"},
		{request: "GET /add", fields: "X-Header-Add: some-other-value",
			saw: "X-Header-Add: some-other-value,add-appends-values"},
		{request: "GET /remove", fields: "X-Header-Remove: val", unseen: "X-Header-Remove"},
		{request: "GET /multiple",
			fields: "X-Header-Set-2: set-val-2 | X-Header-Add-2: add-val-2 | X-Header-Remove-2: remove-val-2 | " +
				"Another-Header: another-header-val",
			saw: changed, unseen: "X-Header-Remove-1 | X-Header-Remove-2"},
		{request: "GET /cases", fields: "x-header-set: original-val-set | x-header-add: original-val-add | " +
			"x-header-remove: original-val-remove",
			saw: "X-Header-Set: header-set | X-Header-Add: original-val-add,header-add", unseen: "X-Header-Remove"},
		{request: "GET /r-set", fields: "X-Answer: Some-Other-Header=val",
			got: "Some-Other-Header: val | X-Header-Set: set-overwrites-values"},
		{request: "GET /r-set", fields: "X-Answer: X-Header-Set=some-other-value",
			got: "X-Header-Set: set-overwrites-values"},
		{request: "GET /r-add", fields: "X-Answer: Some-Other-Header=val",
			got: "Some-Other-Header: val | X-Header-Add: add-appends-values"},
		{request: "GET /r-add", fields: "X-Answer: X-Header-Add=some-other-value",
			got: "X-Header-Add: some-other-value,add-appends-values"},
		{request: "GET /r-remove", fields: "X-Answer: X-Header-Remove=val", ungot: "X-Header-Remove"},
		{request: "GET /r-multiple",
			fields: "X-Answer: X-Header-Set-2=set-val-2 X-Header-Add-2=add-val-2 X-Header-Remove-2=remove-val-2 " +
				"Another-Header=another-header-val X-Header-Remove-1=val",
			got: changed, ungot: "X-Header-Remove-1 | X-Header-Remove-2"},
		{request: "GET /r-cases", fields: "X-Answer: x-header-set=original-val-set x-header-add=original-val-add " +
			"x-header-remove=original-val-remove",
			got: "X-Header-Set: header-set | X-Header-Add: original-val-add,header-add | X-Lowercase-Add: lowercase-add | " +
				"X-Mixedcase-Add-1: mixedcase-add-1 | X-Uppercase-Add: uppercase-add",
			ungot: "X-Header-Remove"},
		{request: "GET /both", fields: "X-Header-Remove: remove-val | X-Header-Add-Append: append-val-1 | X-Answer: " +
			"X-Header-Set-2=set-val-2 X-Header-Add-2=add-val-2 Another-Header=another-header-val",
			saw:    "X-Header-Set: set-overwrites-values | X-Header-Add-Append: append-val-1,header-val-2",
			unseen: "X-Header-Remove | X-Header-Set-1", got: changed},
	} {
		c.from = "v1"
		c.check(t, raw(t, p, c.request, bars(c.fields)...))
	}
}

// httproute-listener-hostname-matching and -simple-same-namespace.
func TestHTTPRoute_Hosts(t *testing.T) {
	t.Parallel()
	v1, v2, v3 := startEcho(t, "v1"), startEcho(t, "v2"), startEcho(t, "v3")
	p := pillion.Start(t, list("LB_BACKENDS__V1", v1), "LB_ROUTE__V1=bar.com", list("LB_BACKENDS__V2", v2),
		"LB_ROUTE__V2=foo.bar.com",
		list("LB_BACKENDS__V3", v3), "LB_ROUTE__V3=*.bar.com;*.foo.com")
	for host, from := range map[string]string{
		"bar.com": "v1", "foo.bar.com": "v2", "baz.bar.com": "v3", "boo.bar.com": "v3", "multiple.prefixes.bar.com": "v3",
		"multiple.prefixes.foo.com": "v3", "foo.com": "", "no.matching.host": "",
	} {
		want := wants{request: "GET " + host + "/", from: from}
		if from == "" {
			want.status = http.StatusNotFound
		}
		want.check(t, raw(t, p, want.request))
	}
}

// httproute-cors.
func TestHTTPRoute_CORS(t *testing.T) {
	t.Parallel()
	v1 := startEcho(t, "v1")
	p := pillion.Start(t, list("LB_BACKENDS", v1),
		"LB_ROUTE__A=/cors-1/*", "LB_CORS_ORIGINS__A=https://www.foo.com;https://*.bar.com", "LB_CORS_METHODS__A=GET;OPTIONS",
		"LB_CORS_HEADERS__A=x-header-1;x-header-2", "LB_CORS_EXPOSE__A=x-header-3;x-header-4", "LB_CORS_CREDENTIALS__A=true",
		"LB_CORS_MAX_AGE__A=1h", "LB_ROUTE__B=/cors-2/*", "LB_CORS_ORIGINS__B=https://www.foo.com", "LB_CORS_METHODS__B=*",
		"LB_ROUTE__C=/cors-wildcard-origin/*", "LB_CORS_ORIGINS__C=*", "LB_CORS_METHODS__C=PUT",
		"LB_ROUTE__D=/unauth/*", "LB_CORS_ORIGINS__D=*", "LB_CORS_METHODS__D=*", "LB_CORS_HEADERS__D=*")
	const asks = " | Access-Control-Request-Method: GET | Access-Control-Request-Headers: x-header-1, x-header-2"
	const put = " | Access-Control-Request-Method: PUT"
	for _, c := range []wants{
		{request: "OPTIONS /cors-1", fields: "Origin: https://www.foo.com" + asks, status: 204,
			got: "Access-Control-Allow-Origin: https://www.foo.com | Access-Control-Allow-Methods: GET, OPTIONS | " +
				"Access-Control-Allow-Headers: X-Header-1, X-Header-2 | Access-Control-Max-Age: 3600 | " +
				"Access-Control-Allow-Credentials: true"},
		{request: "OPTIONS /cors-1", fields: "Origin: https://www.bar.com" + asks, status: 204,
			got: "Access-Control-Allow-Origin: https://www.bar.com"},
		{request: "OPTIONS /cors-1", fields: "Origin: https://xpto.www.bar.com" + asks, status: 204,
			got: "Access-Control-Allow-Origin: https://xpto.www.bar.com"},
		{request: "OPTIONS /cors-1", fields: "Origin: https://foobar.com" + asks, status: 204,
			ungot: "Access-Control-Allow-Origin"},
		{request: "GET /cors-1", fields: "Origin: https://www.foo.com", from: "v1",
			got: "Access-Control-Allow-Origin: https://www.foo.com | Access-Control-Expose-Headers: X-Header-3, X-Header-4"},
		{request: "GET /cors-1", fields: "Origin: https://www.bar.com", from: "v1",
			got: "Access-Control-Allow-Origin: https://www.bar.com"},
		{request: "GET /cors-1", fields: "Origin: https://foobar.com", from: "v1", ungot: "Access-Control-Allow-Origin"},
		{request: "OPTIONS /cors-2", fields: "Origin: https://www.foo.com | Access-Control-Request-Method: POST", status: 204,
			got:   "Access-Control-Allow-Origin: https://www.foo.com | Access-Control-Allow-Methods: *",
			ungot: "Access-Control-Allow-Credentials"},
		{request: "OPTIONS /cors-wildcard-origin", fields: "Origin: https://foobar.com" + put, status: 204,
			got:   "Access-Control-Allow-Origin: * | Access-Control-Allow-Methods: PUT",
			ungot: "Access-Control-Allow-Credentials"},
		{request: "OPTIONS /cors-wildcard-origin", fields: "Origin: https://foobar.com:12345" + put, status: 204,
			got: "Access-Control-Allow-Origin: *"},
		{request: "GET /cors-wildcard-origin", fields: "Origin: https://foobar.com:12345", from: "v1",
			got: "Access-Control-Allow-Origin: *"},
		{request: "OPTIONS /unauth", fields: "Origin: https://other.foo.com" + asks, status: 204,
			got:   "Access-Control-Allow-Origin: * | Access-Control-Allow-Methods: * | Access-Control-Allow-Headers: *",
			ungot: "Access-Control-Allow-Credentials"},
	} {
		c.check(t, raw(t, p, c.request, bars(c.fields)...))
	}
}

// httproute-timeout-request and -timeout-backend-request. The route without a
// timeout is answered later than both timeouts of the others.
func TestHTTPRoute_Timeouts(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	v1 := backend.Start(t, "v1", func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("delay") {
			select {
			case <-over:
			case <-r.Context().Done():
			}
		}
	})
	p := pillion.Start(t, list("LB_BACKENDS", v1), "LB_RETRIES=0", "LB_ROUTE__A=/request-timeout/*",
		"LB_REQUEST_TIMEOUT__A=500ms",
		"LB_ROUTE__B=/backend-timeout/*", "LB_RESPONSE_TIMEOUT__B=500ms", "LB_ROUTE__C=/disabled/*",
		"LB_REQUEST_TIMEOUT__C=none")
	var unlimited sync.WaitGroup
	unlimited.Go(func() {
		wants{request: "GET /disabled?delay=1s", from: "v1"}.check(t, raw(t, p, "GET /disabled?delay=1s"))
	})
	for _, c := range []wants{
		{request: "GET /request-timeout", from: "v1"}, {request: "GET /request-timeout?delay=1s", status: 504},
		{request: "GET /backend-timeout", from: "v1"}, {request: "GET /backend-timeout?delay=1s", status: 504},
	} {
		c.check(t, raw(t, p, c.request))
	}
	close(over)
	unlimited.Wait()
}

// httproute-retry: the backends fail a number of attempts and then answer 200.
func TestHTTPRoute_Retries(t *testing.T) {
	t.Parallel()
	attempts := &await.Values[string]{}
	serve := func(name string) *backend.Server {
		return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
			attempts.Add(r.Header.Get("Run"))
			n := 0
			for _, run := range attempts.All() {
				if run == r.Header.Get("Run") {
					n++
				}
			}
			var code, after int
			_, _ = fmt.Sscanf(r.URL.RawQuery, "code=%d&after=%d", &code, &after)
			if n <= after {
				w.WriteHeader(code)
			}
		})
	}
	p := pillion.Start(t, list("LB_BACKENDS", serve("a"), serve("b"), serve("c"), serve("d"), serve("e")),
		"LB_EJECT_ERRORS=0",
		"LB_ROUTE__A=/code-500-attempts-3/*", "LB_RETRY_STATUS__A=500", "LB_RETRIES__A=3",
		"LB_ROUTE__B=/code-all-attempts-2/*", "LB_RETRY_STATUS__B=500;502-504", "LB_RETRIES__B=2")
	for i, c := range []struct {
		target string
		status int
	}{
		{"/code-500-attempts-3?code=500&after=2", 200}, {"/code-500-attempts-3?code=500&after=4", 500},
		{"/code-500-attempts-3?code=503&after=2", 503},
		{"/code-all-attempts-2?code=500&after=1", 200}, {"/code-all-attempts-2?code=500&after=3", 500},
		{"/code-all-attempts-2?code=502&after=1", 200}, {"/code-all-attempts-2?code=502&after=3", 502},
		{"/code-all-attempts-2?code=503&after=1", 200}, {"/code-all-attempts-2?code=503&after=3", 503},
		{"/code-all-attempts-2?code=504&after=1", 200}, {"/code-all-attempts-2?code=504&after=3", 504},
	} {
		if a := get(t, p, c.target, fmt.Sprintf("Run: %d", i)); a.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", c.target, a.StatusCode, c.status)
		}
	}
}
