package identity

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// fileInterval is how often a token's file is read again while the token is in use. Whoever writes the file decides
// when there is a new token, and reading a few kilobytes is cheaper to get right than watching.
const fileInterval = 5 * time.Second

// file mints from the file of LB_IDENTITY_TOKEN_FILE, by its path.
type file string

// token reads the file. A token for another audience is refused: whoever received it could use it there.
func (f file) token(_ context.Context, audience string) (*token, error) {
	text, err := f.read()
	if err != nil {
		return nil, &failure{unreachable, fmt.Errorf("reading the identity token: %w", err)}
	}
	t, err := newToken(text, wallClock())
	if err != nil {
		return nil, fmt.Errorf("reading the identity token of %s: %w", string(f), err)
	}
	if !slices.Contains(t.audience, audience) {
		return nil, &failure{"audience", fmt.Errorf("the identity token of %s is for the audience %q, not %q", string(f), t.audience, audience)}
	}
	t.refresh = t.got.Add(fileInterval)
	return t, nil
}

func (f file) read() (string, error) {
	r, err := os.Open(string(f))
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, 64<<10))
	return string(b), err
}
