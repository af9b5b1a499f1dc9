package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// final returns the last stage of the Dockerfile, which is the image.
func final(t *testing.T) string {
	t.Helper()
	text := read(t, "Dockerfile").Text
	return text[strings.LastIndex(text, "\nFROM "):]
}

func TestImage_HoldsTheBinaryAndTheCertificatesOnly(t *testing.T) {
	t.Parallel()
	image := final(t)
	if !strings.HasPrefix(image, "\nFROM scratch\n") {
		t.Error("the image has a base")
	}
	copied := regexp.MustCompile(`(?m)^(?:COPY|ADD|RUN) .*$`).FindAllString(image, -1)
	if len(copied) != 2 || !strings.HasSuffix(copied[0], "ca-certificates.crt") || !strings.HasSuffix(copied[1], " /pillion") {
		t.Errorf("the image gets %q", copied)
	}
	for _, line := range []string{"USER 65532:65532", "EXPOSE 8080", `ENTRYPOINT ["/pillion"]`, `CMD ["/pillion", "healthcheck"]`} {
		if !strings.Contains(image, line+"\n") {
			t.Errorf("the image has no %s", line)
		}
	}
}

func TestImage_IsBuiltByTheGoOfTheModule(t *testing.T) {
	t.Parallel()
	version := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindStringSubmatch(read(t, "go.mod").Text)[1]
	for _, path := range []string{"Dockerfile", "cloudbuild.yaml"} {
		if !strings.Contains(read(t, path).Text, "golang:"+version) {
			t.Errorf("%s does not build with Go %s", path, version)
		}
	}
}

// What .dockerignore lets through is all that the program is made of.
func TestImage_TheBuilderGetsEveryPackage(t *testing.T) {
	t.Parallel()
	sent := map[string]bool{".": true}
	for line := range strings.Lines(read(t, ".dockerignore").Text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			sent[name] = true
		}
	}
	list := exec.Command("go", "list", "-deps", "-f", `{{if .Module}}{{if .Module.Main}}{{.Dir}} {{.EmbedFiles}}{{end}}{{end}}`, ".")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if line == "" {
			continue
		}
		dir, embedded, _ := strings.Cut(line, " ")
		rel, err := filepath.Rel(top, dir)
		if err != nil {
			t.Fatal(err)
		}
		if room, _, _ := strings.Cut(filepath.ToSlash(rel), "/"); !sent[room] {
			t.Errorf(".dockerignore keeps %s from the builder", rel)
		}
		if strings.Contains(embedded, "testdata") {
			t.Errorf("%s embeds %s, which .dockerignore keeps from the builder", rel, embedded)
		}
	}
}

func TestImage_IsSmall(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pillion")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	const certificates = 300 << 10 // about
	if size := info.Size() + certificates; size > 20_000_000 {
		t.Errorf("the image has %d bytes", size)
	}
}
