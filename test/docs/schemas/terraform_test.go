package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/pillion-lb/pillion/test/docs/schemas/internal/terraform"
)

var module = filepath.Join(deploy, "terraform")

// everywhere has the arguments that Terraform accepts in every resource.
var everywhere = []string{"count", "for_each", "lifecycle", "depends_on"}

// parse reads all files of a folder as one body of blocks. It fails the test if
// a file is not formatted.
func parse(t *testing.T, dir string) hclsyntax.Blocks {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.tf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", dir, files, err)
	}

	var all hclsyntax.Blocks
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}

		file, problems := hclsyntax.ParseConfig(text, path, hcl.InitialPos)
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		if !bytes.Equal(hclwrite.Format(text), text) {
			t.Errorf("%s is not formatted; terraform fmt -recursive deploy/terraform formats it", path)
		}
		all = append(all, file.Body.(*hclsyntax.Body).Blocks...)
	}

	return all
}

func TestTerraform_FieldsExistInTheProvider(t *testing.T) {
	resources := 0
	for _, b := range parse(t, module) {
		if b.Type != "resource" {
			continue
		}

		resources++
		known, found := terraform.Resources[b.Labels[0]]
		if !found {
			t.Errorf("a resource %s, which no test checks", b.Labels[0])
			continue
		}
		checkFields(t, known, b.Labels[0], b.Body, everywhere...)
	}

	if resources < 8 {
		t.Errorf("the module has %d resources, want 8 at least", resources)
	}
}

// checkFields fails the test for an unknown field of a block, and for a missing
// field that is required.
func checkFields(t *testing.T, known terraform.Block, where string, body *hclsyntax.Body, also ...string) {
	t.Helper()
	for name := range body.Attributes {
		_, required := known.Required[name]
		if _, optional := known.Optional[name]; !required && !optional && !slices.Contains(also, name) {
			t.Errorf("%s has the unknown attribute %q", where, name)
		}
	}
	for name := range known.Required {
		if body.Attributes[name] == nil {
			t.Errorf("%s lacks the required %q", where, name)
		}
	}

	for _, b := range body.Blocks {
		name, content := b.Type, b.Body
		if name == "dynamic" {
			name, content = b.Labels[0], b.Body.Blocks[0].Body
		}
		if slices.Contains(also, name) {
			continue
		}

		inner, found := known.Blocks[name]
		if !found {
			t.Errorf("%s has the unknown block %q", where, name)
		}
		checkFields(t, inner, where+"."+name, content)
	}
}

// All names in the module are declared, and every variable is used.
func TestTerraform_NamesAreDeclared(t *testing.T) {
	blocks := parse(t, module)
	declared := map[string]bool{}
	for _, b := range blocks {
		switch b.Type {
		case "variable":
			declared["var."+b.Labels[0]] = false
		case "resource":
			declared[b.Labels[0]+"."+b.Labels[1]] = true
		case "locals":
			for name := range b.Body.Attributes {
				declared["local."+name] = false
			}
		}
	}

	// the names that dynamic blocks and for_each give to their items
	items := []string{"each", "containers", "env", "liveness_probe", "ports"}
	hclsyntax.VisitAll(&hclsyntax.Body{Blocks: blocks}, func(n hclsyntax.Node) hcl.Diagnostics {
		e, ok := n.(*hclsyntax.ScopeTraversalExpr)
		if !ok || len(e.Traversal) < 2 || slices.Contains(items, e.Traversal.RootName()) {
			return nil
		}

		name := e.Traversal.RootName()
		if step, ok := e.Traversal[1].(hcl.TraverseAttr); ok {
			name += "." + step.Name
		}
		if _, there := declared[name]; !there {
			t.Errorf("%s: %s is not declared", e.SrcRange, name)
		}
		declared[name] = true

		return nil
	})

	for _, name := range slices.Sorted(maps.Keys(declared)) {
		if !declared[name] {
			t.Errorf("the variable %s is not used", name)
		}
	}
}

// The examples set only variables of the module, and all that are required.
func TestTerraform_ExamplesAreAccepted(t *testing.T) {
	inputs := map[string]*hclsyntax.Body{}
	for _, b := range parse(t, module) {
		if b.Type == "variable" {
			inputs[b.Labels[0]] = b.Body
			if b.Body.Attributes["description"] == nil || b.Body.Attributes["type"] == nil {
				t.Errorf("the variable %s has no description or no type", b.Labels[0])
			}
		}
	}

	dirs, err := fs.Glob(os.DirFS(module), "examples/*")
	if err != nil || len(dirs) != 3 {
		t.Fatalf("found %v, error %v, want 3 examples", dirs, err)
	}
	for _, dir := range dirs {
		for _, b := range parse(t, filepath.Join(module, dir)) {
			if b.Type == "module" {
				checkExample(t, dir, b.Body, inputs)
			}
		}
	}
}

