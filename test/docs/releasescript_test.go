package docs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var releases = flag.Bool("docs.release", false, "make a release and an image, which takes minutes")

// shell runs a command in a folder and returns its output.
func shell(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()

	return string(out), err
}

// must is shell for a command whose failure fails the test.
func must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := shell(t, dir, args...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}

	return out
}

// clone copies the working tree, commits it to a new repository, and tags the
// commit v1.2.3.
func clone(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	list := must(t, root, "git", "ls-files", "--cached", "--others", "--exclude-standard")
	for name := range strings.Lines(list) {
		name = strings.TrimSpace(name)
		content, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if info, err := os.Stat(filepath.Join(root, name)); err == nil {
			mode = info.Mode().Perm()
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, mode); err != nil {
			t.Fatal(err)
		}
	}

	git := []string{"git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"}
	must(t, dir, "git", "init", "--quiet")
	must(t, dir, "git", "add", "--all")
	must(t, dir, append(git, "commit", "--quiet", "--message=all")...)
	must(t, dir, "git", "tag", "v1.2.3")

	return dir
}

func TestReleaseScript_RefusesOtherTreesVersionsAndFolders(t *testing.T) {
	t.Parallel()
	dir := clone(t)
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused := func(want string, args ...string) {
		t.Helper()
		out, err := shell(t, dir, append([]string{".ci/release"}, args...)...)
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok || failed.ExitCode() != 2 || !strings.Contains(out, want) {
			t.Errorf("%q: %v, want exit code 2 and %q: %s", args, err, want, out)
		}
	}

	for _, version := range []string{"", "1.2.3", "v1.2", "v1.2.3.4", "v1.2.3+x", "v1.2.3; true", "latest"} {
		refused("usage: ", version, filepath.Join(dir, "dist"))
	}
	refused("usage: ", "v1.2.3")
	refused("is not a tag of this commit", "v1.2.4", filepath.Join(dir, "dist"))
	refused("is not empty", "v1.2.3", full)

	for _, name := range []string{"proxy/more.go", "main.go"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("package main\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		refused("not committed", "v1.2.3", filepath.Join(dir, "dist"))
		must(t, dir, "git", "stash", "--include-untracked")
	}
	if _, err := os.Stat(filepath.Join(dir, "dist")); err == nil {
		t.Error("a refused release has created its folder")
	}
}

// unpacked returns the files of an archive by name.
func unpacked(t *testing.T, path string) map[string][]byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}

	files := make(map[string][]byte)
	for archive := tar.NewReader(plain); ; {
		head, err := archive.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if head.Uid != 0 || head.Gid != 0 || head.Uname != "" {
			t.Errorf("%s belongs to %d:%d %q, want 0:0 and no name", head.Name, head.Uid, head.Gid, head.Uname)
		}
		files[head.Name] = content
	}
}

// beginnings has the first bytes of a program for each platform: ELF with the
// machine (System V ABI, chapter 4), or Mach-O with the CPU.
var beginnings = map[string]string{
	"linux/amd64":  "^\x7fELF(?s:.{14})\x3e\x00",
	"linux/arm64":  "^\x7fELF(?s:.{14})\xb7\x00",
	"darwin/amd64": "^\xcf\xfa\xed\xfe\x07\x00\x00\x01",
	"darwin/arm64": "^\xcf\xfa\xed\xfe\x0c\x00\x00\x01",
}

func TestReleaseScript_MakesTheFilesOfARelease(t *testing.T) {
	t.Parallel()
	if !*releases {
		t.Skip("needs -docs.release")
	}
	dir, out := clone(t), filepath.Join(t.TempDir(), "dist")
	t.Log(must(t, dir, ".ci/release", "v1.2.3", out))

	must(t, out, "sha256sum", "--check", "--strict", "SHA256SUMS")
	sums, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(sums), "\n"); n != 2*len(beginnings) {
		t.Errorf("%d checksums, want one for each of %d files", n, 2*len(beginnings))
	}

	for platform, beginning := range beginnings {
		name := "pillion-v1.2.3-" + strings.ReplaceAll(platform, "/", "-")
		files := unpacked(t, filepath.Join(out, name+".tar.gz"))
		program := files[name+"/pillion"]
		if !matches(program, beginning) {
			t.Errorf("%s: the program begins with %q, which is another format or CPU", platform, program[:min(20, len(program))])
		}
		if !bytes.Contains(files[name+"/LICENSE"], []byte("Apache License")) {
			t.Errorf("%s: the archive does not have the Apache License", platform)
		}
		modules := contents(t, program)
		wantLicenses(t, string(files[name+"/LICENSES-OF-OTHERS"]), modules)
		wantBill(t, filepath.Join(out, name+".cdx.json"), modules)
		if platform == runtime.GOOS+"/"+runtime.GOARCH {
			wantVersion(t, program)
		}
	}
}

