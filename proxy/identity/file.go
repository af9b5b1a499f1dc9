package identity

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// fileInterval is the time between two reads of a token's file while the token
// is in use. Another program writes the file and decides when there is a new
// token.
const fileInterval = time.Second

// file gets tokens from the file of LB_IDENTITY_TOKEN_FILE, which config
// follows.
type file struct {
	path    string
	content *config.Followed[string]
}

// token returns the token of the file. A token for another audience is refused,
// because the backend that gets it could use it there.
func (f file) token(_ context.Context, audience string) (*token, error) {
	t, err := newToken(*f.content.Load(), wallClock())
	if err != nil {
		return nil, fmt.Errorf("reading the identity token of %s: %w", f.path, err)
	}

	if !slices.Contains(t.audience, audience) {
		return nil, &failure{"audience", fmt.Errorf(
			"the identity token of %s is for the audience %q, not %q", f.path, t.audience, audience)}
	}

	t.refresh = t.got.Add(fileInterval)
	return t, nil
}
