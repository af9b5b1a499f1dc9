package command

import (
	"context"
	"fmt"
	"strings"
)

// command is a row of the table.
type command struct {
	name  string
	does  string // one sentence, which shells show beside a completion
	uses  []entry
	flags []flag
	takes operand
	run   func(ctx context.Context, c *Call) int
	alias []string // other names, which the help does not show
}

// entry is a word or an example with its meaning.
type entry struct{ text, means string }

// flag is an option of a command, with what a shell completes after it.
type flag struct {
	name  string
	does  string
	takes operand // the kind of its value
}

// operand is a kind of value that a shell completes.
type operand string

// The operands.
const (
	nothing   operand = ""
	aFile     operand = "file"
	variables operand = "variables"
	shells    operand = "shells"
	anything  operand = "anything" // a value that shells can't complete
)

// Serve is the name of the command that runs the balancer, which main does.
const Serve = "serve"

// commands returns the table.
func commands() []command {
	return []command{
		{
			name: Serve, alias: []string{"run", "start"}, does: "run the balancer",
			uses: []entry{{"", "run the balancer, on port 8080 unless PORT or LB_LISTEN says another"}},
		},
		{
			name: "check", does: "judge the environment", run: check,
			uses: []entry{
				{"check", "print what is wrong with the environment, " +
					"or what it means and what of it has no effect"},
				{"check --env-file FILE", "the same for a file, read as docker run --env-file reads it"},
				{"check --resolve", "print what each target stands for now, " +
					"and ask the issuers of LB_AUTH for their keys"},
				{"check --connect", "connect to each backend, check its certificate and ask its health check"},
			},
			flags: []flag{
				{"--env-file", "read the environment from a file", aFile},
				{"--resolve", "print what each target stands for now", nothing},
				{"--connect", "connect to each backend", nothing},
			},
		},
		{
			name: "explain", does: "print the settings", run: explain, takes: variables,
			uses: []entry{
				{"explain", "print every variable: value, origin, meaning"},
				{"explain LB_RETRIES ...", "print these only"},
				{"explain --changed", "print what is not at its default, as an environment, without secrets"},
				{"explain --markdown", "print the reference"},
				{"explain --json", "print a JSON Schema of the environment"},
			},
			flags: []flag{
				{"--changed", "what is not at its default", nothing},
				{"--markdown", "the reference", nothing},
				{"--json", "a JSON Schema of the environment", nothing},
			},
		},
		{
			name: "routes", does: "print the routes", run: routes, takes: anything,
			uses: []entry{
				{"routes", "print the routes in the order in which they are asked"},
				{
					"routes GET http://example.com/api/x 'Cookie: canary=always'",
					"say which route takes this request, and why more specific ones don't",
				},
			},
		},
		{
			name: "echo", does: "be a backend for a first try", run: echo, takes: anything,
			uses: []entry{{
				"echo [ADDRESS...]",
				"be a backend that answers with what it got, on :9001 unless PORT or arguments say others",
			}},
		},
		{
			name: "healthcheck", does: "ask whether the balancer is ready", run: healthcheck,
			uses: []entry{{"healthcheck", "exit 0 if the pillion of this environment is ready"}},
		},
		{
			name: "wait", does: "wait for URLs", run: wait, takes: anything,
			uses: []entry{{
				"wait URL...",
				"wait until each URL answers (http, https or tcp://host:port), at most 60 s",
			}},
		},
		{
			name: "completion", does: "print completions for a shell", run: completion, takes: shells,
			uses: []entry{{"completion SHELL", "print the completions for bash, zsh or fish"}},
		},
		{
			name: "man", does: "print the manual page", run: man,
			uses: []entry{{"man", "print the manual page: pillion man | man -l -"}},
		},
		{
			name: "version", alias: []string{"--version", "-v"}, does: "print the version", run: version,
			uses: []entry{{"version", "print the version"}},
		},
		{
			name: "help", alias: []string{"--help", "-h"}, does: "print this", run: help,
			uses: []entry{{
				"help [COMMAND]", "print this, or what one command does; so does --help behind it",
			}},
		},
	}
}

// find returns the command with a name or alias.
func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
		for _, a := range c.alias {
			if a == name {
				return c, true
			}
		}
	}

	return command{}, false
}

// about describes the program, at the top of the help.
const about = "Pillion balances requests over backends, " +
	"keeps sessions on them and records every hop.\n" +
	"It is configured by environment variables only:\n" + `
  LB_BACKENDS='http://10.0.0.1:8080;http://10.0.0.2:8080' pillion
  LB_BACKENDS=demo://3 pillion     for a first try, with backends of its own

`

// usage returns the help of the program.
func usage() string {
	var b strings.Builder
	b.WriteString(about + "Subcommands:\n")
	for _, c := range commands() {
		c.describe(&b)
	}
	b.WriteString("\nExit codes:\n")
	for _, e := range exits() {
		fmt.Fprintf(&b, "  %-2s  %s\n", e.text, e.means)
	}

	return b.String()
}

// describe writes the help of a command.
func (c command) describe(b *strings.Builder) {
	const column = 25
	for _, u := range c.uses {
		text := strings.TrimSpace("pillion " + u.text)
		if len(text) < column {
			fmt.Fprintf(b, "  %-*s%s\n", column, text, u.means)
		} else {
			fmt.Fprintf(b, "  %s\n  %*s%s\n", text, column, "", u.means)
		}
	}
}
