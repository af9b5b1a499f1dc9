package backend

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/h1"
	"github.com/pillion-lb/pillion/proxy/h2"
)

func TestTrustStore_TakesTheRootsAndTheCertificateOfItsFiles(t *testing.T) {
	t.Parallel()
	roots := x509.NewCertPool()
	c := newTrustStore(config.Service{
		Roots:             config.Fixed(roots),
		ClientCertificate: config.Fixed(&tls.Certificate{Certificate: [][]byte{{1}}}),
	}).config("a", "h2")()
	if c.RootCAs != roots || len(c.Certificates) != 1 || c.ServerName != "a" ||
		!slices.Equal(c.NextProtos, []string{"h2"}) {
		t.Errorf("got %+v", c)
	}

	c = newTrustStore(config.Service{}).config("a", "h2")()
	if c.RootCAs != nil || len(c.Certificates) != 0 {
		t.Error("without files it is not the system's roots and no certificate")
	}
}

func TestTrustStore_OneConfigurationServesUntilAFileChanges(t *testing.T) {
	t.Parallel()
	store := newTrustStore(config.Service{Roots: config.Fixed(x509.NewCertPool())})
	ask := store.config("a", "h2")
	first := ask()
	if ask() != first || store.config("a", "h2")() != first {
		t.Error("each dial has a configuration of its own, so that no session is resumed")
	}
	if store.config("a", "http/1.1")() == first || store.config("b", "h2")() == first {
		t.Error("another name or protocol has the same configuration")
	}

	store.roots = config.Fixed(x509.NewCertPool()) // as after a change of its file
	if changed := ask(); changed == first || changed.RootCAs != store.roots.Load() {
		t.Error("the changed roots are not in use")
	}
}

// The name in ?host= is the one that the certificate is for, and that the
// server is told. Without it the authority of the target is.
func TestTransports_TLSNameIsThatOfHost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		backend discovery.Backend
		want    string
	}{
		{discovery.Backend{Address: "10.0.0.7:443", Host: "10.0.0.7"}, "10.0.0.7"},
		{discovery.Backend{Address: "10.0.0.7:443", Host: "10.0.0.7", SetHost: "app.internal"}, "app.internal"},
		{discovery.Backend{Address: "10.0.0.7:8443", Host: "10.0.0.7:8443", SetHost: "app.internal:8443"}, "app.internal"},
		{discovery.Backend{Address: "[fd00::7]:443", Host: "[fd00::7]"}, "fd00::7"},
		{discovery.Backend{Address: "[fd00::7]:443", Host: "a.example", SetHost: "[fd00::8]:443"}, "fd00::8"},
		{discovery.Backend{Address: "10.0.0.7:443"}, "10.0.0.7"},
	} {
		b := test.backend
		b.TLS = true
		first, second := newTransports(config.Service{}, Options{}, b, newTrustStore(config.Service{}))
		for protocol, name := range map[string]string{
			"http/1.1": first.(*h1.Transport).TLS().ServerName, "h2": second.(*h2.Transport).TLS().ServerName,
		} {
			if name != test.want {
				t.Errorf("%+v by %s: %q, want %q", test.backend, protocol, name, test.want)
			}
		}
	}
}
