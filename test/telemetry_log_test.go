package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// accessLines is what the log says of requests.
func accessLines(p *binary.Process) (lines []binary.Line) {
	for _, l := range p.Lines() {
		if l.Fields["httpRequest"] != nil {
			lines = append(lines, l)
		}
	}
	return lines
}

func TestTelemetry_AnAccessLineHasTheFieldsOfCloudLogging(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", nil)
	p := pillion.Start(t, "LB_ACCESS_LOG=on", "GOOGLE_CLOUD_PROJECT=shop", affine, backend.Backends(b))
	from := newCaller()
	get(t, newClient(t), p.URL("/path?q=1"), "Traceparent", from.Field(), "User-Agent", "probe/1", "Host", "shop.example")

	l := p.Line("of the request", func(l binary.Line) bool { return l.Fields["httpRequest"] != nil })
	for field, want := range map[string]any{
		"severity": "INFO", "message": "GET http://shop.example/path?q=1 200",
		"logging.googleapis.com/trace":         "projects/shop/traces/" + from.Trace,
		"logging.googleapis.com/trace_sampled": nil,
		"backend":                              "one", "attempts": 1.0, "pick": "random", "cookie": "none",
	} {
		if want != nil && l.Fields[field] != want {
			t.Errorf("%s is %v, want %v", field, l.Fields[field], want)
		}
	}

	if at, err := time.Parse(time.RFC3339Nano, l.String("time")); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("time is %q", l.String("time"))
	}

	request, _ := l.Fields["httpRequest"].(map[string]any)
	for field, want := range map[string]any{
		"requestMethod": "GET", "requestUrl": "http://shop.example/path?q=1", "status": 200.0, "userAgent": "probe/1",
		"remoteIp": "127.0.0.1", "protocol": "HTTP/1.1", "responseSize": "3",
	} {
		if request[field] != want {
			t.Errorf("httpRequest.%s is %v, want %v", field, request[field], want)
		}
	}

	if latency, _ := request["latency"].(string); !regexp.MustCompile(`^\d+\.\d+s$`).MatchString(latency) {
		t.Errorf("latency is %q", latency)
	}
}

// Without an exporter a line names the caller's trace, whichever field it came
// in, and says of it what the caller says.
func TestTelemetry_ALineNamesTheCallersTrace(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", nil)
	p := pillion.Start(t, "LB_ACCESS_LOG=on", "GOOGLE_CLOUD_PROJECT=shop", backend.Backends(b))
	client := newClient(t)

	for i, test := range []struct {
		field, format string
		sampled       bool
	}{
		{"Traceparent", "00-%s-00f067aa0ba902b7-01", true},
		{"Traceparent", "00-%s-00f067aa0ba902b7-00", false},
		{"X-Cloud-Trace-Context", "%s/1;o=1", true},
		{"X-Cloud-Trace-Context", "%s/1;o=0", false},
		{"X-Cloud-Trace-Context", "%s/0;o=1", true},
		{"X-Cloud-Trace-Context", "%s", false},
	} {
		trace := fmt.Sprintf("%032x", 0xabc0+i)
		get(t, client, p.URL("/"), test.field, fmt.Sprintf(test.format, trace))
		l := p.Line("of the request", func(l binary.Line) bool { return strings.Contains(l.Text, trace) })
		if got := l.String("logging.googleapis.com/trace"); got != "projects/shop/traces/"+trace {
			t.Errorf("%s: the trace is %q in %s", test.field, got, l.Text)
		}
		if got := l.Fields["logging.googleapis.com/trace_sampled"]; got != test.sampled {
			t.Errorf("%s: %s: sampled is %v", test.field, test.format, got)
		}
	}
}

