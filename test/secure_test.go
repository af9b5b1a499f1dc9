package test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// suites are the suites of TLS 1.2 by their mode.
var suites = map[string][]uint16{
	"GCM": {tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
	"CBC": {
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
	},
}

// secured is a process that speaks TLS to clients, and the files of its
// certificate.
func secured(t *testing.T, authority *backend.Authority, env ...string) (address, certificate, key string) {
	t.Helper()
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	authority.Write(t, certificate, key)
	p := pillion.Start(t, append(env, "LB_TLS_CERT_FILE="+certificate, "LB_TLS_KEY_FILE="+key)...)
	return p.Address, certificate, key
}

func TestSecure_ClientsCannotChooseACBCSuite(t *testing.T) {
	t.Parallel()
	address, _, _ := secured(t, backend.NewAuthority(t), backend.Backends(backend.Start(t, "one", nil)))
	for mode, ids := range suites {
		for _, id := range ids {
			conn, err := tls.Dial("tcp", address, &tls.Config{
				InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id},
			})
			if err == nil {
				conn.Close()
			}
			if (err == nil) != (mode == "GCM") {
				t.Errorf("%s: %v", tls.CipherSuiteName(id), err)
			}
		}
	}
}

func TestSecure_NoBackendIsSpokenToInACBCSuite(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	for mode, ids := range suites {
		b := backend.StartTLSWith(t, "one", &tls.Config{
			Certificates: []tls.Certificate{authority.Certificate(t)}, MaxVersion: tls.VersionTLS12, CipherSuites: ids,
		}, nil)
		p := pillion.Start(t, "LB_START_HOLD=0s", "LB_CA_FILE="+authority.File, "LB_BACKENDS=https://"+b.Address)
		a := get(t, newClient(t), p.URL("/"))
		if (a.StatusCode == http.StatusOK) != (mode == "GCM") {
			t.Errorf("%s: status %d %s", mode, a.StatusCode, p.Printed())
		}
	}
}

// The name in ?host= is what the certificate is checked for, and what the
// backend is told (RFC 6066, section 3).
func TestSecure_HostOfATargetNamesItsCertificate(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	b := backend.StartTLSWith(t, "one", &tls.Config{
		Certificates: []tls.Certificate{authority.CertificateFor(t, "app.internal")},
	}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.ServerName+" "+r.Host)
	})

	for _, scheme := range []string{"https", "h2"} {
		for query, want := range map[string]string{
			"?host=app.internal": "app.internal app.internal", "?host=app.internal:8443": "app.internal app.internal:8443",
			"?host=other.internal": "", "": "",
		} {
			p := pillion.Start(t, "LB_START_HOLD=0s", "LB_CA_FILE="+authority.File, "LB_BACKENDS="+scheme+"://"+b.Address+query)
			a := get(t, newClient(t), p.URL("/"))
			if ok := a.StatusCode == http.StatusOK; ok != (want != "") || ok && a.Text != want {
				t.Errorf("%s %q: %d %q", scheme, query, a.StatusCode, a.Text)
			}
		}
	}
}

func TestSecure_ReplacedFilesAreInUseSoon(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	b := backend.StartTLS(t, "one", authority, nil)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	replace(t, roots, backend.NewAuthority(t).File)
	address, certificate, key := secured(t, authority, "LB_START_HOLD=0s", "LB_CA_FILE="+roots,
		"LB_BACKENDS=https://"+b.Address)

	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	answers := func(status int, leaf []byte) func() bool {
		return func() bool {
			res, err := client.Get("https://" + address + "/")
			if err != nil {
				return false
			}
			res.Body.Close()
			return res.StatusCode == status && (leaf == nil || bytes.Equal(res.TLS.PeerCertificates[0].Raw, leaf))
		}
	}
	if ok := answers(http.StatusOK, nil); ok() {
		t.Fatal("a backend of an unknown authority is trusted")
	}

	replace(t, roots, authority.File)
	await.Until(t, "the new authority is trusted", answers(http.StatusOK, nil))

	pair := authority.Write(t, certificate, key)
	await.Until(t, "the new certificate is shown", answers(http.StatusOK, pair.Certificate[0]))

	if err := errors.Join(os.WriteFile(certificate, []byte("half of a"), 0o600), os.Remove(roots)); err != nil {
		t.Fatal(err)
	}
	if ok := answers(http.StatusOK, pair.Certificate[0]); !ok() {
		t.Error("the last good files do not stay")
	}
}

// replace puts the content of one file into another.
func replace(t *testing.T, file, by string) {
	t.Helper()
	content, err := os.ReadFile(by)
	if err == nil {
		err = os.WriteFile(file, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
