package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/h1"
)

// unsampled is telemetry that records nothing.
type unsampled struct{}

func (unsampled) Sampled(trace.SpanContext, trace.TraceID) bool { return false }
func (unsampled) Start(
	trace.SpanContext, trace.TraceID, string, time.Time, ...attribute.KeyValue,
) (context.Context, trace.Span) {
	panic("not sampled")
}
func (unsampled) StartClient(trace.Span, string, time.Time, ...attribute.KeyValue) trace.Span {
	panic("not sampled")
}
func (unsampled) StartBackground(
	trace.TraceID, string, time.Time, ...attribute.KeyValue,
) (context.Context, trace.Span) {
	panic("not sampled")
}
func (unsampled) RequestStarted() {}
func (unsampled) RequestEnded()   {}

// answerer is a backend that costs as little as possible.
func answerer(b *testing.B, control string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}

	b.Cleanup(func() { l.Close() })
	now := time.Now().UTC().Format(http.TimeFormat) // an old answer would not be stored
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\nDate: " + now +
		"\r\nCache-Control: " + control + "\r\n\r\n" + strings.Repeat("x", 128))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}

			go func() {
				defer c.Close()
				p := make([]byte, 8<<10)
				for {
					if _, err := c.Read(p); err != nil {
						return
					}
					c.Write(answer)
				}
			}()
		}
	}()

	return l.Addr().String()
}

func benchConfig(env ...string) *config.Config {
	cfg, _ := config.Load(append(env,
		"LB_BACKENDS=:1", "LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_SECRET=0123456789abcdef"))
	return cfg
}

// twentyRoutes are routes of which none takes the request of the benchmark.
func twentyRoutes() (env []string) {
	for _, c := range "ABCDEFGHIJKLMNOPQRST" {
		env = append(env, "LB_ROUTE__"+string(c)+"=/"+string(c)+"/*", "LB_SERVICE__"+string(c)+"=default")
	}
	return env
}

// BenchmarkExchange is one small GET through server, proxy and transport, with
// a valid cookie; the load and the backend are in the same process, and
// allocate nothing.
func BenchmarkExchange(b *testing.B) {
	for name, c := range map[string]struct {
		tracing Tracing
		env     []string
	}{
		"plain":     {},
		"unsampled": {tracing: unsampled{}},
		"routes":    {env: twentyRoutes()},
	} {
		b.Run(name, func(b *testing.B) {
			p := New(benchConfig(c.env...), Options{Tracing: c.tracing})
			run(b, serving(b, p, answerer(b, "max-age=0")), "theme=dark; ", "")
		})
	}
}

// BenchmarkMiss is a small GET of a URL that nobody has asked for, with the
// cache and without. The answer is stored.
func BenchmarkMiss(b *testing.B) {
	for _, mode := range []string{"off", "origin"} {
		b.Run(mode, func(b *testing.B) {
			p := New(benchConfig("LB_CACHE="+mode), Options{})
			run(b, serving(b, p, answerer(b, "max-age=600")), "", "&n=0000000000000000")
		})
	}
}

// serving is a connection to a proxy with one backend.
func serving(b *testing.B, p *Proxy, backend string) net.Conn {
	p.Update([]discovery.Backend{{Name: "a", Address: backend, Host: backend, Weight: 1, Protocol: config.Auto}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}

	s := &h1.Server{Handler: p, IdleTimeout: time.Minute}
	go s.Serve(l)
	b.Cleanup(func() { s.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })

	return c
}

// run sends requests with the session's cookie and others. A serial ends in
// digits, which count them.
func run(b *testing.B, c net.Conn, cookies, serial string) {
	head := "GET /some/path?q=1" + serial + " HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0\r\n" +
		"Accept: text/html\r\nAccept-Encoding: gzip\r\nAccept-Language: en\r\n"
	io.WriteString(c, head+"\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		b.Fatal(err)
	}

	io.Copy(io.Discard, resp.Body)
	cookie, _, _ := strings.Cut(resp.Header.Get("Set-Cookie"), ";")
	request := []byte(head + "Cookie: " + cookies + cookie + "\r\n\r\n")
	digits := request[strings.Index(head, serial):][:len(serial)]
	p := make([]byte, 8<<10)
	b.ReportAllocs()

	for b.Loop() {
		count(digits)
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(p); err != nil {
			b.Fatal(err)
		}
	}
}

// count adds one to the decimal number that b ends in.
func count(b []byte) {
	for i := len(b) - 1; i >= 0 && b[i] >= '0' && b[i] <= '9'; i-- {
		if b[i]++; b[i] <= '9' {
			return
		}
		b[i] = '0'
	}
}
