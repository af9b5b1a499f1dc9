// Package tunnel relays WebSockets: two streams of frames between a client and
// a backend.
//
// A Tunnel (tunnel.go) copies both directions, each in its own goroutine, until
// one side ends. The kernel moves long frames if package socket can arrange
// that. Each direction tracks its frames (frames.go), so that a close frame
// with status 1001 can be sent between two of them when the process ends, and
// never inside one.
//
// The client is a TCP or TLS connection taken over from an HTTP/1.1 server, or
// a Stream of HTTP/2 (stream.go), which an extended CONNECT opens (RFC 8441). A
// Set (set.go) holds the open tunnels of the process.
package tunnel
