package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy"
	"github.com/pillion-lb/pillion/proxy/terminal"
)

// checking holds the arguments of check.
type checking struct {
	file             string // an environment file to check; "": the environment of the process
	resolve, connect bool
}

// check checks the environment. It is stricter than a start: values of OTEL_*
// variables that are not supported are errors. Settings without effect are
// warnings.
func check(ctx context.Context, c *Call) int {
	asked, err := c.parseCheck()
	if err != nil {
		return c.misused("%v", err)
	}

	environ := c.Environ
	if asked.file != "" {
		read, notes, err := readEnvFile(asked.file, c.Environ)
		if err != nil {
			return c.result(err)
		}
		environ = read
		for _, n := range notes {
			fmt.Fprintln(c.Stderr, "note:", n)
		}
	}

	cfg, targets, problems := proxy.Load(environ)
	if code := c.report(append(problems, cfg.Telemetry.Warnings...)); code != OK {
		return code
	}

	if !asked.resolve && !asked.connect {
		fmt.Fprintln(c.Stdout, "the environment is fine"+cfg.Count())
		writeSummary(c.Stdout, summary(cfg, targets), terminal.Of(c.Stdout, true).Width())
	}
	for _, w := range append(cfg.NoEffect(), alone(cfg, targets)...) {
		fmt.Fprintln(c.Stderr, "warning:", w)
	}

	return c.result(ask(ctx, asked, cfg, targets, c.Stdout))
}

// alone returns a warning for each service that has session affinity but only
// one fixed backend.
func alone(cfg *config.Config, targets discovery.Targets) (list []config.Problem) {
	for i, s := range cfg.Services {
		if s.Affinity.Cookie && len(targets[i]) == 1 && targets[i][0].Kind == discovery.Fixed {
			list = append(list, config.Problem{
				Variable: config.VariableOf("LB_SESSION_AFFINITY", s.Name),
				Reason:   "has no effect: there is one backend, and no cookie is set before there is another",
			})
		}
	}

	return list
}

// ask runs the checks that need the network, as far as the arguments ask for
// them.
func ask(ctx context.Context, asked checking, cfg *config.Config, targets discovery.Targets,
	w io.Writer) error {
	var failed []error
	quiet := slog.New(slog.DiscardHandler)
	if asked.resolve {
		failed = append(failed,
			discovery.ResolveServices(ctx, cfg, targets, discovery.Options{Logger: quiet}, w),
			proxy.ResolveKeys(ctx, cfg, w))
	}
	if asked.connect {
		failed = append(failed, connect(ctx, cfg, targets, quiet, w))
	}

	return errors.Join(failed...)
}

// parseCheck parses the arguments of check.
func (c *Call) parseCheck() (checking, error) {
	var asked checking
	args := c.Args
	for len(args) > 0 {
		name, value, given := strings.Cut(args[0], "=")
		args = args[1:]
		switch {
		case name == "--env-file":
			if !given && len(args) > 0 {
				value, args = args[0], args[1:]
			}
			if value == "" {
				return asked, errors.New("check --env-file needs a file")
			}
			asked.file = value
		case name == "--resolve" && !given:
			asked.resolve = true
		case name == "--connect" && !given:
			asked.connect = true
		default:
			return asked, fmt.Errorf("check does not know %q%s", name,
				nearTo("--"+strings.TrimLeft(name, "-"), c.of.flagNames()))
		}
	}

	return asked, nil
}
