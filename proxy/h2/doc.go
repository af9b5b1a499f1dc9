// Package h2 is HTTP/2 on the wire (RFC 9113), made for proxying. Server runs
// an http.Handler; Transport sends requests to one endpoint. Both speak
// net/http's types and neither knows about backends, affinity, retries or
// spans.
//
// # A connection
//
// Both sides share one type of connection (conn.go). One goroutine reads it, in
// the poller's callback (read.go). It handles all frames that came in one read
// before it wakes another goroutine:
//
//	frame.go      what frames look like, and the error codes
//	headers.go    HEADERS, CONTINUATION, PRIORITY: field blocks are decoded when they are whole
//	data.go       DATA: content is kept for whoever reads the stream (content.go)
//	settings.go   SETTINGS
//	window.go     WINDOW_UPDATE and flow control
//	control.go    RST_STREAM, PING, GOAWAY, and what a peer may do too often
//
// A client's clear-text connection that has been idle for half a second has no
// reader: it sleeps in a socket.IdleSet until bytes come or it is closed
// (sleep.go).
//
// Field blocks are HPACK (RFC 7541): hpack.go, hpackdecoder.go,
// hpackencoder.go, huffman.go. Names are interned (names.go) and carry what is
// known of them, so a field that comes again costs no memory.
//
// A goroutine that sends appends frames to the connection's output and starts
// its writer, a goroutine that runs while there is output (write.go). The
// writer lets all other goroutines run first, so the frames of many streams go
// out in one write. For the same reason the reader of a busy connection waits a
// moment before it reads again (gather.go).
//
// # A stream
//
// The parts that streams of both sides share are in stream.go, with the states
// of RFC 9113 section 5.1 as three flags. table.go finds them by their number.
//
// A client's stream is a transaction (transaction.go). Its request is made of
// the decoded section (serverstream.go, request.go). At the end of the batch a
// goroutine of its own calls the handler, for which the request's body
// (requestbody.go), context (context.go) and writer (writer.go, writerhead.go)
// are reused from stream to stream. Requests that no handler may get are
// refused (refuse.go).
//
// A stream to a backend is a call (call.go). Transport reserves it on an open
// connection or dials one (transport.go, dial.go). The request is listed from
// its fields and those of the attempt (callrequest.go). Content that is in
// memory goes with the head; other content is sent by a goroutine (upload.go).
// The response (response.go) is filled by the reader.
//
// # Flow control and memory
//
// A stream begins with a small window, which grows while its content is read as
// fast as it comes. Content of a client is given back to the connection's
// window when it was read, so a slow backend slows its client. Content of a
// backend is given back at once, because several clients share a backend's
// connection; the window of its stream limits each of them. The memory of
// streams, content and windows comes from the budget of the process (package
// socket). When that is used up, streams are refused, and connections that use
// memory without progress are ended (shed.go).
//
// # Time
//
// One timer serves all limits of a connection and of its streams (time.go). It
// is set again only for an earlier limit.
//
// # Strictness
//
// A peer that breaks the protocol loses the stream or the connection as RFC
// 9113 says. A request that is malformed, or that other servers would read
// differently, is reset or answered 400, and logged. Everything that a peer can
// repeat has a bound: see control.go, and the constants beside each frame.
package h2
