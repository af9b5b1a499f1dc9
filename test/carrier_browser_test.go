package test

import (
	"context"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// carrierPage requests its own URL many times, as scripts of a page do, and
// shows which instances have answered.
const carrierPage = `<!doctype html><html><head><meta charset="utf-8"></head><body><main id="app">empty</main>
<script type="module">
const seen = new Set()
let n = 0
for (; n < 20; n++) {
  const answer = await fetch('/next?' + n, {cache: 'no-store'})
  seen.add(answer.headers.get('X-Instance'))
}
const main = document.getElementById('app')
main.textContent = 'n=' + n + ' seen=' + [...seen].join(',') + ' readable=[' + document.cookie + ']'
</script></body></html>`

// A real browser accepts the carrier cookie, sends it with every request of a
// page, hides it from scripts, and keeps it over a restart of the browser.
func TestCarrier_ABrowserKeepsIt(t *testing.T) {
	t.Parallel()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no browser is installed")
	}

	one, two := startSite(t, "one", carrierPage), startSite(t, "two", carrierPage)
	p := pillion.Start(t, affine, "LB_AFFINITY_TTL=1h",
		"LB_BACKENDS="+one.Target("host=shop-1.europe-west1.run.app")+";"+two.Target("host=shop-1.us-east1.run.app"))
	profile := t.TempDir()
	visit := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
			"--no-first-run",
			"--user-data-dir="+profile, "--virtual-time-budget=10000", "--timeout=60000", "--dump-dom", p.URL("/"))
		dom, err := cmd.Output()
		if err != nil {
			t.Skipf("the browser does not run here: %v", err)
		}
		found := regexp.MustCompile(`n=20 seen=((?:one|two)-\d) readable=\[\]`).FindSubmatch(dom)
		if found == nil {
			t.Fatalf("the page's requests have left their instance, or its script can read a cookie:\n%s", dom)
		}
		return string(found[1])
	}

	first := visit()
	for range 2 {
		if again := visit(); again != first {
			t.Errorf("the session went from %s to %s when the browser was started again", first, again)
		}
	}
	if f := one.foreign.Load() + two.foreign.Load(); f > 0 {
		t.Errorf("%d requests reached a region with a cookie that is not its own", f)
	}
}
