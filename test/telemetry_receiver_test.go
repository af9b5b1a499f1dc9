package test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/otlp"
)

// sniffer takes connections and tells how each begins: "TLS" or "clear text".
type sniffer struct {
	address string
	seen    await.Values[string]
}

func newSniffer(t *testing.T) *sniffer {
	t.Helper()
	l := backend.Listen(t)
	s := &sniffer{address: l.Addr().String()}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.sniff(c)
		}
	}()
	return s
}

func (s *sniffer) sniff(c net.Conn) {
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(await.Limit))
	var first [1]byte
	switch n, _ := c.Read(first[:]); {
	case n == 0:
	case first[0] == 0x16: // a TLS record of type handshake
		s.seen.Add("TLS")
	default:
		s.seen.Add("clear text")
	}
}

// first is how the first connection began.
func (s *sniffer) first(t *testing.T) string {
	t.Helper()
	if !s.seen.Wait(await.Limit, nil, func(all []string) bool { return len(all) > 0 }) {
		t.Fatal("no connection came")
	}
	return s.seen.All()[0]
}

// The scheme of an endpoint decides whether exports go by TLS, whatever
// INSECURE says and however it is written. An API key in
// OTEL_EXPORTER_OTLP_HEADERS would else travel in clear text.
func TestTelemetry_TheSchemeOfAnEndpointDecides(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	for _, protocol := range []string{"grpc", "http/protobuf", "GRPC\r"} {
		for _, scheme := range []string{"http", "https"} {
			for _, extra := range []string{
				"", "OTEL_EXPORTER_OTLP_INSECURE=true", "OTEL_EXPORTER_OTLP_INSECURE=false",
				"OTEL_EXPORTER_OTLP_INSECURE= True\r\n", "OTEL_EXPORTER_OTLP_%s_INSECURE=true",
				"OTEL_EXPORTER_OTLP_%s_INSECURE=false", "OTEL_EXPORTER_OTLP_CERTIFICATE=" + authority.File,
			} {
				if protocol == "GRPC\r" && extra != "OTEL_EXPORTER_OTLP_INSECURE=true" {
					continue // one case of another spelling is enough
				}
				for _, signal := range []string{"TRACES", "METRICS"} {
					name := fmt.Sprintf("%q %s %q %s", protocol, scheme, extra, signal)
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						s := newSniffer(t)
						env := []string{
							"LB_BACKENDS=demo://1", "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none",
							"OTEL_" + signal + "_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol, "OTEL_METRIC_EXPORT_INTERVAL=50",
							"OTEL_EXPORTER_OTLP_ENDPOINT=" + scheme + "://" + s.address,
						}
						if extra != "" {
							env = append(env, strings.ReplaceAll(extra, "%s", signal))
						}
						env = lastWins(env)
						p := pillion.Start(t, env...)
						get(t, newClient(t), p.URL("/"))
						if want := map[string]string{"http": "clear text", "https": "TLS"}[scheme]; s.first(t) != want {
							t.Errorf("exports go by %s, want %s", s.first(t), want)
						}
					})
				}
			}
		}
	}
}

// lastWins keeps the last of several settings of one variable.
func lastWins(env []string) []string {
	last := map[string]int{}
	for i, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		last[name] = i
	}
	var kept []string
	for i, pair := range env {
		if name, _, _ := strings.Cut(pair, "="); last[name] == i {
			kept = append(kept, pair)
		}
	}
	return kept
}

// Without a scheme, which only grpc allows, INSECURE decides, and the default
// is TLS.
func TestTelemetry_InsecureDecidesWithoutAScheme(t *testing.T) {
	t.Parallel()
	for insecure, want := range map[string]string{"": "TLS", "false": "TLS", "true": "clear text", "TRUE": "clear text"} {
		for _, signal := range []string{"", "TRACES_"} {
			s := newSniffer(t)
			p := pillion.Start(t, "LB_BACKENDS=demo://1", "OTEL_METRICS_EXPORTER=none", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
				"OTEL_EXPORTER_OTLP_"+signal+"ENDPOINT="+s.address, "OTEL_EXPORTER_OTLP_"+signal+"INSECURE="+insecure)
			get(t, newClient(t), p.URL("/"))
			if got := s.first(t); got != want {
				t.Errorf("%sINSECURE=%s: exports go by %s, want %s", signal, insecure, got, want)
			}
		}
	}
	r := pillion.Run(t, []string{"LB_BACKENDS=demo://1", "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318"}, "check")
	if r.Code != 78 || !strings.Contains(r.Output(), "OTEL_EXPORTER_OTLP_ENDPOINT") {
		t.Errorf("by HTTP: exit code %d\n%s", r.Code, r.Output())
	}
}

