package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy"
	"github.com/pillion-lb/pillion/proxy/status"
)

// Call is a run of a command: its arguments, environment and streams. Run
// returns the exit code of the process.
type Call struct {
	Args           []string // the arguments after the command's name
	Environ        []string
	Stop           <-chan os.Signal // a signal that ends a command which runs until then
	Stdout, Stderr io.Writer
	Version        string

	of command // the command that Args belong to; the zero value: none
}

// Serves reports whether the program's arguments start the load balancer, and
// not another command.
func Serves(args []string) bool {
	if len(args) == 0 {
		return true
	}
	c, known := find(args[0])

	return known && c.name == Serve && len(args) == 1
}

// Run runs the command that the first argument names. It returns the exit code.
func Run(ctx context.Context, c *Call) int {
	name := c.Args[0]
	c.Args = c.Args[1:]
	command, known := find(name)
	c.of = command
	switch {
	case !known:
		return c.misused("unknown subcommand %q%s; nothing is configured by arguments", name,
			nearTo(strings.TrimLeft(name, "-"), names()))
	case len(c.Args) > 0 && (c.Args[0] == "--help" || c.Args[0] == "-h"):
		c.Args = []string{command.name}
		return help(ctx, c)
	case command.run == nil:
		return c.misused("%s takes no arguments; nothing is configured by them", name)
	}

	return command.run(ctx, c)
}

// misused prints what is wrong with the arguments and how the command is used.
// It returns the exit code. It does not print the whole help, which is longer
// than many terminals: the first line would not be seen.
func (c *Call) misused(format string, args ...any) int {
	var b strings.Builder
	if c.of.name == "" {
		fmt.Fprintf(&b, "  LB_BACKENDS=demo://3 pillion\n  pillion %s\n",
			strings.Join(names(), "|"))
	} else {
		c.of.describe(&b)
	}
	fmt.Fprintf(c.Stderr, "pillion: "+format+"\n\n%s\n"+
		"\"pillion help\" prints all commands and the exit codes.\n", append(args, b.String())...)

	return Usage
}

// nearTo returns the known word that a misspelt one is nearest to, as a part of
// a sentence, or "".
func nearTo(word string, known []string) string {
	if near := config.Nearest(word, known, ""); near != "" {
		return "; the nearest is " + near
	}

	return ""
}

// flagNames returns the flags of a command.
func (c command) flagNames() (list []string) {
	for _, f := range c.flags {
		list = append(list, f.name)
	}

	return list
}

// result prints an error, if there is one, and returns the exit code.
func (c *Call) result(err error) int {
	if err != nil {
		fmt.Fprintln(c.Stderr, "pillion:", err)
		return Failed
	}

	return OK
}

// help prints the help of the program or of one command.
func help(_ context.Context, c *Call) int {
	if len(c.Args) == 0 {
		fmt.Fprint(c.Stdout, usage())
		return OK
	}

	of, known := find(c.Args[0])
	if !known {
		return c.misused("help does not know %q%s", c.Args[0], nearTo(c.Args[0], names()))
	}
	var b strings.Builder
	of.describe(&b)
	fmt.Fprint(c.Stdout, b.String())

	return OK
}

func version(_ context.Context, c *Call) int {
	if len(c.Args) > 0 {
		return c.misused("version does not know %q", c.Args[0])
	}
	fmt.Fprintln(c.Stdout, "pillion", c.Version)
	return OK
}

func healthcheck(ctx context.Context, c *Call) int {
	if len(c.Args) > 0 {
		return c.misused("healthcheck does not know %q", c.Args[0])
	}
	cfg, _ := config.Load(c.Environ)

	return c.result(status.Healthcheck(ctx, cfg))
}

func wait(ctx context.Context, c *Call) int {
	if len(c.Args) == 0 {
		return c.misused("wait needs at least one URL")
	}
	for _, u := range c.Args {
		if err := status.CanWait(u); err != nil {
			return c.misused("%v", err)
		}
	}

	return c.result(status.Wait(ctx, c.Args, time.Minute))
}

// explain prints the settings, and then the problems of the environment. If it
// is asked for one setting, other settings' problems are not its matter.
func explain(_ context.Context, c *Call) int {
	if len(c.Args) == 1 && config.PrintTable(c.Stdout, c.Args[0]) {
		return OK
	}

	cfg, _, problems := proxy.Load(c.Environ)
	var text strings.Builder
	if err := config.ExplainSome(&text, cfg, c.Args); err != nil {
		return c.misused("%v%s", err, c.flagNear())
	}
	if slices.Equal(c.Args, []string{"--changed"}) {
		fmt.Fprint(c.Stdout, text.String()) // not folded: each line is an assignment that can be copied
	} else {
		fmt.Fprint(c.Stdout, folded(c.Stdout, text.String()))
	}

	if len(c.Args) == 1 && !strings.HasPrefix(c.Args[0], "-") {
		problems = slices.DeleteFunc(problems, func(p config.Problem) bool {
			return p.Variable != c.Args[0]
		})
	}

	return c.report(problems)
}

// flagNear suggests a flag for the first argument if that is one that the
// command does not have. A flag that the command has was not alone.
func (c *Call) flagNear() string {
	if !strings.HasPrefix(c.Args[0], "-") {
		return ""
	}
	if slices.Contains(c.of.flagNames(), c.Args[0]) {
		return " together with " + strings.Join(c.Args[1:], " ")
	}

	return nearTo("--"+strings.TrimLeft(c.Args[0], "-"), c.of.flagNames())
}

// routes prints the routes, or the route that matches a request.
func routes(_ context.Context, c *Call) int {
	cfg, _, problems := proxy.Load(c.Environ)
	if code := c.report(problems); code != OK {
		return code
	}

	return c.result(proxy.PrintRoutes(c.Stdout, cfg, c.Args))
}

// report prints problems of the environment, if there are any, and returns the
// exit code.
func (c *Call) report(problems []config.Problem) int {
	if len(problems) == 0 {
		return OK
	}
	Report(c.Stderr, problems)

	return Config
}

// names returns the commands that the help shows.
func names() (list []string) {
	for _, c := range commands() {
		list = append(list, c.name)
	}
	slices.Sort(list)

	return list
}
