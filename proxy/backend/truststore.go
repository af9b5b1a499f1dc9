package backend

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"sync"

	"github.com/pillion-lb/pillion/config"
)

// trustStore makes the TLS configurations for backends. It uses the CA and the
// client certificate as they are when a connection is dialled. They follow
// their files, and nothing here reads a file.
type trustStore struct {
	roots  *config.Followed[x509.CertPool]
	client *config.Followed[tls.Certificate]

	mu      sync.Mutex
	configs map[trustKey]trusted
}

// trustKey is the server name and the ALPN protocol of a transport.
type trustKey struct{ server, protocol string }

// trusted is a TLS configuration and what it was made from.
type trusted struct {
	roots  *x509.CertPool
	client *tls.Certificate
	config *tls.Config
}

func newTrustStore(cfg config.Service) *trustStore {
	return &trustStore{
		roots: cfg.Roots, client: cfg.ClientCertificate, configs: map[trustKey]trusted{},
	}
}

// config returns a function that returns a transport's TLS configuration at
// each dial. Sessions are resumed until a file changes.
func (t *trustStore) config(server, protocol string) func() *tls.Config {
	key := trustKey{server, protocol}

	return func() *tls.Config {
		t.mu.Lock()
		defer t.mu.Unlock()

		now := trusted{roots: t.roots.Load(), client: t.client.Load()}
		if c := t.configs[key]; c.config != nil && c.roots == now.roots && c.client == now.client {
			return c.config
		}

		now.config = &tls.Config{
			ServerName:         server,
			RootCAs:            now.roots,
			MinVersion:         tls.VersionTLS12,
			CipherSuites:       config.CipherSuites(),
			NextProtos:         []string{protocol},
			ClientSessionCache: tls.NewLRUClientSessionCache(16),
		}
		if now.client != nil {
			now.config.Certificates = []tls.Certificate{*now.client}
		}
		t.configs[key] = now

		return now.config
	}
}

// hostOnly returns the host of an authority, without port and brackets.
func hostOnly(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return strings.Trim(authority, "[]")
}
