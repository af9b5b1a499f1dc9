// Package compress compresses answers on their way to clients.
//
// A Sender stands in front of the attempt loop. Behind it is the proxy, or the
// cache, which then stores compressed answers. The request decides which coding
// the client gets (request.go), and the head of the answer whether it may be
// compressed (answer.go, mediatypes.go). If so, the body is replaced by one
// that compresses while it is read (body.go), and the head is changed
// (head.go).
//
// # Nothing waits
//
// A Body flushes its encoder before a read that would wait. The bodies of
// Pillion's engines know whether a read would wait (Ready). With any other
// body, each read is followed by a flush.
//
// # Memory
//
// Encoders limits the number of encoders in use. When none is free, an answer
// is sent uncompressed, which costs only bandwidth. A body that is read slowly
// keeps its encoder.
//
// # BREACH
//
// If a page of another site makes requests with a user's cookies, the length of
// a compressed answer shows whether a text that the page has put into it also
// occurs elsewhere in it. Such answers are not compressed.
//
// The package starts no goroutine. A Body belongs to one goroutine at a time.
package compress
