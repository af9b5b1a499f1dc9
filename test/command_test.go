package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

func TestCheck_PrintsEveryProblemOnALineAndExits78(t *testing.T) {
	t.Parallel()
	r := pillion.Run(t, []string{
		"LB_BACKENDS=ftp://x;http://;http://a/path", "LB_BAKENDS=x", "LB_RETRIES=many", "LB_CONNECT_TIMEOUT=5", "PORT=99999",
	}, "check")
	if r.Code != 78 {
		t.Errorf("exit code %d, want 78", r.Code)
	}

	for _, want := range [][]string{
		{"LB_BACKENDS", "ftp://x"}, {"LB_BACKENDS", `"http://"`}, {"LB_BACKENDS", "http://a/path", "path"},
		{"LB_BAKENDS", "LB_BACKENDS"}, {"LB_RETRIES", "many"}, {"LB_CONNECT_TIMEOUT", "5"}, {"PORT", "99999"},
	} {
		if n := linesWith(r, want...); n != 1 {
			t.Errorf("%d lines say %q, want one", n, want)
		}
	}

	if n := linesWith(r, "LB_") + linesWith(r, "PORT:"); n != 7 {
		t.Errorf("%d lines of problems, want 7:\n%s", n, r.Output())
	}
}

// linesWith counts the lines that begin with the first word and hold all
// others.
func linesWith(r binary.Result, words ...string) int {
	n := 0
	for _, line := range r.Lines() {
		all := strings.HasPrefix(line, words[0])
		for _, w := range words[1:] {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}

	return n
}

func TestCheck_AcceptsWhatIsRight(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{
		{"LB_BACKENDS=http://127.0.0.1:8081"},
		{"LB_BACKENDS=:8081;:8082"},
		{"LB_BACKENDS=demo://3"},
		{"LB_BACKENDS=https://a.example?name=blue&weight=3&host=b.example;h2c://[::1]:80;h2://c:1;d:2,e:3\nf:4"},
		{"LB_BACKENDS=:8081", "LB_RETRIES=", "LB_MAX_IN_FLIGHT=none", "LB_AFFINITY_TTL=", "LB_HEALTH_CHECK=off",
			"OTEL_UNHEARD_OF=x"},
		{"GCE_METADATA_HOST=127.0.0.1:1"},
	} {
		if r := pillion.Run(t, env, "check"); r.Code != 0 {
			t.Errorf("%q: exit code %d\n%s", env, r.Code, r.Output())
		}
	}
}

func TestCheck_RefusesEachByName(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"LB_BACKENDS=http://u:p@a", "LB_BACKENDS=http://a#f", "LB_BACKENDS=http://a?weight=-1", "LB_BACKENDS=http://a?wait=1",
		"LB_BACKENDS=http://a?name=x&name=y", "LB_BACKENDS=http://a?name=x;http://b?name=x", "LB_BACKENDS=http://a?name=x/y",
		"LB_BACKENDS=a", "LB_BACKENDS=http://a:99999", "LB_BACKENDS=demo://0", "LB_BACKENDS=gopher://a",
		"LB_BACKENDS=gce://x", "LB_BACKENDS=run+list://x", "LB_GOOGLE_API=http://a", "LB_BACKENDS=;;", "LB_POLICY=rand",
		"LB_SESSION_AFFINITY=yes", "LB_AFFINITY_SECRET=short", "LB_AFFINITY_SAMESITE=no", "LB_AFFINITY_COOKIE=a b",
		"LB_AFFINITY_STRICT=1", "LB_TRUSTED_PROXIES=all", "LB_TRUSTED_PROXIES=10.0.0.0/33", "LB_ROLE=both",
		"LB_HOST_HEADER=maybe", "LB_MAX_HEADER_BYTES=64", "LB_MAX_BODY_BYTES=1GB5", "LB_DRAIN_TIMEOUT=-1s",
		"LB_LOG_LEVEL=loud", "LB_LOG_FORMAT=xml", "LB_ACCESS_LOG=yes", "LB_STATUS_PATH=lb", "LB_STATUS_TOKEN=short",
		"LB_RETRY_BUDGET=20", "LB_EJECT_RATE=101%", "LB_EJECT_STATUS=600", "LB_X__SHOP=1", "LB_BACKENDS__SHOP=:80",
		"LB_CA_FILE=/no/such/file", "LB_CA_FILE=/etc/passwd", "PORT=http", "LB_LISTEN=nowhere", "LB_HEALTH_CHECK=healthz",
		"LB_RETRY_STATUS=99", "LB_PROTOCOL=h3", "LB_RETRIES=010x", "OTEL_TRACES_EXPORTER=jaeger",
		"LB_AFFINITY_SECRET_FILE=/no/such/file",
	} {
		env := []string{"LB_BACKENDS=:8081", bad}
		name, _, _ := strings.Cut(bad, "=")
		r := pillion.Run(t, env, "check")
		if r.Code != 78 || linesWith(r, strings.TrimSuffix(name, "_FILE")) == 0 {
			t.Errorf("%s: exit code %d, it printed %q", bad, r.Code, r.Output())
		}
	}
}

