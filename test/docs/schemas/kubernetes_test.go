package schemas

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

const deploy = "../../../deploy"

// manifest has the strictly decoded objects of a file.
type manifest struct {
	services []*core.Service
	pods     []core.PodTemplateSpec
	accounts []*core.ServiceAccount
	roles    []*rbac.Role
	bindings []*rbac.RoleBinding
	budgets  []*policy.PodDisruptionBudget
	scalers  []*autoscaling.HorizontalPodAutoscaler
}

func readManifest(t *testing.T, file string) manifest {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(deploy, "kubernetes", file))
	if err != nil {
		t.Fatal(err)
	}

	return parseManifest(t, file, content)
}

// parseManifest decodes objects that are separated by lines of ---.
func parseManifest(t *testing.T, file string, content []byte) manifest {
	t.Helper()
	var m manifest
	for _, text := range bytes.Split(content, []byte("\n---\n")) {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal(text, &kind); err != nil {
			t.Fatalf("%s: %v", file, err)
		}

		switch kind.Kind {
		case "Service":
			m.services = append(m.services, strict(t, file, text, new(core.Service)))
		case "Deployment":
			m.pods = append(m.pods, strict(t, file, text, new(apps.Deployment)).Spec.Template)
		case "StatefulSet":
			m.pods = append(m.pods, strict(t, file, text, new(apps.StatefulSet)).Spec.Template)
		case "ServiceAccount":
			m.accounts = append(m.accounts, strict(t, file, text, new(core.ServiceAccount)))
		case "Role":
			m.roles = append(m.roles, strict(t, file, text, new(rbac.Role)))
		case "RoleBinding":
			m.bindings = append(m.bindings, strict(t, file, text, new(rbac.RoleBinding)))
		case "PodDisruptionBudget":
			m.budgets = append(m.budgets, strict(t, file, text, new(policy.PodDisruptionBudget)))
		case "HorizontalPodAutoscaler":
			m.scalers = append(m.scalers, strict(t, file, text, new(autoscaling.HorizontalPodAutoscaler)))
		default:
			t.Errorf("%s: an object of the kind %q, which no test checks", file, kind.Kind)
		}
	}

	return m
}

// strict decodes text into object. It fails the test for an unknown field.
func strict[T any](t *testing.T, file string, text []byte, object *T) *T {
	t.Helper()
	if err := yaml.UnmarshalStrict(text, object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return object
}

// balancers returns the containers that run Pillion's image.
func (m manifest) balancers() []core.Container {
	var all []core.Container
	for _, p := range m.pods {
		for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
			if strings.Contains(c.Image, "pillion") {
				all = append(all, c)
			}
		}
	}

	return all
}

func TestKubernetes_FilesHaveValidObjects(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deploy, "kubernetes", "*.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v, error %v, want 2 files at least", files, err)
	}

	for _, path := range files {
		m := readManifest(t, filepath.Base(path))
		for _, p := range m.pods {
			if p.Spec.EnableServiceLinks == nil || *p.Spec.EnableServiceLinks {
				t.Errorf("%s: the pod gets the variables of service links", path)
			}
		}

		if len(m.roles) > 0 {
			continue // a role for the pods of another file
		}
		if len(m.balancers()) != 1 {
			t.Errorf("%s: %d containers run Pillion's image, want 1", path, len(m.balancers()))
		}
		for _, c := range m.balancers() {
			checkBalancer(t, path, c)
		}
	}
}

// The account has exactly the rights that following EndpointSlices needs.
func TestKubernetes_TheAccountMayFollowEndpointSlices(t *testing.T) {
	m := readManifest(t, "endpointslices.yaml")
	if len(m.accounts) != 1 || len(m.roles) != 1 || len(m.bindings) != 1 {
		t.Fatalf("want one account, role and binding: %+v", m)
	}

	account, role, binding := m.accounts[0], m.roles[0], m.bindings[0]
	want := rbac.PolicyRule{
		APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"},
		Verbs: []string{"get", "list", "watch"},
	}
	if len(role.Rules) != 1 || !reflect.DeepEqual(role.Rules[0], want) {
		t.Errorf("the rules are %+v, want %+v alone", role.Rules, want)
	}
	if binding.RoleRef.Kind != "Role" || binding.RoleRef.Name != role.Name ||
		len(binding.Subjects) != 1 || binding.Subjects[0].Kind != "ServiceAccount" ||
		binding.Subjects[0].Name != account.Name {
		t.Errorf("the binding is %+v, want the role for the account", binding)
	}
}

func checkBalancer(t *testing.T, path string, c core.Container) {
	t.Helper()
	for question, probe := range map[string]*core.Probe{"started": c.StartupProbe, "ready": c.ReadinessProbe,
		"live": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != "/.lb/"+question ||
			probe.HTTPGet.Port.StrVal != c.Ports[0].Name {
			t.Errorf("%s: the probe for %q is %+v, want its status path on the first port", path, question, probe)
		}
	}

	s := c.SecurityContext
	if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil ||
		*s.AllowPrivilegeEscalation ||
		len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" {
		t.Errorf("%s: the container has more rights than it needs: %+v", path, s)
	}
}

func TestKubernetes_TheSidecarStartsFirstAndStopsLast(t *testing.T) {
	pod := readManifest(t, "sidecar.yaml").pods[0].Spec
	if len(pod.InitContainers) != 1 || pod.InitContainers[0].RestartPolicy == nil ||
		*pod.InitContainers[0].RestartPolicy != core.ContainerRestartPolicyAlways {
		t.Errorf("the init containers are %+v, want one that is always restarted", pod.InitContainers)
	}
	if l := pod.Containers[0].Lifecycle; l == nil || l.PreStop == nil || l.PreStop.Sleep == nil {
		t.Error("the app has no sleep before it stops, while Pillion still gets requests for it")
	}
}

// The image of an app may run as root, so the restrictions of Pillion's
// container do not apply to the pod.
func TestKubernetes_TheSidecarDoesNotRestrictTheApp(t *testing.T) {
	pod := readManifest(t, "sidecar.yaml").pods[0].Spec
	if pod.SecurityContext != nil {
		t.Errorf("the security context %+v applies to the whole pod, want none", pod.SecurityContext)
	}
	if s := pod.InitContainers[0].SecurityContext; s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil {
		t.Errorf("Pillion's container has %+v, want a user without root and a seccomp profile", s)
	}
}

// Records for srv:// exist only for a headless Service with a port of this name.
func TestKubernetes_BackendsAreAHeadlessServiceOfTheFile(t *testing.T) {
	m := readManifest(t, "standalone.yaml")
	app := m.services[0]
	want := "srv://_" + app.Spec.Ports[0].Name + "._tcp." + app.Name + ".default.svc.cluster.local"
	for _, e := range m.balancers()[0].Env {
		if e.Name == "LB_BACKENDS" && e.Value != want {
			t.Errorf("LB_BACKENDS is %s, want %s as the Service is called", e.Value, want)
		}
	}

	if app.Spec.ClusterIP != core.ClusterIPNone {
		t.Error("the Service of the app is not headless")
	}
}
