package docs

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// bash returns the path of bash, and skips the test where there is none.
func bash(t *testing.T) string {
	t.Helper()
	found, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed here")
	}
	return found
}

func TestShell_EveryBlockIsValid(t *testing.T) {
	t.Parallel()
	shell := bash(t)
	for _, b := range shellBlocks(t) {
		command := exec.Command(shell, "-n")
		command.Stdin = strings.NewReader(b.Text)
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s:%d: %v\n%s", b.Document, b.Line, err, out)
		}
	}
}

func TestShell_BlocksAreOfAKnownKind(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"sh": true, "sh serve": true, "sh client": true, "sh deploy": true, "sh replace": true}
	for _, d := range pages(t) {
		for _, b := range d.blocks() {
			if !known[b.Kind] {
				t.Errorf("%s:%d: a block of the kind %q, which nothing tests", b.Document, b.Line, b.Kind)
			}
		}
	}
}

// A block that applies a manifest makes the secret that its pods wait for.
func TestShell_SecretsAreMadeBeforeTheManifestsThatNeedThem(t *testing.T) {
	t.Parallel()
	applied := regexp.MustCompile(`kubectl apply -f (\S+)`)
	secret := regexp.MustCompile(`secretKeyRef:\s+name: (\S+)`)
	needs := 0
	for _, b := range shellBlocks(t) {
		for _, at := range applied.FindAllStringSubmatchIndex(b.Text, -1) {
			for _, m := range secret.FindAllStringSubmatch(read(t, b.Text[at[2]:at[3]]).Text, -1) {
				if needs++; !strings.Contains(b.Text[:at[0]], "kubectl create secret generic "+m[1]+" ") {
					t.Errorf("%s:%d: nothing makes the secret %s", b.Document, b.Line, m[1])
				}
			}
		}
	}
	if needs == 0 {
		t.Error("found no secret that a manifest needs")
	}
}

// Files that blocks, links and manifests name are there; so are the headings of links.
func TestShell_FilesAndLinksExist(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`(?:deploy|test|\.ci)/[A-Za-z0-9_./-]*[A-Za-z0-9_]|\bcloudbuild\.yaml`)
	link := regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	for _, d := range pages(t) {
		for _, file := range named.FindAllString(d.Text, -1) {
			exists(t, d.Path, file)
		}
		for _, m := range link.FindAllStringSubmatch(d.Text, -1) {
			target := d.Path
			if m[1] != "" {
				target = path.Join(path.Dir(d.Path), m[1])
				exists(t, d.Path, target)
			}
			if m[2] != "" && !strings.Contains(anchors(read(t, target)), m[2]+"\n") {
				t.Errorf("%s links to %s, which %s does not have", d.Path, m[2], target)
			}
		}
	}
}

func exists(t *testing.T, by, file string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, file)); err != nil {
		t.Errorf("%s names %s: %v", by, file, err)
	}
}

// anchors are the anchors of a page's headings, one a line, as GitHub makes them.
func anchors(d document) string {
	var all strings.Builder
	drop := regexp.MustCompile(`[^a-z0-9 _-]`)
	for line := range strings.Lines(d.Text) {
		if level, title, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.Trim(level, "#") == "" && level != "" {
			all.WriteString("#" + strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(title), ""), " ", "-") + "\n")
		}
	}
	return all.String()
}
