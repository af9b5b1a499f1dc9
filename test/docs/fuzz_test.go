package docs

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var writeFuzz = flag.Bool("docs.fuzz", false, "write the list of fuzz targets into test/README.md")

// fuzzTarget is a fuzz target and its initial inputs.
type fuzzTarget struct {
	Package, Name string
	Seeds         bool // it adds inputs by f.Add
	Files         int  // the number of further inputs in testdata/fuzz
}

var fuzzFunc = regexp.MustCompile(`(?ms)^func (Fuzz\w*)\(f \*testing\.F\) \{\n(.*?)^\}\n`)

// fuzzTargets returns the fuzz targets of the module.
func fuzzTargets(t *testing.T) (all []fuzzTarget) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(file))
		for _, m := range fuzzFunc.FindAllStringSubmatch(string(source), -1) {
			kept, _ := os.ReadDir(filepath.Join(dir, "testdata", "fuzz", m[1]))
			all = append(all, fuzzTarget{strings.TrimPrefix(dir, root+"/"), m[1], strings.Contains(m[2], "f.Add("), len(kept)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b fuzzTarget) int {
		return strings.Compare(a.Package+" "+a.Name, b.Package+" "+b.Name)
	})

	return all
}

// fuzzList returns the list for test/README.md, with a line for each package.
func fuzzList(targets []fuzzTarget) string {
	var b strings.Builder
	b.WriteString("| package | targets |\n|---|---|\n")
	for i, target := range targets {
		if i == 0 || targets[i-1].Package != target.Package {
			fmt.Fprintf(&b, "| `%s` | ", target.Package)
		} else {
			b.WriteString(", ")
		}
		b.WriteString("`" + target.Name + "`")
		if target.Files > 0 {
			fmt.Fprintf(&b, " (%d)", target.Files)
		}
		if i == len(targets)-1 || targets[i+1].Package != target.Package {
			b.WriteString(" |\n")
		}
	}

	return b.String()
}

// test/README.md lists every target, and every target has initial inputs.
func TestFuzz_EveryTargetIsListedAndHasInputs(t *testing.T) {
	t.Parallel()
	targets := fuzzTargets(t)
	if len(targets) < 50 {
		t.Fatalf("found %d targets, want 50 at least", len(targets))
	}
	for _, target := range targets {
		if !target.Seeds && target.Files == 0 {
			t.Errorf("%s in %s has no initial inputs", target.Name, target.Package)
		}
	}

	const file, begin, end = "test/README.md", "<!-- fuzz:begin -->\n", "<!-- fuzz:end -->"
	before, rest, begun := strings.Cut(read(t, file).Text, begin)
	listed, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		t.Fatalf("%s does not have fuzz:begin and fuzz:end", file)
	}
	want := fuzzList(targets)
	if *writeFuzz {
		if err := os.WriteFile(filepath.Join(root, file), []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if listed != want {
		t.Errorf("the fuzz targets in %s are stale: go test ./test/docs -run Fuzz -docs.fuzz writes them", file)
	}
}
