package backend

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs the certificates of a test's backends.
type Authority struct {
	File string // the authority's certificate in PEM, for LB_CA_FILE

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority returns a new authority, which only the test trusts.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	key := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}

	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}

	file := filepath.Join(tb.TempDir(), "authority.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		tb.Fatal(err)
	}

	return &Authority{File: file, certificate: certificate, key: key}
}

// Certificate signs a certificate for the loopback address and its name.
func (a *Authority) Certificate(tb testing.TB) tls.Certificate {
	tb.Helper()
	return a.sign(tb, []net.IP{net.IPv4(127, 0, 0, 1)}, "localhost")
}

// CertificateFor signs a certificate for names, without an address.
func (a *Authority) CertificateFor(tb testing.TB, names ...string) tls.Certificate {
	tb.Helper()
	return a.sign(tb, nil, names...)
}

// Write signs a certificate as Certificate does. It writes the certificate and
// its key to two PEM files, and returns both.
func (a *Authority) Write(tb testing.TB, certificate, key string) tls.Certificate {
	tb.Helper()
	return a.write(tb, a.Certificate(tb), certificate, key)
}

// WriteFor is Write with a certificate for names, without an address.
func (a *Authority) WriteFor(tb testing.TB, certificate, key string, names ...string) tls.Certificate {
	tb.Helper()
	return a.write(tb, a.CertificateFor(tb, names...), certificate, key)
}

func (a *Authority) write(tb testing.TB, pair tls.Certificate, certificate, key string) tls.Certificate {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}

	for file, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		key:         {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}

	return pair
}

func (a *Authority) sign(tb testing.TB, addresses []net.IP, names ...string) tls.Certificate {
	tb.Helper()
	key := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: addresses, DNSNames: names,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}

	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}

	return key
}
