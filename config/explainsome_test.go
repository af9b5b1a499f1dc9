package config

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func explainedSome(t *testing.T, environ []string, args ...string) (string, error) {
	t.Helper()
	c, _ := Load(environ)
	var b strings.Builder
	err := ExplainSome(&b, c, args)

	return b.String(), err
}

func TestExplainSome_ShowsTheVariablesThatAreNamed(t *testing.T) {
	t.Parallel()
	environ := []string{"LB_BACKENDS=:9000", "LB_RETRIES=3", "LB_BACKENDS__API=:9001", "LB_RETRIES__API=0"}
	text, err := explainedSome(t, environ, "lb_retries", "LB_POLICY")
	for _, want := range []string{"LB_RETRIES = 3  [environment]", "LB_RETRIES__API = 0  [environment]",
		"LB_POLICY = random  [default]", "Accepted: "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s (%v)", want, text, err)
		}
	}
	if strings.Contains(text, "LB_BACKENDS") {
		t.Errorf("more than was asked for:\n%s", text)
	}
	if text, _ := explainedSome(t, environ, "LB_RETRIES__API"); strings.Contains(text, "= 3") ||
		!strings.Contains(text, "LB_RETRIES__API = 0") {
		t.Errorf("got\n%s", text)
	}
}

func TestExplainSome_AnUnknownNameIsAnError(t *testing.T) {
	t.Parallel()
	text, err := explainedSome(t, []string{"LB_BACKENDS=:9000"}, "LB_POLICY", "LB_RETRYS")
	if err == nil || text != "" || !strings.Contains(err.Error(), "the nearest is LB_RETRIES") {
		t.Errorf("got %q, %v", text, err)
	}
	for _, name := range []string{"LB_RETRIES__NOPE", "LB_RETRIES__API", "LB_AFFINITY_SECRET_FILE"} {
		text, err := explainedSome(t, []string{"LB_BACKENDS=:9000", "LB_BACKENDS__API=:1", "LB_ROUTE__API=/api/*"}, name)
		if err == nil || text != "" || !strings.Contains(err.Error(), name+" is not set in this environment") {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
	}
	if _, err := explainedSome(t, nil, "--wrong"); err == nil {
		t.Error("an unknown flag is taken")
	}
}

func TestExplainSome_ChangedIsAnEnvironmentWithoutSecrets(t *testing.T) {
	t.Parallel()
	text, err := explainedSome(t,
		[]string{"LB_BACKENDS=:9000;:9001", "LB_STATUS_TOKEN=hush-hush-hush-hush", "LB_RETRIES__API=2",
			"LB_BACKENDS__API=:1"}, "--changed")
	if err != nil || strings.Contains(text, "hush") || strings.Contains(text, "LB_POLICY") {
		t.Errorf("got %s (%v)", text, err)
	}
	for _, want := range []string{"LB_BACKENDS=':9000;:9001'\n", "# LB_STATUS_TOKEN (secret, environment)\n",
		"LB_RETRIES__API='2'\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// What is printed gives a shell the value that is set, in one line.
func TestSetting_AssignmentKeepsEveryCharacter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"a  b":                   "X='a  b'",
		"it's":                   `X='it'\''s'`,
		"a\n\tb":                 `X=$'a\n\tb'`,
		"it's\r\n\\":             `X=$'it\'s\015\n\\'`,
		"\x1b[1m1":               `X=$'\033[1m1'`,
		"\u2028é":                `X=$'\342\200\250é'`,
		"\xff1":                  `X=$'\3771'`,
		"\u0085":                 `X=$'\302\205'`,
		"\n$HOME`id`\"\ufffd%s%": "X=$'\\n$HOME`id`\"\ufffd%s%'",
	} {
		got := Setting{Name: "X", Value: value}.Assignment()
		if got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
		if oneLine(got) != got {
			t.Errorf("%q is not in one line", got)
		}
		bash, err := exec.LookPath("bash")
		if err != nil || strings.Contains(value, "\xff") {
			continue
		}
		out, err := exec.Command(bash, "-c", got+`; printf %s "$X"`).Output()
		if err != nil || string(out) != value {
			t.Errorf("%s: bash reads %q, %v", got, out, err)
		}
	}
}

func TestSchema_HasEveryVariableAndItsForms(t *testing.T) {
	t.Parallel()
	var schema struct {
		Properties map[string]struct {
			Type, Description string
			Examples          []string
		}
		PatternProperties map[string]any
	}
	if err := json.Unmarshal([]byte(Schema()), &schema); err != nil {
		t.Fatal(err)
	}
	for _, v := range Variables() {
		if p := schema.Properties[v.Name]; p.Type != "string" || !strings.Contains(p.Description, v.Sentence) {
			t.Errorf("%s: %+v", v.Name, p)
		}
	}
	for pattern := range schema.PatternProperties {
		name := strings.TrimPrefix(pattern[:strings.Index(pattern, separator)], "^")
		re := regexp.MustCompile(pattern)
		if !re.MatchString(name+"__API") || re.MatchString(name+"__api") || re.MatchString(name) {
			t.Errorf("%s", pattern)
		}
	}
	if _, ok := schema.Properties["LB_STATUS_TOKEN_FILE"]; !ok || len(schema.PatternProperties) == 0 {
		t.Error("no files, or no forms")
	}
}
