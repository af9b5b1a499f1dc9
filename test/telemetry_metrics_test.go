package test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/otlp"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// series is the number of lines that are no comment.
func series(text string) (n int) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

func TestTelemetry_MetricsHaveTheConventionsNamesAndBuckets(t *testing.T) {
	t.Parallel()
	broken := silent(t)
	good := backend.Start(t, "good", nil)
	env := append([]string{"LB_STATUS_TOKEN=" + watchword, affine, "OTEL_TRACES_EXPORTER=console", unfair(broken, good)},
		calm...)
	p := pillion.Start(t, env...)
	for range 20 {
		wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
	}

	text := metricsText(t, p.URL(""))
	for name, kind := range map[string]string{
		"http_server_request_duration_seconds": "histogram", "http_client_request_duration_seconds": "histogram",
		"http_server_active_requests": "gauge", "lb_attempts_total": "counter", "lb_endpoint_state": "gauge",
		"lb_endpoint_in_flight": "gauge", "lb_retries_total": "counter", "lb_retry_budget": "gauge",
		"lb_affinity_verdicts_total": "counter", "lb_pool_connections": "gauge", "lb_queue_length": "gauge",
		"lb_discovery_age_seconds": "gauge", "lb_discovery_up": "gauge", "lb_telemetry_spans_dropped_total": "counter",
		"lb_log_lines_dropped_total": "counter",
	} {
		if !strings.Contains(text, "# TYPE "+name+" "+kind+"\n") {
			t.Errorf("there is no %s %s", kind, name)
		}
	}

	wantBuckets(t, text, "http_server_request_duration_seconds")
	wantBuckets(t, text, "http_client_request_duration_seconds")
	if n := sum(text, "http_server_request_duration_seconds_count"); n != 20 {
		t.Errorf("%d requests are counted, want 20", n)
	}

	attempts := int64(broken.Requests.Len() + good.Hits())
	if n := sum(text, "lb_attempts_total"); n != attempts || n != sum(text, "http_client_request_duration_seconds_count") {
		t.Errorf("%d attempts are counted, want %d", n, attempts)
	}
	if n := sum(text, "lb_retries_total"); n != int64(broken.Requests.Len()) {
		t.Errorf("%d retries are counted, want %d", n, broken.Requests.Len())
	}

	wantExemplar(t, p.URL("/.lb/metrics"))
}

// wantBuckets fails unless the bounds are those that the HTTP conventions
// advise.
func wantBuckets(t *testing.T, text, name string) {
	t.Helper()
	var bounds []string
	for _, m := range regexp.MustCompile(name+`_bucket\{[^}]*le="([^"]+)"`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(bounds, m[1]) {
			bounds = append(bounds, m[1])
		}
	}

	want := strings.Fields("0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 +Inf")
	for i, b := range bounds {
		if !strings.ContainsAny(b, ".I") {
			bounds[i] = b + ".0"
		}
	}

	if !slices.Equal(bounds, want) {
		t.Errorf("%s has the buckets %q, want %q", name, bounds, want)
	}
}

// wantExemplar fails unless OpenMetrics text names a trace.
func wantExemplar(t *testing.T, url string) {
	t.Helper()
	a := get(t, newClient(t), url, "Authorization", "Bearer "+watchword, "Accept",
		"application/openmetrics-text; version=1.0.0")
	exemplar := regexp.MustCompile(
		`http_server_request_duration_seconds_bucket\{.* # \{.*trace_id="[0-9a-f]{32}"`)
	if !exemplar.MatchString(a.Text) || !strings.HasSuffix(a.Text, "# EOF\n") {
		t.Errorf("there is no exemplar in %s %.3000s", a.Header.Get("Content-Type"), a.Text)
	}
}

// Nothing that a client chooses adds a series: neither paths, hosts and methods
// nor fields.
func TestTelemetry_ClientsAddNoSeries(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_STATUS_TOKEN="+watchword, affine, backend.Backends(backend.StartMany(t, 2)...))
	client := newClient(t)
	visit := func(i int) {
		r := newRequest(t, fmt.Sprintf("VERB%d", i), p.URL(fmt.Sprintf("/path/%d?q=%d", i, i)), nil, "Host",
			fmt.Sprintf("h%d.example", i),
			"User-Agent", fmt.Sprint("agent ", i), "X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", i/256, i%256), "Cookie",
			fmt.Sprintf("a%d=b", i))
		wantStatus(t, send(t, client, r), http.StatusOK)
	}
	for i := range 50 { // enough to meet both backends
		visit(i)
	}

	before := series(metricsText(t, p.URL("")))
	for i := range 1000 {
		visit(1000 + i)
	}
	if after := series(metricsText(t, p.URL(""))); after != before || before > 1000 {
		t.Errorf("%d series became %d", before, after)
	}
}

