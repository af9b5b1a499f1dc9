package access

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// startWithClientCA starts Pillion with a TLS listener that requires client
// certificates of the authority clients. roots is the file that it reads this
// authority from.
func startWithClientCA(
	t *testing.T, server, clients *backend.Authority, env ...string,
) (p *binary.Process, roots string) {
	t.Helper()
	dir := t.TempDir()
	cert, key, roots := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "clients.crt")
	server.Write(t, cert, key)
	copyFile(t, clients.File, roots)

	return pillion.Start(t, append(env, "LB_TLS_CERT_FILE="+cert, "LB_TLS_KEY_FILE="+key,
		"LB_TLS_CLIENT_CA_FILE="+roots)...), roots
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	pem, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, pem, 0o600); err != nil {
		t.Fatal(err)
	}
}

// newTLSClient returns a client that trusts server and presents certificates.
func newTLSClient(t *testing.T, server *backend.Authority, http2 bool, certificates ...tls.Certificate) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(server.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: certificates, ServerName: "localhost"},
		ForceAttemptHTTP2: http2, DisableKeepAlives: true,
	}
	t.Cleanup(transport.CloseIdleConnections)

	return &http.Client{Transport: transport}
}

// getTLS sends a GET. It returns the echo of the backend, or the error of the
// handshake. fields are names and values in turn.
func getTLS(t *testing.T, c *http.Client, p *binary.Process, fields ...string) (answer, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+p.Address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header[fields[i]] = append(r.Header[fields[i]], fields[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)

	return answer{resp, string(text)}, err
}

func TestClientCert_IsRequiredAndForwarded(t *testing.T) {
	t.Parallel()
	server, clients, others := backend.NewAuthority(t), backend.NewAuthority(t), backend.NewAuthority(t)
	p, _ := startWithClientCA(t, server, clients, backend.Backends(startEcho(t)), "LB_TRUSTED_PROXIES=127.0.0.0/8+host")
	good := clients.Certificate(t)
	want := ":" + base64.StdEncoding.EncodeToString(good.Certificate[0]) + ":"

	for _, http2 := range []bool{false, true} {
		a, err := getTLS(t, newTLSClient(t, server, http2, good), p, "Client-Cert", ":forged:",
			"Client-Cert-Chain", ":forged:", "X-Forwarded-Client-Cert", "Hash=forged", "Client_Cert", ":forged:")
		if err != nil {
			t.Fatal(err)
		}
		if got := a.saw("Client-Cert"); len(got) != 1 || got[0] != want || strings.Contains(a.text, "forged") {
			t.Errorf("HTTP/2 %v: Client-Cert %q, want %q and nothing forged:\n%s", http2, got, want, a.text)
		}
		if _, err := getTLS(t, newTLSClient(t, server, http2), p); err == nil {
			t.Error("a client without a certificate was served")
		}
		if _, err := getTLS(t, newTLSClient(t, server, http2, others.Certificate(t)), p); err == nil {
			t.Error("a certificate of another authority was accepted")
		}
	}
}

// Trailers about client certificates are removed, like such fields of the
// header. Other trailers are forwarded.
func TestClientCert_ForgedTrailersAreRemoved(t *testing.T) {
	t.Parallel()
	server, clients := backend.NewAuthority(t), backend.NewAuthority(t)
	p, _ := startWithClientCA(t, server, clients, backend.Backends(startEcho(t)))
	for _, http2 := range []bool{false, true} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+p.Address+"/",
			io.MultiReader(strings.NewReader("body")))
		if err != nil {
			t.Fatal(err)
		}
		r.Trailer = http.Header{
			"Client-Cert": {":forged:"}, "Client-Cert-Chain": {":forged:"}, "X-Forwarded-Client-Cert": {"forged"},
			"X-Sum": {"1"},
		}
		resp, err := newTLSClient(t, server, http2, clients.Certificate(t)).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || strings.Contains(string(text), "forged") || !strings.Contains(string(text), "trailer X-Sum: 1") {
			t.Errorf("HTTP/2 %v: %v, want the trailer X-Sum and nothing forged:\n%s", http2, err, text)
		}
	}
}

func TestClientCert_NewRootsAreUsedWithoutRestart(t *testing.T) {
	t.Parallel()
	server, before, after := backend.NewAuthority(t), backend.NewAuthority(t), backend.NewAuthority(t)
	p, roots := startWithClientCA(t, server, before, backend.Backends(startEcho(t)))
	old := newTLSClient(t, server, false, before.Certificate(t))
	fresh := newTLSClient(t, server, false, after.Certificate(t))
	if _, err := getTLS(t, old, p); err != nil {
		t.Fatal(err)
	}

	copyFile(t, after.File, roots)
	await.Until(t, "the new roots are in use", func() bool {
		_, err := getTLS(t, fresh, p)
		return err == nil
	})
	if _, err := getTLS(t, old, p); err == nil {
		t.Error("a certificate of the former roots was accepted")
	}
}

// Without LB_TLS_CLIENT_CA_FILE, only a trusted proxy may send fields about
// client certificates.
func TestClientCert_FieldsOfAnUntrustedPeerAreRemoved(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, backend.Backends(startEcho(t)))
	a := raw(t, p, "GET /", "Client-Cert: :forged:", "Client-Cert-Chain: :forged:", "X-Forwarded-Client-Cert: Hash=forged")
	if a.StatusCode != http.StatusOK || strings.Contains(a.text, "forged") {
		t.Errorf("status %d, want 200 and nothing forged:\n%s", a.StatusCode, a.text)
	}
}

func TestClientCert_NeedsATLSListenerOfItsOwn(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	r := pillion.Run(t, []string{"LB_BACKENDS=:1", "LB_TLS_CLIENT_CA_FILE=" + authority.File}, "check")
	if r.Code != 78 || !strings.Contains(r.Output(), "LB_TLS_CERT_FILE") {
		t.Errorf("exit code %d, want 78 and LB_TLS_CERT_FILE in:\n%s", r.Code, r.Output())
	}

	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	authority.Write(t, cert, key)
	r = pillion.Run(t, []string{
		"LB_BACKENDS=:1", "LB_TLS_CLIENT_CA_FILE=" + authority.File, "LB_TLS_CERT_FILE=" + cert, "LB_TLS_KEY_FILE=" + key,
		"K_SERVICE=shop",
	}, "check")
	if r.Code != 78 || !strings.Contains(r.Output(), "Cloud Run") {
		t.Errorf("exit code %d, want 78 and Cloud Run in:\n%s", r.Code, r.Output())
	}
}
