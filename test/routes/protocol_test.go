package routes

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/otlp"
)

// A WebSocket takes its route, with the path that the service expects. The
// header rules apply to its 101.
func TestProtocols_AWebSocketTakesItsRoute(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	ws := backend.StartRaw(t, "ws", func(c *backend.Conn) {
		r, err := c.ReadRequest()
		if err != nil {
			return
		}
		asked <- strings.SplitN(r.Head, "\r\n", 2)[0]
		// the key of RFC 6455 section 1.3 and its answer
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Server: secret\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		_, _ = io.Copy(c, c.In)
	})
	_, target, _ := strings.Cut(ws.Environment(), "=")
	p := pillion.Start(t, list("LB_BACKENDS", startEcho(t, "ui")), "LB_BACKENDS__WS="+target, "LB_ROUTE__WS=/ws/*",
		"LB_REWRITE__WS=/*",
		"LB_RESPONSE_HEADERS=X-Frame-Options=DENY;-Server")
	conn := dial(t, p.Address)
	fmt.Fprint(conn, "GET /ws/room/1?x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "+
		"websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != 101 || response.Header.Get("X-Frame-Options") != "DENY" ||
		response.Header["Server"] != nil {
		t.Fatalf("%+v, error %v, want 101 with the header rules applied", response, err)
	}
	if line := <-asked; line != "GET /room/1?x HTTP/1.1" {
		t.Errorf("the backend received %q, want GET /room/1?x HTTP/1.1", line)
	}
}

// A gRPC call takes its route by the path of the method. A call without a route
// gets UNIMPLEMENTED. The header rules apply to its answer.
func TestProtocols_GRPCTakesItsRoute(t *testing.T) {
	t.Parallel()
	cart := backend.Start(t, "cart", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		fmt.Fprint(w, r.RequestURI)
	})
	p := pillion.Start(t, "LB_BACKENDS__GRPC=h2c://"+cart.Address, "LB_ROUTE__GRPC=/shop.v1.Cart/*",
		"LB_RESPONSE_HEADERS=X-Frame-Options=DENY")
	conn := dialHTTP2(t, p.Address).conn
	for path, want := range map[string]string{"/shop.v1.Cart/Add": "0", "/shop.v1.Other/Add": "12"} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://a"+path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("Te", "trailers")
		response, err := conn.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		status := response.Trailer.Get("Grpc-Status") + response.Header.Get("Grpc-Status")
		if status != want || response.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: status %q, want %s with the header rules applied: %v", path, status, want, response.Header)
		}
	}
}

// Spans, log lines and state.json name the route and the service.
func TestTelemetry_NamesRouteAndService(t *testing.T) {
	t.Parallel()
	receiver := otlp.Start(t)
	env := append(receiver.Environment(), list("LB_BACKENDS", startEcho(t, "ui")),
		list("LB_BACKENDS__API", startEcho(t, "api")), "LB_ROUTE__API=/api/*",
		"LB_REWRITE__API=/*", "LB_ROUTE__OLD=/old/*", "LB_REDIRECT__OLD=/new/*", "LB_ACCESS_LOG=on",
		"LB_STATUS_TOKEN=0123456789abcdef")
	p := pillion.Start(t, env...)
	const trace = "0af7651916cd43dd8448eb211c80319c"
	get(t, p, "/api/users/7?a=b", "Traceparent: 00-"+trace+"-b7ad6b7169203331-01")
	servers, clients := otlp.Split(receiver.Trace(t, trace, 2))
	if len(servers) != 1 || len(clients) != 1 {
		t.Fatalf("%d server spans and %d client spans, want one of each", len(servers), len(clients))
	}
	server, attempt := servers[0], clients[0]
	if server.Name != "GET /api/*" || server.Attributes["http.route"] != "/api/*" ||
		server.Attributes["lb.route.name"] != "api" ||
		server.Attributes["lb.service.name"] != "api" {
		t.Errorf("the server span is %q, want GET /api/* with route and service api: %v", server.Name, server.Attributes)
	}
	full, _ := attempt.Attributes["url.full"].(string)
	if attempt.Attributes["lb.service.name"] != "api" || !strings.HasSuffix(full, "/users/7?a=b") ||
		strings.Contains(full, "/api/") {
		t.Errorf("the client span does not have the service api and the rewritten path: %v", attempt.Attributes)
	}

	get(t, p, "/old/x")
	get(t, p, "/")
	for route, service := range map[string]string{"api": "api", "old": "", "default": "default"} {
		p.Line("the access line of route "+route, func(l line) bool {
			return l.String("route") == route &&
				l.String("service") == service
		})
	}
	state := get(t, p, "/.lb/state.json", "Authorization: Bearer 0123456789abcdef").text
	if !strings.Contains(strings.Join(strings.Fields(state), ""),
		`"route":"old","action":"redirect302/new/*","requests":1`) {
		t.Errorf("state.json does not have the redirect with one request: %s", state)
	}
}

func TestTelemetry_MetricsNameRouteAndService(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, list("LB_BACKENDS", startEcho(t, "ui")), list("LB_BACKENDS__API", startEcho(t, "api")),
		"LB_ROUTE__API=/api/*",
		"OTEL_METRICS_EXPORTER=prometheus", "LB_STATUS_TOKEN=0123456789abcdef")
	get(t, p, "/api/x")
	get(t, p, "/")
	metrics := get(t, p, "/.lb/metrics", "Authorization: Bearer 0123456789abcdef").text
	for _, want := range []string{`lb_route_name="api"`, `http_route="/api/*"`, `lb_service_name="api"`,
		`lb_service_name="default"`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not contain %s:\n%s", want, metrics)
		}
	}
	for line := range strings.Lines(metrics) {
		if strings.Contains(line, "lb_endpoint_in_flight{") && !strings.Contains(line, "lb_service_name=") {
			t.Errorf("a metric of an endpoint names no service: %s", line)
		}
	}
}
