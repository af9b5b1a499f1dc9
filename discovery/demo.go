package discovery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// demo is the source of demo://N: N small servers on loopback ports that answer with their own name. They let somebody
// see a spread, a cookie and a trace before there is an app.
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
	server := &http.Server{
		Handler:           echo(name),
		ReadHeaderTimeout: 10 * time.Second,
		Protocols:         new(http.Protocols),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	server.Serve(l)
}

// echoBody is the longest request body that an echo repeats; the rest is read and dropped.
const echoBody = 1 << 20

// echoed is what an echo says about a request.
type echoed struct {
	Backend string            `json:"backend"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Host    string            `json:"host"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
}

// echo answers every request with what reached the backend, as text or, if Accept asks for it, as JSON. A path
// /status/503 answers with that status, and /delay/1.5s answers late. A WebSocket repeats what it is sent.
func echo(name string) http.Handler {
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
		e := echoed{Backend: name, Method: r.Method, Path: r.RequestURI, Host: r.Host, Headers: chosen(r.Header), Body: string(body)}
		w.Header().Set("X-Backend", name)
		if strings.Contains(r.Header.Get("Accept"), "application/json") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(wanted(r))
			json.NewEncoder(w).Encode(e)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(wanted(r))
		io.WriteString(w, e.text())
	})
}

// shown are the fields that show what a balancer does to a request.
func shown() []string {
	return []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id", "Traceparent", "Cookie"}
}

func chosen(h http.Header) map[string]string {
	fields := map[string]string{}
	for _, name := range shown() {
		if v := h.Values(name); len(v) > 0 {
			fields[name] = strings.Join(v, ", ")
		}
	}
	return fields
}

// text is the name alone on the first line, so that a spread can be counted with sort and uniq.
func (e echoed) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s %s\nHost: %s\n", e.Backend, e.Method, e.Path, e.Host)
	for _, name := range shown() {
		if v, ok := e.Headers[name]; ok {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	if e.Body != "" {
		b.WriteString("\n" + e.Body)
	}
	return b.String()
}

// wanted is the status that the path asks for, else 200.
func wanted(r *http.Request) int {
	code, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/status/"))
	if err != nil || code < 200 || code > 599 {
		return http.StatusOK
	}
	return code
}

// delayed waits as long as the path asks for, at most a minute. It reports false if the client left meanwhile.
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
