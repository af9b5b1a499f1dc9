// Package proxy is the way of a request from a client to a backend and back.
// This page is the map of the whole program: read it first.
//
//	           front     proxy                              backend
//	         ┌───────┐  ┌───────────────────────────────┐  ┌─────────┐
//	client ─►│ h1    │─►│ begin ─► clean ─► enter       │  │ policy  │
//	         │ h2    │  │   edge     edge     route     │  │ health  │
//	         │       │  │                     rules     │  │ queue   │
//	         │       │  │                       ▼       │  │ retries │
//	         │       │  │          take ◄──── serve     │  │         │
//	         │       │  │           ▼  ▲                │  │         │
//	         │       │  │        attempt └─ again? ─────┼─►│ h1, h2  │─► endpoint
//	         │       │  │           ▼                   │  │         │
//	client ◄─│       │◄─│ end ◄─ relay, tunnel ◄────────┼──│         │◄─
//	         └───────┘  └───────────────────────────────┘  └─────────┘
//
// # The life of a request
//
// A request goes down once, and its answer comes back up once.
//
//  1. A server of front reads the head (h1 or h2) and calls the one handler.
//     Pillion's own paths are answered by status. All others come to
//     Proxy.ServeHTTP (proxy.go), which takes an exchange from a pool
//     (exchange.go).
//  2. begin (exchange.go) reads what the request asks for. edge decides what is
//     believed of the peer. A WebSocket over HTTP/2 is translated
//     (extendedconnect.go). Requests that no backend may see are refused.
//  3. clean (clean.go) turns the request into one that may go to a backend, and
//     starts its SERVER span (span.go).
//  4. enter (enter.go) finds the route and asks its gates (gate.go) one after
//     the other: method, path and address, limits (limits.go), authentication
//     (authgate.go), limits by claim. A gate that refuses the request answers
//     it. Then enter does what the route can do without a service: a redirect,
//     a fixed answer, a file. No backend takes part in that. Finally the
//     route's rules change the request. From here on it is read-only, because
//     several attempts may share it. Each attempt sends its own fields in
//     addition.
//  5. serve (answer.go) reads the session from the affinity cookie
//     (session.go), takes the cookies of backends out of the request
//     (carrier.go), and asks for an answer. If the route has a cache, the cache
//     is asked first (caching.go), and an answer from its memory needs no
//     endpoint. If the route compresses, that is done behind the cache
//     (compressing.go), so answers are stored compressed.
//  6. Send (loop.go) is the attempt loop. Each attempt (attempt.go) takes a
//     place at an endpoint from backend.Service: the session's, or one that the
//     policy chooses among those not tried. It starts a CLIENT span, and sends
//     the request with its own fields and its own view of the body (body.go,
//     replaybuffer.go). If the route has a mirror, a copy of the request is
//     sent once beside the attempts (mirror.go). A slow request may have a
//     second loop at another endpoint (hedge.go).
//  7. Pure functions classify an attempt that fails (outcome.go): whether the
//     request may be repeated, whether the failure counts against the endpoint,
//     and what the client gets. A repeated request is paid for from the retry
//     budget and waits a moment (backoff.go).
//  8. The loop returns the answer of the first endpoint that gives a usable
//     one. pass (answer.go) sends it on: relay (relay.go) sends the head, the
//     body as it comes, and trailers; an upgrade becomes a tunnel (upgrade.go).
//     The affinity cookie is set here and only here, for the endpoint that
//     answered.
//  9. If there is no answer, fail (fail.go) sends a status and a request id.
//  10. end writes the Record (record.go) to the span, to the metrics
//     (metrics.go) and to the log, and gives the exchange back to its pool.
//
// # The life of a publication
//
// A source of package discovery publishes a full set of backends. UpdateService
// (services.go) gives it to the service of that name, which keeps the endpoints
// that stay and swaps one immutable snapshot for another. Requests take no
// lock.
//
// # Rooms
//
//	room              owns                                         must not know
//	main.go           subcommands, order of start and stop         HTTP, health, spans
//	config            the environment, read and checked            the network
//	discovery         which backends should exist                  requests, health
//	discovery/xds     the protocol of control planes               backends
//	discovery/metadata  the client of the metadata server          backends
//	proxy             the way of one request                       how endpoints are chosen
//	proxy/front       the one port, its servers, their end         backends, routes
//	proxy/edge        what is believed of a client and sent on     services, spans
//	proxy/route       which route takes a request                  services
//	proxy/rules       what a route does to a message               services
//	proxy/files       answers from files                           services
//	proxy/access      methods, paths, networks, passwords          services
//	proxy/auth        tokens of issuers                            services
//	proxy/limit       rate limits and requests in flight           services
//	proxy/cache       a cache above the attempt loop               services
//	proxy/compress    answers in zstd or gzip                      services
//	proxy/backend     one backend service                          answers to clients, routes
//	proxy/affinity    the session cookie                           endpoints
//	proxy/tunnel      WebSockets                                   spans, services
//	proxy/wire        the contract of all engines                  any engine
//	proxy/h1, h2      a version of HTTP on the wire                each other, services
//	proxy/socket      TCP below net.Conn, the memory budget        HTTP
//	proxy/identity    ID tokens                                    requests
//	proxy/history     what happened in the last ten minutes        requests
//	proxy/command     the commands except serve                    requests
//	proxy/terminal    width and colours of a terminal              what is printed
//	proxy/status      Pillion's own pages                          how state is kept
//	proxy/telemetry   spans, metrics and logs on their way out     requests
//
// The import law in test/house_test.go says which room may import which. Each
// room has a package comment with the names of its files. The helpers that
// tests of proxy and proxy/backend share are in proxy/internal/proxytest.
//
// # Seams
//
// A wire.Sender takes a request and returns the head of an answer. Transports,
// a place at an endpoint, the attempt loop and the look-up of the cache are
// Senders, so each can stand in front of another.
//
// # Goroutines and memory
//
// A request runs in the goroutine of its connection. Run has a goroutine for
// each endpoint that is probed, and ends with its context. So do the goroutines
// beside those of the clients: refreshes of the cache, mirrors, and the loops
// of a hedge (background.go). Exchanges are pooled. Parts of a request that are
// needed after its handler has returned are copied before. Package wire tells
// under "Ownership" which goroutine owns which part of a request.
package proxy
