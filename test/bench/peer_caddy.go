//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const caddyPackage = "github.com/caddyserver/caddy/v2/cmd/caddy"

// newCaddy is Caddy as its own JSON configures it: plain reverse_proxy, random,
// no admin endpoint, no access log.
func newCaddy(path string) (peer, error) {
	if path == "" {
		built, err := buildCaddy()
		if err != nil {
			return peer{}, err
		}
		path = built
	}

	return peer{name: "caddy", binary: path, command: func(s setup) (*exec.Cmd, error) {
		conf, err := json.Marshal(caddyConfig(s))
		if err != nil {
			return nil, err
		}

		file, err := s.write("caddy.json", string(conf))
		if err != nil {
			return nil, err
		}

		cmd := exec.Command(path, "run", "--config", file)
		cmd.Env = environment("GOMAXPROCS=1", "XDG_DATA_HOME="+s.Dir, "XDG_CONFIG_HOME="+s.Dir)
		return cmd, nil
	}}, nil
}

type object = map[string]any

func caddyConfig(s setup) object {
	var upstreams []object
	for _, b := range s.Backends {
		upstreams = append(upstreams, object{"dial": b})
	}

	transport := object{"protocol": "http", "compression": false, "versions": []string{"1.1"},
		"keep_alive": object{"enabled": true, "max_idle_conns_per_host": 1024, "idle_timeout": "1h"}}
	if s.TLS {
		transport["tls"] = object{"server_name": "localhost",
			"ca": object{"provider": "file", "pem_files": []string{s.CA}}}
	}

	if s.GRPC {
		transport["versions"] = []string{"h2c"}
	}

	handler := object{"handler": "reverse_proxy", "upstreams": upstreams, "transport": transport,
		"load_balancing": object{"selection_policy": object{"policy": "random"}}}
	server := object{"listen": []string{s.Listen.String()}, "automatic_https": object{"disable": true},
		"protocols": []string{"h1", "h2c"}, "idle_timeout": "1h",
		"routes": []object{{"handle": []object{handler}}}}

	return object{
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"logging": object{"logs": object{"default": object{"level": "ERROR"}}},
		"apps":    object{"http": object{"servers": object{"bench": server}}},
	}
}

// buildCaddy compiles Caddy's newest release, in a separate module. It keeps
// the binary in the user's cache directory.
func buildCaddy() (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", errors.New("caddy needs the go command to be built")
	}

	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}

	dir := filepath.Join(cache, "pillion-bench")
	path := filepath.Join(dir, "caddy")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}

	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}

	module, err := os.MkdirTemp("", "caddy-build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(module)
	fmt.Fprintln(os.Stderr, "building caddy, once")

	for _, args := range [][]string{
		{"mod", "init", "caddybuild"},
		{"get", caddyPackage + "@latest"},
		{"build", "-trimpath", "-ldflags", "-s -w", "-o", path, caddyPackage},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir = module
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("caddy is not buildable: go %s: %w\n%s", args[0], err, out)
		}
	}

	return path, nil
}
