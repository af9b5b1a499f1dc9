package schemas

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

var chart = filepath.Join(deploy, "helm", "pillion")

// kubernetes is the oldest Kubernetes version that the chart supports.
var kubernetes = chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}

// examples returns the example values of the three shapes, by shape.
func examples(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, shape := range []string{"gateway", "sidecar", "egress"} {
		values, err := chartutil.ReadValuesFile(filepath.Join(deploy, "helm", "examples", shape+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		all[shape] = values
	}

	return all
}

// render returns the files that the chart renders for values, by name.
func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	c, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}

	release := chartutil.ReleaseOptions{Name: "shop", Namespace: "prod", Revision: 1, IsInstall: true}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = kubernetes
	filled, err := chartutil.ToRenderValues(c, values, release, capabilities)
	if err != nil {
		return nil, err
	}

	return engine.Render(c, filled)
}

// rendered returns the objects that the chart renders for values.
func rendered(t *testing.T, values map[string]any) manifest {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}

	var objects []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for text := range strings.SplitSeq(files[name], "\n---\n") {
			text = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "---"))
			if strings.HasSuffix(name, ".yaml") && text != "" {
				objects = append(objects, text)
			}
		}
	}

	return parseManifest(t, values["shape"].(string), []byte(strings.Join(objects, "\n---\n")))
}

func TestHelm_LintFindsNothing(t *testing.T) {
	for shape, values := range examples(t) {
		for _, m := range lint.AllWithKubeVersion(chart, values, "prod", &kubernetes).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %s: %v", shape, m.Path, m.Err)
			}
		}
	}
}

func TestHelm_ShapesHaveValidObjects(t *testing.T) {
	for shape, values := range examples(t) {
		m := rendered(t, values)
		if len(m.pods) != 1 || len(m.balancers()) != 1 || len(m.services) != 1 ||
			len(m.accounts) != 1 || len(m.budgets) != 1 {
			t.Errorf("%s: want one pod template with one Pillion, Service, account and budget: %+v", shape, m)
			continue
		}

		lb, pod := m.balancers()[0], m.pods[0]
		if shape != "egress" {
			checkBalancer(t, shape, lb)
		}
		checkConfined(t, shape, lb)
		if links := pod.Spec.EnableServiceLinks; links == nil || *links {
			t.Errorf("%s: the pod gets the variables of service links", shape)
		}
		if lb.Image != "ghcr.io/pillion-lb/pillion:0.0.0" {
			t.Errorf("%s: the image is %s, want ghcr.io/pillion-lb/pillion:0.0.0", shape, lb.Image)
		}
		checkSelectors(t, shape, m)
	}
}

// checkConfined fails the test if Pillion's container has more rights than it
// needs.
func checkConfined(t *testing.T, where string, c core.Container) {
	t.Helper()
	s := c.SecurityContext
	if s == nil || !*s.RunAsNonRoot || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation ||
		s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault ||
		!slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
		t.Errorf("%s: the container has more rights than it needs: %+v", where, s)
	}
}

// checkSelectors fails the test unless the Service and the budget select the
// pods, and the Service leads to a port of the containers.
func checkSelectors(t *testing.T, where string, m manifest) {
	t.Helper()
	pod, service := m.pods[0], m.services[0]
	for _, selector := range []map[string]string{service.Spec.Selector, m.budgets[0].Spec.Selector.MatchLabels} {
		for name, value := range selector {
			if pod.Labels[name] != value {
				t.Errorf("%s: %s=%s selects no pod", where, name, value)
			}
		}
		if len(selector) < 2 {
			t.Errorf("%s: the selector is %v, want 2 labels at least", where, selector)
		}
	}

	var ports []intstr.IntOrString
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, p := range c.Ports {
			ports = append(ports, intstr.FromString(p.Name))
		}
	}
	if to := service.Spec.Ports[0].TargetPort; !slices.Contains(ports, to) {
		t.Errorf("%s: the Service leads to the port %s, want one of %v", where, to.String(), ports)
	}
}

// The program accepts the environments that the pods get.
func TestHelm_EnvironmentsAreAccepted(t *testing.T) {
	for shape, values := range examples(t) {
		env := map[string]string{}
		for _, e := range rendered(t, values).balancers()[0].Env {
			env[e.Name] = e.Value
			if e.ValueFrom != nil {
				env[e.Name] = "a-secret-of-sixteen-letters"
			}
		}

		accepted(t, shape, env)
	}
}

func TestHelm_SidecarsStartFirstAndStopLast(t *testing.T) {
	for shape, values := range examples(t) {
		pod := rendered(t, values).pods[0].Spec
		if shape == "gateway" {
			if len(pod.InitContainers) != 0 || len(pod.Containers) != 1 {
				t.Errorf("the gateway has %+v, want one container", pod)
			}
			continue
		}

		lb, app := pod.InitContainers[0], pod.Containers[0]
		if lb.RestartPolicy == nil || *lb.RestartPolicy != core.ContainerRestartPolicyAlways || lb.StartupProbe == nil {
			t.Errorf("%s: Pillion's container is no sidecar with a startup probe: %+v", shape, lb)
		}
		if app.Lifecycle.PreStop.Sleep.Seconds != 5 || app.ReadinessProbe == nil {
			t.Errorf("%s: the app does not wait 5 s before it stops: %+v", shape, app)
		}
		if pod.SecurityContext != nil {
			t.Errorf("%s: the security context %+v applies to the whole pod, want none", shape, pod.SecurityContext)
		}
	}
}

