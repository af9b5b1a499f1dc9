package routes

import (
	"context"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// withVite turns on a test in which npm downloads a bundler.
var withVite = flag.Bool("routes.vite", false, "build a single-page app with vite and open it in Chromium")

// project is a single-page app before it is built: a style and an image, which
// get hashed names, and a page that is loaded when it is opened.
var project = map[string]string{
	"package.json": `{"private": true, "type": "module", "devDependencies": {"vite": "^7.0.0"}}`,
	"index.html": `<!doctype html><html><head><meta charset="utf-8"><title>app</title></head>` +
		`<body><main id="app">empty</main><script type="module" src="/main.js"></script></body></html>`,
	"main.js": `import './main.css'
import logo from './logo.svg?no-inline'
const main = document.getElementById('app')
const open = async () => {
  const page = await import('./page.js')
  const image = await fetch(logo)
  const answer = await fetch('/api/hello')
  main.textContent = 'page=' + page.name(import.meta.env.BASE_URL) + ' api=' + await answer.text() +
    ' image=' + image.status + ',' + image.headers.get('content-type') + ' color=' + getComputedStyle(main).color
}
open()`,
	"page.js":  `export const name = base => location.pathname.slice(base.length)`,
	"main.css": `#app { color: rgb(1, 2, 3) }`,
	"logo.svg": `<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>`,
}

// TestVite_ABuiltAppWorksBelowAPrefix opens an address of the app that is no
// file, as after a reload.
func TestVite_ABuiltAppWorksBelowAPrefix(t *testing.T) {
	t.Parallel()
	if !*withVite {
		t.Skip("-routes.vite is not set")
	}
	for _, program := range []string{"npm", "chromium"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}

	dir := tree(t, project)
	run := func(name string, args ...string) []byte {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}

		return out
	}
	run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
	run("npx", "vite", "build", "--base=/ui/", "--logLevel=warn")

	api := backend.Start(t, "api",
		func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("hello" + r.URL.Path)) })
	p := pillion.Start(t, "LB_ROUTE__UI=/ui/*", "LB_FILES__UI="+filepath.Join(dir, "dist"),
		"LB_FILES_FALLBACK__UI=/index.html",
		list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*", "LB_REWRITE__API=/*",
		"LB_RESPONSE_HEADERS__UI=Content-Security-Policy=default-src 'self'")
	dom := run("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+t.TempDir(), "--virtual-time-budget=10000", "--timeout=60000", "--dump-dom", p.URL("/ui/users/7"))
	const want = "page=users/7 api=hello/hello image=200,image/svg+xml color=rgb(1, 2, 3)"
	if !strings.Contains(string(dom), want) {
		t.Errorf("the page does not contain %q:\n%s", want, dom)
	}
}
