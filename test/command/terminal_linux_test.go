package command

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/pty"
)

// columns is the width of the terminal.
const columns = 72

// startInTerminal starts Pillion in a terminal, and returns its URL.
func startInTerminal(t *testing.T, env ...string) (*pty.Terminal, string) {
	t.Helper()
	term := pty.Start(t, columns, append([]string{"LB_LISTEN=127.0.0.1:0", "LB_DRAIN_DELAY=0s"}, env...), pillion.Path)

	return term, term.Until(`Pillion \S+ +(http://127\.0\.0\.1:\d+)\n`)[1]
}

// get sends a GET and returns the status.
func get(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)

	return resp.StatusCode
}

// wantFitting fails the test if a line is wider than the terminal.
func wantFitting(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\r\n")); n > columns {
			t.Errorf("a line has %d columns, want at most %d: %q", n, columns, line)
		}
	}
}

func TestTerminal_TheStartShowsTheConfigurationAndThePageAddress(t *testing.T) {
	t.Parallel()
	term, url := startInTerminal(t,
		"LB_BACKENDS=demo://2;http://127.0.0.1:1?name=a-rather-long-name;http://127.0.0.1:2?name=another",
		"LB_SESSION_AFFINITY=cookie", "LB_STATUS_TOKEN=a-token-of-many-letters", "LB_HEALTH_CHECK=/healthz")
	term.Until(regexp.QuoteMeta("status page    " + url + "/.lb/"))
	term.Until(`backends +demo://2`)
	term.Until(`health check\s+/healthz\s+every\s+5s`)
	term.Signal(syscall.SIGTERM)
	if code := term.Wait(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	wantFitting(t, term.Plain())
	if strings.Contains(term.Plain(), `{"`) || strings.Contains(term.Plain(), "a-token") {
		t.Errorf("the terminal shows JSON or a secret:\n%s", term.Plain())
	}
}

func TestTerminal_WithoutATokenTheStartExplainsThatThePageIsOff(t *testing.T) {
	t.Parallel()
	term, _ := startInTerminal(t, "LB_BACKENDS=demo://1")
	term.Until(`status page +off: LB_STATUS_TOKEN is not set`)
}

func TestTerminal_RequestsAreColouredByStatusAndShowFailedAttempts(t *testing.T) {
	t.Parallel()
	term, url := startInTerminal(t, "LB_BACKENDS=http://"+backend.Closed(t)+"?name=dead&weight=256;"+
		backend.StartMany(t, 1)[0].Target(), "LB_START_HOLD=0s", "LB_EJECT_ERRORS=0", "LB_EJECT_RATE=0")
	long := "/" + strings.Repeat("long-path/", 20)
	for range 3 {
		get(t, url+long)
	}
	term.Until(`\d\d:\d\d:\d\d 200   GET /long-path\S*…`)
	term.Until(`tried dead: connect: connection refused`)
	if !strings.Contains(term.Text(), "\x1b[32m200") {
		t.Error("a 200 is not green")
	}
	term.Signal(syscall.SIGTERM)
	term.Wait()
	wantFitting(t, term.Plain())
}

func TestTerminal_TheEnvironmentTurnsColoursOff(t *testing.T) {
	t.Parallel()
	for _, env := range []string{"NO_COLOR=1", "TERM=dumb"} {
		term, url := startInTerminal(t, "LB_BACKENDS=demo://1", env)
		get(t, url)
		term.Until(` 200   GET / `)
		if strings.Contains(term.Text(), "\x1b") {
			t.Errorf("%s: the terminal has colours: %q", env, term.Text())
		}
	}
}

func TestTerminal_SpansAreATreeWithTheParentFirst(t *testing.T) {
	t.Parallel()
	term, url := startInTerminal(t, "LB_BACKENDS=demo://1", "OTEL_TRACES_EXPORTER=console")
	get(t, url)
	term.Until(`(?m)^ +SERVER GET \S+ 200 demo-1 trace=[0-9a-f]{20}.*\n +└ CLIENT GET \S+ 200 demo-1`)
	term.Signal(syscall.SIGTERM)
	term.Wait()
	wantFitting(t, term.Plain())
}

func TestTerminal_OutsideATerminalLinesAreJSON(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_BACKENDS=demo://1", "LB_LOG_FORMAT=")
	for _, l := range p.Lines() {
		if l.Fields == nil {
			t.Errorf("a line is not JSON: %q", l.Text)
		}
	}
}

func TestTerminal_LogFormatAppliesInATerminalToo(t *testing.T) {
	t.Parallel()
	env := []string{"LB_LISTEN=127.0.0.1:0", "LB_BACKENDS=demo://1", "LB_LOG_FORMAT=json"}
	term := pty.Start(t, columns, env, pillion.Path)
	term.Until(`"message":"listening"`)
}

func TestTerminal_ProblemsAndExplanationsFitItsWidth(t *testing.T) {
	t.Parallel()
	term := pty.Start(t, columns, []string{"LB_BACKENDS=:9001", "LB_RETRIES=many"}, pillion.Path)
	if code := term.Wait(); code != 78 {
		t.Errorf("exit code %d, want 78", code)
	}
	term.Until(`LB_RETRIES: "many" is not a whole number\n    accepted  .*\n    example   LB_RETRIES='`)
	wantFitting(t, term.Plain())

	term = pty.Start(t, columns, []string{"LB_BACKENDS=:9001"}, pillion.Path, "explain")
	if code := term.Wait(); code != 0 {
		t.Errorf("explain: exit code %d, want 0", code)
	}
	term.Until(`LB_RETRIES = 1 `)
	wantFitting(t, term.Plain())
}