func TestExplain_PrintsEachVariableWithItsValueAndOrigin(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	r := pillion.Run(t, []string{"LB_BACKENDS=:8081", "LB_RETRIES=3", "LB_AFFINITY_SECRET_FILE=" + file, "PORT=9999"},
		"explain")
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Output())
	}

	text := strings.ToLower(r.Stdout)
	for _, name := range documented {
		if !strings.Contains(r.Stdout, name) {
			t.Errorf("explain does not mention %s", name)
		}
	}

	for _, want := range [][]string{
		{"lb_backends", ":8081", "environment"}, {"lb_retries", "3", "environment"}, {"port", "9999", "environment"},
		{"lb_affinity_secret", "file"}, {"lb_connect_timeout", "3s", "default"}, {"lb_policy", "random", "default"},
	} {
		if !near(text, want) {
			t.Errorf("explain does not say %q together:\n%s", want, r.Stdout)
		}
	}
}

// near reports whether the words stand together: in the three lines that begin
// with the one that holds the first.
func near(text string, words []string) bool {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(strings.TrimLeft(line, " |`#*-"), words[0]) {
			continue
		}

		part, all := strings.Join(lines[i:min(i+3, len(lines))], "\n"), true
		for _, w := range words {
			all = all && strings.Contains(part, w)
		}
		if all {
			return true
		}
	}

	return false
}

// documented is the contract's names.
var documented = strings.Fields(`
	PORT LB_LISTEN LB_ROLE LB_TRUSTED_PROXIES LB_HEADER_TIMEOUT LB_STALL_TIMEOUT LB_IDLE_TIMEOUT
	LB_MAX_HEADER_BYTES LB_MAX_BODY_BYTES LB_MAX_CONNECTIONS LB_DRAIN_DELAY LB_DRAIN_TIMEOUT
	LB_LOG_LEVEL LB_LOG_FORMAT LB_ACCESS_LOG LB_STATUS_PATH LB_STATUS_TOKEN LB_BACKENDS
	LB_DISCOVERY_INTERVAL LB_PROTOCOL LB_POLICY LB_HOST_HEADER LB_CONNECT_TIMEOUT
	LB_RESPONSE_TIMEOUT LB_REQUEST_TIMEOUT LB_IDLE_CONN_TIMEOUT LB_MAX_IN_FLIGHT LB_QUEUE_SIZE
	LB_QUEUE_TIMEOUT LB_CA_FILE LB_CLIENT_CERT_FILE LB_CLIENT_KEY_FILE LB_IDENTITY
	LB_IDENTITY_HEADER LB_SESSION_AFFINITY LB_AFFINITY_COOKIE LB_AFFINITY_TTL LB_AFFINITY_IDLE
	LB_AFFINITY_SECRET LB_AFFINITY_STRICT LB_AFFINITY_SAMESITE LB_HEALTH_CHECK
	LB_HEALTH_CHECK_INTERVAL LB_HEALTH_CHECK_TIMEOUT LB_HEALTH_CHECK_HEALTHY
	LB_HEALTH_CHECK_UNHEALTHY LB_HEALTH_CHECK_STATUS LB_EJECT_ERRORS LB_EJECT_RATE LB_EJECT_STATUS
	LB_EJECT_TIME LB_EJECT_MAX LB_PANIC_THRESHOLD LB_SLOW_START LB_RETRIES LB_RETRY_STATUS
	LB_RETRY_BUDGET LB_RETRY_BUFFER LB_START_HOLD LB_TRACE_PLATFORM_UNSAMPLED
	OTEL_SDK_DISABLED OTEL_SERVICE_NAME OTEL_TRACES_EXPORTER OTEL_METRICS_EXPORTER OTEL_TRACES_SAMPLER OTEL_PROPAGATORS`)

