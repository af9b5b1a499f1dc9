// Package h1 is HTTP/1.1 on the wire, made for proxying. Server runs an
// http.Handler; Transport sends requests to one endpoint. Both use net/http's
// types, and neither knows about backends, affinity, retries or spans.
//
// # The way of a request
//
// One goroutine serves one client connection and does the whole transaction. It
// waits in the poller's callback of its connection (conn.go). When bytes come,
// it takes a transaction from a pool, reads into its buffer, parses a head
// (transaction.go, head.go, block.go, target.go) and calls the handler, still
// in the callback if all of the request is there. The handler sends the request
// on with a Transport: a link is taken from its pool or dialled (pool.go,
// dial.go), the head is serialised from the parsed form (serialize.go),
// written, and the answer awaited in the callback of that connection (link.go,
// roundtrip.go). The response's body (answer.go, payload.go) is read by the
// handler and gathered by the writer (writer.go, writerhead.go), which writes a
// small answer at once when the handler returns. Large bodies of known length
// go from socket to socket (splice.go).
//
// A connection of a listener made by socket.LazyListener begins outside of the
// poller, as a bare descriptor. If its first request has already come and the
// connection closes after the answer, the poller is never used. As soon as
// anything has to wait, the connection is registered with the poller, and works
// as described above.
//
// The caller relays a tunnel, with a socket.Inlet and a socket.Outlet for each
// direction. Its bytes are read and written in the poller's callbacks too,
// through borrowed buffers, or the kernel moves them.
//
// A small GET costs two reads, two writes, up to three allocations, and the
// poller's own calls. A head that is the last one again needs no allocation
// (recall.go).
//
// # Goroutines
//
// Server has one for each connection, keeps a few between two connections
// (workers.go), and waits for all of them in Shutdown. A clear-text connection
// that has been idle for half a second has none: it sleeps in a
// socket.IdleSet, until bytes come, its limit passes, or it has to end
// (sleep.go). A request body that is not in memory has an upload (upload.go),
// which is a goroutine too. It is ended and joined before its link or the body
// is used again. There are also timers: one while a handler waits for Done of a
// request's context (context.go), and one while a Transport has idle
// connections.
//
// # Time
//
// A deadline that an earlier transaction has set is kept if it comes early
// enough, which saves setting another. A goroutine that a deadline wakes
// compares the clock with its limits, checks whether the client is still
// connected (limits.go), and waits again. So a client that has left is noticed
// within a quarter of a second, and nothing watches the client while the
// backend answers quickly.
//
// # Strictness
//
// Messages that RFC 9112 allows to be read in different ways, or that other
// servers are known to read differently, are refused. A refused request gets a
// 4xx or 5xx status and its connection is closed (refuse.go). A refused
// response becomes an Error with the outcome Broken. What is sent is made from
// the parsed form and checked again. This package is at least as strict as
// net/http, which fuzz tests verify.
package h1
