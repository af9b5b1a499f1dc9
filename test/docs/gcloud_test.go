package docs

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shape has the parts of a Cloud Run service that the tests compare.
type shape struct {
	Name, Account        string
	Dependencies         map[string][]string
	Affinity             bool
	Concurrency, Timeout any
	Containers           []any
}

// shapeOf reads a service of the Knative API. Values that mean the same are
// written the same way.
func shapeOf(t *testing.T, service map[string]any) shape {
	t.Helper()
	template := at(service, "spec", "template")
	notes, _ := at(template, "metadata", "annotations").(map[string]any)
	s := shape{Dependencies: map[string][]string{}}
	s.Name, _ = at(service, "metadata", "name").(string)
	s.Account, _ = at(template, "spec", "serviceAccountName").(string)
	s.Concurrency, s.Timeout = at(template, "spec", "containerConcurrency"), at(template, "spec", "timeoutSeconds")
	affinity, _ := notes["run.googleapis.com/sessionAffinity"].(string)
	s.Affinity = strings.EqualFold(affinity, "true")
	if text, ok := notes["run.googleapis.com/container-dependencies"].(string); ok {
		if err := json.Unmarshal([]byte(text), &s.Dependencies); err != nil {
			t.Errorf("container-dependencies %q: %v", text, err)
		}
	}

	s.Containers, _ = at(template, "spec", "containers").([]any)
	for _, c := range s.Containers {
		c := c.(map[string]any)
		if resources, ok := c["resources"].(map[string]any); ok {
			delete(resources, "requests") // gcloud sends an empty object
		}
		if port, ok := at(c, "ports", 0).(map[string]any); ok && port["name"] == "http1" {
			delete(port, "name") // http1 is the default
		}

		if env, ok := c["env"].([]any); ok {
			slices.SortFunc(env, func(a, b any) int { return strings.Compare(at(a, "name").(string), at(b, "name").(string)) })
		}
		if len(s.Containers) == 1 {
			delete(c, "name") // a single container needs no name
		}
	}

	return s
}

// Each command in the README of deploy/cloudrun and the file below it create
// the same service.
func TestGcloud_CommandsAndFilesMakeTheSameService(t *testing.T) {
	t.Parallel()
	newGoogleAPI(t)
	var deploy block

	pairs := 0
	for _, b := range read(t, "deploy/cloudrun/README.md").blocks() {
		switch b.Kind {
		case "sh deploy":
			deploy = b
		case "sh replace":
			pairs++
			command := deploy
			t.Run(strings.TrimSpace(b.Text), func(t *testing.T) {
				t.Parallel()
				byCommand := shapeOf(t, newGoogleAPI(t).service(t, command.Text))
				byFile := shapeOf(t, newGoogleAPI(t).service(t, b.Text))
				if !reflect.DeepEqual(byCommand, byFile) {
					t.Errorf("the command in line %d makes\n%s\nand the file\n%s", command.Line, pretty(byCommand), pretty(byFile))
				}

				contract(t, byFile)
			})
		}
	}

	if pairs != 5 {
		t.Errorf("found %d pairs of a command and a file, want 5", pairs)
	}
}

func pretty(v any) string {
	text, _ := json.MarshalIndent(v, "", " ")
	return string(text)
}

// contract checks what Cloud Run requires of every service: one container with
// a port, and a startup probe for each container that others depend on.
func contract(t *testing.T, s shape) {
	t.Helper()
	ports, probed := 0, map[string]bool{}
	for _, c := range s.Containers {
		if at(c, "ports", 0, "containerPort") != nil {
			ports++
		}
		name, _ := at(c, "name").(string)
		probed[name] = at(c, "startupProbe") != nil
	}

	if ports != 1 {
		t.Errorf("%d containers have a port, want 1", ports)
	}

	for _, before := range s.Dependencies {
		for _, name := range before {
			if !probed[name] {
				t.Errorf("others depend on %q, which has no startup probe, so nothing would wait", name)
			}
		}
	}
}

// The command in the README creates the documented service: after the app,
// Pillion's container with the port and the unchanged values.
func TestGcloud_TheREADMEsCommandCreatesTheDocumentedService(t *testing.T) {
	t.Parallel()
	a := newGoogleAPI(t)
	for _, b := range read(t, "README.md").blocks() {
		if b.Kind != "sh deploy" {
			continue
		}

		s := shapeOf(t, a.service(t, b.Text))
		lb, app := at(s.Containers, 0), at(s.Containers, 1)
		for what, pair := range map[string][2]any{
			"our name":     {at(lb, "name"), "lb"},
			"our port":     {at(lb, "ports", 0, "containerPort"), 8080.0},
			"our backends": {at(lb, "env", 0), map[string]any{"name": "LB_BACKENDS", "value": ":9000"}},
			"nothing else": {at(lb, "env", 1), nil},
			"our start":    {at(lb, "startupProbe", "httpGet", "path"), "/.lb/started"},
			"our life":     {at(lb, "livenessProbe", "httpGet", "path"), "/.lb/live"},
			"the app":      {at(app, "name"), "app"},
			"its port":     {at(app, "ports"), nil},
			"its PORT":     {at(app, "env", 0), map[string]any{"name": "PORT", "value": "9000"}},
			"its start":    {at(app, "startupProbe", "tcpSocket", "port"), 9000.0},
			"who is first": {s.Dependencies, map[string][]string{"lb": {"app"}}},
		} {
			if !reflect.DeepEqual(pair[0], pair[1]) {
				t.Errorf("%s: gcloud sends %v, want %v", what, pair[0], pair[1])
			}
		}

		return
	}

	t.Error("README.md has no block of the kind sh deploy")
}

