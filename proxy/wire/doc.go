// Package wire is the contract between the code that decides about a request
// and the engines that put it on the wire.
//
// An engine is one version of HTTP towards a backend. It is a Sender: it takes
// a request and a Call, which is what one attempt adds to the request, and
// returns a response or an *Error. The fields of an Error (Outcome, Phase,
// Client) tell how far the attempt came and which side ended it. They are all
// that a caller needs to decide about a retry, about the health of the backend
// and about the answer to the client.
//
// The package also holds the rules that every engine needs and that must be the
// same in all of them: which bytes may stand where (characters.go), what a host
// (host.go), a target (target.go) and a length (length.go) look like, how a
// list is searched (list.go), and which messages of other HTTP parsers are too
// ambiguous to be forwarded (unambiguous.go).
//
// # Ownership
//
// A server, a handler, several attempts and the goroutines of engines work on
// one request. Each part of it has one owner at a time. Everything that is not
// listed here is read only by the goroutine that made it.
//
//   - The request, its URL and its Header map belong to the handler until its
//     first Send. From then on they are read-only until the handler returns. A
//     Sender reads them only during Send.
//   - The names of announced trailers are taken with TrailerNames before the
//     first Send and handed on in Call.Trailers. Request.Trailer belongs to the
//     body: reading the body writes to the map, up to the end of the
//     body. Only a reader that has seen io.EOF may look into it, and only while
//     its Send lasts.
//   - The body has one reader at a time. A Sender stops reading before Send
//     returns an error, or before Close of the response body returns. One read
//     in progress may outlast them when the body is a view of a body that other
//     attempts need too. The view delivers nothing of that read to its Sender
//     and keeps it for the next attempt. Before the handler returns, the proxy
//     closes the client's body, which ends a read in progress, and waits for
//     its end.
//   - A Call belongs to Send until the response body is closed, or until Send
//     has returned an error.
//   - A response, its Header and its Trailer belong to the caller of Send until
//     it closes the body. The header map given to Call.Informational is valid
//     only during that call.
//   - The header map of a ResponseWriter belongs to the goroutine of the
//     handler. Informational is therefore called in that goroutine, or while it
//     waits in Send.
//
// test/ownership_test.go goes through retries, early answers and cut answers
// over both versions of HTTP on both sides. Run it with the race detector after
// a change to any of this.
//
// Everything here is a value or a pure function. The package imports nothing of
// Pillion and starts no goroutine.
package wire
