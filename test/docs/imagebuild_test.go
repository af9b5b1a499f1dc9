package docs

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// builder is buildah with its own storage and without the network. The image
// that the Dockerfile builds in is replaced by one with this machine's Go, a
// shell and certificates.
type builder struct {
	t    *testing.T
	dir  string
	args []string
}

func newBuilder(t *testing.T) *builder {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		t.Skip("buildah is not installed")
	}
	dir := t.TempDir()
	b := &builder{t: t, dir: dir, args: []string{"--storage-driver", "vfs",
		"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run")}}

	container, err := b.try("from", "scratch")
	if err != nil {
		t.Skipf("buildah cannot build here: %v", err)
	}
	for file, place := range map[string]string{
		"/bin/sh": "/bin/sh", "/etc/ssl/certs/ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt",
		root + "/LICENSE": "/tmp/file", // creates /tmp
	} {
		file, err := filepath.EvalSymlinks(file)
		if err != nil {
			t.Skip(err)
		}
		b.run("copy", container, file, place)
	}
	b.run("config", "--env", "PATH=/usr/local/go/bin:/bin", "--env", "GOTOOLCHAIN=local", "--env", "HOME=/root",
		container)
	b.run("commit", container, "docker.io/library/golang:"+strings.TrimPrefix(minor(t), "go"))

	return b
}

// minor returns the Go version that the Dockerfile builds with.
func minor(t *testing.T) string {
	t.Helper()
	_, rest, _ := strings.Cut(read(t, "Dockerfile").Text, " golang:")
	version, _, _ := strings.Cut(rest, " ")
	return version
}

func (b *builder) try(args ...string) (string, error) {
	cmd := exec.CommandContext(b.t.Context(), "buildah", append(b.args[:len(b.args):len(b.args)], args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.t.Logf("buildah %q: %v\n%s", args, err, &stderr)
	}

	return strings.TrimSpace(string(out)), err
}

func (b *builder) run(args ...string) string {
	b.t.Helper()
	out, err := b.try(args...)
	if err != nil {
		b.t.Fatal(err)
	}

	return out
}

// mounted returns arguments that mount folders of this machine into a build:
// Go, the libraries of the shell, the modules, and the build cache.
func mounted(t *testing.T) (args []string) {
	t.Helper()
	place := func(name string) string { return strings.TrimSpace(must(t, root, "go", "env", name)) }
	for _, volume := range []string{
		place("GOROOT") + ":/usr/local/go:ro", place("GOMODCACHE") + ":/root/go/pkg/mod",
		place("GOCACHE") + ":/root/.cache/go-build", "/lib:/lib:ro", "/lib64:/lib64:ro", "/usr/lib:/usr/lib:ro",
	} {
		from, _, _ := strings.Cut(volume, ":")
		if _, err := os.Stat(from); err == nil {
			args = append(args, "--volume", volume)
		}
	}

	return args
}

// The Dockerfile, unchanged, builds an image that starts and has the same
// program as the archives.
func TestImageBuild_HasTheProgramOfTheArchives(t *testing.T) {
	t.Parallel()
	if !*releases {
		t.Skip("needs -docs.release")
	}
	b, dir := newBuilder(t), clone(t)
	args := append([]string{"bud", "--format", "docker", "--isolation", "chroot", "--pull-never", "--env", "GOPROXY=off",
		"--build-arg", "VERSION=v1.2.3", "--tag", "pillion:test"}, mounted(t)...)
	b.run(append(args, dir)...)

	container := b.run("from", "--pull-never", "localhost/pillion:test")
	if out := b.run("run", "--isolation", "chroot", container, "/pillion", "version"); out != "pillion v1.2.3" {
		t.Errorf("version prints %q, want pillion v1.2.3", out)
	}

	inside := filepath.Join(b.run("mount", container), "pillion")
	built, err := os.ReadFile(inside)
	if err != nil {
		t.Fatal(err)
	}
	archived, err := os.ReadFile(release(t, dir, "-buildvcs=false"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(built, archived) {
		t.Error("the program of the image differs from the one of the archives")
	}
	wantSize(t, b)
}

// wantSize fails the test if the image is larger than the pages say: 20 MB, and
// 8 MB to pull.
func wantSize(t *testing.T, b *builder) {
	t.Helper()
	out := filepath.Join(b.dir, "oci")
	b.run("push", "localhost/pillion:test", "oci:"+out)
	files, err := filepath.Glob(filepath.Join(out, "blobs", "sha256", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("error %v, %d blobs, want some", err, len(files))
	}

	pulled, unpacked := 0, 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pulled += len(content)
		unpacked += plainSize(content)
	}
	t.Logf("the image has %d bytes, %d to pull", unpacked, pulled)
	if unpacked > 20_500_000 || pulled > 8_500_000 {
		t.Errorf("the image has %d bytes, %d to pull; README.md and deploy/README.md say 20 MB and 8", unpacked, pulled)
	}
}

// plainSize returns the size of an unpacked blob, or 0 if it is no layer.
func plainSize(blob []byte) int {
	plain, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil || json.Valid(blob) {
		return 0
	}
	var content bytes.Buffer
	_, _ = content.ReadFrom(plain)

	return content.Len()
}