// A request that is refused names its client as any other does: the one that a
// trusted proxy names, over every version of HTTP.
func TestTelemetry_ARefusedRequestNamesItsClient(t *testing.T) {
	t.Parallel()
	b := backend.Backends(backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("CDN-Loop"))
	}))
	for trust, want := range map[string]string{"none": "127.0.0.1", "1": "203.0.113.9"} {
		p := pillion.Start(t, "LB_ACCESS_LOG=on", "LB_TRUSTED_PROXIES="+trust, "LB_MAX_BODY_BYTES=10B",
			"OTEL_SERVICE_NAME=shop", b)
		tag := get(t, newClient(t), p.URL("/")).Text

		for _, client := range []*http.Client{newClient(t), newH2CClient(t)} {
			for status, r := range map[int]*http.Request{
				http.StatusMethodNotAllowed:      newRequest(t, "TRACE", p.URL("/"), nil),
				http.StatusRequestEntityTooLarge: newRequest(t, "POST", p.URL("/"), strings.NewReader("eleven char")),
				http.StatusLoopDetected:          newRequest(t, "GET", p.URL("/"), nil, "CDN-Loop", tag+","+tag+","+tag),
			} {
				r.Header.Set("X-Forwarded-For", "203.0.113.9")
				wantStatus(t, send(t, client, r), status)
			}
		}

		lines := func() (refused []binary.Line) {
			for _, l := range accessLines(p) {
				if request, _ := l.Fields["httpRequest"].(map[string]any); request["status"] != 200.0 {
					refused = append(refused, l)
				}
			}
			return refused
		}
		await.Until(t, "all are logged", func() bool { return len(lines()) == 6 })
		for _, l := range lines() {
			if request := l.Fields["httpRequest"].(map[string]any); request["remoteIp"] != want {
				t.Errorf("with %s: remoteIp is %v in %s", trust, request["remoteIp"], l.Text)
			}
		}
	}
}

// Docker and containerd cut lines at 16 KiB. A client chooses texts that become
// longer when they are quoted.
func TestTelemetry_NoLineIsLongerThanContainersTake(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", nil)
	p := pillion.Start(t, "LB_ACCESS_LOG=on", "OTEL_TRACES_EXPORTER=console", backend.Backends(b))
	for _, unit := range []string{"\"", "\\", "\xff", "a", "\u00e9", "\u202e"} {
		text := strings.Repeat(unit, 8000/len(unit))
		conn, err := net.Dial("tcp", p.Address)
		if err == nil {
			_, err = fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: %s\r\n\r\n", text, text)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}

	p.Signal(syscall.SIGTERM)
	p.Wait(await.Limit)
	longest := 0
	for line := range strings.Lines(p.Printed()) {
		longest = max(longest, len(line))
	}
	if longest > 16<<10 || longest < 4<<10 {
		t.Errorf("the longest line has %d bytes", longest)
	}
}

// Whatever stands in for a project's id, a line is one JSON object.
func TestTelemetry_NoProjectSpoilsALine(t *testing.T) {
	t.Parallel()
	b := backend.Backends(backend.Start(t, "one", nil))
	m := newMachine(t)
	m.SetFault(server.Fault{Mode: server.HTML})

	for env, prefix := range map[string]string{m.Environment: "",
		"GOOGLE_CLOUD_PROJECT=a\"b\\c": `projects/a"b\c/traces/`} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, "LB_ACCESS_LOG=on", env, b)
			if env == m.Environment {
				await.Until(t, "the project is asked for again", func() bool { return m.Requests("project/project-id") > 1 })
			}

			from := newCaller()
			wantStatus(t, get(t, newClient(t), p.URL("/"), "Traceparent", from.Field()), http.StatusOK)
			l := p.Line("of the request", func(l binary.Line) bool { return strings.Contains(l.Text, from.Trace) })
			if got := l.String("logging.googleapis.com/trace"); got != prefix+from.Trace {
				t.Errorf("the trace is %q in %s", got, l.Text)
			}
		})
	}
}

func TestTelemetry_TheErrorsModeLogsOnlyWhatWentWrong(t *testing.T) {
	t.Parallel()
	broken := silent(t)
	good := backend.Start(t, "good", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/500" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	p := pillion.Start(t, append([]string{"LB_ACCESS_LOG=errors", "LB_BACKENDS=" + broken.Target("weight=1") + ";" +
		good.Target("weight=1")}, calm...)...)
	client := newClient(t)
	for range 40 {
		wantStatus(t, get(t, client, p.URL("/200")), http.StatusOK)
	}

	wantStatus(t, get(t, client, p.URL("/500")), http.StatusInternalServerError)
	p.Line("of the last request", func(l binary.Line) bool { return strings.Contains(l.String("message"), "/500 500") })

	lines, retried := accessLines(p), 0
	for _, l := range lines {
		switch ok := strings.HasSuffix(l.String("message"), "/200 200"); {
		case ok && l.Fields["attempts"] == 2.0:
			retried++
		case ok:
			t.Errorf("an ordinary request is logged: %s", l.Text)
		case l.String("severity") != "ERROR":
			t.Errorf("a 500 has the severity %s", l.String("severity"))
		}
	}

	if tries := broken.Requests.Len(); retried+1 < tries || retried > tries || retried == 0 {
		t.Errorf("%d retried requests are logged, and %d were retried", retried, tries)
	}
}

