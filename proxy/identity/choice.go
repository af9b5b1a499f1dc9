package identity

import (
	"context"
	"errors"
	"time"
)

// choice is the one decision whether requests carry tokens at all, where LB_IDENTITY=auto leaves it open.
type choice struct {
	server   *metadataServer
	expected bool // the machine has a metadata server: one that does not answer is only late

	turn  chan struct{} // of one place: held by who asks or reads what follows
	made  bool
	asked time.Time // when the server last did not answer
	err   error     // then
}

// decide asks the metadata server for an account, unless that is decided. An error means that it is still open.
func (s *Source) decide(ctx context.Context) error {
	c := &s.choice
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	if c.made {
		return nil
	}
	if c.err != nil && wallClock().Sub(c.asked) < time.Second {
		return c.err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchDeadline)
	defer cancel()
	account, err := c.server.account(ctx)
	var missing *failure
	switch {
	case err == nil:
		s.log.Info("identity tokens are on", "account", account)
	case c.expected && !(errors.As(err, &missing) && missing.state == undefined):
		c.asked, c.err = wallClock(), err
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return err // stopped before it was known
	default:
		s.off.Store(true)
		s.log.Info("identity tokens are off: no metadata server with an account answers here; "+
			"LB_IDENTITY_TOKEN_FILE gives a token where there is none, LB_IDENTITY='off' says that none is wanted", "error", err)
	}
	c.made, c.err = true, nil
	return nil
}

// Enabled reports whether requests carry tokens: false once it was decided that they go without.
func (s *Source) Enabled() bool { return !s.off.Load() }