func TestSecret_IsNeverPrinted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"-in-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	unused := "LB_BACKENDS=http://" + backend.Closed(t)
	token, header := secret+"-token", "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20"+secret
	for name, env := range map[string][]string{
		"good":      {unused, affine, "LB_AFFINITY_SECRET=" + secret, "LB_STATUS_TOKEN=" + token, header},
		"in a file": {unused, affine, "LB_AFFINITY_SECRET_FILE=" + file},
		"both":      {unused, affine, "LB_AFFINITY_SECRET_FILE=" + file, "LB_AFFINITY_SECRET=" + secret},
		"with problems": {"LB_BAKENDS=x", affine, "LB_AFFINITY_SECRET=" + secret + ";short", "LB_STATUS_TOKEN=" + token +
			"\x01\n", header},
		"misspelt":    {unused, "LB_AFFINITY_SECRETT=" + secret, "LB_AFINITY_SECRET=" + secret, "LB_STATUS_TOKE=" + token},
		"in a target": {"LB_BACKENDS=http://user:" + secret + "@host;https://user:" + secret + "@host/path"},
		"no scheme": {"LB_BACKENDS=user:" + secret + "@host:80", "OTEL_EXPORTER_OTLP_ENDPOINT=user:" + secret +
			"@host:4318"},
		"odd password": {"LB_BACKENDS=http://user:" + secret + "?" + secret + "@host"},
	} {
		for _, args := range [][]string{{"check"}, {"explain"}, {"explain", "--markdown"}} {
			if r := pillion.Run(t, env, args...); strings.Contains(r.Output(), "battery") {
				t.Errorf("%s: pillion %v prints the secret:\n%s", name, args, r.Output())
			}
		}

		p := pillion.Launch(t, append(env, "LB_LOG_LEVEL=debug", "LB_ACCESS_LOG=on", "LB_START_HOLD=0s")...)
		if line, ok := started(p); ok {
			client, url := newClient(t), "http://"+line.String("address")
			_, _ = exchange(client, newRequest(t, "GET", url+"/", nil))
			_, _ = exchange(client, newRequest(t, "GET", url+"/.lb/metrics", nil, "Authorization", "Bearer "+token))
			p.Signal(terminate)
		}

		p.Wait(await.Limit)
		if strings.Contains(p.Printed(), "battery") {
			t.Errorf("%s: the running process printed the secret:\n%s", name, p.Printed())
		}
	}
}

// started waits until a process listens or is gone.
func started(p *binary.Process) (line binary.Line, ok bool) {
	await.Within(await.Limit, func() bool {
		for _, l := range p.Lines() {
			if listening(l) {
				line, ok = l, true
			}
		}

		select {
		case <-p.Ended():
			return true
		default:
			return ok
		}
	})
	return line, ok
}

func TestSecret_FromAFileSignsLikeOneFromTheEnvironment(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	servers := backend.Backends(backend.StartMany(t, 5)...)
	a := pillion.Start(t, affine, servers, "LB_AFFINITY_SECRET="+secret)
	b := pillion.Start(t, affine, servers, "LB_AFFINITY_SECRET_FILE="+file)
	client := newClient(t)
	wantKept(t, client, b.URL("/"), newSession(t, client, a.URL("/")), 20)
}

func TestSecret_UnsetIsOneWarning(t *testing.T) {
	t.Parallel()
	servers := backend.Backends(backend.StartMany(t, 2)...)
	for want, env := range map[int][]string{1: {affine}, 0: {affine, "LB_AFFINITY_SECRET=" + secret}} {
		p := pillion.Start(t, append(env, servers)...)
		client := newClient(t)
		for range 3 {
			newSession(t, client, p.URL("/"))
		}

		p.Signal(terminate)
		p.Wait(await.Limit)
		n := 0
		for _, l := range p.Lines() {
			if l.String("severity") == "WARNING" && strings.Contains(l.Text, "LB_AFFINITY_SECRET") {
				n++
			}
		}

		if n != want {
			t.Errorf("%d warnings about the secret, want %d", n, want)
		}
	}
}

func TestVersion_IsOneLine(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"--version"}} {
		r := pillion.Run(t, nil, args...)
		if r.Code != 0 || len(r.Lines()) != 1 || !strings.Contains(r.Stdout, "pillion") {
			t.Errorf("pillion %v: exit code %d, it printed %q", args, r.Code, r.Output())
		}
	}
}

func TestCommand_UnknownOnesAreAnError(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"chekc"}, {"--port=80"}, {"check", "extra"}} {
		r := pillion.Run(t, []string{"LB_BACKENDS=demo://1"}, args...)
		if r.Code == 0 || r.Stderr == "" {
			t.Errorf("pillion %v: exit code %d, it printed %q", args, r.Code, r.Output())
		}
	}
}

func TestCommand_HelpNamesTheCommands(t *testing.T) {
	t.Parallel()
	r := pillion.Run(t, nil, "help")
	for _, name := range []string{"check", "explain", "version"} {
		if r.Code != 0 || !strings.Contains(r.Output(), name) {
			t.Errorf("help: exit code %d without %q in %s", r.Code, name, r.Output())
		}
	}
}