func TestTelemetry_MetricsNeedTheToken(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", nil)
	p := pillion.Start(t, "LB_STATUS_TOKEN="+watchword, backend.Backends(b))
	for _, fields := range [][]string{nil, {"Authorization", "Bearer " + watchword + "x"}} {
		if a := get(t, newClient(t), p.URL("/.lb/metrics"), fields...); a.Backend() != "one" {
			t.Errorf("%q: answered by us: %d %.100q", fields, a.StatusCode, a.Text)
		}
	}

	// The right token in a wrong form opens nothing, and no backend learns it.
	a := get(t, newClient(t), p.URL("/.lb/metrics"), "Authorization", watchword)
	if a.StatusCode != http.StatusNotFound || a.Backend() != "" {
		t.Errorf("a token without its scheme is answered %d by %q", a.StatusCode, a.Backend())
	}
}

// The last request's span, metric and line leave at the end of the process
// within a second.
func TestTelemetry_TheEndLosesNothing(t *testing.T) {
	t.Parallel()
	receiver := otlp.Start(t)
	env := withoutName(receiver.Environment(), "OTEL_BSP_SCHEDULE_DELAY")
	p := pillion.Start(t, append(env, "LB_ACCESS_LOG=on", backend.Backends(backend.Start(t, "one", nil)))...)
	const made = 200
	load{client: newClient(t), workers: 8, requests: made, make: gets(p.URL("/"))}.run(t)
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(await.Limit); code != 0 {
		t.Errorf("exit code %d", code)
	}

	lines := 0
	for _, l := range p.Lines() {
		if l.Fields["httpRequest"] != nil {
			lines++
		}
	}

	if receiver.Len() != 2*made || lines != made {
		t.Errorf("%d spans and %d lines of %d requests", receiver.Len(), lines, made)
	}
}

// What a span calls an error its metric calls the same error: an answer that
// was cut, whatever its status said.
func TestTelemetry_SpanAndMetricAgreeOnAnError(t *testing.T) {
	t.Parallel()
	receiver := otlp.Start(t)
	raw := backend.StartRaw(t, "one", func(c *backend.Conn) {
		_, _ = c.In.ReadString('\n')
		_, _ = c.Write([]byte("HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nhalf"))
	})
	env := append(withoutName(receiver.Environment(), "OTEL_METRICS_EXPORTER"), calm...)
	p := pillion.Start(t, append(env, "OTEL_METRICS_EXPORTER=prometheus", "LB_STATUS_TOKEN="+watchword,
		raw.Environment())...)
	from := newCaller()
	c := wire.Dial(t, p.Address)
	c.Get("/", "Traceparent: "+from.Field())
	c.Head()

	servers, clients := otlp.Split(receiver.Trace(t, from.Trace, 2))
	for metric, span := range map[string]*otlp.Span{"server": servers[0], "client": clients[0]} {
		failure, _ := span.Attributes["error.type"].(string)
		series := regexp.MustCompile(`http_` + metric + `_request_duration_seconds_count\{error_type="` + failure +
			`",.*http_response_status_code="404"`)
		if text := metricsText(t, p.URL("")); failure == "" || !series.MatchString(text) {
			t.Errorf("the %s span's error is %q, and there is no series of it", metric, failure)
		}
	}
}

// A retry is counted for what led to it, also when its own answer leads to
// another one.
func TestTelemetry_ARetryIsCountedForItsOwnReason(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	var targets []string

	for _, name := range []string{"one", "two", "three"} {
		raw := backend.StartScript(t, name, func(backend.Request) string {
			return []string{"", backend.Answer(503, "busy"), backend.Answer(200, "ok")}[n.Add(1)-1]
		})
		targets = append(targets, raw.Target())
	}

	p := pillion.Start(t, append(calm, "LB_STATUS_TOKEN="+watchword, "LB_RETRIES=2", "LB_RETRY_STATUS=503",
		"LB_BACKENDS="+strings.Join(targets, ";"))...)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
	text := metricsText(t, p.URL(""))
	for _, class := range []string{"idempotent", "status"} {
		if got := sum(text, `lb_retries_total{lb_retry_class="`+class+`"`); got != 1 {
			t.Errorf("%d retries of the class %s, want 1", got, class)
		}
	}
}
