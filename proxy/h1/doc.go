// Package h1 is HTTP/1.1 on the wire, made for proxying. Server runs an http.Handler; Transport sends requests to one
// endpoint. Both speak net/http's types and neither knows about backends, affinity, retries or spans.
//
// # The way of a request
//
// One goroutine serves one client connection and does the whole exchange. It waits in the poller's callback of its
// connection (conn.go). When bytes come, it takes an exchange from a pool, reads into its buffer, parses a head
// (exchange.go, head.go, block.go, target.go) and calls the handler, still in the callback if all of the request is
// there. The handler sends the request on with a Transport: a link is taken from its pool or dialled (pool.go, dial.go),
// the head is serialised from the parsed form (serialize.go), written, and the answer awaited in the callback of that
// connection (link.go, roundtrip.go). The response's body (answer.go, payload.go) is read by the handler and gathered by
// the writer (writer.go, writerhead.go), which writes a small answer at once when the handler returns. Large bodies of
// known length go from socket to socket (splice.go).
//
// A connection of a listener made by Lightly begins outside of the poller, as a bare descriptor (listener_linux.go,
// socket_linux.go). If its first request is there and it ends with the answer, that is all it ever was; if anything has to
// wait, the poller gets to know it, and the rest is as above.
//
// A tunnel is the caller's, who relays it by an Inlet and an Outlet for each direction (stream.go): bytes are read and
// written in the poller's callbacks too, into borrowed buffers (lent.go), or moved by the kernel (pipe.go).
//
// A small GET is two reads and two writes, three allocations, and the poller's share.
//
// # Goroutines
//
// Server has one for each connection, keeps a few between two connections (workers.go), and waits for all of them in
// Shutdown. Beside them there is, for a request body that is not in memory, an upload (upload.go), which is ended and
// joined before its link or the body is used again, and timers: one while a handler has asked a request's context for
// Done (context.go), one while a Transport has idle connections.
//
// # Time
//
// Deadlines are left where earlier exchanges put them as long as they come early enough. Whoever a deadline wakes looks
// at the clock, at the limits, and at the client (limits.go), and waits on. A client that has left is so found within a
// quarter of a second, and nothing watches it while the backend is quick.
//
// # Strictness
//
// What RFC 9112 leaves to taste, and what peers are known to read in different ways, is refused: a request with a status
// of its own and the end of the connection (refuse.go), a response with an Error that says Broken. What is sent is made
// from the parsed form and checked again. net/http is never stricter than this package; fuzzing holds it to that.
package h1
