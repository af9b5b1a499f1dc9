package identity

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
)

// The states that failures are told apart by in the log.
const (
	undefined   = "undefined"   // the metadata server says that there is no such thing
	unreachable = "unreachable" // no proper answer
	malformed   = "malformed"   // an answer that is no token
)

// failure is why there is no token. Two failures of one state are the same news.
type failure struct {
	state string
	err   error
}

// Error is the cause's text. It never holds a token.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap is the cause.
func (f *failure) Unwrap() error { return f.err }

func stateOf(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.state
	}
	return unreachable
}

// metadataServer mints at the metadata server, through Google's client, which knows where it is (GCE_METADATA_HOST).
type metadataServer struct{ client *metadata.Client }

func newServer(transport http.RoundTripper) *metadataServer {
	if transport == nil {
		transport = &http.Transport{
			DialContext:     (&net.Dialer{Timeout: fetchDeadline}).DialContext,
			IdleConnTimeout: time.Minute,
		}
	}
	return &metadataServer{metadata.NewClient(&http.Client{Transport: limited{transport}})}
}

func (s *metadataServer) token(ctx context.Context, audience string) (*token, error) {
	text, err := s.get(ctx, "identity?audience="+url.QueryEscape(audience)+"&format=full")
	if err != nil {
		return nil, err
	}
	return newToken(text, wallClock())
}

// account is the mail address of the machine's service account.
func (s *metadataServer) account(ctx context.Context) (string, error) {
	text, err := s.get(ctx, "email")
	if err != nil {
		return "", err
	}
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "@") || strings.ContainsAny(text, " <>\r\n") {
		return "", &failure{malformed, errors.New("the metadata server's answer is not an account")}
	}
	return text, nil
}

// get asks for something of the default service account.
func (s *metadataServer) get(ctx context.Context, what string) (string, error) {
	text, err := s.client.GetWithContext(ctx, "instance/service-accounts/default/"+what)
	var missing metadata.NotDefinedError
	var status *metadata.Error
	switch {
	case errors.As(err, &missing):
		return "", &failure{undefined, errors.New("the metadata server has no service account")}
	case errors.As(err, &status): // without the page that came along
		return "", &failure{unreachable, fmt.Errorf("asking the metadata server: status %d", status.Code)}
	case err != nil:
		return "", &failure{unreachable, fmt.Errorf("asking the metadata server: %w", err)}
	}
	return text, nil
}

// limited cuts answers that are too long for any token; Google's client reads them to the end.
type limited struct{ next http.RoundTripper }

// RoundTrip is the next transport's, with the body limited.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.next.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, 64<<10)
	}
	return res, err
}
