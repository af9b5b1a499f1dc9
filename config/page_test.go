package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPage_HasTheTextOfItsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	down, gone := filepath.Join(dir, "down.html"), filepath.Join(dir, "gone.html")
	for path, text := range map[string]string{down: "down", gone: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	pages, err := followPages("LB_ERROR_FILE", ErrorFiles{503: down, 404: gone})
	if err != nil || len(pages) != 2 || pages[503].Text() != "down" || pages[404].Text() != "" || pages[404].Path != gone {
		t.Errorf("%+v, %v", pages, err)
	}
	if _, err := followPages("LB_ERROR_FILE", ErrorFiles{503: dir}); err == nil {
		t.Error("a directory is taken for a page")
	}
	if (&Page{}).Text() != "" {
		t.Error("a page without a file has a text")
	}
}
