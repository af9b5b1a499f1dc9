// Package identity gets Google-signed ID tokens for backends, one per audience, and keeps them fresh.
package identity

import "context"

// Source hands out tokens. Safe for concurrent use.
type Source struct{}

// Token returns a token for audience whose own expiry lies ahead. It waits for the first one only; ctx bounds the wait.
func (s *Source) Token(ctx context.Context, audience string) (string, error) { return "", nil }

// Rejected says that a backend answered 401 to a token of audience. It may lead to one forced refresh.
func (s *Source) Rejected(audience string) {}
