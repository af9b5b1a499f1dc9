package command

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
)

var subcommands = strings.Fields("serve check explain routes echo healthcheck wait completion man version help")

func TestHelp_EveryCommandHasIt(t *testing.T) {
	t.Parallel()
	whole := pillion.Run(t, nil, "help")
	for _, name := range subcommands {
		for _, flag := range []string{"--help", "-h"} {
			r := pillion.Run(t, nil, name, flag)
			if r.Code != 0 || !strings.Contains(r.Stdout, "pillion") || r.Stderr != "" {
				t.Errorf("%s %s: exit code %d, want 0 and a text on standard output: %s", name, flag, r.Code, r.Output())
			}
			if !strings.Contains(whole.Stdout, r.Stdout) {
				t.Errorf("help does not contain the text of %s %s: %s", name, flag, r.Stdout)
			}
		}
		if r := pillion.Run(t, nil, "help", name); r.Code != 0 || r.Stdout == "" {
			t.Errorf("help %s: exit code %d, want 0 and a text: %s", name, r.Code, r.Output())
		}
	}
}

// help lists the exit codes of the table in config/README.md.
func TestHelp_ListsTheDocumentedExitCodes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../config/README.md")
	if err != nil {
		t.Fatal(err)
	}
	help := pillion.Run(t, nil, "help").Stdout
	rows := regexp.MustCompile(`(?m)^\| ([0-9]+) \| ([^|]+) \|$`).FindAllStringSubmatch(string(page), -1)
	if len(rows) != 4 {
		t.Errorf("the table has %d exit codes, want 4", len(rows))
	}
	for _, row := range rows {
		if !strings.Contains(help, "  "+row[1]+strings.Repeat(" ", 4-len(row[1]))+row[2]+"\n") {
			t.Errorf("help does not explain exit code %s: %s", row[1], row[2])
		}
	}
}

func TestCommand_WrongArgumentsExitWith2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"chekc"}, {"--port=80"}, {"check", "extra"}, {"check", "--resolve=x"}, {"explain", "--wrong"}, {"wait"},
		{"wait", "localhost:80"}, {"serve", "now"}, {"echo", "--port=1"}, {"echo", "nope"},
		{"echo", ":http"}, {"completion"}, {"completion", "tcsh"},
		{"man", "x"}, {"healthcheck", "x"}, {"help", "x"}, {"version", "x"}, {"explain", "--changed", "--json"},
	} {
		r := pillion.Run(t, []string{"LB_BACKENDS=demo://1"}, args...)
		if r.Code != 2 || r.Stdout != "" || strings.Count(r.Stderr, "\n") > 20 ||
			!strings.HasPrefix(r.Stderr, "pillion: ") || !strings.Contains(r.Stderr, "pillion help") {
			t.Errorf("pillion %v: exit code %d, want 2 and a short help on standard error: %q", args, r.Code, r.Output())
		}
	}
}

// A misspelt word is answered with the nearest known one, and with the help of
// its command alone: the whole help is longer than many terminals.
func TestCommand_AMisspeltWordIsAnsweredWithTheNearest(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"chek":                        "; the nearest is check; nothing is configured by arguments",
		"--explain":                   "; the nearest is explain; nothing",
		"check --conect":              `check does not know "--conect"; the nearest is --connect`,
		"check -resolve":              "; the nearest is --resolve",
		"explain --chnged":            "; the nearest is --changed",
		"explain LB_RETRY":            `explain does not know "LB_RETRY"; LB_RETRIES is meant`,
		"explain --changed --json":    `"--changed" together with --json`,
		"help explian":                "; the nearest is explain",
		"LB_BACKENDS=demo://3":        "  LB_BACKENDS=demo://3 pillion\n",
		"something-else-at-all-times": `"something-else-at-all-times"; nothing is configured by arguments`,
	} {
		r := pillion.Run(t, []string{"LB_BACKENDS=demo://1"}, strings.Fields(line)...)
		if r.Code != 2 || !strings.Contains(r.Stderr, want) {
			t.Errorf("pillion %s: exit code %d, want %q in %q", line, r.Code, want, r.Output())
		}
	}
}

// echo answers with its own name and the request that it received, without
// credentials.
func TestEcho_AnswersWithItsNameAndTheRequest(t *testing.T) {
	t.Parallel()
	address := startEcho(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+address+"/a?b=c",
		strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Anything", "some")
	r.Header.Set("Authorization", "Bearer hush-hush")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	name, _, _ := strings.Cut(string(text), "\n")
	_, port, _ := strings.Cut(address, ":")
	if !strings.HasSuffix(name, ":"+port) {
		t.Errorf("the name is %q, want the port %s at its end", name, port)
	}
	wantInOrder(t, string(text), "PUT /a?b=c\n", "Host: "+address, "Authorization: Bearer ***", "X-Anything: some", "body")
	if strings.Contains(string(text), "hush") {
		t.Errorf("the answer contains credentials: %s", text)
	}
}

// startEcho starts pillion echo on two ports and returns the second address.
func startEcho(t *testing.T) string {
	t.Helper()
	var out await.Values[string]
	ended := make(chan struct{})
	cmd := exec.Command(pillion.Path, "echo", "127.0.0.1:0", "127.0.0.1:0")
	cmd.Env = []string{"GORACE=atexit_sleep_ms=0"}
	cmd.Stdout = writerFunc(func(p []byte) (int, error) { out.Add(string(p)); return len(p), nil })
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("echo exits with %d after SIGTERM, want 0", code)
		}
	})

	listens := regexp.MustCompile(`echo \S+ listens on (127\.0\.0\.1:\d+)\n`)
	var found [][]string
	out.Wait(await.Limit, ended, func(all []string) bool {
		found = listens.FindAllStringSubmatch(strings.Join(all, ""), -1)
		return len(found) == 2
	})
	if len(found) != 2 {
		t.Fatalf("echo printed %q, want two addresses", out.All())
	}

	return found[1][1]
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestEcho_AnAddressThatIsTakenIsAnError(t *testing.T) {
	t.Parallel()
	r := pillion.Run(t, nil, "echo", startEcho(t))
	if r.Code != 1 || !strings.Contains(r.Stderr, "address already in use") {
		t.Errorf("exit code %d, want 1 and the reason: %s", r.Code, r.Output())
	}
}

func TestMan_IsAPageWithEveryCommandAndVariable(t *testing.T) {
	t.Parallel()
	page := pillion.Run(t, nil, "man").Stdout
	for _, name := range subcommands {
		if !strings.Contains(page, name) {
			t.Errorf("the page does not name %s", name)
		}
	}
	explained := pillion.Run(t, []string{"LB_BACKENDS=:1"}, "explain").Stdout
	names := regexp.MustCompile(`(?m)^([A-Z][A-Z0-9_]+) = `).FindAllStringSubmatch(explained, -1)
	if len(names) < 50 {
		t.Errorf("explain lists %d variables, want 50 at least", len(names))
	}
	for _, m := range names {
		if !strings.Contains(page, ".B "+m[1]+"\n") {
			t.Errorf("the page does not explain %s", m[1])
		}
	}

	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("no groff here")
	}
	cmd := exec.CommandContext(t.Context(), groff, "-man", "-Tutf8", "-wchar", "-wmac", "-wescape", "-wsyntax", "-Wbreak")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "warning") {
		t.Errorf("groff: %v, want no warnings: %.2000s", err, out)
	}
}
