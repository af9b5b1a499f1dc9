package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// inGVisor names the tests that depend on the kernel. They run a second time
// inside gVisor, the sandbox of Cloud Run.
const inGVisor = "^(" +
	"TestSplice_LargeBodiesArriveUnchanged|TestRelay_|TestWebSocket_|TestProtocol_|" + // bytes
	// connections
	"TestListener_|TestStart_ListensAtOnce|TestRetry_AnUnansweredGetGoesElsewhere|TestUndelivered_WhatWasRead|" +
	"TestStop_|TestChaos_SIGTERMCompletes|TestChaos_SIGTERMEndsABusyWebSocket|" + // draining
	"TestChaos_ProbesTake|TestChaos_TheFirstProbe|TestChaos_ATCPCheck|TestChaos_AGRPCCheck" + // health checks
	")"

// runsc runs a command inside gVisor, with no network except loopback.
func runsc(t *testing.T, limit time.Duration, env []string, command ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("runsc")
	if err != nil {
		t.Skip("gVisor's runsc is not installed; Debian and Ubuntu have a package of that name")
	}

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"--network=none", "--ignore-cgroups", "do"}, command...)...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

// TestGVisor_EverythingThatNeedsAKernel runs the test binary itself inside
// gVisor.
func TestGVisor_EverythingThatNeedsAKernel(t *testing.T) {
	if os.Getenv(binary.PathVariable) != "" {
		t.Skip("this is the inside")
	}

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	if out, err := runsc(t, time.Minute, nil, "/bin/true"); err != nil {
		t.Skipf("runsc can't run a command here: %v\n%s", err, out)
	}

	out, err := runsc(t, 10*time.Minute, []string{binary.PathVariable + "=" + pillion.Path},
		self, "-test.run", inGVisor, "-test.v", "-test.timeout", "9m")
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}

	played := strings.Count(out, "--- PASS")
	if err != nil || played < 80 {
		t.Errorf("%v after %d tests inside gVisor:\n%s", err, played, failures(out))
	}
}

// failures returns the output of a verbose run without the lines about tests
// that started, paused, continued and passed.
func failures(out string) string {
	var kept []string
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		routine := len(words) > 1 && slices.Contains([]string{"RUN", "PAUSE", "CONT"}, words[1])
		if !routine && !strings.HasPrefix(strings.TrimSpace(line), "--- PASS") {
			kept = append(kept, line)
		}
	}

	return strings.Join(kept, "")
}

// The kernel may defer accepting a connection until its client has sent
// something. Clients that send late, in pieces or nothing must not disturb
// others, and are served.
func TestListener_ClientsThatSpeakLateAreServed(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, append(calm, backend.Backends(backend.Start(t, "one", nil)), "LB_HEADER_TIMEOUT=1s",
		"LB_IDLE_TIMEOUT=1s")...)

	var silent, slow []*wire.Conn
	for range 20 {
		silent, slow = append(silent, wire.Dial(t, p.Address)), append(slow, wire.Dial(t, p.Address))
	}

	for range 20 { // others are served meanwhile
		wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
	}

	for _, c := range slow {
		c.Send("GET / HTT")
	}

	for i, c := range slow {
		c.Send(fmt.Sprintf("P/1.1\r\nHost: a\r\nX-N: %d\r\n\r\n", i))
		if resp, _ := c.Response(http.MethodGet); resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
	}

	for _, c := range silent {
		if rest, err := c.Rest(); rest != "" || err != nil {
			t.Errorf("%q and %v for a client that said nothing", rest, err)
		}
	}
}
