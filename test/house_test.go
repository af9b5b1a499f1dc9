package test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pillion-lb/pillion"

// listed is a package as `go list -json` prints it.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// packages is every package of the module, by its path inside it.
func packages(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]listed{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[inside(p.ImportPath)] = p
	}
}

// inside is an import path of ours without the module's, "." for main, and "" for all others.
func inside(importPath string) string {
	if importPath == module {
		return "."
	}
	rest, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	return rest
}

// borders says what each room may import of ours. A pattern ends a path's last part with *.
var borders = map[string][]string{
	".":               {"config", "discovery", "proxy", "proxy/*"},
	"config":          {},
	"discovery":       {"config"},
	"proxy":           {"config", "discovery", "proxy/h1", "proxy/h2", "proxy/identity", "proxy/cache", "proxy/status", "proxy/telemetry"},
	"proxy/h1":        {"config"},
	"proxy/h2":        {"config", "proxy/h1"},
	"proxy/cache":     {"config"},
	"proxy/identity":  {"config"},
	"proxy/status":    {"config"},
	"proxy/telemetry": {"config"},
}

func TestHouse_RoomsImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		allowed, known := borders[name]
		if strings.HasPrefix(name, "test") {
			allowed, known = []string{"test/*", "test/*/*", "test/*/*/*"}, true
		}
		if !known {
			t.Errorf("%s is a room that nobody planned", name)
		}
		imports := p.Imports
		if strings.HasPrefix(name, "test") {
			imports = slices.Concat(p.Imports, p.TestImports, p.XTestImports)
		}
		for _, i := range imports {
			ours := inside(i)
			if ours == "" {
				continue
			}
			if !slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, ours) }) {
				t.Errorf("%s imports %s", name, ours)
			}
		}
	}
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

func TestHouse_OnlyTelemetryImportsTheSDK(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		for _, i := range p.Imports {
			sdk := strings.HasPrefix(i, "go.opentelemetry.io/otel/sdk") || strings.HasPrefix(i, "go.opentelemetry.io/otel/exporters")
			if sdk && name != "proxy/telemetry" {
				t.Errorf("%s imports %s", name, i)
			}
		}
	}
}

func TestHouse_ConfigAloneReadsTheEnvironment(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir("..", func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		source, err := os.ReadFile(file)
		for _, call := range []string{"os.Getenv(", "os.LookupEnv(", "os.Environ("} {
			in := filepath.ToSlash(strings.TrimPrefix(file, ".."+string(filepath.Separator)))
			if strings.Contains(string(source), call) && in != "main.go" && !strings.HasPrefix(in, "test/") {
				t.Errorf("%s calls %s)", in, call)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHouse_TopLevelIsAsItsOwnerWantsIt(t *testing.T) {
	t.Parallel()
	allowed := strings.Fields(`main.go proxy discovery config deploy test Dockerfile cloudbuild.yaml go.mod go.sum README.md
		LICENSE CHANGELOG.md SECURITY.md CONTRIBUTING.md pillion`)
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		product := strings.HasSuffix(e.Name(), ".test") || strings.HasSuffix(e.Name(), ".prof") // of go test, ignored by git
		if !product && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

// readme is the README, or the test is skipped while there is none.
func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no README yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReadme_ReferenceIsWhatExplainPrints(t *testing.T) {
	t.Parallel()
	_, rest, begun := strings.Cut(readme(t), "<!-- reference:begin -->\n")
	reference, _, ended := strings.Cut(rest, "<!-- reference:end -->")
	if !begun || !ended {
		t.Skip("the README has no reference yet")
	}
	r := pillion.Run(t, nil, "explain", "--markdown")
	if r.Code != 0 {
		t.Fatalf("explain --markdown exits %d: %s", r.Code, r.Output())
	}
	if strings.TrimSpace(reference) != strings.TrimSpace(r.Stdout) {
		t.Error("the README's reference is stale: replace it by what `go run . explain --markdown` prints")
	}
}

func TestReadme_TestCommandIsTheOneThatCIRuns(t *testing.T) {
	t.Parallel()
	ci, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(readme(t), "\ngo test ")
	what, _, _ := strings.Cut(rest, "\n")
	if command := "go test -race -shuffle=on " + what; what == "" || !strings.Contains(string(ci), "\n"+command+"\n") {
		t.Errorf(".ci/run does not run %q, the README's test command under the race detector", command)
	}
}