func checkExample(t *testing.T, dir string, given *hclsyntax.Body, inputs map[string]*hclsyntax.Body) {
	t.Helper()
	for name := range given.Attributes {
		if inputs[name] == nil && name != "source" {
			t.Errorf("%s sets %s, which is no variable of the module", dir, name)
		}
	}
	for name, body := range inputs {
		if given.Attributes[name] == nil && body.Attributes["default"] == nil {
			t.Errorf("%s does not set %s, which is required", dir, name)
		}
	}
}

// planned is the part of Terraform's plan that the test reads.
type planned struct {
	ResourceChanges []struct {
		Address string
		Change  struct{ After struct{ Template []revision } }
	} `json:"resource_changes"`
}

type revision struct {
	Containers []struct {
		Name      string
		DependsOn []string `json:"depends_on"`
		Ports     []struct {
			Port int `json:"container_port"`
		}
		Env []struct {
			Name, Value string
			Source      []struct{} `json:"value_source"`
		}
		StartupProbe []struct{} `json:"startup_probe"`
	}
}

// The real terraform plans each example with a fake provider. terraform checks
// the language, the types and the conditions, and the program accepts the
// environment of its container.
func TestTerraform_ExamplesCanBePlanned(t *testing.T) {
	path, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("terraform is not installed")
	}
	dir := t.TempDir()
	settings := filepath.Join(dir, "terraformrc")
	override := "provider_installation {\n  dev_overrides {\n"
	for _, name := range []string{"google", "random"} {
		binary := filepath.Join(dir, name, "terraform-provider-"+name)
		build := exec.Command("go", "build", "-o", binary, "./internal/terraform/provider")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		override += fmt.Sprintf("    \"hashicorp/%s\" = %q\n", name, filepath.Dir(binary))
	}
	if err := os.WriteFile(settings, []byte(override+"  }\n  direct {}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	for shape, want := range map[string]string{
		"sidecar": "pillion:8080:app app::", "gateway": "pillion:8080:", "egress": "pillion:: app:8080:pillion",
	} {
		work := filepath.Join(dir, shape)
		if err := os.CopyFS(work, os.DirFS(module)); err != nil {
			t.Fatal(err)
		}
		run := func(args ...string) []byte {
			command := exec.Command(path, append([]string{"-chdir=" + filepath.Join(work, "examples", shape)}, args...)...)
			command.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+settings, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
			out, err := command.Output()
			if err != nil {
				var stderr []byte
				if exit := new(exec.ExitError); errors.As(err, &exit) {
					stderr = exit.Stderr
				}
				t.Fatalf("%s: terraform %q: %v\n%s%s", shape, args, err, out, stderr)
			}
			return out
		}

		run("get")
		run("validate")
		run("plan", "-input=false", "-out=plan", "-var=project=my-project")
		var p planned
		if err := json.Unmarshal(run("show", "-json", "plan"), &p); err != nil {
			t.Fatal(err)
		}
		checkPlan(t, shape, want, p)
	}
}

// checkPlan fails the test unless the service has the wanted containers, each
// with its name, its port and the containers that it depends on.
func checkPlan(t *testing.T, shape, want string, p planned) {
	t.Helper()
	for _, r := range p.ResourceChanges {
		if !strings.HasSuffix(r.Address, ".google_cloud_run_v2_service.pillion") {
			continue
		}

		var got []string
		for _, c := range r.Change.After.Template[0].Containers {
			port := ""
			if len(c.Ports) == 1 {
				port = fmt.Sprint(c.Ports[0].Port)
			}
			got = append(got, c.Name+":"+port+":"+strings.Join(c.DependsOn, " "))

			if len(c.StartupProbe) != 1 {
				t.Errorf("%s: %s has no startup probe", shape, c.Name)
			}
			if c.Name == "pillion" {
				env := map[string]string{"K_SERVICE": "shop", "PORT": "8080"}
				for _, e := range c.Env {
					env[e.Name] = e.Value
					if len(e.Source) > 0 {
						env[e.Name] = "a-secret-of-sixteen-letters"
					}
				}
				accepted(t, shape, env)
			}
		}
		if all := strings.Join(got, " "); all != want {
			t.Errorf("%s has the containers %q, want %q", shape, all, want)
		}
		return
	}

	t.Errorf("the plan of %s has no service", shape)
}
