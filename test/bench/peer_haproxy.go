//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"strings"
)

// newHAProxy is HAProxy with one thread, its pools shared as freely as it
// allows, and splicing for large bodies.
func newHAProxy() (peer, error) {
	path, err := installed("haproxy")
	if err != nil {
		return peer{}, err
	}

	return peer{name: "haproxy", binary: path, command: func(s setup) (*exec.Cmd, error) {
		file, err := s.write("haproxy.cfg", haproxyConfig(s))
		if err != nil {
			return nil, err
		}

		cmd := exec.Command(path, "-db", "-f", file)
		cmd.Env = environment()
		return cmd, nil
	}}, nil
}

func haproxyConfig(s setup) string {
	var b strings.Builder
	b.WriteString("global\n  nbthread 1\n  maxconn 12000\n  no strict-limits\n")
	if len(s.Backends) > 3 {
		fmt.Fprintf(&b, "  tune.pool-high-fd-ratio 90\n  tune.pool-low-fd-ratio 80\n")
	}

	if s.Large {
		b.WriteString("  tune.bufsize 65536\n")
	}

	b.WriteString("defaults\n  mode http\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n" +
		"  timeout http-keep-alive 1h\n  option http-keep-alive\n  http-reuse always\n  balance random(1)\n")
	if s.Large {
		b.WriteString("  option splice-auto\n")
	}

	protocol, options := "", " pool-max-conn -1 pool-purge-delay 1h"
	switch {
	case s.GRPC && s.TLS:
		protocol = " ssl crt " + s.Cert + " alpn h2"
		options += " alpn h2"
	case s.GRPC:
		protocol = " proto h2"
		if !s.HTTP1 {
			options += " proto h2"
		}
	}
	if s.HTTP2 {
		options += " proto h2"
	}
	if s.TLS {
		options += " ssl verify required ca-file " + s.CA + " sni str(localhost)"
	}

	fmt.Fprintf(&b, "frontend in\n  bind %s backlog 4096%s\n  default_backend out\nbackend out\n", s.Listen, protocol)
	for i, addr := range s.Backends {
		fmt.Fprintf(&b, "  server s%d %s%s\n", i, addr, options)
	}

	return b.String()
}
