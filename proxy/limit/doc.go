// Package limit limits how often clients may make requests.
//
// A Limit (limit.go) is one item of LB_RATE_LIMIT. It counts by keys (key.go):
// addresses, fields, claims. For each key it keeps one number, the theoretical
// arrival time of the algorithm GCRA (rate.go). The numbers are in a table of
// fixed size (table.go). There is no clean-up: a number whose time has passed
// is free for another key.
//
// With LB_RATE_LIMIT_STORE, all instances count together. A Store (store.go)
// asks a server of Redis's protocol over a session (session.go), by one script
// (script.go) on the server's clock. A request waits for it at most
// LB_RATE_LIMIT_TIMEOUT. While the server fails, the instance counts for
// itself. Store.Run owns the one goroutine that connects; requests only wake
// it.
//
// InFlight (inflight.go) implements LB_CLIENT_IN_FLIGHT, the number of requests
// in progress.
//
// Everything here is safe for concurrent use.
package limit
