package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/identity"
)

// expiresSoon is the remaining validity below which a certificate gets a
// remark.
const expiresSoon = 14 * 24 * time.Hour

// connect connects to each backend of all services, with the settings that the
// load balancer uses. It writes a line for each step. It returns an error if a
// backend failed.
func connect(ctx context.Context, cfg *config.Config, targets discovery.Targets, log *slog.Logger,
	w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tokens := identity.NewServices(cfg, identity.Options{Logger: log})
	go func() { _ = tokens.Run(ctx) }()

	failed, all := 0, 0
	for i, s := range cfg.Services {
		answers := discovery.Ask(ctx, cfg.For(s), targets[i], discovery.Options{Logger: log})
		trial := backend.NewTrial(s, backend.Options{
			Logger: log, Tokens: tokens.Of(s.Name), StallTimeout: cfg.Process.StallTimeout,
			MaxHeaderBytes: int(cfg.Process.MaxHeaderBytes),
		})
		for _, a := range answers {
			bad, err := connectTarget(ctx, trial, a, w)
			if err != nil {
				return err
			}
			failed, all = failed+bad, all+max(bad, len(a.Backends))
		}
	}

	if failed > 0 {
		return fmt.Errorf("%d of %d backends cannot be used", failed, all)
	}
	if all == 0 && len(cfg.Services) > 0 {
		return errors.New("there is no backend")
	}

	return nil
}

// connectTarget connects to all backends of a target in parallel. It returns
// the number of failures. A target without backends counts as one failure.
func connectTarget(ctx context.Context, trial *backend.Trial, a discovery.Answer, w io.Writer) (
	failed int, err error) {
	var text strings.Builder
	fmt.Fprintln(&text, a.Target.Item)
	if a.Err != nil {
		failed++
		fmt.Fprintf(&text, "  error: %v\n", a.Err)
	}
	for _, r := range a.Refused {
		fmt.Fprintf(&text, "  refused: %s\n", r)
	}

	results := make([]backend.Connection, len(a.Backends))
	var running sync.WaitGroup
	for i, b := range a.Backends {
		if a.Preview {
			fmt.Fprintf(&text, "  %s  starts together with Pillion\n", b.Name)
			continue
		}
		running.Go(func() { results[i] = trial.Connect(ctx, b) })
	}
	running.Wait()

	for i, b := range a.Backends {
		if a.Preview {
			break
		}
		describe(&text, b, results[i])
		if results[i].Err != nil {
			failed++
		}
	}
	_, err = io.WriteString(w, text.String())

	return failed, err
}

// describe writes the result for a backend.
func describe(w io.Writer, b discovery.Backend, c backend.Connection) {
	fmt.Fprintf(w, "  %s  %s\n", b.Name, b.Address)
	if c.Remote != "" {
		fmt.Fprintf(w, "    connected to %s in %s\n", c.Remote, milliseconds(c.Dialled))
	}
	if t := c.TLS; t != nil {
		leaf := t.Certificate
		fmt.Fprintf(w, "    %s, %s, certificate for %s by %s, until %s%s\n", t.Version, t.Protocol,
			strings.Join(t.Names, " "), t.Issuer, leaf.NotAfter.UTC().Format(time.DateOnly),
			soon(leaf.NotAfter, time.Now()))
	}
	if c.Health != "" {
		fmt.Fprintf(w, "    health check: %s\n", c.Health)
	}
	if c.Err != nil {
		fmt.Fprintf(w, "    error: %s\n", c.Words())
	}
}

// soon returns a remark on a certificate that has expired or expires soon, or
// "".
func soon(end, now time.Time) string {
	left := end.Sub(now)
	switch {
	case left < 0:
		return " (it has ended)"
	case left < expiresSoon:
		return fmt.Sprintf(" (in %d days)", int(left/(24*time.Hour)))
	}

	return ""
}

// milliseconds formats a duration in milliseconds.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
