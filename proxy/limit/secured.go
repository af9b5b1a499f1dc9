package limit

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/pillion-lb/pillion/config"
)

// secured returns the TLS configuration for the store, which decides how its
// certificate is verified.
func secured(u *config.StoreURL) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if u.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(u.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading ca=%s: %w", u.CAFile, err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca=%s holds no certificate", u.CAFile)
	}
	if u.AnyName {
		// Package tls can leave the name out only together with all else.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s, c.RootCAs) }
	}

	return c, nil
}

// verifyChain verifies a server's certificate whatever name is in it.
func verifyChain(s tls.ConnectionState, roots *x509.CertPool) error {
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(options)

	return err
}
