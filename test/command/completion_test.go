package command

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shellPath returns the path of a shell. It skips the test if there is none.
func shellPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s here", name)
	}

	return path
}

// bashOffers returns the completions of bash for each line, by calling the
// function that the script registers.
func bashOffers(t *testing.T, lines []string) (offers [][]string) {
	t.Helper()
	script := pillion.Run(t, nil, "completion", "bash").Stdout + `
COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _pillion; printf '%s\n' "${COMPREPLY[@]}"`
	for _, line := range lines {
		args := append([]string{"-c", script, "bash"}, strings.Split(line, " ")...)
		out, err := exec.CommandContext(t.Context(), shellPath(t, "bash"), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		offers = append(offers, strings.Fields(string(out)))
	}

	return offers
}

// zshTyped types lines and the Tab key into an interactive zsh. It records the
// completions at compadd, the builtin that adds them all. About one line in
// twenty gets no completion, as if more input were pending. A line without
// completions is therefore typed again.
const zshTyped = `
zmodload zsh/zpty
dir=$1
zpty z "zsh -f -i"
zpty -w z "fpath=($dir \$fpath); autoload -Uz compinit; compinit -u -D; PS1=
compadd() { local -a found; builtin compadd -O found \"\$@\"; print -rl -- \$found >>$dir/now; builtin compadd \"\$@\" }
print RE''ADY"
zpty -r -m z out '*READY*'
for line in "${@:2}"; do
  for try in 1 2 3 4 5; do
    zpty -w -n z "$line"$'\t'
    zpty -w z $'\x15'"print DO''NE"
    zpty -r -m z out '*DONE*'
    [[ -s $dir/now ]] && break
  done
  touch $dir/now; mv $dir/now $dir/offers$((++n))
done
zpty -d z
`

// zshOffers returns the completions of zsh for each line, with the script in
// the folder where zsh looks for it.
func zshOffers(t *testing.T, lines []string) (offers [][]string) {
	t.Helper()
	dir := t.TempDir()
	script := pillion.Run(t, nil, "completion", "zsh").Stdout
	if err := os.WriteFile(filepath.Join(dir, "_pillion"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-f", "-c", zshTyped, "zsh", dir}, lines...)
	if out, err := exec.CommandContext(t.Context(), shellPath(t, "zsh"), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i := range lines {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprint("offers", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		offers = append(offers, slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(text))))))
	}

	return offers
}

// fishOffers returns the completions of fish for each line. An error of the
// script fails the test.
func fishOffers(t *testing.T, lines []string) (offers [][]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pillion.fish")
	script := pillion.Run(t, nil, "completion", "fish").Stdout
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		fish := exec.CommandContext(t.Context(), shellPath(t, "fish"), "--no-config", "-c",
			"source $argv[1]; complete -C $argv[2]", file, line)
		fish.Env = append(os.Environ(), "HOME="+t.TempDir())
		var stderr strings.Builder
		fish.Stderr = &stderr
		out, err := fish.Output()
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("%v: %s", err, &stderr)
		}

		var list []string
		for offer := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(offer), "\t")
			list = append(list, word)
		}
		offers = append(offers, list)
	}

	return offers
}

// The real shells complete the last word of a line with the commands, flags,
// variables and files that fit.
func TestCompletion_WorksInEachShell(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "shop.env")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wants := map[string][]string{
		"pillion ex":                             {"explain"},
		"pillion ch":                             {"check"},
		"pillion check --c":                      {"--connect"},
		"pillion check --":                       {"--connect", "--env-file", "--help", "--resolve"},
		"pillion serve --":                       {"--help"},
		"pillion explain LB_RETRY_BUD":           {"LB_RETRY_BUDGET"},
		"pillion explain --m":                    {"--markdown"},
		"pillion check --env-file " + dir + "/s": {file},
		"pillion completion z":                   {"zsh"},
		"pillion help ver":                       {"version"},
		"pillion nosuch x":                       nil,
		"pillion ":                               slices.Sorted(slices.Values(subcommands)),
	}
	lines := slices.Sorted(maps.Keys(wants))

	for shell, offersOf := range map[string]func(*testing.T, []string) [][]string{
		"bash": bashOffers, "zsh": zshOffers, "fish": fishOffers,
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			for i, offers := range offersOf(t, lines) {
				got, want := slices.Sorted(slices.Values(offers)), wants[lines[i]]
				if shell == "zsh" && slices.Equal(want, []string{file}) {
					// zsh offers a path also without its folder.
					got = slices.DeleteFunc(got, func(s string) bool { return s != file && s != filepath.Base(file) })
					for i := range got {
						got[i] = file
					}
					got = slices.Compact(got)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%q: %q, want %q", lines[i], got, want)
				}
			}
		})
	}
}
