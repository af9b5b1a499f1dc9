//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// sampledPillion is the row of our binary with every trace exported.
const sampledPillion = "pillion-sampled"

// newPillion is our own binary as its users run it: sessions kept by a signed
// cookie and tracing on. With sampler "always_off" no request is recorded,
// with "always_on" every one is exported.
func newPillion(name, path, sampler string) peer {
	return peer{name: name, binary: path, command: func(s setup) (*exec.Cmd, error) {
		scheme := s.scheme()
		if s.HTTP2 || s.GRPC && !s.HTTP1 && !s.TLS {
			scheme = "h2c"
		}

		var targets []string
		for _, b := range s.Backends {
			targets = append(targets, scheme+"://"+b)
		}

		cmd := exec.Command(path)
		cmd.Env = environment("GOMAXPROCS=1",
			"LB_LISTEN="+s.Listen.String(),
			"LB_BACKENDS="+strings.Join(targets, ";"),
			"LB_SESSION_AFFINITY=cookie",
			"LB_AFFINITY_SECRET=only-for-the-bench-0123456789abcdef",
			"LB_ACCESS_LOG=off",
			"OTEL_TRACES_EXPORTER=otlp",
			"OTEL_METRICS_EXPORTER=none", // the peers count nothing either
			"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+s.Sink,
			"OTEL_TRACES_SAMPLER="+sampler)
		cmd.Env = append(cmd.Env, s.Env...)
		if s.HTTP1 {
			cmd.Env = append(cmd.Env, "LB_PROTOCOL=http1")
		}
		if s.Files != "" {
			cmd.Env = append(cmd.Env, "LB_ROUTE__FILES=/bytes/*", "LB_FILES__FILES="+s.Files)
		}
		if s.Kept {
			cmd.Env = append(cmd.Env, "LB_CACHE=origin")
		}
		if s.TLS {
			cmd.Env = append(cmd.Env, "LB_CA_FILE="+s.CA)
		}
		if s.TLS && s.GRPC {
			cmd.Env = append(cmd.Env, "LB_TLS_CERT_FILE="+s.Cert, "LB_TLS_KEY_FILE="+s.Key)
		}

		return cmd, nil
	}}
}

// buildPillion compiles the module's main package as it is released.
func buildPillion(dir string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}

	path := filepath.Join(dir, "pillion")
	cmd := exec.Command("go", "build",
		"-tags", "grpcnotrace", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build pillion: %w\n%s", err, out)
	}

	return path, nil
}

// moduleRoot is the nearest directory upwards with a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}

	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}

		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory: give -pillion PATH")
		}

		dir = parent
	}
}
