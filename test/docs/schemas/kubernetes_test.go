package schemas

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const deploy = "../../../deploy"

// manifest is one file's objects, decoded strictly.
type manifest struct {
	services []*core.Service
	pods     []core.PodTemplateSpec
}

func readManifest(t *testing.T, file string) manifest {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(deploy, "kubernetes", file))
	if err != nil {
		t.Fatal(err)
	}
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
		default:
			t.Errorf("%s: an object of the kind %q, which nothing checks", file, kind.Kind)
		}
	}
	return m
}

// strict decodes into object, and fails for a field that it does not have.
func strict[T any](t *testing.T, file string, text []byte, object *T) *T {
	t.Helper()
	if err := yaml.UnmarshalStrict(text, object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return object
}

// balancers are the containers that run our image.
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

func TestKubernetes_FilesAreWhatTheAPITakes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deploy, "kubernetes", "*.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, path := range files {
		m := readManifest(t, filepath.Base(path))
		for _, p := range m.pods {
			if p.Spec.EnableServiceLinks == nil || *p.Spec.EnableServiceLinks {
				t.Errorf("%s: a pod with service links", path)
			}
		}
		if len(m.balancers()) != 1 {
			t.Errorf("%s: %d containers run our image", path, len(m.balancers()))
		}
		for _, c := range m.balancers() {
			checkBalancer(t, path, c)
		}
	}
}

func checkBalancer(t *testing.T, path string, c core.Container) {
	t.Helper()
	for question, probe := range map[string]*core.Probe{"started": c.StartupProbe, "ready": c.ReadinessProbe, "live": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != "/.lb/"+question || probe.HTTPGet.Port.StrVal != c.Ports[0].Name {
			t.Errorf("%s: the probe for %q is %+v", path, question, probe)
		}
	}
	s := c.SecurityContext
	if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
		len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" {
		t.Errorf("%s: our container may more than it needs: %+v", path, s)
	}
}

func TestKubernetes_TheSidecarStartsFirstAndStopsLast(t *testing.T) {
	pod := readManifest(t, "sidecar.yaml").pods[0].Spec
	if len(pod.InitContainers) != 1 || pod.InitContainers[0].RestartPolicy == nil || *pod.InitContainers[0].RestartPolicy != core.ContainerRestartPolicyAlways {
		t.Errorf("the init containers are %+v", pod.InitContainers)
	}
	if l := pod.Containers[0].Lifecycle; l == nil || l.PreStop == nil || l.PreStop.Sleep == nil {
		t.Error("the app stops at once, while the balancer still gets requests for it")
	}
}

// An app's image may run as root: what our container does without is not asked of it.
func TestKubernetes_TheSidecarAsksNothingOfTheApp(t *testing.T) {
	pod := readManifest(t, "sidecar.yaml").pods[0].Spec
	if pod.SecurityContext != nil {
		t.Errorf("the whole pod gets %+v", pod.SecurityContext)
	}
	if s := pod.InitContainers[0].SecurityContext; s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil {
		t.Errorf("our container gets %+v", s)
	}
}

// The records that srv:// asks for exist only for a headless Service with a port of this name.
func TestKubernetes_TheNameThatIsAskedForIsTheServices(t *testing.T) {
	m := readManifest(t, "standalone.yaml")
	app := m.services[0]
	want := "srv://_" + app.Spec.Ports[0].Name + "._tcp." + app.Name + ".default.svc.cluster.local"
	for _, e := range m.balancers()[0].Env {
		if e.Name == "LB_BACKENDS" && e.Value != want {
			t.Errorf("LB_BACKENDS is %s, the Service's name is %s", e.Value, want)
		}
	}
	if app.Spec.ClusterIP != core.ClusterIPNone {
		t.Error("the Service of the app is not headless")
	}
}
