package proxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/auth"
)

// ResolveKeys asks the issuers of LB_AUTH for their keys, and writes what each
// has. It returns an error if one has none. Without LB_AUTH it does nothing.
func ResolveKeys(ctx context.Context, cfg *config.Config, w io.Writer) error {
	keys := auth.New(auth.Options{Logger: slog.New(slog.DiscardHandler), Platform: cfg.Platform})
	for i := range cfg.Routes {
		if of := cfg.Routes[i].Auth.Providers; len(of) > 0 {
			keys.Verifier(of, nil)
		}
	}

	failed := 0
	tried := keys.Try(ctx)
	for _, t := range tried {
		text := fmt.Sprintf("%s\n  %s  %d keys", t.Provider, t.Where, t.Keys)
		switch {
		case t.Err != nil:
			failed++
			text = fmt.Sprintf("%s\n  %s  error: %v", t.Provider, t.Where, t.Err)
		case t.Unusable > 0:
			text += fmt.Sprintf(", and %d that no token can be verified by", t.Unusable)
		}
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d issuers of LB_AUTH gave no keys", failed, len(tried))
	}

	return nil
}
