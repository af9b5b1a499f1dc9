//go:build linux

package main

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// serveHTTP2 answers over HTTP/2 in clear text. It blocks.
func serveHTTP2(listeners []*net.TCPListener) error {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: http.HandlerFunc(answerHTTP2), Protocols: &protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1000}}
	failed := make(chan error)
	for _, l := range listeners {
		go func() { failed <- server.Serve(l) }()
	}

	return <-failed
}

// answerHTTP2 gives the answers that serveRaw gives.
func answerHTTP2(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/bytes/"))
	if err != nil {
		http.NotFound(w, r)
		return
	}

	for name, value := range map[string]string{
		"Server": "app/2.4", "Content-Type": "application/json; charset=utf-8", "Content-Length": strconv.Itoa(size),
		"Cache-Control": unkept, "Etag": `"5f3c-1a2b3c4d5e6f"`, "Vary": "Accept-Encoding",
		"X-Content-Type-Options": "nosniff",
	} {
		w.Header().Set(name, value)
	}
	_, _ = w.Write(body(size))
}
