package docs

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// googleAPI is a fake of Google's APIs on loopback, so that the real gcloud
// runs without an account and without the network. gcloud uses it as its proxy,
// and asks for host names that do not exist. It stores services and records the
// requests that change something. It checks nothing itself: gcloud's own
// parsers of flags and files do that.
type googleAPI struct {
	proxy    *httptest.Server
	mu       sync.Mutex
	services map[string]map[string]any // by their paths
	changes  []change
}

// change is a request that changes a resource.
type change struct {
	Path string
	Body map[string]any
}

const services = "/apis/serving.knative.dev/v1/namespaces/test-project/services"

func newGoogleAPI(t *testing.T) *googleAPI {
	t.Helper()
	if testing.Short() {
		t.Skip("each gcloud command takes seconds")
	}
	if _, err := exec.LookPath("gcloud"); err != nil {
		t.Skip("gcloud is not installed")
	}

	a := &googleAPI{services: map[string]map[string]any{}}
	a.proxy = httptest.NewServer(a)
	t.Cleanup(a.proxy.Close)

	return a
}

func (a *googleAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body) // a request without a body has none
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Method != http.MethodGet {
		a.changes = append(a.changes, change{r.URL.Path, body})
	}

	w.Header().Set("Content-Type", "application/json")
	answer := a.answer(r, body)
	if answer == nil {
		w.WriteHeader(http.StatusNotFound)
		answer = map[string]any{"error": map[string]any{"code": 404, "status": "NOT_FOUND", "message": "no " + r.URL.Path}}
	}

	_ = json.NewEncoder(w).Encode(answer) // if gcloud has gone, its exit status shows it
}

// answer returns the answer to a request, or nil for 404.
func (a *googleAPI) answer(r *http.Request, body map[string]any) map[string]any {
	switch {
	case strings.HasSuffix(r.URL.Path, ":getIamPolicy"):
		return map[string]any{"etag": "AA==", "bindings": []any{}}
	case strings.HasSuffix(r.URL.Path, ":setIamPolicy"):
		policy, _ := body["policy"].(map[string]any)
		return policy
	case strings.HasSuffix(r.URL.Path, "/builds"):
		return map[string]any{"name": "operations/build/test-project/1", "metadata": map[string]any{
			"@type": "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata",
			"build": map[string]any{"id": "1", "projectId": "test-project", "status": "QUEUED", "logUrl": "http://logs.test/"}}}
	case !strings.HasPrefix(r.URL.Path, services):
		return nil
	case r.Method == http.MethodPost, r.Method == http.MethodPut:
		metadata, _ := body["metadata"].(map[string]any)
		name, _ := metadata["name"].(string)
		a.services[services+"/"+name] = ready(name, body)
		return a.services[services+"/"+name]
	}

	return a.services[r.URL.Path]
}

// ready returns a service as the API shows it when its revision serves.
func ready(name string, service map[string]any) map[string]any {
	s := maps.Clone(service)
	metadata, _ := maps.Clone(s["metadata"].(map[string]any)), 0
	metadata["generation"], metadata["resourceVersion"], metadata["uid"] = 1, "1", "1"
	metadata["selfLink"] = services + "/" + name
	s["metadata"] = metadata
	var conditions []any
	for _, kind := range []string{"Ready", "ConfigurationsReady", "RoutesReady"} {
		conditions = append(conditions, map[string]any{"type": kind, "status": "True"})
	}

	s["status"] = map[string]any{
		"observedGeneration": 1, "conditions": conditions, "url": "https://" + name + ".test",
		"latestCreatedRevisionName": name + "-1", "latestReadyRevisionName": name + "-1",
		"traffic": []any{map[string]any{"revisionName": name + "-1", "percent": 100, "latestRevision": true}},
	}
	return s
}

// environment returns variables with which gcloud runs here: a project, an
// invented token, and this API as the address of all others.
func (a *googleAPI) environment(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("made-up"), 0o600); err != nil {
		t.Fatal(err)
	}

	proxy, err := url.Parse(a.proxy.URL)
	if err != nil {
		t.Fatal(err)
	}

	env := append(plain(dir),
		"CLOUDSDK_CONFIG="+dir, "CLOUDSDK_CORE_PROJECT=test-project", "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE="+token,
		"CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=1", "CLOUDSDK_SURVEY_DISABLE_PROMPTS=1",
		"CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=1", "CLOUDSDK_CORE_SHOULD_PROMPT_TO_ENABLE_API=0",
		"CLOUDSDK_CORE_CHECK_GCE_METADATA=0", "NO_GCE_CHECK=true", "GCE_METADATA_HOST=127.0.0.1:1",
		"CLOUDSDK_PROXY_TYPE=http", "CLOUDSDK_PROXY_ADDRESS="+proxy.Hostname(), "CLOUDSDK_PROXY_PORT="+proxy.Port(),
	)
	for _, api := range []string{"RUN", "IAM", "CLOUDRESOURCEMANAGER", "SERVICEUSAGE", "SERVICEMANAGEMENT",
		"ARTIFACTREGISTRY",
		"CLOUDBUILD", "STORAGE", "COMPUTE", "SECRETMANAGER", "LOGGING", "REDIS"} {
		env = append(env, "CLOUDSDK_API_ENDPOINT_OVERRIDES_"+api+"=http://googleapis.test/")
	}

	return env
}

// run runs a shell script in the root folder of the module. It returns the exit
// status and the output.
func (a *googleAPI) run(t *testing.T, text string) (int, string) {
	t.Helper()
	command := exec.Command(bash(t), "-euo", "pipefail", "-c", text)
	command.Dir, command.Env = root, a.environment(t)
	out, err := command.CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}

	return command.ProcessState.ExitCode(), string(out)
}

// service runs a script that creates or replaces one service, and returns the
// service that gcloud sent.
func (a *googleAPI) service(t *testing.T, text string) map[string]any {
	t.Helper()
	code, printed := a.run(t, text)
	if code != 0 {
		t.Fatalf("gcloud exits with %d, want 0:\n%s", code, printed)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.changes {
		if strings.HasPrefix(c.Path, services) || path.Dir(c.Path) == services {
			return c.Body
		}
	}

	t.Fatalf("gcloud sent no service:\n%s", printed)
	return nil
}

// at follows keys and indexes through decoded JSON, such as "spec",
// "containers", 0. It returns nil if there is no such value.
func at(v any, steps ...any) any {
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return nil
			}
			v = l[step]
		default:
			panic(fmt.Sprintf("a step of type %T", step))
		}
	}

	return v
}
