package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// trustStore is the CA and the client certificate for TLS to backends. Its files are looked at again when a connection
// is dialled, at most once a second, and read again when they changed; a bad new file leaves the old contents in use.
type trustStore struct {
	ca, cert, key string

	mu      sync.Mutex
	checked time.Time
	stamps  [3]time.Time
	roots   *x509.CertPool
	client  []tls.Certificate
	configs map[string]*tls.Config // by server name and protocol; dropped when a file changes
}

func newTrustStore(cfg config.Service) *trustStore {
	return &trustStore{ca: cfg.CAFile, cert: cfg.ClientCertFile, key: cfg.ClientKeyFile}
}

// config returns the function by which a transport asks for its TLS configuration at every dial.
func (t *trustStore) config(server, protocol string) func() *tls.Config {
	return func() *tls.Config {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.refresh(time.Now())
		id := protocol + " " + server
		c := t.configs[id]
		if c == nil {
			c = &tls.Config{
				ServerName: server, RootCAs: t.roots, Certificates: t.client,
				MinVersion: tls.VersionTLS12, NextProtos: []string{protocol},
				ClientSessionCache: tls.NewLRUClientSessionCache(16),
			}
			t.configs[id] = c
		}
		return c
	}
}

// refresh reads what changed. The caller holds the mutex.
func (t *trustStore) refresh(now time.Time) {
	if t.configs != nil && now.Sub(t.checked) < time.Second {
		return
	}
	t.checked = now
	var stamps [3]time.Time
	for i, path := range [...]string{t.ca, t.cert, t.key} {
		stamps[i] = modified(path)
	}
	if t.configs != nil && stamps == t.stamps {
		return
	}
	t.stamps = stamps
	t.configs = make(map[string]*tls.Config)
	if pem, err := os.ReadFile(t.ca); t.ca != "" && err == nil {
		if pool := x509.NewCertPool(); pool.AppendCertsFromPEM(pem) {
			t.roots = pool
		}
	}
	if t.ca != "" && t.roots == nil {
		t.roots = x509.NewCertPool() // trusts nobody, while none at all would be the system's
	}
	if t.cert != "" {
		if pair, err := tls.LoadX509KeyPair(t.cert, t.key); err == nil {
			t.client = []tls.Certificate{pair}
		}
	}
}

// hostOnly is the host of an authority, without port and brackets.
func hostOnly(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return strings.Trim(authority, "[]")
}
