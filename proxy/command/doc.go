// Package command has the program's commands except serve: check the
// environment, explain it, connect to its backends, run an echo backend, and
// print help, shell completions and the manual page.
//
// One table (table.go) lists every command with its arguments and descriptions.
// The help, the completions and the manual page are made from this table and
// from config's table of variables, so they always agree. Run (call.go) finds
// the command in the table and runs it. No code here serves the app's traffic.
//
// summary.go summarizes an environment in a few lines, for check and for a
// start in a terminal.
package command