// The log names the side that ended a request, and the phase in which it ended.
func TestTelemetry_ALineSaysWhoEndedARequestAndWhen(t *testing.T) {
	t.Parallel()
	b := backend.StartScript(t, "one", func(r backend.Request) string {
		if strings.Contains(r.Head, "/cut") {
			return ""
		}
		return backend.Answer(200, "ok")
	})
	p := pillion.Start(t, append([]string{"LB_ACCESS_LOG=on", "LB_RETRIES=0", b.Environment()}, calm...)...)
	wantStatus(t, get(t, newClient(t), p.URL("/cut")), http.StatusBadGateway)
	l := p.Line("of the cut request", func(l binary.Line) bool { return strings.Contains(l.String("message"), "/cut") })
	if l.String("ended") != "backend/head" || l.String("severity") != "ERROR" || l.String("error") == "" ||
		l.String("request_id") == "" {
		t.Errorf("the log says %s", l.Text)
	}

	wantStatus(t, get(t, newClient(t), p.URL("/whole")), http.StatusOK)
	l = p.Line("of the whole request", func(l binary.Line) bool { return strings.Contains(l.String("message"), "/whole") })
	if l.String("ended") != "" || l.String("error") != "" {
		t.Errorf("the log says %s", l.Text)
	}
}

// An unsupported value is said with what is accepted and never stops the start;
// check refuses it.
func TestTelemetry_UnsupportedValuesWarn(t *testing.T) {
	t.Parallel()
	b := backend.Backends(backend.Start(t, "one", nil))
	for value, accepted := range map[string]string{
		"OTEL_TRACES_EXPORTER=zipkin": "otlp", "OTEL_METRICS_EXPORTER=statsd": "prometheus",
		"OTEL_TRACES_SAMPLER=xray": "parentbased_always_on", "OTEL_PROPAGATORS=tracecontext,b3": "xcloudtrace",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/json": "grpc", "OTEL_BSP_MAX_QUEUE_SIZE=many": "", "OTEL_TRACES_SAMPLER_ARG=2": "",
		"OTEL_SDK_DISABLED=perhaps": "",
	} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			name, _, _ := strings.Cut(value, "=")
			p := pillion.Start(t, b, value)
			wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)

			warned := 0
			for _, l := range p.Lines() {
				if l.String("severity") == "WARNING" && strings.Contains(l.Text, name) {
					warned++
					if !strings.Contains(l.Text, accepted) {
						t.Errorf("the warning does not name %s: %s", accepted, l.Text)
					}
				}
			}

			if warned != 1 {
				t.Errorf("%d warnings, want one", warned)
			}
			if r := pillion.Run(t, []string{b, value}, "check"); r.Code != 78 || linesWith(r, name, accepted) == 0 {
				t.Errorf("check: exit code %d\n%s", r.Code, r.Output())
			}
		})
	}
}

// Platforms set these for programs in other languages; none of them is about
// us.
func TestTelemetry_WhatPlatformsInjectNeverStopsTheStart(t *testing.T) {
	t.Parallel()
	b := backend.Backends(backend.Start(t, "one", nil))
	injected := []string{
		b, "OTEL_LOGS_EXPORTER=otlp", "OTEL_NODE_RESOURCE_DETECTORS=env,host,os",
		"OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED=true",
		"OTEL_DOTNET_AUTO_HOME=/otel", "OTEL_GO_AUTO_TARGET_EXE=/app", "OTEL_INJECTOR_CONFIG_FILE=x",
		"JAVA_TOOL_OPTIONS=-javaagent:/otel.jar", "OTEL_METRICS_EXEMPLAR_FILTER=trace_based",
		"OTEL_SEMCONV_STABILITY_OPT_IN=http", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME=p", "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME=n",
		"OTEL_PROPAGATORS=tracecontext,baggage",
	}
	p := pillion.Start(t, injected...)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
	if r := pillion.Run(t, injected, "check"); r.Code != 0 {
		t.Errorf("check: exit code %d\n%s", r.Code, r.Output())
	}
}
