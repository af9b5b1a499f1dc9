package docs

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// reference is what the program prints for the README.
func reference(t *testing.T) string {
	t.Helper()
	return pillion.Run(t, nil, "explain", "--markdown").Stdout
}

// row is a line of the reference.
type row struct {
	Name, Default, Accepted, Meaning string
}

// rows returns the reference by name.
func rows(t *testing.T) map[string]row {
	t.Helper()
	all := map[string]row{}
	name := regexp.MustCompile("^\\| `([A-Z0-9_]+)`")
	for line := range strings.Lines(reference(t)) {
		if m := name.FindStringSubmatch(line); m != nil {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			if len(cells) != 4 {
				t.Fatalf("the reference has a row of %d cells: %s", len(cells), line)
			}
			all[m[1]] = row{m[1], strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])}
		}
	}
	if len(all) < 50 {
		t.Fatalf("the reference has %d variables only", len(all))
	}
	return all
}

func TestReference_IsNotStale(t *testing.T) {
	t.Parallel()
	_, rest, begun := strings.Cut(read(t, "README.md").Text, "<!-- reference:begin -->\n")
	printed, _, ended := strings.Cut(rest, "<!-- reference:end -->")
	if !begun || !ended {
		t.Fatal("README.md has no reference:begin and reference:end")
	}
	if strings.TrimSpace(printed) != strings.TrimSpace(reference(t)) {
		t.Error("the reference in README.md is stale: put what \"go run . explain --markdown\" prints between its markers")
	}
}

func TestReference_NamesAreKnown(t *testing.T) {
	t.Parallel()
	known := rows(t)
	ours := regexp.MustCompile(`\b(?:LB|OTEL)_[A-Z0-9_]*[A-Z0-9]\b`)
	for _, d := range documents(t) {
		for i, line := range strings.Split(d.Text, "\n") {
			for _, at := range ours.FindAllStringIndex(line, -1) {
				name := line[at[0]:at[1]]
				if family := strings.HasPrefix(line[at[1]:], "*"); family || isKnown(known, name) || placeholder[name] {
					continue
				}
				t.Errorf("%s:%d names %s, which the program does not have", d.Path, i+1, name)
			}
		}
	}
}

// placeholder are names that stand for others, or that platforms inject and the program ignores.
var placeholder = map[string]bool{"LB_X": true, "LB_X_FILE": true, "LB_SERVICE_HOST": true}

func isKnown(known map[string]row, name string) bool {
	if _, ok := known[name]; ok {
		return true
	}
	secret, isFile := strings.CutSuffix(name, "_FILE")
	return isFile && strings.Contains(known[secret].Accepted, name)
}

// A default in prose is `NAME` followed by a value in brackets: `LB_DRAIN_TIMEOUT` (8s).
func TestReference_DefaultsInProseAreTheTables(t *testing.T) {
	t.Parallel()
	known := rows(t)
	prose := regexp.MustCompile("`(LB_[A-Z_]+)` \\(([0-9][^,;)]*)")
	found := 0
	for _, d := range pages(t) {
		for _, m := range prose.FindAllStringSubmatch(strings.ReplaceAll(d.Text, "\n", " "), -1) {
			found++
			value, _, _ := strings.Cut(strings.ReplaceAll(m[2], " s", "s"), " ")
			if !strings.HasPrefix(known[m[1]].Default, value) {
				t.Errorf("%s says that %s is %q by default, the program says %q", d.Path, m[1], value, known[m[1]].Default)
			}
		}
	}
	if found < 3 {
		t.Errorf("found %d defaults in prose only; the pattern of this test no longer fits the text", found)
	}
}

// Whatever is documented as one line works as one line of gcloud, whose flag takes commas for separators.
func TestReference_NoValueOfOursNeedsAComma(t *testing.T) {
	t.Parallel()
	setting := regexp.MustCompile(`\b(LB_[A-Z_]+)=('[^']*'|"[^"]*"|[^\s` + "`" + `]*)`)
	for _, d := range documents(t) {
		for _, m := range setting.FindAllStringSubmatch(d.Text, -1) {
			if strings.Contains(m[2], ",") {
				t.Errorf("%s: %s=%s has a comma", d.Path, m[1], m[2])
			}
		}
	}
}

// The settings on a page are values that the program accepts.
func TestReference_DocumentedSettingsAreAccepted(t *testing.T) {
	t.Parallel()
	setting := regexp.MustCompile("\\b(LB_[A-Z_]+)=('[^']*'|[^\\s`'\"|]+)")
	for _, d := range pages(t) {
		for _, m := range setting.FindAllStringSubmatch(d.Text, -1) {
			value := strings.Trim(m[2], "'.,)")
			if strings.HasSuffix(m[1], "_FILE") || strings.ContainsAny(value, "$…\\") || strings.Contains(value, "latest") {
				continue
			}
			env := []string{m[1] + "=" + value}
			if m[1] != "LB_BACKENDS" {
				env = append(env, "LB_BACKENDS=:9000")
			}
			if r := pillion.Run(t, env, "check"); strings.Contains(r.Stderr, m[1]+":") {
				t.Errorf("%s: %s=%s is refused: %s", d.Path, m[1], value, r.Stderr)
			}
		}
	}
}

func TestReference_PathsAndSubcommandsExist(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_BACKENDS=demo://1", "LB_STATUS_TOKEN=a-long-random-word", "OTEL_METRICS_EXPORTER=prometheus")
	help := pillion.Run(t, nil, "help").Stdout
	path := regexp.MustCompile(`/\.lb/[a-z.]*`)
	subcommand := regexp.MustCompile("(?m)(?:^pillion|`pillion|/pillion\",|go run \\.) \"?([a-z]+)")
	asked := map[string]bool{}
	for _, d := range documents(t) {
		for _, own := range path.FindAllString(d.Text, -1) {
			if asked[own] {
				continue
			}
			asked[own] = true
			command := exec.Command("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: Bearer a-long-random-word", p.URL(own))
			out, err := command.Output()
			if err != nil {
				t.Skip("curl is not installed here")
			}
			if string(out) != "200" {
				t.Errorf("%s names the path %s, which answers %s", d.Path, own, out)
			}
		}
		for _, m := range subcommand.FindAllStringSubmatch(d.Text, -1) {
			if !strings.Contains(help, "pillion "+m[1]+" ") {
				t.Errorf("%s names the subcommand %q, which \"pillion help\" does not list", d.Path, m[1])
			}
		}
	}
	if len(asked) < 6 {
		t.Errorf("found %d of our own paths only", len(asked))
	}
}
