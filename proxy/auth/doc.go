// Package auth verifies JSON Web Tokens (RFC 7519) that an issuer has signed.
// It has no log-in of its own.
//
// A Verifier has the providers of one route. Verify reads the token from the
// request (credential.go). The cheap checks come first: its form (token.go),
// the tokens that were verified before (verified.go), its claims (claims.go),
// the key (keyset.go), the signature. Package jose is used only for signatures
// and single keys, because it is too lenient with key sets and claims.
//
// A KeySet holds the keys of one issuer (keyset.go). It is fetched (fetch.go)
// in the background: at the start, when a request finds that it is old, and
// when a token names a key that is not in it, at most once in ten seconds. Its
// age is taken from the wall clock when a request needs the keys, because the
// platform may stop the process between requests for any time.
//
// All goroutines belong to Keys. Its Run ends them and waits for them.
package auth
