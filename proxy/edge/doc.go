// Package edge decides what Pillion believes of the proxies in front of it, and
// what it tells the backend.
//
// Rules (hop.go) hold what the configuration says for all requests. A Hop is
// what is known about one request's client. The proxy calls these steps in
// order:
//
//  1. Believe (forwarded.go) decides whether the peer is a trusted proxy.
//  2. Strip (strip.go) removes the fields that concern only the connection to
//     the client, and what an untrusted peer claims.
//  3. Forward (forwarded.go) decides about client, scheme and host, and tells
//     the backend.
//  4. Read (tracecontext.go) takes the caller's trace. Each attempt sends its
//     own span.
//  5. RequestID (requestid.go) decides about the request's id, and MarkLoop
//     (loop.go) adds the service's tag to CDN-Loop.
//
// On the way back, CopyResponse (response.go) leaves out the fields that
// concern only the connection to the backend. OwnOrigin (location.go) turns
// redirects to the backend into redirects to the origin that the client used.
//
// The functions only read and write header fields. What a backend is told is
// collected in Hop.Fields and not written into the request, because several
// attempts may share the request.
package edge
