//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// setup is what every proxy is told, each in its own language.
type setup struct {
	Listen   netip.AddrPort
	Backends []string // host:port
	TLS      bool     // the backends speak TLS
	CA       string   // PEM file that signed them
	GRPC     bool     // HTTP/2 in clear text on both sides
	Tunnel   bool     // WebSockets
	Large    bool     // bodies of MiBs: buffers may be large
	Dir      string   // for configuration and temporary files
	Sink     string   // where traces go
}

// scheme of the backends in URLs.
func (s setup) scheme() string {
	if s.TLS {
		return "https"
	}
	return "http"
}

// write puts a configuration file into the proxy's directory.
func (s setup) write(name, text string) (string, error) {
	path := filepath.Join(s.Dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// peer is one proxy under test.
type peer struct {
	name    string
	binary  string // the program, whose size is compared
	command func(setup) (*exec.Cmd, error)
}

// start runs the peer on the proxy core. It does not wait for it.
func (p peer) start(s setup, at cores) (*process, error) {
	cmd, err := p.command(s)
	if err != nil {
		return nil, err
	}
	return spawn(cmd, at.Proxy, at.Load)
}

// environment is the bench's own without anything that would configure a
// proxy, and more.
func environment(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		for _, prefix := range []string{"LB_", "OTEL_", "K_", "PORT=", "GOMAXPROCS=", "GOGC=", "GOMEMLIMIT="} {
			if strings.HasPrefix(kv, prefix) {
				return true
			}
		}
		return false
	})
	return append(env, more...)
}

// installed finds a system program.
func installed(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	if err != nil {
		return "", fmt.Errorf("%s is not installed", name)
	}
	return path, nil
}
