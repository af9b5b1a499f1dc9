package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// cacheTestsVariable names a folder with cache-tests, its packages installed.
// Without it the release of the registry is used, which is older.
const cacheTestsVariable = "PILLION_CACHE_TESTS"

// cacheTestsRelease is the release in npm's registry.
const cacheTestsRelease = "http-cache-tests@0.4.5"

// givenUp are the required tests that fail on purpose. README.md says why.
var givenUp = []string{"headers-store-Set-Cookie", "headers-store-Transfer-Encoding"}

// putRight are tests of the registry's release that the authors have changed
// since. They took an error without an answer for an answer from the cache, and
// expected an Age that is not a number.
var putRight = []string{
	"age-parse-nonnumeric", "age-parse-negative", "age-parse-float", "age-parse-prefix-twoline",
	"age-parse-dup-0", "age-parse-dup-0-twoline", "age-parse-dup-old", "age-parse-parameter",
	"age-parse-numeric-parameter", "stale-close-must-revalidate", "stale-close-proxy-revalidate",
	"stale-close-no-cache", "stale-close-s-maxage=2", "304-etag-update-response-Content-MD5",
	"304-etag-update-response-Set-Cookie",
}

// compressing turns compression on, but not for short answers. Many tests
// compare lengths and strong tags, which compression changes.
const compressing = "LB_COMPRESS=zstd;gzip LB_CACHE_HEURISTIC=10%"

// offeredTwice is the one test that fails with compression. It expects
// If-None-Match unchanged, but Pillion adds the strong form of a weak tag.
const offeredTwice = "conditional-etag-weak-generate-weak"

// TestCacheTests_EveryRequiredTestPasses runs the suite with and without an
// assumed lifetime, and with compression.
func TestCacheTests_EveryRequiredTestPasses(t *testing.T) {
	folder := cacheTests(t)
	known, least := givenUp, 0
	if os.Getenv(cacheTestsVariable) == "" {
		known, least = slices.Concat(givenUp, putRight), 19 // optimal tests that it lacks
	}
	var mu sync.Mutex
	scores := map[string]map[string][]string{}
	t.Run("suite", func(t *testing.T) {
		for _, c := range []struct {
			settings string
			optimal  int // the least that pass
		}{
			{"LB_CACHE_HEURISTIC=10%", 95},
			{"LB_CACHE_HEURISTIC=off", 86},
			{compressing, 94},
		} {
			t.Run(c.settings, func(t *testing.T) {
				t.Parallel()
				score := runCacheTests(t, folder, strings.Fields(c.settings)...)
				mu.Lock()
				scores[c.settings] = score
				mu.Unlock()
				for _, id := range score["required failed"] {
					if !slices.Contains(known, id) {
						t.Errorf("required: %s", id)
					}
				}
				required, optimal := score["required passed"], score["optimal passed"]
				t.Logf("cache-tests with %s: required %d of %d, optimal %d of %d; optimal but failed: %s", c.settings,
					len(required), len(required)+len(score["required failed"]),
					len(optimal), len(optimal)+len(score["optimal failed"]), strings.Join(score["optimal failed"], " "))
				if len(optimal) < c.optimal-least {
					t.Errorf("optimal: %d, want %d", len(optimal), c.optimal-least)
				}
			})
		}
	})

	for _, kind := range []string{"required passed", "optimal passed"} {
		for _, id := range scores["LB_CACHE_HEURISTIC=10%"][kind] {
			if id != offeredTwice && !slices.Contains(scores[compressing][kind], id) {
				t.Errorf("%s without compression, and not with it: %s", kind, id)
			}
		}
	}
}

// cacheTests returns the folder of the suite.
func cacheTests(t *testing.T) string {
	if folder := os.Getenv(cacheTestsVariable); folder != "" {
		return folder
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs ", program)
		}
	}
	dir := t.TempDir()
	install := exec.Command("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir,
		cacheTestsRelease)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	return filepath.Join(dir, "node_modules", "http-cache-tests")
}

// runCacheTests runs the suite's server and client, with the program between
// them. It returns the tests by kind and outcome.
func runCacheTests(t *testing.T, folder string, settings ...string) map[string][]string {
	t.Helper()
	engine := folder // where the scripts are: the registry's release has them at the top
	if _, err := os.Stat(filepath.Join(folder, "test-engine")); err == nil {
		engine = filepath.Join(folder, "test-engine")
	}

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close() // the suite's server can't be told to choose a port
	_, port, _ := net.SplitHostPort(address)
	server := exec.CommandContext(t.Context(), "node", "server/server.mjs")
	server.Dir = engine
	server.Env = append(os.Environ(), "npm_config_protocol=http", "npm_config_base=", "npm_config_port="+port,
		"npm_config_pidfile="+filepath.Join(t.TempDir(), "pid"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	await.Until(t, "the suite's server listens", func() bool {
		r, err := http.Get("http://" + address + "/")
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	})

	p := pillion.Start(t, append(settings, "LB_BACKENDS=http://"+address, "LB_CACHE=origin")...)
	client := exec.CommandContext(t.Context(), "node", "--no-warnings", "cli.mjs")
	client.Dir = engine
	client.Env = append(os.Environ(), "npm_config_base=http://"+p.Address, "npm_config_id=", "npm_package_config_id=")
	began := time.Now()
	out, err := client.Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("the suite took ", time.Since(began).Round(time.Second))

	return scoreCacheTests(t, folder, out)
}

// scoreCacheTests sorts the suite's results.
func scoreCacheTests(t *testing.T, folder string, results []byte) map[string][]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "results.json")
	if err := os.WriteFile(file, results, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("node", "testdata/cachescore.mjs", folder, file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	score := map[string][]string{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var kind, outcome, id string
		if _, err := fmt.Sscan(lines.Text(), &kind, &outcome, &id); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		score[kind+" "+outcome] = append(score[kind+" "+outcome], id)
	}

	return score
}
