package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// skew is how long before its end a token is no longer sent, because it has to
// be valid when the backend checks it.
const skew = time.Second

// token is one ID token. It is never changed.
type token struct {
	text     string
	audience []string
	got      time.Time
	refresh  time.Time // when a new one is fetched
	expires  time.Time // by its own exp
}

// valid reports whether t may be sent at now. A nil token may not.
func (t *token) valid(now time.Time) bool { return t != nil && now.Before(t.expires.Add(-skew)) }

// newToken reads the dates and the audience of a JWT (RFC 7519). The backend
// checks the signature. Anything else, such as an HTML page, is an error, and
// so is an expired token.
func newToken(text string, now time.Time) (*token, error) {
	text = strings.TrimSpace(text)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, &failure{malformed, errors.New("the answer is not a token")}
	}

	var decoded [3][]byte
	for i, part := range parts {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || len(raw) == 0 || strings.ContainsAny(part, "\r\n") {
			return nil, &failure{malformed, errors.New("the answer is not a token: a part is not " +
				"base64url")}
		}

		decoded[i] = raw
	}

	var claims struct {
		Exp json.Number `json:"exp"`
		Aud audiences   `json:"aud"`
	}

	if err := json.Unmarshal(decoded[1], &claims); err != nil {
		return nil, &failure{malformed, errors.New("the answer is not a token: its claims cannot " +
			"be read")}
	}

	exp, err := claims.Exp.Float64() // a NumericDate may have a fraction
	if err != nil || exp < 0 || exp > 1<<40 {
		return nil, &failure{malformed, errors.New("the token has no expiry")}
	}

	t := &token{text: text, audience: claims.Aud, got: now, expires: time.Unix(int64(exp), 0)}
	if !t.valid(now) {
		return nil, &failure{"expired", errors.New("the token has expired already")}
	}

	t.refresh = now.Add(t.expires.Sub(now) / 5 * 4)
	return t, nil
}

// audiences is the claim aud: one string, or an array of strings.
type audiences []string

// UnmarshalJSON reads both forms.
func (a *audiences) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte("[")) {
		return json.Unmarshal(b, (*[]string)(a))
	}

	*a = make(audiences, 1)
	return json.Unmarshal(b, &(*a)[0])
}
