package docs

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// reference returns what the program prints for config/README.md.
func reference(t *testing.T) string {
	t.Helper()
	return pillion.Run(t, nil, "explain", "--markdown").Stdout
}

// row is a row of the reference.
type row struct {
	Name, Default, Accepted, Meaning string
}

// rows returns the rows of the reference by name.
func rows(t *testing.T) map[string]row {
	t.Helper()
	all := map[string]row{}

	name := regexp.MustCompile("^\\| `([A-Z0-9_]+)`")
	for line := range strings.Lines(reference(t)) {
		if m := name.FindStringSubmatch(line); m != nil {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			if len(cells) != 4 {
				t.Fatalf("the reference has a row of %d cells, want 4: %s", len(cells), line)
			}
			all[m[1]] = row{m[1], strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])}
		}
	}

	if len(all) < 50 {
		t.Fatalf("the reference has %d variables, want 50 at least", len(all))
	}

	return all
}

func TestReference_IsNotStale(t *testing.T) {
	t.Parallel()
	_, rest, begun := strings.Cut(read(t, "config/README.md").Text, "<!-- reference:begin -->\n")
	printed, _, ended := strings.Cut(rest, "<!-- reference:end -->")
	if !begun || !ended {
		t.Fatal("config/README.md does not have reference:begin and reference:end")
	}

	if strings.TrimSpace(printed) != strings.TrimSpace(reference(t)) {
		t.Error("the reference in config/README.md is stale: put what \"go run . explain --markdown\" prints between its " +
			"markers")
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
				t.Errorf("%s:%d names %s, which is no variable of the program", d.Path, i+1, name)
			}
		}
	}
}

// placeholder has names that stand for others, names that platforms set and the
// program ignores, and mistaken names for which the program has a hint.
var placeholder = map[string]bool{
	"LB_X": true, "LB_X_FILE": true, "LB_SERVICE_HOST": true,
	"LB_HEALTH_CHECK_PATH": true, "LB_BACKENDS_API": true,
}

func isKnown(known map[string]row, name string) bool {
	name, _, _ = strings.Cut(name, "__")
	if _, ok := known[name]; ok {
		return true
	}
	secret, isFile := strings.CutSuffix(name, "_FILE")
	return isFile && strings.Contains(known[secret].Accepted, name)
}

// Defaults in prose, written as `LB_DRAIN_TIMEOUT` (8s), are those of the
// reference.
func TestReference_DefaultsInProseAreCorrect(t *testing.T) {
	t.Parallel()
	known := rows(t)
	prose := regexp.MustCompile("`(LB_[A-Z_]+)` \\(([0-9][^,;)]*)")

	found := 0
	for _, d := range pages(t) {
		for _, m := range prose.FindAllStringSubmatch(strings.ReplaceAll(d.Text, "\n", " "), -1) {
			found++
			value, _, _ := strings.Cut(strings.ReplaceAll(m[2], " s", "s"), " ")
			if !strings.HasPrefix(known[m[1]].Default, value) {
				t.Errorf("%s says that %s is %q by default, want %q", d.Path, m[1], value, known[m[1]].Default)
			}
		}
	}

	if found < 3 {
		t.Errorf("found %d defaults in prose, want 3 at least; the pattern of this test may no longer fit", found)
	}
}

// No documented value of a variable of Pillion contains a comma, because gcloud
// splits the value of a flag at commas.
func TestReference_NoValueNeedsAComma(t *testing.T) {
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

// The program accepts the values in the documents.
func TestReference_DocumentedSettingsAreAccepted(t *testing.T) {
	t.Parallel()
	setting := regexp.MustCompile("\\b(LB_[A-Z_0-9]+)=('[^']*'|[^\\s`'\"|]+)")
	for _, d := range pages(t) {
		for _, m := range setting.FindAllStringSubmatch(d.Text, -1) {
			value := strings.Trim(m[2], "'.,)")
			if strings.HasSuffix(m[1], "_FILE") || strings.HasPrefix(m[1], "LB_FILES") || strings.ContainsAny(value, "$…\\") ||
				strings.Contains(value, "latest") || strings.Contains(value, "file://") {
				continue
			}

			env := append(around(m[1]), m[1]+"="+value)
			if r := pillion.Run(t, env, "check"); strings.Contains("\n"+r.Stderr, "\n"+m[1]+":") {
				t.Errorf("%s: %s=%s is refused, want it accepted: %s", d.Path, m[1], value, r.Stderr)
			}
		}
	}
}

// around returns the variables that a variable needs besides itself. A process
// uses the last of two variables with the same name.
func around(name string) []string {
	env := []string{"LB_BACKENDS=:9000", "LB_BACKENDS__API=:9001", "LB_ROUTE__API=none", "LB_BACKENDS__SHADOW=:9002",
		"LB_ROUTE__SHADOW=none", "LB_TRUSTED_PROXIES=1"}
	base, scope, named := strings.Cut(name, "__")
	switch base {
	case "LB_AUTH":
		env = append(env, "K_SERVICE=shop") // iap needs the service for its audience
	case "LB_AUTH_SKIP", "LB_AUTH_FORWARD":
		env = append(env, "LB_BASIC_AUTH=user:long-password")
	}
	if !named {
		return env
	}
	env = append(env, "LB_ROUTE__"+scope+"=/around/*")
	switch {
	case base == "LB_ROUTE":
		env = append(env, "LB_ROUTE_FIRST__"+scope+"=true")
	case base == "LB_RESPOND_BODY" || base == "LB_RESPOND_FILE":
		env = append(env, "LB_RESPOND__"+scope+"=200")
	case !strings.HasPrefix(base, "LB_RESPOND") && base != "LB_REDIRECT" && base != "LB_SERVICE" && base != "LB_FILES":
		env = append(env, "LB_BACKENDS__"+scope+"=:9001")
	}

	return env
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
			if asked[own] || own == "/.lb/cache" { // needs a cache, and POST
				continue
			}

			asked[own] = true
			command := exec.Command("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H",
				"Authorization: Bearer a-long-random-word", p.URL(own))
			out, err := command.Output()
			if err != nil {
				t.Skip("curl is not installed")
			}

			if string(out) != "200" {
				t.Errorf("%s names the path %s, which answers %s, want 200", d.Path, own, out)
			}
		}

		for _, m := range subcommand.FindAllStringSubmatch(d.Text, -1) {
			if !strings.Contains(help, "pillion "+m[1]+" ") {
				t.Errorf("%s names the subcommand %q, which help does not list", d.Path, m[1])
			}
		}
	}

	if len(asked) < 6 {
		t.Errorf("found %d paths of Pillion, want 6 at least", len(asked))
	}
}

// The README can be read in one sitting. Details have their own pages.
func TestReadme_IsShort(t *testing.T) {
	t.Parallel()
	text := read(t, "README.md").Text
	if lines := strings.Count(text, "\n"); lines > 250 {
		t.Errorf("the README has %d lines, want at most 250", lines)
	}

	if words := len(strings.Fields(text)); words > 2200 {
		t.Errorf("the README has %d words, want at most 2,200", words)
	}
}
