// Package cache is a shared cache in memory (RFC 9111) that sits above the
// attempt loop: a request that is answered from memory touches no service.
//
// A Lookup is the way of one request through the cache. Lookup.Send looks into
// the store, and a fresh answer is returned from there (lookup.go). Otherwise
// it asks the next Sender, with the conditions of a stale answer if there is
// one, and the head of the answer decides whether it is stored (ask.go).
// Requests for the same answer that come meanwhile wait for the head, and then
// read the body while it grows (flight.go, body.go, reader.go).
//
// Pure functions read the fields of an answer: Cache-Control and the fields of
// RFC 9213 (directives.go), dates (date.go), lifetimes (freshness.go), Vary
// (vary.go), conditions (validate.go), ranges (ranges.go).
//
// # The store
//
// Answers are found by URL and by a key of route, prefix and configured fields
// (store.go). Whole keys are compared, not only their hashes. Memory is taken
// before it is used, so its bound is never exceeded (memory.go). The algorithm
// SIEVE decides which answers are dropped for others. An answer that is being
// sent is not dropped, because that would free nothing.
//
// # Safety
//
// The answer to a request with credentials is stored only if its fields declare
// it as meant for all clients (mayStore). An answer with Set-Cookie is passed
// on with it and not stored. Requests with fields by which frameworks change
// method or path bypass the cache.
//
// # Goroutines
//
// The package starts none. A request that fetches an answer runs in its
// connection's goroutine. The bytes of a shared body are read by the reader
// that needs them first. The reader whose request fetches the answer ends last:
// its Close waits until no other reader uses the source. A refresh runs in a
// goroutine of the caller (Lookup.Background). There are no timers: ages are
// compared with the clock when they are needed.
package cache
