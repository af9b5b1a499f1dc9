//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// setup has the settings of every proxy. Each peer writes them in its own
// configuration format.
type setup struct {
	Listen    netip.AddrPort
	Backends  []string // host:port
	TLS       bool     // the backends speak TLS
	CA        string   // PEM file that signed them
	Cert      string   // PEM files of a certificate for clients
	Key       string
	GRPC      bool     // HTTP/2 on both sides; clients speak TLS where backends do
	HTTP1     bool     // but HTTP/1.1 to the backends
	HTTP2     bool     // to the backends, in clear text
	Tunnel    bool     // WebSockets
	Large     bool     // bodies of MiBs: buffers may be large
	Files     string   // directory that is served below /bytes/; "": none
	Kept      bool     // answers are stored by the proxy
	Env       []string // more of our own variables
	GzipLevel int      // with which nginx compresses; 0: it does not
	Dir       string   // for configuration and temporary files
	Sink      string   // where traces go
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

// filesFor writes the files that are answers of a load, and that of the first
// request, by which a proxy is known to be there.
func filesFor(s setup, load loadSpec) (string, error) {
	dir := filepath.Join(s.Dir, "files")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}

	for _, size := range []int{128, load.Answer} {
		path := filepath.Join(dir, strconv.Itoa(size))
		if err := os.WriteFile(path, body(size), 0o644); err != nil {
			return "", err
		}
	}

	return dir, nil
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
