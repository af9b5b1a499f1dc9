package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// final returns the last stage of the Dockerfile, which is the image.
func final(t *testing.T) string {
	t.Helper()
	text := read(t, "Dockerfile").Text
	return text[strings.LastIndex(text, "\nFROM "):]
}

func TestImage_HasOnlyTheBinaryAndTheCertificates(t *testing.T) {
	t.Parallel()
	image := final(t)
	if !strings.HasPrefix(image, "\nFROM scratch\n") {
		t.Errorf("the image is not built from scratch: %s", image)
	}

	copied := regexp.MustCompile(`(?m)^(?:COPY|ADD|RUN) .*$`).FindAllString(image, -1)
	if len(copied) != 2 || !strings.HasSuffix(copied[0], "ca-certificates.crt") ||
		!strings.HasSuffix(copied[1], " /pillion") {
		t.Errorf("the image is built by %q, want the copies of the certificates and of /pillion", copied)
	}

	for _, line := range []string{"USER 65532:65532", "EXPOSE 8080", `ENTRYPOINT ["/pillion"]`,
		`CMD ["/pillion", "healthcheck"]`} {
		if !strings.Contains(image, line+"\n") {
			t.Errorf("the last stage of the Dockerfile does not have the line %s", line)
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

// sent returns the paths that .dockerignore sends to the builder.
func sent(t *testing.T) (names []string) {
	t.Helper()
	for line := range strings.Lines(read(t, ".dockerignore").Text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			names = append(names, name)
		}
	}
	return names
}

// .dockerignore sends every package of the program to the builder.
func TestImage_TheBuilderGetsEveryPackage(t *testing.T) {
	t.Parallel()
	sent := sent(t)
	list := exec.Command("go", "list", "-deps", "-f",
		`{{if .Module}}{{if .Module.Main}}{{.Dir}} {{.EmbedFiles}}{{end}}{{end}}`, ".")
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

		if room, _, _ := strings.Cut(filepath.ToSlash(rel), "/"); room != "." && !slices.Contains(sent, room) {
			t.Errorf(".dockerignore does not send %s to the builder", rel)
		}
		if strings.Contains(embedded, "testdata") {
			t.Errorf("%s embeds %s, which .dockerignore does not send to the builder", rel, embedded)
		}
	}
}
