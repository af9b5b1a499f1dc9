package identity

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/pillion-lb/pillion/discovery/metadata"
)

// The kinds of failures. A failure is logged when its kind is new.
const (
	undefined   = "undefined"   // the metadata server has no such value
	unreachable = "unreachable" // no valid answer
	malformed   = "malformed"   // an answer that is not a token
)

// failure is the reason why there is no token. Of two failures with one state
// in a row, only the first is logged.
type failure struct {
	state string
	err   error
}

// Error returns the cause's text. It never contains a token.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }

func stateOf(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.state
	}
	return unreachable
}

// metadataServer gets tokens from the metadata server.
type metadataServer struct{ client *metadata.Client }

func (s *metadataServer) token(ctx context.Context, audience string) (*token, error) {
	text, err := s.get(ctx, "identity?audience="+url.QueryEscape(audience)+"&format=full")
	if err != nil {
		return nil, err
	}
	return newToken(text, wallClock())
}

// account returns the mail address of the machine's service account.
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

// get returns a value of the default service account.
func (s *metadataServer) get(ctx context.Context, what string) (string, error) {
	text, err := s.client.Get(ctx, "instance/service-accounts/default/"+what)
	switch {
	case errors.Is(err, metadata.ErrUndefined):
		return "", &failure{undefined, fmt.Errorf("the service account of the metadata server %w",
			metadata.ErrUndefined)}
	case err != nil:
		return "", &failure{unreachable, err}
	}

	return text, nil
}
