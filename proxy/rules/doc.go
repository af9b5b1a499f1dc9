// Package rules changes the messages of a route, and answers requests that need
// no service.
//
// A request passes these steps in order, each only if its route has it:
//
//  1. HTTPSLocation (https.go) redirects a request that came in clear text to
//     https.
//  2. Redirect (redirect.go), Respond (respond.go) and CORS.Preflight (cors.go)
//     answer without a service. Their answers are responses like those of a
//     service, so they take the same way back.
//  3. Headers (headers.go) change the request's fields, and Rewrite
//     (rewrite.go) the path that the service sees.
//
// On the way back, Rewrite.Location restores the prefix in redirects of a
// service that does not know it. Headers change the answer's fields, and
// CORS.Apply sets which origins may read it.
//
// Paths stay as they were received: they are never decoded and encoded again.
// The part after a route's prefix is found by counting segments (rest.go),
// because all spellings of a path have the same number of segments.
//
// All values are made once, from those of package config, and are read-only
// after that, so everything is safe for concurrent use. The package starts no
// goroutine.
package rules
