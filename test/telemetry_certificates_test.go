package test

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/otlp"
)

// cuttable is a listener whose connections a test can end.
type cuttable struct {
	net.Listener
	mu   sync.Mutex
	open []net.Conn
}

func (l *cuttable) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.open = append(l.open, c)
		l.mu.Unlock()
	}
	return c, err
}

func (l *cuttable) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		_ = c.Close()
	}
	l.open = nil
}

// A collector whose authority, and whose clients' certificate, are renewed
// while the program runs gets spans before and after. It asks for the client's
// certificate of the moment.
func TestTelemetry_CertificatesOfExportsFollowTheirFiles(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			roots, pair, key := filepath.Join(folder, "roots"), filepath.Join(folder, "pair"), filepath.Join(folder, "key")
			var served atomic.Pointer[tls.Certificate]
			var client atomic.Pointer[tls.Certificate]
			renew := func() {
				authority := backend.NewAuthority(t)
				text, err := os.ReadFile(authority.File)
				if err == nil {
					err = os.WriteFile(roots, text, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				certificate, own := authority.Certificate(t), authority.Write(t, pair, key)
				served.Store(&certificate)
				client.Store(&own)
			}
			renew()

			l := &cuttable{Listener: backend.Listen(t)}
			secure := tls.NewListener(l, &tls.Config{
				MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, ClientAuth: tls.RequireAnyClientCert,
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return served.Load(), nil },
				VerifyConnection: func(s tls.ConnectionState) error {
					if string(s.PeerCertificates[0].Raw) != string(client.Load().Certificate[0]) {
						return os.ErrPermission
					}
					return nil
				},
			})
			var c *otlp.Receiver
			if protocol == "grpc" {
				c = otlp.ServeGRPC(t, secure)
			} else {
				c = otlp.StartAt(t, secure)
			}

			p := pillion.Start(t, "LB_BACKENDS=demo://1", "OTEL_METRICS_EXPORTER=none", "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
				"OTEL_EXPORTER_OTLP_ENDPOINT=https://"+l.Addr().String(), "OTEL_EXPORTER_OTLP_CERTIFICATE="+roots,
				"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE="+pair, "OTEL_EXPORTER_OTLP_CLIENT_KEY="+key,
				"OTEL_BSP_EXPORT_TIMEOUT=25000")
			for round := 1; round <= 2; round++ {
				wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
				await.Until(t, "the spans arrive", func() bool { return c.Len() == 2*round })
				renew()
				l.cut()
			}
		})
	}
}

// Only a collector that the authority of the file vouches for, by the name in
// the endpoint, gets spans.
func TestTelemetry_AStrangerAsCollectorGetsNothing(t *testing.T) {
	t.Parallel()
	ours, other := backend.NewAuthority(t), backend.NewAuthority(t)
	for name, certificate := range map[string]tls.Certificate{
		"another authority": other.Certificate(t), "another name": ours.CertificateFor(t, "collector.example"),
	} {
		for _, protocol := range []string{"grpc", "http/protobuf"} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				l := backend.Listen(t)
				secure := tls.NewListener(l, &tls.Config{
					MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{certificate},
				})
				c := otlp.StartAt(t, secure)
				p := pillion.Start(t, "LB_BACKENDS=demo://1", "OTEL_METRICS_EXPORTER=none", "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
					"OTEL_EXPORTER_OTLP_ENDPOINT=https://"+l.Addr().String(), "OTEL_EXPORTER_OTLP_CERTIFICATE="+ours.File,
					"OTEL_BSP_EXPORT_TIMEOUT=2000")
				wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
				line := p.Line("about exports that fail",
					func(l binary.Line) bool { return l.String("message") == "spans cannot be exported" })
				if !strings.Contains(line.String("error"), "certificate") || c.Len() > 0 {
					t.Errorf("%d spans came; the log says %q", c.Len(), line.String("error"))
				}
			})
		}
	}
}
