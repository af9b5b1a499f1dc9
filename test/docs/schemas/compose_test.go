package schemas

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// The loader knows the schema of Compose, and fails for a field that it does not have.
func TestCompose_IsWhatComposeTakes(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{filepath.Join(deploy, "compose", "compose.yaml")}, cli.WithName("pillion"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lb, err := project.GetService("lb")
	if err != nil {
		t.Fatal(err)
	}
	backends := lb.Environment["LB_BACKENDS"]
	if backends == nil {
		t.Fatal("lb has no LB_BACKENDS")
	}
	targets := strings.Split(*backends, ";")
	if len(targets) != 3 {
		t.Errorf("LB_BACKENDS has %d targets", len(targets))
	}
	for _, target := range targets {
		host, _, _ := strings.Cut(strings.TrimPrefix(target, "http://"), ":")
		if !slices.Contains(project.ServiceNames(), host) {
			t.Errorf("LB_BACKENDS names %q, which is no service of the file", host)
		}
	}
	if root, _ := filepath.Abs(filepath.Join(deploy, "..")); lb.Build == nil || lb.Build.Context != root {
		t.Errorf("lb is built from %+v, not from %s", lb.Build, root)
	}
	if !lb.ReadOnly || !slices.Equal(lb.CapDrop, []string{"ALL"}) || lb.MemLimit != 64<<20 {
		t.Errorf("lb may more than it needs: read only %v, dropped %v, memory %d", lb.ReadOnly, lb.CapDrop, lb.MemLimit)
	}
}
