// Package affinity keeps a browser's session on one backend by a signed cookie.
//
// A Signer (signer.go) issues and verifies the cookie. The cookie names the
// backend by a keyed hash of its name, not by its address. So a session
// survives a redeploy that changes every address, and every instance with the
// same keys understands it. The keys are a Keyring (keyring.go): the first one
// signs, all of them verify. A keyring remembers the cookies that it has
// verified lately (verified.go). Its Index finds a cookie's backend in a list
// of names (index.go).
//
// Before a backend sees a request, the cookie is removed from it (cookie.go). A
// response that sets the cookie is kept out of shared caches (private.go). A
// backend's own affinity cookies travel in a carrier (carrier.go), which only
// that backend gets to see. ShareCookie (sharecookie.go) is another cookie, for
// routes that split their requests.
//
// The package knows backends only by name. It starts no goroutine. Every type
// is safe for concurrent use.
package affinity
