package discovery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// demoKind is the kind of demo://N, a number of small servers in this process.
func demoKind() kind {
	return kind{
		name:    Demo,
		schemes: []string{"demo"},
		written: true,
		parse:   parseDemo,
		source:  func(_ *kinds, t Target) source { return &demo{target: t} },
		preview: demoAnswer,
	}
}

func parseDemo(p *parser, _, authority string, t *Target) {
	n, ok := number(authority, 64)
	if !ok || n == 0 {
		p.failf("demo://1 to demo://64", "%q is not a number of demo backends", authority)
	}

	t.Count = n
}

// demoAnswer returns the demo backends without starting them.
func demoAnswer(t Target) answer {
	var a answer
	for i := range t.Count {
		b := t.Template
		b.Name, b.Address = fmt.Sprintf("demo-%d", i+1), "127.0.0.1:(any)"
		a.backends = append(a.backends, b)
	}

	return a
}

// demo is the source of demo://N: N small servers on loopback ports that answer
// with their own name. They show load balancing, cookies and traces before
// there is an app.
type demo struct{ target Target }

func (d *demo) run(ctx context.Context, report func(answer, error)) {
	var servers sync.WaitGroup
	defer servers.Wait()
	var backends []Backend
	for i := range d.target.Count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			report(answer{}, fmt.Errorf("starting demo backend %d: %w", i+1, err))
			return
		}

		b := d.target.Template
		b.Name = "demo-" + strconv.Itoa(i+1)
		b.Address, b.Host = l.Addr().String(), l.Addr().String()
		backends = append(backends, b)
		servers.Go(func() { serveEcho(ctx, l, b.Name) })
	}

	report(answer{backends: backends, final: true}, nil)
}

// serveEcho answers requests over HTTP/1.1 and h2c until ctx ends.
func serveEcho(ctx context.Context, l net.Listener, name string) {
	server := newEcho(echo(name, shown()))
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	server.Serve(l)
}

// EchoServer returns a server that answers with its name and with the request
// it received, without credentials. It is a backend for trying Pillion.
func EchoServer(name string) *http.Server { return newEcho(echo(name, nil)) }

// newEcho returns a server for HTTP/1.1 and h2c.
func newEcho(h http.Handler) *http.Server {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		Protocols:         new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)

	return server
}

// echoBody is how much of a request body an echo repeats. The rest is read and
// dropped.
const echoBody = 1 << 20

// echoed is the content of an answer.
type echoed struct {
	Backend string            `json:"backend"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Host    string            `json:"host"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
}

// echo answers every request with what the backend received, as text, or as
// JSON if Accept asks for it. It shows the header fields that are listed in
// fields, or all fields if the list is empty. The path /status/503 gets that
// status, and /delay/1.5s gets its answer after that time. On a WebSocket, it
// sends each message back.
func echo(name string, fields []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wantsWebSocket(r) {
			echoWebSocket(w, r, name)
			return
		}

		body, err := io.ReadAll(io.LimitReader(r.Body, echoBody))
		if err != nil {
			panic(http.ErrAbortHandler)
		}

		io.Copy(io.Discard, r.Body)
		if !delayed(r) {
			return
		}

		e := echoed{Backend: name, Method: r.Method, Path: r.RequestURI, Host: r.Host,
			Headers: chosen(r.Header, fields), Body: string(body)}
		w.Header().Set("X-Backend", name)
		if strings.Contains(r.Header.Get("Accept"), "application/json") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(wanted(r))
			json.NewEncoder(w).Encode(e)
			return
		}

		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(wanted(r))
		io.WriteString(w, e.text(fields))
	})
}

// shown returns the names of the request fields that demo backends show.
func shown() []string {
	return []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id",
		"Traceparent", "Cookie"}
}

// chosen returns the fields that are listed, or all fields if the list is
// empty.
func chosen(h http.Header, list []string) map[string]string {
	fields := map[string]string{}
	if list == nil {
		list = slices.Collect(maps.Keys(h))
	}
	for _, name := range list {
		if v := h.Values(name); len(v) > 0 {
			fields[name] = withoutCredentials(name, strings.Join(v, ", "))
		}
	}

	return fields
}

// withoutCredentials returns a field's value without credentials. Clients must
// not see an ID token that Pillion added to the request.
func withoutCredentials(name, value string) string {
	if !strings.HasSuffix(name, "Authorization") {
		return value
	}
	scheme, _, _ := strings.Cut(value, " ")
	if scheme == value {
		return "***"
	}

	return scheme + " ***"
}

// text returns the answer as text. The first line is only the name, so that
// answers can be counted with sort and uniq.
func (e echoed) text(fields []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s %s\nHost: %s\n", e.Backend, e.Method, e.Path, e.Host)

	if fields == nil {
		fields = slices.Sorted(maps.Keys(e.Headers))
	}
	for _, name := range fields {
		if v, ok := e.Headers[name]; ok {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}

	if e.Body != "" {
		b.WriteString("\n" + e.Body)
	}

	return b.String()
}

// wanted returns the status in the path, or 200.
func wanted(r *http.Request) int {
	code, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/status/"))
	if err != nil || code < 200 || code > 599 {
		return http.StatusOK
	}
	return code
}

// delayed waits for the time in the path, at most a minute. It reports false if
// the client has disconnected in the meantime.
func delayed(r *http.Request) bool {
	d, err := time.ParseDuration(strings.TrimPrefix(r.URL.Path, "/delay/"))
	if err != nil {
		return true
	}

	timer := time.NewTimer(min(d, time.Minute))
	defer timer.Stop()

	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
