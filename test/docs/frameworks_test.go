package docs

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// withFrameworks turns on the tests in which npm downloads Express.
var withFrameworks = flag.Bool("docs.frameworks", false, "run what deploy/guides/frameworks.md says of Express")

// python is the system's Python, because distributions package servers for it.
const python = "/usr/bin/python3"

// servers has what deploy/guides/frameworks.md says about servers: which client
// address they see behind Pillion, and how long they keep idle connections.
// Each answers with JSON: client and scheme. A server that is not installed is
// skipped.
var servers = map[string]struct {
	install []string
	files   map[string]string
	command []string
	keeps   string // the Keep-Alive field, or "close" for one that closes the connection
}{
	"Express": {
		install: []string{"npm", "install", "--no-audit", "--no-fund", "express@5"},
		files: map[string]string{"package.json": `{"private": true}`, "app.js": `
const app = require('express')()
app.set('trust proxy', 'loopback, linklocal')
app.use((q, r) => r.json({client: q.ip, scheme: q.protocol}))
app.listen(process.env.PORT, '127.0.0.1')`},
		command: []string{"node", "app.js"},
		keeps:   "timeout=5",
	},
	"uvicorn": {
		files: map[string]string{"app.py": `
import json
async def app(scope, receive, send):
    if scope["type"] == "http":
        body = json.dumps({"client": scope["client"][0], "scheme": scope["scheme"]}).encode()
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})`},
		command: []string{python, "-m", "uvicorn", "app:app", "--port", "PORT"},
	},
	"gunicorn": {
		files: map[string]string{"app.py": `
import json
def app(environ, start):
    client = environ["HTTP_X_FORWARDED_FOR"].split(", ")[-2] if "HTTP_X_FORWARDED_FOR" in environ else ""
    body = json.dumps({"client": client, "scheme": environ["wsgi.url_scheme"]}).encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]`},
		command: []string{python, "-m", "gunicorn", "--bind", "127.0.0.1:PORT", "app:app"},
		keeps:   "close",
	},
}

func TestGuides_FrameworksSeeTheClient(t *testing.T) {
	t.Parallel()
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if server.install != nil && !*withFrameworks {
				t.Skip("-docs.frameworks is not set")
			}

			dir := t.TempDir()
			for file, text := range server.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if server.install != nil {
				runIn(t, dir, server.install)
			}

			address := listening(t, dir, server.command)
			p := pillion.Start(t, "LB_BACKENDS=http://"+address, "LB_TRUSTED_PROXIES=1")
			c := wire.Dial(t, p.Address)
			c.Get("/", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
			_, body := c.Response(http.MethodGet)

			var seen struct{ Client, Scheme string }
			if err := json.Unmarshal([]byte(body), &seen); err != nil || seen.Client != "203.0.113.9" || seen.Scheme != "https" {
				t.Errorf("the server answered %q, error %v, want 203.0.113.9 and https", body, err)
			}

			direct := wire.Dial(t, address)
			direct.Get("/")
			answer, _ := direct.Response(http.MethodGet)
			keeps := answer.Header.Get("Keep-Alive")
			if answer.Close {
				keeps = "close"
			}
			if keeps != server.keeps {
				t.Errorf("Keep-Alive is %q, want %q", keeps, server.keeps)
			}
		})
	}
}

// runIn runs a command in a folder.
func runIn(t *testing.T, dir string, command []string) {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skip(command[0], " is not installed")
	}

	install := exec.CommandContext(t.Context(), command[0], command[1:]...)
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("%v: %v\n%s", command, err, out)
	}
}

// listening starts a server, waits until it accepts connections, and returns
// its address.
func listening(t *testing.T, dir string, command []string) string {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skip(command[0], " is not installed")
	}
	if command[1] == "-m" && exec.Command(command[0], "-c", "import "+command[2]).Run() != nil {
		t.Skip(command[2], " is not installed")
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()

	var args []string
	for _, arg := range command[1:] {
		args = append(args, strings.ReplaceAll(arg, "PORT", port))
	}
	server := exec.Command(command[0], args...)
	server.Dir, server.Env = dir, append(os.Environ(), "PORT="+port)
	var printed output
	server.Stdout, server.Stderr = &printed, &printed
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
		if t.Failed() {
			t.Log(printed.String())
		}
	})

	address := fmt.Sprintf("127.0.0.1:%s", port)
	await.Until(t, command[0]+" listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})

	return address
}
