package test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
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

// inside is an import path of ours without the module's, "." for main, and ""
// for all others.
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

// borders is the import law: the packages of this module that each package may
// import. A pattern ends a path's last part with *. A package that is planned
// has its line already, so that it begins within the law.
var borders = map[string][]string{
	".":         {"config", "discovery", "discovery/metadata", "proxy", "proxy/*"},
	"config":    {},
	"discovery": {"config", "discovery/metadata", "discovery/xds"},

	// The one client of the metadata server.
	"discovery/metadata": {},
	"discovery/xds":      {"config"}, // for files

	"proxy": {
		"config", "discovery",
		"proxy/edge", "proxy/backend", "proxy/affinity", "proxy/tunnel", "proxy/wire",
		"proxy/route", "proxy/rules", "proxy/files", "proxy/access", "proxy/auth", "proxy/limit", "proxy/cache",
		"proxy/compress",
		"proxy/socket", // for the budget of memory
		"proxy/h2",     // for IsReset
		"proxy/history",
	},
	"proxy/backend": {
		"config", "discovery", "proxy/affinity", "proxy/wire", "proxy/h1", "proxy/h2", "proxy/history",
		"proxy/socket", // for the budget of memory
	},
	"proxy/front":   {"config", "proxy/h1", "proxy/h2", "proxy/socket"},
	"proxy/tunnel":  {"proxy/socket"},
	"proxy/h1":      {"proxy/wire", "proxy/socket"},
	"proxy/h2":      {"proxy/wire", "proxy/socket"},
	"proxy/wire":    {},
	"proxy/socket":  {},
	"proxy/history": {},

	"proxy/edge":     {"config", "proxy/wire"},
	"proxy/cache":    {"config", "proxy/wire"},
	"proxy/access":   {"config", "proxy/wire"},
	"proxy/auth":     {"config", "proxy/wire"},
	"proxy/limit":    {"config", "proxy/wire"},
	"proxy/rules":    {"config", "proxy/wire"},
	"proxy/files":    {"config", "proxy/wire"},
	"proxy/route":    {"config", "proxy/wire"},
	"proxy/compress": {"config", "proxy/wire"},

	// The program's other commands. They use what several rooms know.
	"proxy/command": {
		"config", "discovery", "proxy", "proxy/backend", "proxy/identity", "proxy/status", "proxy/terminal",
	},
	"proxy/terminal": {},

	"proxy/internal/proxytest": {"config", "discovery", "proxy/wire"}, // for tests only

	"proxy/affinity": {"config"},
	"proxy/identity": {"config", "discovery/metadata"},
	"proxy/status": {
		"config", "discovery", "proxy/backend", "proxy/route", "proxy/cache", "proxy/history",
		"proxy/auth", "proxy/limit", // their states
	},
	"proxy/telemetry": {"config", "discovery/metadata", "proxy/terminal"},
}

// A part of a package has the borders of the package, and may import it.
func bordersOf(name string) (allowed []string, known bool) {
	if allowed, known = borders[name]; known {
		return allowed, true
	}

	parent := path.Dir(name)
	if allowed, known = borders[parent]; known && strings.Count(name, "/") == 2 {
		return append(slices.Clone(allowed), parent, parent+"/*"), true
	}

	return nil, false
}

func TestHouse_RoomsImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		allowed, known := bordersOf(name)
		if strings.HasPrefix(name, "test") {
			allowed, known = []string{"test/*", "test/*/*", "test/*/*/*"}, true
		}
		if !known {
			t.Errorf("%s has no line in the import law", name)
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

// main.go wires parts together. What a part does belongs to the part.
func TestHouse_MainIsShort(t *testing.T) {
	t.Parallel()
	const most = 300
	if lines := strings.Count(readFile(t, "../main.go"), "\n"); lines > most {
		t.Errorf("main.go has %d lines, %d more than it may have", lines, lines-most)
	}
}

// The request's way through the proxy is an exchange. A package that can be
// described without that word can be understood, and tested, without the proxy.
func TestHouse_OnlyTheProxyKnowsExchanges(t *testing.T) {
	t.Parallel()

	word := regexp.MustCompile(`(?i)\bexchanges?\b|[a-z]Exchange|\bexchange[A-Z]`)
	for _, file := range goFiles(t, "../proxy/*/*.go", "../proxy/*/*/*.go") {
		for i, line := range strings.Split(readFile(t, file), "\n") {
			if word.MatchString(line) {
				t.Errorf("%s:%d says the word: %s", file, i+1, strings.TrimSpace(line))
			}
		}
	}
}

// goFiles returns the Go files that match one of the patterns.
func goFiles(t *testing.T, patterns ...string) (files []string) {
	t.Helper()
	for _, pattern := range patterns {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}

	if len(files) == 0 {
		t.Fatalf("no file matches %q", patterns)
	}

	return files
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}

func TestHouse_OnlyTelemetryImportsTheSDK(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		for _, i := range p.Imports {
			sdk := strings.HasPrefix(i, "go.opentelemetry.io/otel/sdk") ||
				strings.HasPrefix(i, "go.opentelemetry.io/otel/exporters")
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
	allowed := strings.Fields(`main.go proxy discovery config deploy test Dockerfile cloudbuild.yaml go.mod go.sum ` +
		`README.md
		LICENSE CHANGELOG.md SECURITY.md CONTRIBUTING.md pillion`)
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}

	for _, e := range entries {
		// of go test, ignored by git
		product := strings.HasSuffix(e.Name(), ".test") || strings.HasSuffix(e.Name(), ".prof")
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

func TestReadme_TestCommandIsTheOneThatCIRuns(t *testing.T) {
	t.Parallel()
	ci, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}

	_, rest, _ := strings.Cut(readme(t), "\ngo test ")
	what, _, _ := strings.Cut(rest, "\n")
	if command := "go test -race -shuffle=on " + what; what == "" || !strings.Contains(string(ci), "\n"+command+" ") {
		t.Errorf(".ci/run does not run %q, the README's test command under the race detector", command)
	}
}
