// Package proxy is the way of a request. A request belongs to a backend service: a set of endpoints and the rules for
// choosing among them. Proxy.ServeHTTP cleans the request (hop-by-hop fields, forwarding fields, our own cookie),
// then tries endpoints one after the other: each attempt loads the current snapshot, takes the endpoint of the
// request's session or chooses one at random, and sends the request with an overlay of what only this attempt carries.
// The first endpoint that answers wins: its response is relayed, and only then the affinity cookie is set.
//
// Writers (a publication by discovery, a health verdict, an ejection) build a new immutable snapshot under one mutex;
// requests read it through one atomic pointer and lock nothing. Exchanges are pooled: whatever a request needs beyond
// its handler is copied out before the handler returns.
//
// Goroutines: a request runs in its connection's goroutine. Run owns the probes and ends them with its context.
package proxy
