package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// cases is the number of the harness's cases at both levels of the
// specification, as of June 2026.
const cases = 41

// explained has the failing cases with the reasons. A case that passes must be
// removed.
var explained = map[string]string{
	"test_multiple_requests_with_valid_traceparent": "wants a span of its own for each call of the app; a proxy " +
		"makes one call",
	"test_multiple_requests_with_illegal_traceparent": "the same",
	"test_multiple_requests_without_traceparent":      "the same",
}

// W3C's harness is a Python program with aiohttp and no part of this module.
// TRACE_CONTEXT_HARNESS is the folder of its test.py, and TRACE_CONTEXT_PYTHON
// an interpreter if it is not python3.
func TestTraceContext_FailsOnlyWhereItIsExplained(t *testing.T) {
	harness := os.Getenv("TRACE_CONTEXT_HARNESS")
	if harness == "" {
		t.Skip("TRACE_CONTEXT_HARNESS does not name the directory of W3C's test.py")
	}

	program, err := binary.Build("../../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}

	p := program.Start(t, backend.Backends(backend.Start(t, "app", relay)), "OTEL_TRACES_EXPORTER=console")
	said := validate(t, harness, p.URL("/test"))
	verdicts := regexp.MustCompile(`(?m)^(test_\w+) [\s\S]*?\.\.\. (ok|FAIL|ERROR|skipped.*)$`).FindAllStringSubmatch(said,
		-1)

	passed := 0
	for _, v := range verdicts {
		why, known := explained[v[1]]
		switch {
		case v[2] == "ok":
			passed++
			if known {
				t.Errorf("%s passes: take it out of the list", v[1])
			}
		case !known:
			t.Errorf("%s: %s", v[1], v[2])
		default:
			t.Logf("%s fails: %s", v[1], why)
		}
	}

	t.Logf("trace context: %d of %d, %d explained", passed, len(verdicts), len(explained))
	if len(verdicts) < cases || t.Failed() {
		t.Errorf("the service said of %d cases, want %d:\n%s", len(verdicts), cases, said)
	}
}

// validate runs the service against a URL and returns what it said.
func validate(t *testing.T, harness, url string) string {
	t.Helper()
	l := backend.Listen(t)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close() // the service has to be told a port, and nothing else here takes one meanwhile
	python := os.Getenv("TRACE_CONTEXT_PYTHON")
	if python == "" {
		python = "python3"
	}

	cmd := exec.Command(python, "test.py", url)
	cmd.Dir = harness
	cmd.Env = append(os.Environ(), "STRICT_LEVEL=2", "SPEC_LEVEL=2", "HARNESS_PORT="+port)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	limit := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	_ = cmd.Wait() // its exit code counts failures; they are judged one by one

	return said.String()
}
