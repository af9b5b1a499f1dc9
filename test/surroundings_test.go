package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// surrounding is a network, a backend or a client that does not fit the
// settings. One line of the log holds all that is in says: what is wrong, with
// what, and what to do.
type surrounding struct {
	env    []string
	ask    func(t *testing.T, p *binary.Process) answer // nil: GET /
	status int                                          // 0: no request is made
	says   []string
}

// requesting is a request with fields.
func requesting(method, target, body string, fields ...string) func(*testing.T, *binary.Process) answer {
	return func(t *testing.T, p *binary.Process) answer {
		return send(t, newClient(t), newRequest(t, method, p.URL(target), strings.NewReader(body), fields...))
	}
}

// many is a number of requests, and the answer to the last.
func many(n int) func(*testing.T, *binary.Process) answer {
	return func(t *testing.T, p *binary.Process) (a answer) {
		client := newClient(t)
		for range n {
			a = get(t, client, p.URL("/"))
		}
		return a
	}
}

// called is a call of gRPC.
func called(t *testing.T, p *binary.Process) answer {
	return send(t, newH2CClient(t), newRequest(t, "POST", p.URL("/a.B/C"), strings.NewReader("\x00\x00\x00\x00\x00"),
		"Content-Type", "application/grpc", "TE", "trailers"))
}

// What a user finds in the log where the surroundings are broken.
func TestSurroundings_WhatIsBrokenIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	for name, s := range surroundings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, append([]string{"LB_ACCESS_LOG=on", "LB_START_HOLD=0s"}, s.env...)...)
			if s.status != 0 {
				ask := s.ask
				if ask == nil {
					ask = requesting("GET", "/", "")
				}
				wantStatus(t, ask(t, p), s.status)
			}
			p.Line(fmt.Sprintf("about %q", s.says), func(l binary.Line) bool {
				for _, part := range s.says {
					if !strings.Contains(l.Text, part) {
						return false
					}
				}
				return true
			})
		})
	}
}

func surroundings(t *testing.T) map[string]surrounding {
	t.Helper()
	all := map[string]surrounding{}
	for _, part := range []map[string]surrounding{
		brokenNames(t), brokenTLS(t), brokenBackends(t), brokenClients(t), brokenTelemetry(t),
	} {
		for name, s := range part {
			all[name] = s
		}
	}

	return all
}

// brokenNames are places where there is no backend.
func brokenNames(t *testing.T) map[string]surrounding {
	closed, other := backend.Closed(t), backend.Closed(t)
	good := backend.Start(t, "good", nil)

	return map[string]surrounding{
		"a backend that is down": {
			env: []string{"LB_BACKENDS=http://" + closed + "?name=gone"}, status: 503,
			says: []string{"backend failed a request", "gone", "connection refused"},
		},
		"one of two is down": {
			env: []string{"LB_POLICY=round_robin", "LB_BACKENDS=http://" + closed + "?name=gone;" + good.Target()},
			ask: many(2), status: 200, says: []string{`"tried":[{"backend":"gone","error":"connect: connection refused"}]`},
		},
		"both are down": {
			env:    []string{"LB_BACKENDS=http://" + closed + "?name=gone;http://" + other + "?name=away"},
			status: 503, says: []string{`"tried"`, "gone", "away", "connection refused"},
		},
		"nothing at 127.0.0.1, only at ::1": {
			env: []string{"LB_BACKENDS=http://127.0.0.1:" + onIPv6(t) + "?name=six"}, status: 503,
			says: []string{"six", "connection refused"},
		},
		"a name that nobody knows": {
			env: []string{"LB_BACKENDS=http://nosuch.invalid:80?name=lost"}, status: 503,
			says: []string{"lost", "nosuch.invalid"},
		},
		"a list by a name that nobody knows": {
			env:  []string{"LB_BACKENDS=dns://nosuch.invalid:80"},
			says: []string{"no backends of this source are known yet", "dns://nosuch.invalid:80"},
		},
		"Cloud Run from elsewhere": {
			env:  []string{"LB_BACKENDS=run://api.europe-west1", "GCE_METADATA_HOST=" + closed},
			says: []string{"run://api.europe-west1", "the metadata server, which only Google Cloud has"},
		},
	}
}