// For everything that a service of deploy/cloudrun reads or calls, a command on
// the page grants its account the role.
func TestGcloud_AccountsGetTheRolesThatTheyNeed(t *testing.T) {
	t.Parallel()
	page := read(t, "deploy/cloudrun/README.md")
	granted := func(to, on, role string) bool {
		return regexp.MustCompile(`add-iam-policy-binding ` + on + ` (?:[^\n]*\\\n)*[^\n]*serviceAccount:` + to +
			`[^\n]*\n[^\n]*` + role).MatchString(page.Text)
	}

	needs := 0
	for _, b := range page.blocks() {
		account := regexp.MustCompile(`--service-account=(\S+)`).FindStringSubmatch(b.Text)
		if b.Kind != "sh deploy" || account == nil {
			continue
		}

		name, _, _ := strings.Cut(account[1], "@")
		if !strings.Contains(page.Text, "service-accounts create "+name+"\n") {
			t.Errorf("%s:%d: no command creates the account %s", b.Document, b.Line, name)
		}

		for pattern, role := range map[string]string{`--set-secrets=\w+=([\w-]+):`: "roles/secretmanager.secretAccessor",
			`run://(\w+)`: "roles/run.invoker"} {
			for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(b.Text, -1) {
				if needs++; !granted(account[1], m[1], role) {
					t.Errorf("%s:%d: no command grants %s the role %s on %s", b.Document, b.Line, account[1], role, m[1])
				}
			}
		}
	}

	if needs < 4 {
		t.Errorf("found %d needed roles, want 4 at least", needs)
	}
}

// gcloud's parser accepts every other gcloud command. The command may fail
// later, because the resources that it names do not exist here.
func TestGcloud_EveryOtherCommandIsAccepted(t *testing.T) {
	t.Parallel()
	newGoogleAPI(t)
	for _, b := range shellBlocks(t) {
		if !strings.Contains(b.Text, "gcloud ") || b.Kind != "sh" || strings.Contains(b.Text, "builds submit") {
			continue
		}

		t.Run(b.Document, func(t *testing.T) {
			t.Parallel()
			understood(t, newGoogleAPI(t), b)
		})
	}
}

// understood runs all commands of a block, also after one has failed, and fails
// the test for an error of gcloud's parser.
func understood(t *testing.T, a *googleAPI, b block) {
	t.Helper()
	_, printed := a.run(t, "set +e\n"+strings.ReplaceAll(b.Text, "/dev/urandom", "/dev/zero"))
	for _, sign := range []string{"unrecognized arguments", "Invalid choice", "Invalid value", "Bad syntax", "argument --",
		"must be specified", "Unable to read file"} {
		if strings.Contains(printed, sign) {
			t.Errorf("%s:%d: %s", b.Document, b.Line, printed)
		}
	}

	if strings.Contains(b.Text, "compute instances create") && !strings.Contains(pretty(a.changes),
		`"value": "http://10.132.0.7:8080;http://10.132.0.8:8080"`) {
		t.Errorf("%s:%d: the value of the attribute was changed on the way: %s", b.Document, b.Line, pretty(a.changes))
	}
}

// gcloud accepts cloudbuild.yaml with all its fields, and every substitution in
// it is defined.
func TestGcloud_TheBuildIsAccepted(t *testing.T) {
	t.Parallel()
	a := newGoogleAPI(t)
	code, printed := a.run(t, "gcloud builds submit --no-source --async --config=cloudbuild.yaml "+
		"--substitutions=_REGION=europe-west1,_TAG=v1,_SERVICE=shop")
	if code != 0 {
		t.Fatalf("gcloud exits with %d, want 0:\n%s", code, printed)
	}

	for _, c := range a.changes {
		if strings.HasSuffix(c.Path, "/builds") {
			steps, _ := c.Body["steps"].([]any)
			if len(steps) != 4 || at(steps, 0, "name") != "golang:1.26" {
				t.Errorf("gcloud sends other steps than 4 that begin with golang:1.26: %s", pretty(steps))
			}

			script, _ := at(steps, 3, "args", 1).(string)
			fill := strings.NewReplacer("${_SERVICE}", "shop", "${_REGION}", "europe-west1", "${_CONTAINER}", "lb",
				"${PROJECT_ID}", "test-project", "${_REPOSITORY}", "containers", "${_TAG}", "v1")
			understood(t, newGoogleAPI(t), block{Document: "cloudbuild.yaml", Text: fill.Replace(script)})
			if at(c.Body, "substitutions", "_REPOSITORY") != "containers" {
				t.Errorf("gcloud sends the substitutions %s, want _REPOSITORY=containers", pretty(c.Body["substitutions"]))
			}

			return
		}
	}

	t.Errorf("gcloud sent no build:\n%s", printed)
}
