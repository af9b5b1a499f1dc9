package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the folder of the module, relative to this package.
const root = "../.."

// document is one file of the documentation.
type document struct {
	Path string // from the root of the module
	Text string
}

// block is one fenced block of a Markdown file.
type block struct {
	Document string
	Line     int    // the line of its fence
	Kind     string // the text after the fence, such as "sh client"
	Text     string
}

// shell reports whether the block is for a shell.
func (b block) shell() bool { return b.Kind == "sh" || strings.HasPrefix(b.Kind, "sh ") }

func read(t *testing.T, path string) document {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}

	return document{Path: path, Text: string(content)}
}

// documents returns the pages of the top folder, of config and of test, the
// Dockerfile and other build files, and all files of deploy/.
func documents(t *testing.T) []document {
	t.Helper()
	paths := []string{"README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "Dockerfile", "cloudbuild.yaml",
		"config/README.md", "test/README.md", "test/bench/README.md", "test/fakemetadata/README.md"}
	err := filepath.WalkDir(filepath.Join(root, "deploy"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, strings.TrimPrefix(filepath.ToSlash(path), root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	var all []document
	for _, path := range paths {
		all = append(all, read(t, path))
	}

	return all
}

func pages(t *testing.T) []document {
	return slices.DeleteFunc(documents(t), func(d document) bool { return !strings.HasSuffix(d.Path, ".md") })
}

// blocks returns the fenced blocks of a page, in order.
func (d document) blocks() []block {
	var all []block
	var open *block
	for i, line := range strings.Split(d.Text, "\n") {
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{Document: d.Path, Line: i + 1, Kind: strings.TrimSpace(kind)}
		case fence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.Text += line + "\n"
		}
	}

	return all
}

// shellBlocks returns the shell blocks of all pages.
func shellBlocks(t *testing.T) []block {
	var all []block
	for _, d := range pages(t) {
		for _, b := range d.blocks() {
			if b.shell() {
				all = append(all, b)
			}
		}
	}

	return all
}