// What check takes for right is what exporters do, also where it is not spelt
// as they would spell it.
func TestTelemetry_ExportersDoWhatCheckAccepts(t *testing.T) {
	t.Parallel()
	var seen await.Values[http.Header]
	c := otlp.Start(t)
	c.Instead(func(_ http.ResponseWriter, r *http.Request) { seen.Add(r.Header) })
	env := []string{
		"LB_BACKENDS=demo://1", "OTEL_METRICS_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT= " + c.Endpoint + "\r\n",
		"OTEL_EXPORTER_OTLP_COMPRESSION=GZIP", "OTEL_EXPORTER_OTLP_PROTOCOL=HTTP/Protobuf",
		"OTEL_EXPORTER_OTLP_HEADERS=x-one=a%20b , x-two = 100%25\n",
	}
	if r := pillion.Run(t, env, "check"); r.Code != 0 {
		t.Fatalf("check: %s", r.Output())
	}
	p := pillion.Start(t, env...)
	get(t, newClient(t), p.URL("/"))
	if !seen.Wait(await.Limit, nil, func(all []http.Header) bool { return len(all) > 0 }) {
		t.Fatal("no export came")
	}
	h := seen.All()[0]
	if h.Get("Content-Encoding") != "gzip" || h.Get("X-One") != "a b" || h.Get("X-Two") != "100%" {
		t.Errorf("got %v", h)
	}
}

// A signal's own variables stand before those for all signals, and what is not
// acceptable counts for nothing.
func TestTelemetry_ASignalsOwnVariablesComeFirst(t *testing.T) {
	t.Parallel()
	var seen await.Values[http.Header]
	c, other := otlp.Start(t), otlp.Start(t)
	c.Instead(func(_ http.ResponseWriter, r *http.Request) { seen.Add(r.Header) })
	p := pillion.Start(t, "LB_BACKENDS=demo://1", "OTEL_METRICS_EXPORTER=none",
		"OTEL_EXPORTER_OTLP_ENDPOINT="+other.Endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+c.Endpoint+"/v1/traces",
		"OTEL_EXPORTER_OTLP_HEADERS=x-one=all,x-two=all", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=x-one=traces",
		"OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=none",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=carrier-pigeon")
	get(t, newClient(t), p.URL("/"))
	if !seen.Wait(await.Limit, nil, func(all []http.Header) bool { return len(all) > 0 }) {
		t.Fatal("no export came")
	}
	if h := seen.All()[0]; h.Get("X-One") != "traces" || h.Get("X-Two") != "" || h.Get("Content-Encoding") != "" {
		t.Errorf("got %v", h)
	}
}

// A secret that is not acceptable is told without being shown.
func TestTelemetry_HeadersThatCannotBeReadAreNotShown(t *testing.T) {
	t.Parallel()
	for _, headers := range []string{"api-key=hush%zz", "api-key=hush%0d%0ax", "hush"} {
		env := []string{"LB_BACKENDS=demo://1", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1",
			"OTEL_EXPORTER_OTLP_HEADERS=" + headers}
		r := pillion.Run(t, env, "check")
		if r.Code != 78 || !strings.Contains(r.Output(), "OTEL_EXPORTER_OTLP_HEADERS") ||
			strings.Contains(r.Output(), "hush") {
			t.Errorf("%q: exit code %d\n%s", headers, r.Code, r.Output())
		}
		p := pillion.Start(t, env...)
		p.Line("the warning", func(l binary.Line) bool { return l.String("variable") == "OTEL_EXPORTER_OTLP_HEADERS" })
		if strings.Contains(p.Printed(), "hush") {
			t.Errorf("%q is shown", headers)
		}
	}
	if r := pillion.Run(t, []string{"LB_BACKENDS=demo://1", "OTEL_EXPORTER_OTLP_HEADERS=api-key=hush"},
		"explain"); strings.Contains(r.Output(), "hush") {
		t.Error("explain shows a secret that a signal inherits")
	}
}

// A collector that cannot be reached, or that refuses, is told with its reason.
func TestTelemetry_TheLogSaysWhyExportsFail(t *testing.T) {
	t.Parallel()
	closed, _ := absent(t)
	refusing := otlp.Start(t)
	refusing.Instead(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "quota used up", http.StatusServiceUnavailable)
	})
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Sign in</title>")
	})
	site, secure := httptest.NewServer(page), httptest.NewUnstartedServer(page)
	t.Cleanup(site.Close)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	clearText, overTLS := strings.TrimPrefix(site.URL, "http://"), strings.TrimPrefix(secure.URL, "https://")
	for _, test := range []struct{ name, endpoint, protocol, signal, want string }{
		{"spans by grpc", "http://" + closed, "grpc", "TRACES", "refused"},
		{"spans by http", "http://" + closed, "http/protobuf", "TRACES", "refused"},
		{"spans refused", refusing.Endpoint, "http/protobuf", "TRACES", "quota used up"},
		{"spans to a page", site.URL, "http/protobuf", "TRACES", "an HTML page"},
		{"metrics to a page", site.URL, "http/protobuf", "METRICS", "an HTML page"},
		{"TLS to clear text by http", "https://" + clearText, "http/protobuf", "TRACES", "write http://"},
		{"TLS to clear text by grpc", "https://" + clearText, "grpc", "TRACES", "write http://"},
		{"clear text to TLS by http", "http://" + overTLS, "http/protobuf", "METRICS", "write https://"},
		{"clear text to TLS by grpc", "http://" + overTLS, "grpc", "METRICS", "needs https://"},
		{"metrics by grpc", "http://" + closed, "grpc", "METRICS", "refused"},
		{"metrics by http", "http://" + closed, "http/protobuf", "METRICS", "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, lastWins([]string{
				"LB_BACKENDS=demo://1", "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none",
				"OTEL_" + test.signal + "_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=" + test.endpoint,
				"OTEL_EXPORTER_OTLP_PROTOCOL=" + test.protocol, "OTEL_METRIC_EXPORT_INTERVAL=50",
				"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT=2000",
			})...)
			get(t, newClient(t), p.URL("/"))
			l := p.Line("about exports that fail",
				func(l binary.Line) bool { return strings.HasSuffix(l.String("message"), "cannot be exported") })
			if !strings.Contains(l.String("error"), test.want) {
				t.Errorf("the reason is %q, want %q", l.String("error"), test.want)
			}
		})
	}
}

