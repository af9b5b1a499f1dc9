//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strings"
)

// newNginx is nginx as one would tune it for exactly this: one worker, large
// keep-alive pools, nothing written to disk.
func newNginx() (peer, error) {
	path, err := installed("nginx")
	if err != nil {
		return peer{}, err
	}

	return peer{name: "nginx", binary: path, command: func(s setup) (*exec.Cmd, error) {
		conf, err := nginxConfig(s)
		if err != nil {
			return nil, err
		}

		file, err := s.write("nginx.conf", conf)
		if err != nil {
			return nil, err
		}

		cmd := exec.Command(path, "-p", s.Dir, "-e", "stderr", "-c", file)
		cmd.Env = environment()
		return cmd, nil
	}}, nil
}

func nginxConfig(s setup) (string, error) {
	var servers strings.Builder
	for _, b := range s.Backends {
		fmt.Fprintf(&servers, "    server %s max_fails=0;\n", b)
	}

	account := ""
	if os.Geteuid() == 0 {
		me, err := user.Current()
		if err != nil {
			return "", err
		}
		account = "user " + me.Username + ";\n"
	}

	listen, location := s.Listen.String(), fmt.Sprintf(nginxProxy, s.scheme())
	if s.Tunnel {
		location = fmt.Sprintf(nginxTunnel, s.scheme())
		if s.Large {
			location += "\n      proxy_buffer_size 64k;" // each way
		}
	}

	switch {
	case s.GRPC && s.TLS:
		listen += fmt.Sprintf(nginxServerTLS, s.Cert, s.Key)
		location = fmt.Sprintf(nginxCallsTLS, s.CA)
	case s.TLS:
		location += fmt.Sprintf(nginxTLS, s.CA)
	case s.GRPC:
		listen = listen + " http2"
		if !s.HTTP1 {
			location = "grpc_pass grpc://backends;"
		}
	}

	if s.Files != "" {
		location = fmt.Sprintf(nginxFiles, s.Files)
	}

	buffers := nginxSmall
	if s.Large {
		buffers = nginxLarge
	}
	if s.GzipLevel > 0 {
		location += fmt.Sprintf(nginxGzip, s.GzipLevel)
	}
	if s.Kept {
		location += nginxKept
		buffers += nginxStore
	}

	if !strings.Contains(listen, ";") {
		listen += " backlog=4096;"
	}

	return fmt.Sprintf(nginxTemplate, account, buffers, servers.String(), max(2048, 2*len(s.Backends)), listen, location),
		nil
}

const nginxSmall = `proxy_buffer_size 4k;
  proxy_buffers 32 4k;
  client_body_buffer_size 16k;`

const nginxLarge = `proxy_buffer_size 16k;
  proxy_buffers 16 64k;
  proxy_busy_buffers_size 512k;
  proxy_request_buffering off;
  client_body_buffer_size 256k;`

const nginxProxy = `proxy_pass %s://backends;
      proxy_http_version 1.1;
      proxy_set_header Connection "";`

const nginxTunnel = `proxy_pass %s://backends;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";`

const nginxFiles = `root /nonexistent;
    }
    location /bytes/ {
      alias %s/;
      sendfile on;`

const nginxKept = `
      proxy_cache kept;
      sendfile on;`

const nginxGzip = `
      gzip on;
      gzip_comp_level %d;
      gzip_min_length 1024;
      gzip_types application/json;`

// nginxStore is in the page cache after the first request.
const nginxStore = `
  proxy_cache_path kept keys_zone=kept:10m inactive=1h;
  open_file_cache max=100 inactive=1h;`

// nginxServerTLS is the rest of the server's listen line, and the lines after
// it.
const nginxServerTLS = ` ssl http2 backlog=4096;
    ssl_certificate %s;
    ssl_certificate_key %s;
    ssl_protocols TLSv1.2 TLSv1.3;`

const nginxCallsTLS = `grpc_pass grpcs://backends;
      grpc_ssl_trusted_certificate %s;
      grpc_ssl_verify on;
      grpc_ssl_name localhost;
      grpc_ssl_protocols TLSv1.2 TLSv1.3;`

const nginxTLS = `
      proxy_ssl_trusted_certificate %s;
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
      proxy_ssl_protocols TLSv1.2 TLSv1.3;`

// nginxTemplate has paths relative to the proxy's own directory.
const nginxTemplate = `daemon off;
%sworker_processes 1;
error_log stderr error;
pid nginx.pid;
events { worker_connections 19000; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  proxy_max_temp_file_size 0;
  %s
  upstream backends {
    random;
%s    keepalive %d;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server {
    listen %s
    location / {
      %s
    }
  }
}
`
