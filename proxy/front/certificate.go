package front

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"

	"github.com/pillion-lb/pillion/config"
)

// listenerTLS returns the TLS configuration for clients: HTTP/2 and HTTP/1.1 by
// ALPN, with the certificate that is current at the handshake. With roots,
// clients have to show a certificate that one of them has signed.
func listenerTLS(
	certificate *config.Followed[tls.Certificate], roots *config.Followed[x509.CertPool],
) *tls.Config {
	c := &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return certificate.Load(), nil
		},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: config.CipherSuites(),
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if roots != nil {
		verified := &verifiedTLS{roots: roots, plain: c}
		c = c.Clone()
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return verified.now(), nil
		}
	}

	return c
}

// verifiedTLS is a configuration that requires client certificates, for the
// current roots. Each configuration has its own keys for session tickets, so a
// session that began with other roots is not resumed.
type verifiedTLS struct {
	roots   *config.Followed[x509.CertPool]
	plain   *tls.Config
	current atomic.Pointer[tls.Config]
}

func (v *verifiedTLS) now() *tls.Config {
	roots := v.roots.Load()
	before := v.current.Load()
	if before != nil && before.ClientCAs == roots {
		return before
	}

	c := v.plain.Clone()
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, roots
	if !v.current.CompareAndSwap(before, c) {
		return v.now()
	}

	return c
}
