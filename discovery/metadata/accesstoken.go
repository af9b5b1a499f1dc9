package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// AccessToken returns an access token of the service account. It is a secret,
// and valid for at most an hour.
func (c *Client) AccessToken(ctx context.Context) (string, error) {
	token, _, err := c.AccessTokenAndLife(ctx)
	return token, err
}

// AccessTokenAndLife is AccessToken, and also returns how long the token is
// valid.
func (c *Client) AccessTokenAndLife(ctx context.Context) (string, time.Duration, error) {
	text, err := c.Get(ctx, "instance/service-accounts/default/token")
	if err != nil {
		return "", 0, err
	}

	var answer struct {
		Token string `json:"access_token"`
		Life  int    `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || !isBearer(answer.Token) {
		return "", 0, errors.New("the metadata server's answer holds no access token")
	}

	return answer.Token, time.Duration(min(max(answer.Life, 0), 24*3600)) * time.Second, nil
}

// isBearer reports whether a token can be sent as a credential (RFC 6750
// section 2.1).
func isBearer(token string) bool {
	return token != "" && len(token) < 16<<10 && strings.IndexFunc(token, func(c rune) bool {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		return !letter && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/=", c)
	}) < 0
}
