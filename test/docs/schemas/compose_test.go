package schemas

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// The loader of Compose accepts the file. It knows the schema, and refuses an
// unknown field.
func TestCompose_AcceptsTheFile(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{filepath.Join(deploy, "compose", "compose.yaml")},
		cli.WithName("pillion"))
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
		t.Errorf("LB_BACKENDS has %d targets, want 3", len(targets))
	}

	for _, target := range targets {
		host, _, _ := strings.Cut(strings.TrimPrefix(target, "http://"), ":")
		if !slices.Contains(project.ServiceNames(), host) {
			t.Errorf("LB_BACKENDS names %q, which is no service of the file", host)
		}
	}

	if root, _ := filepath.Abs(filepath.Join(deploy, "..")); lb.Build == nil || lb.Build.Context != root {
		t.Errorf("lb is built from %+v, want %s", lb.Build, root)
	}
	if !lb.ReadOnly || !slices.Equal(lb.CapDrop, []string{"ALL"}) || lb.MemLimit != 64<<20 {
		t.Errorf("lb has more rights than it needs: read only %v, dropped %v, memory %d", lb.ReadOnly, lb.CapDrop,
			lb.MemLimit)
	}
}

// The services that routes name are services of the same file.
func TestCompose_RoutesGoToServicesOfTheFile(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{filepath.Join(deploy, "compose", "routes.yaml")},
		cli.WithName("pillion"))
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

	for name, service := range map[string]string{"LB_BACKENDS": "ui", "LB_BACKENDS__API": "api"} {
		if v := lb.Environment[name]; v == nil || *v != "http://"+service+":9000" ||
			!slices.Contains(project.ServiceNames(), service) {
			t.Errorf("%s is %v, want a service of the file", name, v)
		}
	}
	if v := lb.Environment["LB_ROUTE__API"]; v == nil || *v != "/api/*" {
		t.Errorf("LB_ROUTE__API is %v, want /api/*", v)
	}
}
