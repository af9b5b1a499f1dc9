// Package front is the one port: it accepts connections and ends them in order.
//
// A Server (server.go) serves HTTP/1.1 and HTTP/2 with one handler. Listen
// opens the port (listen.go), with TLS if a certificate is configured
// (certificate.go). Run serves it until a signal, and then ends requests and
// tunnels in order (drain.go).
//
// CollectLater (collector.go) sets when the garbage collector begins, because a
// collection costs the requests that wait for it. When the start is done, Run
// gives the memory back that only the start needed (program_linux.go).
//
// The package knows neither backends nor routes.
package front
