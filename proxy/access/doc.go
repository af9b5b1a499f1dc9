// Package access has the checks that need only the head of a request: its
// method (methods.go), its path (allowedpaths.go, deniedpaths.go), its client's
// address (networks.go) and its password (basic.go, failures.go).
//
// A rule that allows requests matches plain paths only (plain.go), which every
// server reads in the same way. A rule that refuses requests matches a path in
// all ways in which a server may read it (readings.go).
//
// All values are made once, from those of package config, and everything is
// safe for concurrent use. The package starts no goroutine.
package access