// onIPv6 is the port of a listener at ::1 alone.
func onIPv6(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return "1" // without IPv6 there is nothing at all
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())

	return port
}

// brokenTLS are backends with another certificate, and without the protocol
// that they are asked for. Others are in mixup_test.go.
func brokenTLS(t *testing.T) map[string]surrounding {
	authority := backend.NewAuthority(t)
	secure := backend.StartTLS(t, "secure", authority, nil)
	clear := backend.Start(t, "clear", nil)
	old := speaking(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") + "?name=old"

	return map[string]surrounding{
		"https to a backend in clear": {
			env: []string{"LB_BACKENDS=https://" + clear.Address + "?name=clear"}, status: 503,
			says: []string{"clear", "write http:// in its target"},
		},
		"a certificate of an issuer that nobody knows": {
			env: []string{"LB_BACKENDS=" + secure.Target()}, status: 503,
			says: []string{"secure", "unknown authority", "name its certificate in LB_CA_FILE"},
		},
		"a certificate for another name": {
			env:    []string{"LB_BACKENDS=" + secure.Target("host=app.internal"), "LB_CA_FILE=" + authority.File},
			status: 503, says: []string{"secure", "not app.internal", "write the name it is for: ?host=NAME"},
		},
		"gRPC to a backend of HTTP/1.1": {
			env: []string{"LB_BACKENDS=http://" + old}, ask: called, status: 200,
			says: []string{"old", "the backend answers in HTTP/1.1"},
		},
		"h2c to a backend of HTTP/1.1": {
			env: []string{"LB_BACKENDS=h2c://" + old}, ask: called, status: 200,
			says: []string{"old", "the backend answers in HTTP/1.1: write http:// in its target"},
		},
	}
}

// brokenBackends are backends that answer late, halfway, or with errors.
func brokenBackends(t *testing.T) map[string]surrounding {
	hangs := backend.StartRaw(t, "hangs", func(c *backend.Conn) { _, _ = io.Copy(io.Discard, c) })
	half := backend.StartRaw(t, "half", func(c *backend.Conn) {
		_, _ = c.ReadRequest()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	})
	faulty := backend.Start(t, "faulty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	good := backend.Start(t, "good", nil)
	arrived := make(chan struct{}, 1)
	full := backend.StartRaw(t, "full", func(c *backend.Conn) {
		_, _ = c.ReadRequest()
		arrived <- struct{}{}
		_, _ = io.Copy(io.Discard, c)
	})

	return map[string]surrounding{
		"a slow backend": {
			env: []string{hangs.Environment(), "LB_RESPONSE_TIMEOUT=200ms"}, status: 504,
			says: []string{"hangs", "no answer within LB_RESPONSE_TIMEOUT (200ms)"},
		},
		"a slow exchange": {
			env: []string{hangs.Environment(), "LB_REQUEST_TIMEOUT=200ms"}, status: 504,
			says: []string{"hangs", "the time of LB_REQUEST_TIMEOUT is over"},
		},
		"half an answer": {
			env: []string{half.Environment()}, status: 200, ask: func(t *testing.T, p *binary.Process) answer {
				r, err := newClient(t).Do(newRequest(t, "GET", p.URL("/"), nil))
				if err != nil {
					t.Fatal(err)
				}
				defer r.Body.Close()
				_, _ = io.Copy(io.Discard, r.Body) // ends in an error

				return answer{Response: r}
			}, says: []string{"half", "backend/body"},
		},
		"all places are taken": {
			env: []string{full.Environment(), "LB_MAX_IN_FLIGHT=1", "LB_QUEUE_TIMEOUT=100ms"}, status: 503,
			ask: func(t *testing.T, p *binary.Process) answer {
				wire.Dial(t, p.Address).Get("/")
				soon(t, "the first request", arrived)
				return get(t, newClient(t), p.URL("/"))
			}, says: []string{"every backend has LB_MAX_IN_FLIGHT requests in flight"},
		},
		"a wrong path of the health check": {
			env:  []string{backend.Backends(faulty), "LB_HEALTH_CHECK=/nothing", "LB_HEALTH_CHECK_INTERVAL=100ms"},
			says: []string{"backend unhealthy", "faulty", "status 503"},
		},
		"a backend that always fails": {
			env: []string{backend.Backends(faulty, good), "LB_POLICY=round_robin", "LB_RETRIES=0"},
			ask: many(16), status: 200, says: []string{"backend ejected", "faulty", "last: status 503"},
		},
	}
}

// brokenClients are clients and proxies in front that the settings do not
// expect.
func brokenClients(t *testing.T) map[string]surrounding {
	servers := backend.Backends(backend.StartMany(t, 2)...)
	page := "LB_STATUS_TOKEN=a-long-random-word"

	return map[string]surrounding{
		"a forwarding field of a proxy that is not trusted": {
			env: []string{servers}, ask: requesting("GET", "/", "", "X-Forwarded-For", "192.0.2.1"), status: 200,
			says: []string{"name it in LB_TRUSTED_PROXIES", "LB_TRUSTED_PROXIES='127.0.0.1/32'"},
		},
		"a head over the limit": {
			env: []string{servers}, ask: requesting("GET", "/", "", "Cookie", strings.Repeat("x", 70<<10)), status: 431,
			says: []string{"head over the limit", "LB_MAX_HEADER_BYTES"},
		},
		"a body over the limit": {
			env: []string{servers, "LB_MAX_BODY_BYTES=1KiB"}, ask: requesting("POST", "/", strings.Repeat("x", 2<<10)),
			status: 413, says: []string{"request body is larger than LB_MAX_BODY_BYTES"},
		},
		"a cookie of an instance with another secret": {
			env: []string{servers, affine, "LB_AFFINITY_COOKIE=stay"}, ask: requesting("GET", "/", "", "Cookie", "stay=x"),
			status: 200, says: []string{"the same LB_AFFINITY_SECRET and the same name of the service"},
		},
		"no status page": {
			env: []string{servers}, says: []string{`"status_page":"off: LB_STATUS_TOKEN is not set"`},
		},
		"the status page with a wrong token": {
			env: []string{servers, page}, ask: requesting("GET", "/.lb/?token=another-long-word", ""), status: 200,
			says: []string{"asked for without the token of LB_STATUS_TOKEN", "127.0.0.1:"},
		},
		"the status page without a token": {
			env: []string{servers, page}, ask: requesting("GET", "/.lb/", ""), status: 200,
			says: []string{"asked for without the token of LB_STATUS_TOKEN"},
		},
	}
}

// brokenTelemetry are collectors that do not take spans.
func brokenTelemetry(t *testing.T) map[string]surrounding {
	closed := backend.Closed(t)
	good := backend.Start(t, "good", nil)
	grpc := speaking(t, "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00\r\n")
	http1 := speaking(t, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	to := func(endpoint, protocol string) []string {
		return []string{"LB_BACKENDS=" + good.Target(), "OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint,
			"OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol, "OTEL_BSP_SCHEDULE_DELAY=50", "OTEL_EXPORTER_OTLP_TIMEOUT=1000"}
	}

	return map[string]surrounding{
		"a collector that is down": {
			env: to("http://"+closed, "http/protobuf"), status: 200,
			says: []string{"spans cannot be exported", closed, "connection refused"},
		},
		"a collector without a scheme": {
			env:  to("localhost:4318", "http/protobuf"),
			says: []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "needs http:// or https://"},
		},
		"gRPC to a collector of HTTP": {
			env: to("http://"+http1, "grpc"), status: 200,
			says: []string{"spans cannot be exported", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"},
		},
		"gRPC to a web server": {
			env: to("http://"+good.Address, "grpc"), status: 200,
			says: []string{"spans cannot be exported", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"},
		},
		"HTTP to a collector of gRPC": {
			env: to("http://"+grpc, "http/protobuf"), status: 200,
			says: []string{"spans cannot be exported", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
		},
	}
}
