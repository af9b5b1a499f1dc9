// Package backend is one backend service: a set of endpoints, and the rules by
// which requests get to them.
//
// # The way of a request
//
//  1. A request makes a Claim (claim.go). Begin (take.go) waits for the
//     service's first set of backends and reads the session from the affinity
//     cookie (session.go).
//  2. For each attempt, Take (take.go) gives a Place: at the session's
//     endpoint, or at one that the policy chooses among those that were not
//     tried (policy.go). If every endpoint has as many requests in flight as it
//     may have, the claim waits in the queue (queue.go).
//  3. The place sends the request (place.go, identity.go), reports the outcome
//     (result.go) and is released.
//  4. Spend asks the retry budget (budget.go) whether another attempt may
//     follow. While no endpoint accepts connections yet, AwaitStart keeps
//     requests waiting (startwait.go).
//
// Every refusal has a type (refused.go).
//
// # The way of a publication
//
// Update (service.go) takes the full set that discovery publishes. A backend
// that is the same keeps its live Endpoint (endpoint.go) with its health, its
// ejection and its requests in flight. A new one gets two transports (new.go,
// truststore.go). One that is gone finishes its requests (leaving.go). The
// result is a new immutable snapshot (snapshot.go) behind one atomic pointer,
// so requests take no lock.
//
// # Health
//
// Probes (probe.go, probecheck.go, probegrpc.go) give a verdict (health.go).
// The outcomes of requests are counted (window.go), eject an endpoint
// (eject.go, recentclients.go) and readmit it (readmit.go). Each change builds
// a new snapshot. States (state.go) is what the status page shows of it.
//
// # Goroutines
//
// Run has one goroutine for each endpoint that is probed, and waits for them.
// There are no others. No timer is needed for an ejection to end, because a
// request compares the clock when it uses a snapshot.
//
// # Limits
//
// The package knows neither http.ResponseWriter nor routes, and nothing about
// how an answer gets to the client. Several services are several values of type
// Service, which share nothing.
package backend
