package schemas

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// pillion is the path of the program, built by TestMain.
var pillion string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pillion-schemas-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)

	pillion = filepath.Join(dir, "pillion")
	build := exec.Command("go", "build", "-tags", "grpcnotrace", "-o", pillion, ".")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}

	return m.Run()
}

// accepted fails the test unless the program accepts an environment.
func accepted(t *testing.T, where string, env map[string]string) {
	t.Helper()
	check := exec.Command(pillion, "check")
	for name, value := range env {
		check.Env = append(check.Env, name+"="+value)
	}

	if out, err := check.CombinedOutput(); err != nil {
		slices.Sort(check.Env)
		t.Errorf("%s: %v\n%s\n%q", where, err, out, check.Env)
	}
}
