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
func (unsampled) Start(trace.SpanContext, trace.TraceID, string, time.Time, ...attribute.KeyValue) (context.Context, trace.Span) {
	panic("not sampled")
}
func (unsampled) StartClient(trace.Span, string, time.Time, ...attribute.KeyValue) trace.Span {
	panic("not sampled")
}
func (unsampled) RequestStarted() {}
func (unsampled) RequestEnded()   {}

// answerer is a backend that costs as little as possible.
func answerer(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\nCache-Control: max-age=0\r\n\r\n" + strings.Repeat("x", 128))
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

func benchConfig() *config.Config {
	cfg, _ := config.Load([]string{"LB_BACKENDS=:1", "LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_SECRET=0123456789abcdef"})
	return cfg
}

// BenchmarkExchange is one small GET through server, proxy and transport, with a valid cookie; the load and the backend
// are in the same process, and allocate nothing.
func BenchmarkExchange(b *testing.B) {
	for name, tracing := range map[string]Tracing{"plain": nil, "unsampled": unsampled{}} {
		b.Run(name, func(b *testing.B) {
			p := New(benchConfig(), Options{Tracing: tracing})
			backend := answerer(b)
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
			defer c.Close()
			run(b, c)
		})
	}
}

func run(b *testing.B, c net.Conn) {
	head := "GET /some/path?q=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html\r\nAccept-Encoding: gzip\r\nAccept-Language: en\r\n"
	io.WriteString(c, head+"\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		b.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	cookie, _, _ := strings.Cut(resp.Header.Get("Set-Cookie"), ";")
	request := []byte(head + "Cookie: theme=dark; " + cookie + "\r\n\r\n")
	p := make([]byte, 8<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(p); err != nil {
			b.Fatal(err)
		}
	}
}
