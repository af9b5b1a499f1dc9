package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// releaseCommand returns the shell command with which the Dockerfile builds the
// binary, with another output path. The tests below use it, so that they test
// the released binary.
func releaseCommand(t *testing.T, output string) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 [^\n]*\\\n[^\n]* -o) /pillion \.$`)

	found := line.FindStringSubmatch(read(t, "Dockerfile").Text)
	if found == nil {
		t.Fatal("the Dockerfile has no line that builds /pillion")
	}

	return found[1] + " '" + output + "' ."
}

// release builds the image's binary from the sources in dir and returns its
// path. flags are for the go command, as in GOFLAGS.
func release(t *testing.T, dir string, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pillion")

	build := exec.Command("sh", "-c", releaseCommand(t, path))
	build.Dir = dir
	build.Env = append(os.Environ(), "VERSION=v1.2.3")
	if len(flags) > 0 {
		build.Env = append(build.Env, "GOFLAGS="+strings.Join(flags, " "))
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	return path
}

// buildContext copies the files that .dockerignore sends to the builder into a
// new folder, and returns the folder.
func buildContext(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()

	for _, name := range sent(t) {
		sources := []string{filepath.Join(root, name)}
		if strings.Contains(name, "*") {
			sources, _ = filepath.Glob(filepath.Join(root, name))
		}

		for _, source := range sources {
			if out, err := exec.Command("cp", "-R", source, dir).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}

	return dir
}

// A user who builds a version again, in any folder, gets the released bytes.
func TestRelease_TwoBuildsAreIdentical(t *testing.T) {
	t.Parallel()
	var builds [2][]byte
	for i := range builds {
		var err error
		if builds[i], err = os.ReadFile(release(t, buildContext(t))); err != nil {
			t.Fatal(err)
		}
	}

	if !bytes.Equal(builds[0], builds[1]) {
		t.Error("two builds of the same sources in two folders differ")
	}
}

func TestRelease_IsSmall(t *testing.T) {
	t.Parallel()
	info, err := os.Stat(release(t, root))
	if err != nil {
		t.Fatal(err)
	}

	const most = 19_900_000 // bytes; the image also has 0.2 MB of certificates
	if info.Size() > most {
		t.Errorf("the binary has %d bytes, want at most %d", info.Size(), most)
	}
}

// The import of one template package would add 3 MB. Templates call methods by
// name, so the linker would keep every exported method of the program.
func TestRelease_HasNoTemplates(t *testing.T) {
	t.Parallel()
	tag := regexp.MustCompile(`-tags (\S+)`).FindStringSubmatch(releaseCommand(t, "/pillion"))
	if tag == nil {
		t.Fatal("the Dockerfile builds without tags")
	}

	list := exec.Command("go", "list", "-deps", "-tags", tag[1], ".")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}

	imported := strings.Fields(string(out))
	for _, name := range []string{"text/template", "html/template"} {
		if slices.Contains(imported, name) {
			t.Errorf("the program imports %s, which turns off the linker's removal of unused methods", name)
		}
	}
}
