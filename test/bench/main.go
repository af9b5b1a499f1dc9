//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The program starts itself again in these roles.
const (
	roleBackend      = "backend"
	roleSink         = "sink"
	roleReverseProxy = "reverseproxy"
	roleArticle      = "article"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	if err := runAny(args, stdout); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func runAny(args []string, stdout io.Writer) error {
	roles := map[string]func(string) error{
		roleBackend: runBackends, roleSink: runSink,
		roleReverseProxy: runReverseProxy, roleArticle: runArticle,
	}
	if len(args) == 2 && roles[args[0]] != nil {
		return roles[args[0]](args[1])
	}

	opts, err := parseOptions(args)
	if err != nil {
		return err
	}

	return opts.run(stdout)
}

// options are the command line.
type options struct {
	cases    []benchCase
	peers    []string
	rounds   int
	duration time.Duration
	starts   int
	json     string
	pillion  string
	old      string
	caddy    string
	strict   bool
}

var peerNames = []string{"pillion", "old", "nginx", "haproxy", "caddy", "reverseproxy", "article"}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	cases := fs.String("case", "get64", "cases, comma separated, or all: "+caseNames(allCases()))
	peers := fs.String("peers", strings.Join(peerNames, ","), "proxies to compare, comma separated")
	fs.IntVar(&o.rounds, "rounds", 9, "rounds, in each of which every proxy is measured once")
	fs.DurationVar(&o.duration, "duration", 1500*time.Millisecond, "measured time of one proxy in one round")
	fs.IntVar(&o.starts, "starts", 20, "starts of each proxy in the case start")
	quick := fs.Bool("quick", false, "a short look: 3 rounds of 0.5 s, 5 starts")
	fs.StringVar(&o.json, "json", "", "also write the results, every round of them, to this file")
	fs.StringVar(&o.pillion, "pillion", "", "measure this binary instead of building the module's")
	fs.StringVar(&o.old, "old", "", "an older binary, measured beside as \"old\"")
	fs.StringVar(&o.caddy, "caddy", "", "use this caddy binary instead of building one")
	fs.BoolVar(&o.strict, "strict", false, "exit with status 1 if a bound is missed")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}

	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if *quick {
		o.rounds, o.duration, o.starts = 3, 500*time.Millisecond, 5
	}

	var err error
	if o.cases, err = selectCases(*cases); err != nil {
		return nil, err
	}

	o.peers = strings.Split(*peers, ",")
	return o, o.check()
}

func (o *options) check() error {
	if o.rounds < 1 || o.starts < 1 || o.duration <= 0 {
		return errors.New("rounds, starts and duration must be positive")
	}

	for _, name := range o.peers {
		if !slices.Contains(peerNames, name) {
			return fmt.Errorf("no peer %q; there are: %s", name, strings.Join(peerNames, ", "))
		}
	}

	return nil
}

func (o *options) run(stdout io.Writer) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(dir)
	if err != nil {
		return err
	}
	defer b.close()
	b.rounds, b.duration, b.starts = o.rounds, o.duration, o.starts
	if err := o.addPeers(b); err != nil {
		return err
	}

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	r := newReport(b)
	fmt.Fprintf(stdout, "%s; %d rounds of %v\n", r.Machine, r.Rounds, r.Duration)

	for _, c := range o.cases {
		res, err := c.run(ctx, b, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.add(res)
		printCase(stdout, res)
	}

	return o.conclude(r, stdout)
}

func (o *options) conclude(r *report, stdout io.Writer) error {
	verdicts := judge(r.Cases)
	printVerdicts(stdout, verdicts)
	r.Verdicts = verdicts
	if o.json != "" {
		if err := r.write(o.json); err != nil {
			return err
		}
	}

	if failed := r.failures(); len(failed) > 0 {
		return fmt.Errorf("wrong or missing answers: %s", strings.Join(failed, "; "))
	}
	if o.strict && slices.ContainsFunc(verdicts, func(v verdict) bool { return v.Outcome == missed }) {
		return errors.New("a bound was missed")
	}

	return nil
}

// addPeers finds or builds the proxies that were asked for.
func (o *options) addPeers(b *bench) error {
	b.strace, _ = installed("strace")
	for _, name := range o.peers {
		switch name {
		case "pillion":
			path := o.pillion
			if path == "" {
				var err error
				if path, err = buildPillion(b.dir); err != nil {
					return err
				}
			}

			b.addPeer(name, newPillion(name, path, "always_off"), nil)
			b.addPeer(name, newPillion(sampledPillion, path, "always_on"), nil)
		case "old":
			if o.old != "" {
				b.addPeer(name, newPillion(name, o.old, "always_off"), nil)
			}
		case "nginx":
			p, err := newNginx()
			b.addPeer(name, p, err)
		case "haproxy":
			p, err := newHAProxy()
			b.addPeer(name, p, err)
		case "caddy":
			p, err := newCaddy(o.caddy)
			b.addPeer(name, p, err)
		case roleReverseProxy, roleArticle:
			p, err := newGoPeer(name)
			b.addPeer(name, p, err)
		}
	}

	for _, why := range b.skipped {
		fmt.Fprintln(os.Stderr, why)
	}

	return nil
}
