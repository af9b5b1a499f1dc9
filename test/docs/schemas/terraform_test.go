package schemas

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// service is what we use of google_cloud_run_v2_service, by the provider's documentation: the names of attributes and
// blocks below each block.
var service = map[string][]string{
	"":               {"name", "location", "ingress", "template", "depends_on"},
	"template":       {"service_account", "timeout", "max_instance_request_concurrency", "session_affinity", "containers"},
	"containers":     {"name", "image", "depends_on", "ports", "env", "resources", "startup_probe", "liveness_probe"},
	"ports":          {"name", "container_port"},
	"env":            {"name", "value", "value_source"},
	"value_source":   {"secret_key_ref"},
	"secret_key_ref": {"secret", "version"},
	"resources":      {"limits", "cpu_idle", "startup_cpu_boost"},
	"startup_probe":  {"period_seconds", "failure_threshold", "http_get", "tcp_socket"},
	"liveness_probe": {"period_seconds", "failure_threshold", "http_get"},
	"http_get":       {"path", "port"},
	"tcp_socket":     {"port"},
}

func TestTerraform_IsFormattedAndKnowsItsFields(t *testing.T) {
	path := filepath.Join(deploy, "terraform", "main.tf")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, problems := hclsyntax.ParseConfig(text, path, hcl.InitialPos)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	if !bytes.Equal(hclwrite.Format(text), text) {
		t.Error("main.tf is not formatted: terraform fmt deploy/terraform")
	}
	found := false
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		if b.Type == "resource" && b.Labels[0] == "google_cloud_run_v2_service" {
			found = true
			checkFields(t, "", b.Body)
		}
	}
	if !found {
		t.Error("main.tf has no google_cloud_run_v2_service")
	}
}

func checkFields(t *testing.T, block string, body *hclsyntax.Body) {
	t.Helper()
	for name := range body.Attributes {
		if !slices.Contains(service[block], name) {
			t.Errorf("%q has an attribute %q", block, name)
		}
	}
	for _, b := range body.Blocks {
		if !slices.Contains(service[block], b.Type) {
			t.Errorf("%q has a block %q", block, b.Type)
		}
		checkFields(t, b.Type, b.Body)
	}
}
