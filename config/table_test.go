package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// bound lists the names in the env tags of a struct.
func bound(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("env"), ",")
		prefix, _ := strings.CutPrefix(options, "prefix=")
		if name != "" {
			names = append(names, name)
		} else if f.Type.Kind() == reflect.Struct {
			for _, inner := range bound(f.Type) {
				names = append(names, prefix+inner)
			}
		}
	}
	return names
}

func TestTable_EveryFieldHasARowAndEveryRowOfOursAField(t *testing.T) {
	t.Parallel()
	fields, rows := bound(reflect.TypeFor[Config]()), newEnvironment(nil).rows
	for _, name := range fields {
		if _, ok := rows[name]; !ok {
			t.Errorf("%s is bound to a field but not in the table", name)
		}
	}
	for name, v := range rows {
		if v.ours() && !v.notYet && !slices.Contains(fields, name) {
			t.Errorf("%s is in the table but bound to no field", name)
		}
	}
}

func TestTable_RowsAreCompleteAndUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, v := range Variables() {
		if seen[v.Name] {
			t.Errorf("%s is there twice", v.Name)
		}
		seen[v.Name] = true
		if v.Section == "" || !strings.HasSuffix(v.Sentence, ".") || v.form.accepted == "" || v.DefaultText() == "" {
			t.Errorf("%s is incomplete: %+v", v.Name, v)
		}
		if v.ours() && v.Example == "" {
			t.Errorf("%s has no example", v.Name)
		}
	}
}

func TestTable_NoNameOfOursLooksLikeAServiceLinkOrHasTwoUnderscores(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		if isOurs(name) && (strings.HasSuffix(name, "_PORT") || strings.Contains(name, "_PORT_") ||
			strings.Contains(name, "__")) {
			t.Errorf("%s", name)
		}
	}
}

func TestTable_DefaultsAndExamplesAreAccepted(t *testing.T) {
	t.Parallel()
	e := newEnvironment(nil)
	for _, v := range e.table {
		if strings.HasPrefix(v.form.accepted, "the path of a ") {
			continue // the example is one that is not here
		}
		for _, text := range []string{v.fallback(e), v.Example} {
			if text == "" {
				continue
			}
			if _, err := v.form.parse(text); err != nil {
				t.Errorf("%s: %q %v", v.Name, text, err)
			}
		}
	}
}

func TestTable_NoExampleOfOursNeedsQuotingForGcloud(t *testing.T) {
	t.Parallel()
	for _, v := range Variables() {
		if v.ours() && strings.ContainsAny(v.Example+v.Default, ",'\n") {
			t.Errorf("%s: %q %q", v.Name, v.Default, v.Example)
		}
	}
}

func TestReference_HasOneRowForEveryVariable(t *testing.T) {
	t.Parallel()
	reference := Reference()
	for _, v := range Variables() {
		if n := strings.Count(reference, "\n| `"+v.Name+"`"); n != 1 {
			t.Errorf("%s has %d rows", v.Name, n)
		}
	}
	for _, line := range strings.Split(reference, "\n") {
		if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 5 {
			t.Errorf("not four cells: %s", line)
		}
	}
	if !strings.Contains(reference, "| `LB_RETRIES` R | 1 | a whole number from 0 to 10 | ") {
		t.Error(reference)
	}
}

func TestExplain_ShowsValueOriginAndSentence(t *testing.T) {
	t.Parallel()
	c, _ := load([]string{"LB_RETRIES=3", "LB_EJECT_ERRORS=few", "LB_STATUS_TOKEN=0123456789abcdef",
		"GCE_METADATA_HOST=127.0.0.1:1",
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=abc", "OTEL_EXPORTER_OTLP_ENDPOINT=http://user:pass/word@c:4318"}, nowhere,
		0)
	var out strings.Builder
	if err := Explain(&out, c); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"LB_RETRIES = 3  [environment]\n    Further attempts",
		"LB_EJECT_ERRORS = few  [environment, refused]",
		"LB_EJECT_MAX = 50%  [default]",
		"LB_EJECT_STATUS = 502-504  [default]",
		"LB_LISTEN = :8080  [default]",
		"LB_QUEUE_SIZE = (twice LB_MAX_IN_FLIGHT)  [default]",
		"LB_BACKENDS = the attribute lb-backends of the instance, else of the project  [metadata]",
		"LB_STATUS_TOKEN = ***  [environment]",
		"OTEL_EXPORTER_OTLP_HEADERS = ***  [environment]",
		"OTEL_EXPORTER_OTLP_ENDPOINT = http://***@c:4318  [environment",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestExplain_MasksUserInfoHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"http://user:hush@a:80":              "http://***@a:80",
		"user:hush@a:80":                     "***@a:80",
		"http://a;user:hush@b:80":            "http://***@b:80",
		"http://user:hu;sh@a;https://b":      "http://***@a;https://b",
		"http://a;http://user:hush@b;:8080":  "http://a;http://***@b;:8080",
		"owner=me@example.com,region=eu":     "owner=me@example.com,region=eu",
		"url=http://user:hush@a,owner=me@ex": "url=http://***@ex",
	} {
		if got := withoutUserInfo(given); got != want {
			t.Errorf("%q is shown as %q, want %q", given, got, want)
		}
	}
}