// matches reports whether content matches a regular expression of bytes.
func matches(content []byte, expression string) bool {
	latin := func(s []byte) string {
		var b strings.Builder
		for _, c := range s {
			b.WriteRune(rune(c))
		}
		return b.String()
	}
	return regexp.MustCompile(latin([]byte(expression))).MatchString(latin(content[:min(64, len(content))]))
}

// contents returns the modules of a program, as name and version, and the
// version of Go.
func contents(t *testing.T, program []byte) (modules []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pillion")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(must(t, root, "go", "version", "-m", path)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "dep" {
			modules = append(modules, fields[1]+" "+fields[2])
		}
		if strings.Contains(line, "vcs.") {
			t.Errorf("the program contains the state of the repository: %s", line)
		}
	}
	if len(modules) < 10 {
		t.Errorf("the program has the modules %q, want 10 at least", modules)
	}

	return modules
}

// wantLicenses fails the test unless text has a license for each module and for
// Go, and for nothing else.
func wantLicenses(t *testing.T, text string, modules []string) {
	t.Helper()
	_, rest, _ := strings.Cut(text, "\n==== ")
	licenses := make(map[string]string)
	for part := range strings.SplitSeq(rest, "\n==== ") {
		title, license, _ := strings.Cut(part, "\n")
		licenses[title] = license
	}
	if len(licenses) != len(modules)+1 {
		t.Errorf("%d licenses, want one for each of %d modules and for Go", len(licenses), len(modules))
	}
	for title, license := range licenses {
		if !strings.Contains(license, "opyright") && !strings.Contains(license, "Licen") {
			t.Errorf("the text for %s is no license: %.100q", title, license)
		}
		if !slices.Contains(modules, title) && !strings.HasPrefix(title, "Go go1.") {
			t.Errorf("there is a license for %s, which is not in the program", title)
		}
	}
}

// wantBill fails the test unless a bill of materials in the format CycloneDX
// names all modules by their addresses, and contains nothing that changes from
// run to run.
func wantBill(t *testing.T, path string, modules []string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		Format       string `json:"bomFormat"`
		Spec         string `json:"specVersion"`
		SerialNumber string
		Metadata     struct {
			Timestamp string
			Component struct{ Name, Version string }
		}
		Components []struct {
			Type, Name, Version string
			URL                 string `json:"purl"`
		}
	}
	if err := json.Unmarshal(content, &bill); err != nil {
		t.Fatal(err)
	}
	if bill.Format != "CycloneDX" || bill.Spec != "1.6" || bill.SerialNumber != "" || bill.Metadata.Timestamp != "" {
		t.Errorf("%s is %q %q of %q, number %q, want CycloneDX 1.6 without time and number", path, bill.Format, bill.Spec,
			bill.Metadata.Timestamp, bill.SerialNumber)
	}
	if c := bill.Metadata.Component; c.Name != "github.com/pillion-lb/pillion" || c.Version != "v1.2.3" {
		t.Errorf("%s describes %q %q, want pillion v1.2.3", path, c.Name, c.Version)
	}

	named := make(map[string]bool)
	for _, c := range bill.Components {
		named[c.Name+" "+c.Version] = true
		if !strings.HasPrefix(c.URL, "pkg:golang/") {
			t.Errorf("%s has the address %q, want pkg:golang/", c.Name, c.URL)
		}
	}
	for _, module := range modules {
		if !named[module] {
			t.Errorf("%s does not name %s", path, module)
		}
	}
}

// wantVersion fails the test unless the program's version is v1.2.3.
func wantVersion(t *testing.T, program []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pillion")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	if out := must(t, root, path, "version"); !strings.Contains(out, "1.2.3") {
		t.Errorf("version prints %q, want 1.2.3", out)
	}
	if out, err := shell(t, root, path, "check"); err == nil {
		t.Errorf("check without variables succeeds, want an error: %s", out)
	}
}
