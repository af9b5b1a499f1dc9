package discovery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// apiServer is the API server of the cluster, with the credentials of the pod's
// service account. Kubernetes renews the account's token and certificates in
// place, so both are read again for each request.
type apiServer struct {
	address   string            // host:port; "" outside of a pod
	directory string            // of the service account
	transport http.RoundTripper // nil for one that trusts the account's certificates

	trusted string // the certificates that client trusts
	client  *http.Client
}

func (k *kinds) apiServer() *apiServer {
	return &apiServer{
		address: k.cfg.Platform.KubernetesAPI, directory: k.cfg.Process.KubernetesAccount,
		transport: k.transport,
	}
}

// account reads one file of the service account.
func (a *apiServer) account(file string) (string, error) {
	content, err := config.ReadFile(filepath.Join(a.directory, file))
	if err != nil {
		path := filepath.Join(a.directory, file)
		return "", &failure{"account " + file, fmt.Errorf("the service account has no file %s that can "+
			"be used: %s %w (is automountServiceAccountToken false?)", file, path, err)}
	}

	return strings.TrimSpace(content), nil
}

// get requests a path. An answer other than 200 is an *apiError.
func (a *apiServer) get(
	ctx context.Context, path string, query url.Values,
) (*http.Response, error) {
	if a.address == "" {
		return nil, &failure{"account", errors.New("KUBERNETES_SERVICE_HOST is not set: this is " +
			"no pod of Kubernetes")}
	}

	token, err := a.account("token")
	if err != nil {
		return nil, err
	}
	client, err := a.trusting()
	if err != nil {
		return nil, err
	}

	r, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"https://"+a.address+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/json")

	resp, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the API server: %w", withoutURL(err))
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return nil, readStatus(body, resp.StatusCode)
	}

	return resp, nil
}

// trusting returns a client that trusts the account's current certificates.
func (a *apiServer) trusting() (*http.Client, error) {
	if a.transport != nil {
		return &http.Client{Transport: a.transport}, nil
	}

	certificates, err := a.account("ca.crt")
	if err != nil {
		return nil, err
	}
	if a.client != nil && certificates == a.trusted {
		return a.client, nil
	}

	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(certificates)) {
		return nil, &failure{"account", errors.New("the file ca.crt of the service account holds " +
			"no certificate")}
	}
	if a.client != nil {
		a.client.CloseIdleConnections()
	}

	a.trusted, a.client = certificates, &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DialContext:         (&net.Dialer{Timeout: listLimit}).DialContext,
			TLSHandshakeTimeout: listLimit,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}

	return a.client, nil
}

// withoutURL removes the URL from a client's error, because it is long and the
// log names the item already.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// apiError is a refusal of the API server.
type apiError struct {
	code    int
	message string
}

// Error returns the server's message.
func (e *apiError) Error() string {
	return fmt.Sprintf("the API server answered %d: %s", e.code, e.message)
}

// isGone reports whether the server has no changes since a version any more.
func isGone(err error) bool {
	var refused *apiError
	return errors.As(err, &refused) && refused.code == http.StatusGone
}

// readStatus returns the error in a Status object. Any other body may come from
// a server in between, and is not shown.
func readStatus(body []byte, code int) error {
	var status struct {
		Kind    string
		Message string
		Code    int
	}
	if err := json.Unmarshal(body, &status); err != nil || status.Kind != "Status" {
		return &apiError{code, "no reason that can be read"}
	}
	if status.Code != 0 {
		code = status.Code
	}

	return &apiError{code, printable(status.Message)}
}

// printable returns a text of another program as one short line.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > 300 {
		return string(runes[:300]) + "…"
	}

	return text
}
