package telemetry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pillion-lb/pillion/config"
)

// receiver holds the settings of OpenTelemetry's exporters for one signal.
// Every value is given to them. Otherwise they would read the environment
// themselves, by other rules: INSECURE over the scheme, "GZIP" as none.
type receiver struct {
	config.Receiver
	failure lastFailure
}

// url returns the endpoint of exports by HTTP. The specification's default is
// clear text on this machine.
func (r *receiver) url(path string) string {
	if r.Endpoint == "" {
		return "http://localhost:4318" + path
	}
	return r.Endpoint
}

// target returns the endpoint of exports by gRPC.
func (r *receiver) target() string {
	if r.Endpoint == "" {
		return "localhost:4317"
	}

	if u, err := url.Parse(r.Endpoint); err == nil && u.Host != "" {
		return u.Host
	}

	return r.Endpoint
}

func (r *receiver) timeout() time.Duration { return time.Duration(r.Timeout) * time.Millisecond }

// tls returns the TLS configuration. Each handshake uses the certificates that
// are in the files then.
func (r *receiver) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: config.CipherSuites()}
	if r.Certificate != "" {
		if r.Roots.Load() == nil {
			return nil, errors.New("the file of CERTIFICATE holds no certificate")
		}

		c.InsecureSkipVerify = true // VerifyConnection verifies, with the current roots
		c.VerifyConnection = r.verify
	}

	if r.Pair.Load() != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return r.Pair.Load(), nil
		}
	}

	return c, nil
}

// verify checks the receiver's certificate as crypto/tls would, for the name in
// the endpoint.
func (r *receiver) verify(state tls.ConnectionState) error {
	name := r.target()
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}

	options := x509.VerifyOptions{
		Roots: r.Roots.Load(), DNSName: strings.Trim(name, "[]"), Intermediates: x509.NewCertPool(),
	}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(options)

	return err
}

// client returns the client of exports by HTTP. Like that of OpenTelemetry's
// exporters, it uses the proxy of the environment.
func (r *receiver) client() (*http.Client, error) {
	secure, err := r.tls()
	if err != nil {
		return nil, err
	}

	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: 30 * time.Second,
			KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     secure,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        100,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}

	return &http.Client{Transport: noting{transport, &r.failure}, Timeout: r.timeout()}, nil
}

// lastFailure is why the last try of an export failed. Exporters retry by
// themselves, and in the end report only that the time is over. Safe for
// concurrent use.
type lastFailure struct{ err atomic.Pointer[error] }

func (f *lastFailure) note(err error) {
	if err == nil {
		f.err.Store(nil)
	} else if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		!ranOut(err) {
		f.err.Store(&err)
	}
}

// explain adds the reason to an error that only reports a timeout.
func (f *lastFailure) explain(err error) error {
	last := f.err.Load()
	if last == nil || strings.Contains(err.Error(), (*last).Error()) {
		return err
	}
	return fmt.Errorf("%w: %w", err, *last)
}

// ranOut reports whether a gRPC call ended by its time limit.
func ranOut(err error) bool { return status.Code(err) == codes.DeadlineExceeded }

// unary notes the errors of gRPC calls. It is a grpc.UnaryClientInterceptor.
func (f *lastFailure) unary(ctx context.Context, method string, request, reply any,
	cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	err := invoke(ctx, method, request, reply, cc, options...)
	if hint := hintOf(err); hint != "" {
		f.note(errors.New(hint)) // explain adds it to the error itself
	} else {
		f.note(err)
	}

	return err
}

// noting notes the errors of exports by HTTP.
type noting struct {
	next    http.RoundTripper
	failure *lastFailure
}

// RoundTrip calls the next transport. It also notes the beginning of an answer
// that is an error. A page in place of an answer is an error too.
func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := n.next.RoundTrip(r)
	switch {
	case err != nil:
		err = withHint(err)
		n.failure.note(err)
	case resp.StatusCode < 300 && isPage(resp):
		resp.Body.Close()
		n.failure.note(errPage)

		return nil, errPage
	case resp.StatusCode >= 300:
		const most = 256
		head, _ := io.ReadAll(io.LimitReader(resp.Body, most))
		n.failure.note(withHint(fmt.Errorf("status %d: %q", resp.StatusCode,
			strings.TrimSpace(string(head)))))
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(strings.NewReader(string(head)), resp.Body), resp.Body}
	default:
		n.failure.note(nil)
	}

	return resp, err
}
