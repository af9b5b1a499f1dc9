package routes

import (
	"context"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// app is a single-page app as a bundler builds it for the prefix /ui/. Its
// script is a module with a hashed name. It imports another module by a
// relative path, shows the address of the page, and calls the API.
var app = map[string]string{
	"index.html": `<!doctype html><html><head><meta charset="utf-8"><link rel="stylesheet" href="/ui/assets/app-4f1c.css">
<script type="module" src="/ui/assets/app-8a2b.js"></script></head><body><main id="app">empty</main></body></html>`,
	"assets/app-8a2b.js": `import {route} from './route-77aa.js'
const main = document.getElementById('app')
const answer = await fetch('/api/hello')
const gone = await fetch('/ui/assets/gone-1111.js')
main.textContent = 'page=' + route() + ' api=' + await answer.text() + ' gone=' + gone.status +
  ' color=' + getComputedStyle(main).color + ' type=' + gone.headers.get('content-type').split(';')[0]`,
	"assets/route-77aa.js": `export const route = () => location.pathname`,
	"assets/app-4f1c.css":  `#app { color: rgb(1, 2, 3) }`,
}

// TestBrowser_ASinglePageAppWorksBelowAPrefix opens an address of the app that
// is no file, as after a reload, in a browser that runs scripts.
func TestBrowser_ASinglePageAppWorksBelowAPrefix(t *testing.T) {
	t.Parallel()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no browser is installed")
	}

	srv := tree(t, app)
	api := backend.Start(t, "api",
		func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("hello" + r.URL.Path)) })
	p := pillion.Start(t, "LB_ROUTE__UI=/ui/*", "LB_FILES__UI="+srv, "LB_FILES_FALLBACK__UI=/index.html",
		list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*", "LB_REWRITE__API=/*")

	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run",
		"--user-data-dir="+t.TempDir(), "--virtual-time-budget=10000", "--timeout=60000", "--dump-dom", p.URL("/ui/users/7"))
	dom, err := cmd.Output()
	if err != nil {
		t.Skipf("the browser does not run here: %v", err)
	}
	const want = "page=/ui/users/7 api=hello/hello gone=404 color=rgb(1, 2, 3) type=text/plain"
	if !strings.Contains(string(dom), want) {
		t.Errorf("the page does not contain %q:\n%s", want, dom)
	}
}