// OTEL_EXPORTER_OTLP_TIMEOUT ends one try, not the export: a collector that is
// late within OTEL_BSP_EXPORT_TIMEOUT gets every span.
func TestTelemetry_AnInnerTimeLimitLosesNoSpan(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			address, listen := absent(t)
			p := pillion.Start(t, "LB_BACKENDS=demo://1", "OTEL_METRICS_EXPORTER=none",
				"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+address,
				"OTEL_EXPORTER_OTLP_PROTOCOL="+protocol, "OTEL_EXPORTER_OTLP_TIMEOUT=300", "OTEL_BSP_EXPORT_TIMEOUT=25000")
			wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
			p.Line("about exports that fail",
				func(l binary.Line) bool { return l.String("message") == "spans cannot be exported" })
			var c *otlp.Receiver
			if protocol == "grpc" {
				c = otlp.ServeGRPC(t, listen())
			} else {
				c = otlp.StartAt(t, listen())
			}
			await.Until(t, "the spans arrive", func() bool { return c.Len() == 2 })
		})
	}
}

// A client certificate that is not a pair is told, and stops nothing.
func TestTelemetry_AClientCertificateThatIsNoPairIsTold(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, extra := range [][]string{
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + authority.File},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + authority.File, "OTEL_EXPORTER_OTLP_CLIENT_KEY=" + junk},
		{"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE=" + junk, "OTEL_EXPORTER_OTLP_CLIENT_KEY=" + junk},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE=" + junk},
	} {
		env := append([]string{"LB_BACKENDS=demo://1", "OTEL_EXPORTER_OTLP_ENDPOINT=https://127.0.0.1:1"}, extra...)
		r := pillion.Run(t, env, "check")
		name, _, _ := strings.Cut(extra[0], "=")
		if r.Code != 78 || linesWith(r, name) != 1 {
			t.Errorf("%q: exit code %d\n%s", extra, r.Code, r.Output())
		}
	}
}
