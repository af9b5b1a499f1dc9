package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pillion is the documented program, and fakemetadata the path of the fake
// metadata server.
var (
	pillion      *binary.Binary
	fakemetadata string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pillion-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if pillion, err = binary.Build(root, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}

	fakemetadata = filepath.Join(dir, "fakemetadata")
	build := exec.Command("go", "build", "-o", fakemetadata, "./test/fakemetadata")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}

	return m.Run()
}
