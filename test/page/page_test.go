// Package page looks at the status page in a browser: Chromium by
// puppeteer-core, judged by axe-core. It needs both from npm:
//
//	(mkdir -p /tmp/axe && cd /tmp/axe && npm install axe-core puppeteer-core)
//	go test -count=1 ./test/page -page.modules /tmp/axe/node_modules -v
//
// Without the flag, or without Chromium or Node, it is skipped.
package page

import (
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

var (
	modules = flag.String("page.modules", "", "the node_modules with axe-core and puppeteer-core")
	shots   = flag.String("page.shots", "", "where screenshots are kept; empty: nowhere")
)

const token = "a-long-random-word"

// settings are those of scenes beside their backends. In the one of gates, all
// are on, and neither the issuer nor the store answers.
var settings = map[string][]string{"gates": {
	"LB_AUTH=https://127.0.0.1:1/?audience=app;http://127.0.0.1:2/a/long/path/of/an/issuer?audience=app", "LB_AUTH_SKIP=/",
	"LB_BASIC_AUTH=ann:a long password",
	"LB_ALLOW_METHODS=GET", "LB_DENY_PATHS=/admin/*", "LB_ALLOW_PATHS=/*", "LB_DENY_FROM=192.0.2.0/24",
	"LB_ALLOW_FROM=private", "LB_CLIENT_IN_FLIGHT=20",
	"LB_RATE_LIMIT=30/m;1000/h?by=header:X-Key&dry=true&name=by-key", "LB_RATE_LIMIT_STORE=redis://127.0.0.1:3",
}, "long": {
	"LB_ROUTE__LONG=a-long-label.of-a-host.a-long-label-of-a-domain.example.com/a/long/path/of/a/route/*" +
		"?method=GET&header.X-Canary=yes", "LB_BACKENDS__LONG=demo://2", "LB_MAX_IN_FLIGHT=1000", "LB_CACHE=static",
}}

// Every scene is seen at 1280, 390 and 320 pixels, light and dark: axe-core
// finds nothing by WCAG 2.2 AA, nothing scrolls sideways, and each thing that
// can be used is reached by the Tab key. Fifty backends are 1,600 pixels high
// at most.
func TestPage_IsUsableByEverybody(t *testing.T) {
	t.Parallel()
	chromium := browser(t)
	pillion, err := binary.Build("../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}

	good := backend.Start(t, "good", nil)
	faulty := backend.Start(t, "faulty",
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	const dead = "http://127.0.0.1:1?name=dead"
	for name, targets := range map[string]string{
		"one":     good.Target(),
		"dead":    strings.Join([]string{good.Target(), faulty.Target(), dead}, ";"),
		"alldead": dead + ";http://127.0.0.1:2?name=dead-2",
		"nodns":   "dns://nosuch.invalid:80",
		"fifty":   "demo://49;" + dead,
		"gates":   good.Target(),
		"long": good.Target() + ";" + dead + "-and-so-on-as-long-as-a-name-may-be-" + strings.Repeat("x", 20) +
			";dns://" + strings.Repeat("long-label.", 20) + "invalid:80",
	} {
		t.Run(name, func(t *testing.T) {
			p := pillion.Start(t, append(settings[name], "LB_STATUS_TOKEN="+token, "LB_SESSION_AFFINITY=cookie",
				"LB_BACKENDS="+targets)...)
			for range 40 {
				if name == "nodns" {
					break
				}
				if res, err := http.Get(p.URL("/")); err == nil {
					res.Body.Close()
				}
			}

			cmd := exec.Command("node", "page.mjs", p.URL("/.lb/?refresh=0&token="+token), name)
			cmd.Env = append(os.Environ(), "MODULES="+*modules, "CHROMIUM="+chromium, "SHOTS="+*shots, "PROFILE="+t.TempDir())
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// browser is Chromium's path, or the test is skipped.
func browser(t *testing.T) string {
	t.Helper()
	if *modules == "" {
		t.Skip("needs -page.modules")
	}
	for _, name := range []string{"axe-core/axe.min.js", "puppeteer-core"} {
		if _, err := os.Stat(filepath.Join(*modules, name)); err != nil {
			t.Skip(err)
		}
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium")

	return ""
}
