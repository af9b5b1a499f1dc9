package monitoring

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// limit is how long a step of Prometheus may take on a busy machine.
const limit = 3 * time.Minute

// installed returns the path of a program of Prometheus. It skips the test if
// the program is not installed.
func installed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed; Debian and Ubuntu have it in the package prometheus", name)
	}

	return path
}

func TestAlerts_RulesAreValid(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(installed(t, "promtool"), "check", "rules", folder+"alerts.yaml").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "rules found") {
		t.Errorf("promtool check: %v, want valid rules:\n%s", err, out)
	}
}

func TestAlerts_FireOnlyForTheirConditions(t *testing.T) {
	t.Parallel()
	command := exec.Command(installed(t, "promtool"), "test", "rules", "alerts_test.yaml")
	command.Dir = "testdata"
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool test: %v, want success:\n%s", err, out)
	}

	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(file(t, folder+"alerts.yaml"), -1) {
		if !strings.Contains(file(t, "testdata/alerts_test.yaml"), m[1]) {
			t.Errorf("alerts_test.yaml does not test %s", m[1])
		}
		if !strings.Contains(file(t, folder+"README.md"), "\n### "+m[1]+"\n") {
			t.Errorf("README.md has no section for %s", m[1])
		}
		if !strings.Contains(file(t, folder+"alerts.yaml"), "#"+strings.ToLower(m[1])+"\n") {
			t.Errorf("%s has no runbook_url that leads to its section", m[1])
		}
	}
}

// prometheus is a running Prometheus with the configuration prometheus.yaml.
type prometheus struct{ url string }

// startPrometheus starts Prometheus with the configuration and the rules of
// deploy/monitoring. Only the addresses are replaced, scrapes happen every half
// second, and a minute in a rule becomes two seconds.
func startPrometheus(t *testing.T, targets ...string) prometheus {
	t.Helper()
	path, dir := installed(t, "prometheus"), t.TempDir()
	minute := regexp.MustCompile(`\b(\d+)m\b`)
	rules := minute.ReplaceAllStringFunc(file(t, folder+"alerts.yaml"), func(m string) string {
		n, _ := strconv.Atoi(strings.TrimSuffix(m, "m"))
		return strconv.Itoa(2*n) + "s"
	})

	config := strings.NewReplacer(
		"15s", "500ms",
		"/etc/prometheus/pillion-token", filepath.Join(dir, "token"),
		"- localhost:8080", "- "+strings.Join(targets, "\n          - "),
	).Replace(file(t, folder+"prometheus.yaml"))
	for name, text := range map[string]string{"alerts.yaml": rules, "prometheus.yaml": config, "token": token} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	p := prometheus{"http://" + freeAddress(t)}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	command := exec.Command(path, "--config.file="+filepath.Join(dir, "prometheus.yaml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+strings.TrimPrefix(p.url, "http://"))
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("Prometheus printed:\n%s", file(t, log.Name()))
		}
	})

	return p
}

// freeAddress returns an address without a listener.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	return l.Addr().String()
}

// ask decodes an answer of the API. It reports false if there is no answer yet.
func (p prometheus) ask(t *testing.T, path string, into any) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()

	return response.StatusCode == http.StatusOK && json.NewDecoder(response.Body).Decode(into) == nil
}

// firing returns the names of the alerts that fire.
func (p prometheus) firing(t *testing.T) map[string]bool {
	t.Helper()
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
	}
	p.ask(t, "/api/v1/alerts", &answer)

	all := map[string]bool{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			all[a.Labels["alertname"]] = true
		}
	}

	return all
}

// When the first of two backends fails, an alert fires for it. When the second
// fails too, alerts fire for missing backends and for errors.
func TestAlerts_FireForFailedBackends(t *testing.T) {
	t.Parallel()
	one, two := backend.Start(t, "one", nil), backend.Start(t, "two", nil)
	lb := pillion.Start(t, "LB_STATUS_TOKEN="+token, "OTEL_METRICS_EXPORTER=prometheus", "LB_EJECT_TIME=1s",
		backend.Backends(one, two))
	p := startPrometheus(t, lb.Address)

	seen := func(query string) func() bool {
		return func() bool {
			get(t, lb.URL("/"))
			return p.result(t, query) != "[]"
		}
	}
	wait(t, "Prometheus has scraped", seen(`lb_endpoint_state == 1`))
	wait(t, "it has seen requests", seen(`increase(http_server_request_duration_seconds_count[10s]) > 20`))
	if got := p.firing(t); len(got) != 0 {
		t.Errorf("%v fire, want none while both backends work", got)
	}

	fires := func(name string) func() bool {
		return func() bool {
			get(t, lb.URL("/"))
			return p.firing(t)[name]
		}
	}
	one.Close()
	wait(t, "PillionBackendEjected fires", fires("PillionBackendEjected"))
	if got := p.firing(t); len(got) != 1 {
		t.Errorf("%v fire, want one alert while one of two backends is down", got)
	}

	two.Close()
	wait(t, "PillionNoBackend fires", fires("PillionNoBackend"))
	wait(t, "PillionErrors fires", fires("PillionErrors"))
}

func wait(t *testing.T, what string, condition func() bool) {
	t.Helper()
	if !await.Within(limit, condition) {
		t.Fatalf("not within %v: %s", limit, what)
	}
}

// result returns the result of a query as JSON. Without an answer it is "[]".
func (p prometheus) result(t *testing.T, query string) string {
	t.Helper()
	var answer struct {
		Data struct{ Result json.RawMessage }
	}
	if !p.ask(t, "/api/v1/query?query="+url.QueryEscape(query), &answer) {
		return "[]"
	}

	return string(answer.Data.Result)
}

// queries returns the expressions of both dashboards, with values for Grafana's
// variables.
func queries(t *testing.T) (all []string) {
	t.Helper()
	expression := regexp.MustCompile(`"(?:expr|prometheusQuery)": ("(?:[^"\\]|\\.)*")`)
	fill := strings.NewReplacer("$__rate_interval", "30s", "$job", ".*", "$instance", ".*", "[5m]", "[30s]")
	for _, name := range []string{"grafana.json", "cloud-monitoring.json"} {
		found := expression.FindAllStringSubmatch(file(t, folder+name), -1)
		if len(found) < 15 {
			t.Fatalf("%s has %d queries, want 15 at least", name, len(found))
		}
		for _, m := range found {
			var query string
			if err := json.Unmarshal([]byte(m[1]), &query); err != nil {
				t.Fatal(err)
			}
			all = append(all, fill.Replace(query))
		}
	}

	return all
}

// Every query of the dashboards has a result. A query with a wrong metric or
// label would have none.
func TestDashboards_EveryQueryHasAResult(t *testing.T) {
	t.Parallel()
	s := startInstance(t)
	p := startPrometheus(t, s.Address)

	open := map[string]bool{}
	for _, q := range queries(t) {
		open[q] = true
	}
	shown := await.Within(limit, func() bool {
		get(t, s.URL("/"), "Accept-Encoding", "gzip")
		for q := range open {
			if p.result(t, q) != "[]" {
				delete(open, q)
			}
		}
		return len(open) == 0
	})
	for q := range open {
		if !shown {
			t.Errorf("the query has no result: %s", q)
		}
	}
}
