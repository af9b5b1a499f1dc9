package identity

import (
	"context"
	"errors"
	"time"

	"github.com/pillion-lb/pillion/discovery/metadata"
)

// mode decides whether requests carry tokens.
type mode int32

// The modes. LB_IDENTITY, the platform or a token file sets on or off at the
// start. LB_IDENTITY=auto elsewhere begins with open.
const (
	open    mode = iota // not known yet: a request waits for the first answer
	on                  // tokens are required
	without             // requests go without tokens until there is an account
	off                 // LB_IDENTITY=off
)

// decision changes the mode from open to on or without. An account at the
// metadata server means on, for the life of the process. The answer that there
// is no account is never final, because the metadata server of a pod may refuse
// connections in the pod's first seconds. So it is asked again for the life of
// the process. Requests wait only for the first answer.
type decision struct {
	server *metadataServer

	// expected means that the machine has a metadata server. While it does not
	// answer, requests fail instead of going without a token.
	expected bool

	wanted chan struct{} // closed when the first token is wanted

	// Under the Source's mu.
	asked bool  // wanted is closed
	err   error // the newest answer while the mode is open
}

// decide asks the metadata server for an account until there is one. It begins
// when the first token is wanted, so without such backends nothing is asked.
func (s *Source) decide(ctx context.Context) {
	select {
	case <-s.decision.wanted:
	case <-ctx.Done():
		return
	}

	for failures := 0; s.undecided(); {
		account, err := s.decision.server.account(ctx)
		if ctx.Err() != nil {
			return
		}

		s.answered(account, err)

		failures++
		if s.undecided() && !sleep(ctx, pauseAfter(failures)) {
			return
		}
	}
}

func (s *Source) undecided() bool { return s.currentMode() == open || s.currentMode() == without }

// answered handles an answer of the metadata server about the account.
func (s *Source) answered(account string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.rouse()

	switch {
	case err == nil:
		s.log.Info("identity tokens are on", "account", account)
		s.mode.Store(int32(on))
		for _, e := range *s.entries.Load() {
			e.wait()
		}

	case s.decision.expected && !errors.Is(err, metadata.ErrUndefined):
		s.decision.err = err
		for _, e := range *s.entries.Load() {
			if e.fetched != nil {
				s.failed(e, err)
				e.release()
			}
		}

	case s.currentMode() == open:
		s.log.Info("identity tokens are off until a metadata server with an account answers here; "+
			"LB_IDENTITY_TOKEN_FILE gives a token where there is none, LB_IDENTITY='off' says "+
			"that none is wanted",
			"error", err)
		s.mode.Store(int32(without))
		for _, e := range *s.entries.Load() {
			e.release()
		}
	}
}

func (s *Source) currentMode() mode { return mode(s.mode.Load()) }

// goWithout reports whether requests carry no token now.
func (s *Source) goWithout() bool { return s.currentMode() >= without }

// sleep waits for d, and reports false if ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
