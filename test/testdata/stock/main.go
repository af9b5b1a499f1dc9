// Command stock is a proxy with the SDK's own batch span processor, as a
// control for what happens to spans when the CPU stops between requests. It
// listens on a port of the kernel's choice, which it prints, and relays to its
// argument.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func main() {
	target, err := url.Parse(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	exporter, err := otlptracehttp.New(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	tracer := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter)).Tracer("stock")
	relay := httputil.NewSingleHostReverseProxy(target)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	log.Fatal(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
		ctx, server := tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
		defer server.End()
		_, client := tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindClient))
		defer client.End()
		relay.ServeHTTP(w, r)
	})))
}
