package backend

import (
	"context"
	"net/http"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// Tokens provides ID tokens for backends. Package identity implements it.
type Tokens interface {
	// Token returns a token for the audience, or "" if identity is off.
	Token(ctx context.Context, audience string) (string, error)
	// Rejected reports that a backend answered 401 to a token.
	Rejected(audience string)
}

// TokenError means that a request was not sent because there was no ID token
// for the endpoint. It does not unwrap to its cause, because a timeout or a
// refusal while getting the token is not one of the attempt.
type TokenError struct{ cause error }

// Error returns the cause's text.
func (e *TokenError) Error() string { return "no identity token: " + e.cause.Error() }

// needsToken reports whether requests to an endpoint carry an ID token. A token
// is sent only over TLS or to loopback.
func (s *Service) needsToken(ep *Endpoint) bool {
	return ep.audience != "" && s.tokens != nil && (ep.server.TLS || ep.loopback)
}

// addToken adds the ID token for the endpoint's audience to a call, if there is
// one.
func (s *Service) addToken(ctx context.Context, ep *Endpoint, c *wire.Call) error {
	token, err := s.tokens.Token(ctx, ep.audience)
	if err != nil || token == "" {
		return err
	}

	field := wire.Field{Name: s.cfg.IdentityHeader, Value: "Bearer " + token}
	c.Fields = wire.WithField(c.Fields, field)

	return nil
}

// noteRejectedToken renews a token if the response shows that Cloud Run has
// rejected it.
func (s *Service) noteRejectedToken(ep *Endpoint, resp *http.Response) {
	if resp.StatusCode == http.StatusUnauthorized && ep.server.Run && s.tokens != nil {
		s.tokens.Rejected(ep.audience)
	}
}
