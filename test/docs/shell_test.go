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

// bash returns the path of bash. It skips the test if there is none.
func bash(t *testing.T) string {
	t.Helper()
	found, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
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
	known := map[string]bool{"text": true, "sh": true, "sh serve": true, "sh client": true, "sh deploy": true,
		"sh replace": true}
	for _, d := range pages(t) {
		for _, b := range d.blocks() {
			if !known[b.Kind] {
				t.Errorf("%s:%d: a block of the kind %q, which no test knows", b.Document, b.Line, b.Kind)
			}
		}
	}
}

// A block that applies a manifest first creates the secret that its pods need.
func TestShell_SecretsAreMadeBeforeTheManifestsThatNeedThem(t *testing.T) {
	t.Parallel()
	applied := regexp.MustCompile(`kubectl apply -f (\S+)`)
	secret := regexp.MustCompile(`secretKeyRef:\s+name: (\S+)`)

	needs := 0
	for _, b := range shellBlocks(t) {
		for _, at := range applied.FindAllStringSubmatchIndex(b.Text, -1) {
			for _, m := range secret.FindAllStringSubmatch(read(t, b.Text[at[2]:at[3]]).Text, -1) {
				if needs++; !strings.Contains(b.Text[:at[0]], "kubectl create secret generic "+m[1]+" ") {
					t.Errorf("%s:%d: no command creates the secret %s", b.Document, b.Line, m[1])
				}
			}
		}
	}

	if needs == 0 {
		t.Error("found no secret in a manifest, want one at least")
	}
}

// The files that blocks, links and manifests name exist, and so do the headings
// that links lead to.
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

// Each command in a document that checks a configuration succeeds.
func TestShell_CommandsThatCheckSucceed(t *testing.T) {
	t.Parallel()
	shell, checked := bash(t), 0
	for _, b := range shellBlocks(t) {
		for command := range strings.SplitSeq(strings.ReplaceAll(b.Text, "\\\n", " "), "\n") {
			if !strings.HasSuffix(command, "go run . check") {
				continue
			}
			checked++
			c := exec.Command(shell, "-c", strings.Replace(command, "go run .", pillion.Path, 1))
			c.Env = plain(t.TempDir())
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %v\n%s", b.Document, b.Line, err, out)
			}
		}
	}
	if checked < 5 {
		t.Errorf("found %d commands, want 5 at least", checked)
	}
}

// The program accepts the settings of every manifest for Cloud Run, without
// those that come from secrets.
func TestShell_ManifestsHaveSettingsThatAreAccepted(t *testing.T) {
	t.Parallel()
	setting := regexp.MustCompile(`- name: ((?:LB|OTEL)_\w+)(?: +#[^\n]*)?\n +value: ([^\n]*)`)
	read := 0
	for _, d := range documents(t) {
		if !strings.HasSuffix(d.Path, ".yaml") || !strings.Contains(d.Text, "serving.knative.dev") {
			continue
		}
		env := []string{"K_SERVICE=shop", "K_REVISION=shop-1", "K_CONFIGURATION=shop", "PORT=8080"}
		for _, m := range setting.FindAllStringSubmatch(d.Text, -1) {
			env = append(env, m[1]+"="+strings.Trim(m[2], `'"`))
		}
		read++
		if r := pillion.Run(t, env, "check"); r.Code != 0 {
			t.Errorf("%s: %q\n%s", d.Path, env, r.Output())
		}
	}
	if read < 5 {
		t.Errorf("found %d manifests, want 5 at least", read)
	}
}

func exists(t *testing.T, by, file string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, file)); err != nil {
		t.Errorf("%s names %s: %v", by, file, err)
	}
}

// anchors returns the anchors of a page's headings as GitHub makes them, one on
// each line.
func anchors(d document) string {
	var all strings.Builder
	drop := regexp.MustCompile(`[^a-z0-9 _-]`)
	for line := range strings.Lines(d.Text) {
		if level, title, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.Trim(level, "#") == "" &&
			level != "" {
			all.WriteString("#" + strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(title), ""), " ", "-") + "\n")
		}
	}

	return all.String()
}