// The account of the gateway may read EndpointSlices, and a scaler sets the
// number of pods.
func TestHelm_TheGatewayFollowsPodsAndScales(t *testing.T) {
	m := rendered(t, examples(t)["gateway"])
	if len(m.roles) != 1 || len(m.bindings) != 1 || len(m.scalers) != 1 {
		t.Fatalf("want one role, binding and scaler: %+v", m)
	}

	account := m.pods[0].Spec.ServiceAccountName
	subject := m.bindings[0].Subjects[0]
	if m.accounts[0].Name != account || subject.Name != account || subject.Namespace != "prod" {
		t.Errorf("the pods run as %q, but the role is bound to %+v", account, subject)
	}
	if m.bindings[0].RoleRef.Name != m.roles[0].Name ||
		!slices.Equal(m.roles[0].Rules[0].Verbs, []string{"get", "list", "watch"}) {
		t.Errorf("the role is %+v, want get, list and watch", m.roles[0])
	}
	if to := m.scalers[0].Spec.ScaleTargetRef; to.Kind != "Deployment" || to.Name != m.services[0].Name {
		t.Errorf("the scaler scales %+v, want the Deployment", to)
	}
}

// Each value of the chart, set in each shape, appears in the objects.
func TestHelm_EveryValueHasItsPlace(t *testing.T) {
	const all = `
image:
  digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  pullSecrets: [{name: registry}]
env: {LB_BACKENDS: ':9000', PORT: '8081'}
secretEnv: {LB_STATUS_TOKEN: {name: s, key: k}}
app: {image: app, command: [a], args: [b], env: [{name: A, value: b}], envFrom: [{secretRef: {name: s}}],
  resources: {limits: {memory: 1Gi}}, securityContext: {runAsUser: 7}, readinessProbe: {tcpSocket: {port: 1}},
  livenessProbe: {tcpSocket: {port: 1}}, httpProxy: true, stopDelaySeconds: 9}
service: {type: LoadBalancer, annotations: {a: b}}
serviceAccount: {annotations: {a: b}}
podAnnotations: {a: b}
podLabels: {a: b}
nodeSelector: {a: b}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
priorityClassName: high
volumes: [{name: certificates, secret: {secretName: tls}}]
volumeMounts: [{name: certificates, mountPath: /etc/tls}]
endpointSlices: {enabled: true, namespaces: [a, b]}
`
	for _, shape := range []string{"gateway", "sidecar", "egress"} {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(all), &values); err != nil {
			t.Fatal(err)
		}
		values["shape"] = shape

		m := rendered(t, values)
		lb, pod := m.balancers()[0], m.pods[0]
		if !strings.Contains(lb.Image, "@sha256:") || len(lb.VolumeMounts) != 1 || len(pod.Spec.Volumes) != 1 ||
			pod.Spec.PriorityClassName != "high" || len(pod.Spec.Tolerations) != 1 ||
			pod.Labels["a"] != "b" || pod.Annotations["a"] != "b" {
			t.Errorf("%s: the pod lacks a value: %+v", shape, pod)
		}
		if len(m.roles) != 2 || m.roles[1].Namespace != "b" || m.bindings[1].Namespace != "b" ||
			m.bindings[1].Subjects[0].Namespace != "prod" {
			t.Errorf("%s: the roles and bindings are %+v %+v, want those of both namespaces", shape, m.roles, m.bindings)
		}
		if shape != "egress" && lb.Ports[0].ContainerPort != 8081 {
			t.Errorf("%s: the port is %d, want 8081 as in PORT", shape, lb.Ports[0].ContainerPort)
		}
	}
}

func TestHelm_WrongValuesAreRefused(t *testing.T) {
	for values, says := range map[string]string{
		`{}`: "LB_BACKENDS", `{shape: egress, app: {image: a}}`: "LB_BACKENDS",
		`{shape: sidecar}`: "app.image", `{shape: proxy}`: "shape", `{shap: gateway}`: "shap",
		`{env: {LB_BACKENDS: ':9000', LB_RETRIES: 2}}`: "LB_RETRIES", `{env: {lb_backends: ':9000'}}`: "lb_backends",
		`{env: {LB_BACKENDS: ':1'}, image: {digest: latest}}`: "digest",
	} {
		var given map[string]any
		if err := yaml.Unmarshal([]byte(values), &given); err != nil {
			t.Fatal(err)
		}
		if _, err := render(t, given); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one that names %s", values, err, says)
		}
	}
}

// The text that helm prints after an installation names missing settings.
func TestHelm_NotesNameWhatIsMissing(t *testing.T) {
	notes := func(values map[string]any) string {
		files, err := render(t, values)
		if err != nil {
			t.Fatal(err)
		}
		return files["pillion/templates/NOTES.txt"]
	}

	complete := examples(t)["gateway"]
	if text := notes(complete); !strings.Contains(text, "shape gateway") || strings.Contains(text, "guessed") ||
		strings.Contains(text, "are off") {
		t.Errorf("the notes lack a missing setting, or name one that is set:\n%s", text)
	}
	delete(complete, "secretEnv")
	if text := notes(complete); !strings.Contains(text, "guessed") || !strings.Contains(text, "are off") {
		t.Errorf("the notes lack a missing setting:\n%s", text)
	}
}

// The schema has exactly the values of values.yaml. A value without a line in
// the schema would be refused. A line without a value would be undocumented.
func TestHelm_TheSchemaHasTheValues(t *testing.T) {
	var values, schema map[string]any
	for name, into := range map[string]*map[string]any{"values.yaml": &values, "values.schema.json": &schema} {
		text, err := os.ReadFile(filepath.Join(chart, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}

	known := slices.Sorted(maps.Keys(schema["properties"].(map[string]any)))
	known = slices.DeleteFunc(known, func(name string) bool { return name == "global" }) // Helm defines it
	if there := slices.Sorted(maps.Keys(values)); !slices.Equal(there, known) {
		t.Errorf("values.yaml has %q, want %q as in the schema", there, known)
	}
}
