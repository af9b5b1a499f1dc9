package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

const (
	// of run://api on the machine that newMachine makes
	runHost  = "api-123456789012.europe-west1.run.app"
	runCount = "instance/service-accounts/default/identity?audience=https://" + runHost
)

// startRun is a Cloud Run service: a TLS listener on port 443 for the host
// name, and a file with its certificate.
func startRun(t *testing.T, n *network, handler http.HandlerFunc) (b *backend.Server, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{runHost}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}

	file = filepath.Join(t.TempDir(), "run.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}

	l, err := net.Listen("tcp", n.Address(43)+":443")
	if err != nil {
		t.Skipf("a Cloud Run service is at port 443: %v", err)
	}

	n.Set(runHost, 43)
	secure := tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"http/1.1"},
	})
	return backend.StartAt(t, "run", secure, handler), file
}

func TestCloud_ARunTargetIsFoundCalledAndAuthenticated(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	var wrong await.Values[string]
	_, file := startRun(t, n, func(_ http.ResponseWriter, r *http.Request) {
		if r.Host != runHost || !strings.HasPrefix(r.Header.Get(identityField), "Bearer ") ||
			r.Header.Get("Authorization") != "Bearer own" {
			wrong.Add(r.Host + " " + r.Header.Get("Authorization"))
		}
	})
	m := newMachine(t)
	p := n.Start(t, m.Environment, "LB_BACKENDS=run://api", "LB_CA_FILE="+file)
	client := newClient(t)
	for range 20 {
		wantStatus(t, get(t, client, p.URL("/"), "Authorization", "Bearer own"), http.StatusOK)
	}

	if all := wrong.All(); len(all) > 0 {
		t.Errorf("%d requests were wrong, the first: %s", len(all), all[0])
	}
	if got := m.Requests(runCount); got != 1 {
		t.Errorf("%d tokens were fetched for the service's URL, want 1", got)
	}
}

// A 401 of a run target is passed on, and forces a refresh only when the token
// is older than a minute, and then at most once a minute. The ordinary run sees
// the first half of that.
func TestCloud_AStormOf401sForcesOneRefreshAMinute(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	b, file := startRun(t, n, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	m := newMachine(t)
	p := n.Start(t, m.Environment, "LB_BACKENDS=run://api", "LB_CA_FILE="+file)
	lasts, want := time.Second, 1
	if *cloudFull {
		lasts, want = 110*time.Second, 2
	}

	client := newClient(t)
	for began := time.Now(); time.Since(began) < lasts || b.Hits() < 1000; {
		wantStatus(t, get(t, client, p.URL("/")), http.StatusUnauthorized)
	}

	t.Logf("%d times 401, %d fetches", b.Hits(), m.Requests(runCount))
	if got := m.Requests(runCount); got != want {
		t.Errorf("%d tokens were fetched, want %d", got, want)
	}
}
