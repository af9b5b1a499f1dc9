package command

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// wantInOrder fails the test unless text contains all parts, in this order.
func wantInOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("want %q after the other parts in:\n%s", part, text)
			return
		}
		rest = after
	}
}

// writeEnvFile writes text to a file and returns the file's path.
func writeEnvFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}

func TestCheck_PrintsWhatItUnderstood(t *testing.T) {
	t.Parallel()
	r := pillion.Run(t, []string{
		"LB_BACKENDS=http://10.0.0.7:8080?name=blue;dns://app.internal:80", "LB_SESSION_AFFINITY=cookie", "LB_POLICY=random2",
		"LB_HEALTH_CHECK=/healthz", "LB_TRUSTED_PROXIES=private", "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318",
		"PORT=8090",
	}, "check")
	if r.Code != 0 || r.Stderr != "" {
		t.Errorf("exit code %d, want 0 and no errors: %s", r.Code, r.Stderr)
	}
	wantInOrder(t, r.Stdout, "the environment is fine\n", ":8090", "ingress",
		"http://10.0.0.7:8080?name=blue", "dns://app.internal:80",
		"random2", "sessions by the cookie __lb_", "LB_AFFINITY_SECRET", "health check /healthz every 5s", "private",
		"off: LB_STATUS_TOKEN is not set", "OTLP to http://collector:4318")
}

func TestCheck_NamesTheServices(t *testing.T) {
	t.Parallel()
	r := pillion.Run(t, []string{"LB_BACKENDS=:1", "LB_BACKENDS__API=:2;:3", "LB_ROUTE__API=/api/*"}, "check")
	wantInOrder(t, r.Stdout, "fine: 2 services, 2 routes\n", "default", ":1", "api", ":2  :3", "routes", "2; ")
}

// A variable without effect gets one warning with its name and the reason, and
// without its value.
func TestCheck_WarnsOfVariablesWithoutEffect(t *testing.T) {
	t.Parallel()
	base := []string{"LB_BACKENDS=:9001;:9002"}
	for pair, why := range map[string]string{
		"LB_AFFINITY_TTL=12h":                           "LB_SESSION_AFFINITY is none",
		"LB_AFFINITY_SECRET=a-key-of-sixteen-bytes":     "LB_SESSION_AFFINITY is none",
		"LB_HEALTH_CHECK_INTERVAL=1s":                   "LB_HEALTH_CHECK is off",
		"LB_QUEUE_TIMEOUT=2s":                           "LB_MAX_IN_FLIGHT is not set",
		"LB_CACHE_MAX_TTL=5s":                           "LB_CACHE is off",
		"LB_COMPRESS_MIN=2KiB":                          "LB_COMPRESS is off",
		"LB_CORS_MAX_AGE=77s":                           "LB_CORS_ORIGINS is not set",
		"OTEL_TRACES_SAMPLER=always_on":                 "no traces are exported",
		"OTEL_EXPORTER_OTLP_ENDPIONT=http://there:4318": "the nearest is OTEL_EXPORTER_OTLP_ENDPOINT",
	} {
		r := pillion.Run(t, append(base, pair), "check")
		name, value, _ := strings.Cut(pair, "=")
		if r.Code != 0 || strings.Count(r.Stderr, "\n") != 1 || strings.Contains(r.Output(), value) {
			t.Errorf("%s: exit code %d, want 0 and one warning without the value: %s", pair, r.Code, r.Output())
		}
		wantInOrder(t, r.Stderr, "warning: "+name+": has no effect", why)
	}

	alone := []string{"LB_BACKENDS__API=:9001", "LB_ROUTE__API=/", "LB_SESSION_AFFINITY__API=cookie"}
	one := pillion.Run(t, alone, "check")
	wantInOrder(t, one.Stderr, "warning: LB_SESSION_AFFINITY__API: has no effect: there is one backend")

	for _, env := range [][]string{
		{"LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_TTL=12h"},
		{"LB_AFFINITY_TTL=12h", "LB_BACKENDS__API=:1;:2", "LB_ROUTE__API=/api/*", "LB_SESSION_AFFINITY__API=cookie"},
		{"LB_AFFINITY_TTL=none", "OTEL_SERVICE_NAME=shop", "OTEL_SOMETHING_ELSE=1"},
		{"LB_HEALTH_CHECK=/", "LB_HEALTH_CHECK_INTERVAL=1s"},
	} {
		if r := pillion.Run(t, append(env, base...), "check"); r.Code != 0 || r.Stderr != "" {
			t.Errorf("%q: exit code %d, want 0 and no warning: %s", env, r.Code, r.Stderr)
		}
	}
}

func TestCheck_ReadsAFileAsDockerDoes(t *testing.T) {
	t.Parallel()
	file := writeEnvFile(t, "# a comment\r\n\n  LB_BACKENDS=http://a:1;http://b:2\r\n"+
		"LB_RETRIES=3\nLB_RETRIES=4\nLB_POLICY\nLB_AFFINITY_COOKIE\nIMAGE=shop:1 # x\n")
	r := pillion.Run(t, []string{"LB_POLICY=round_robin", "LB_ROLE=egress"}, "check", "--env-file", file)
	if r.Code != 0 {
		t.Errorf("exit code %d, want 0", r.Code)
	}
	wantInOrder(t, r.Stdout, "as ingress", "http://a:1  http://b:2", "round_robin")
	wantInOrder(t, r.Stderr, "note: line 3, LB_BACKENDS: ", "a shell needs quotes around it")
	if strings.Contains(r.Stderr, "IMAGE") {
		t.Errorf("there is a note about a variable of another program: %s", r.Stderr)
	}

	quoted := pillion.Run(t, nil, "check", "--env-file="+writeEnvFile(t, "LB_BACKENDS='http://a:1'\n"))
	if quoted.Code != 78 {
		t.Errorf("quotes that Docker keeps: exit code %d, want 78", quoted.Code)
	}
	wantInOrder(t, quoted.Stderr, "docker run keeps the quotes", "take the two away")
}

// An error names the line of the file, and does not contain its value.
func TestCheck_AnInvalidOrMissingFileIsAnError(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"export LB_BACKENDS=:1\n": "line 1 begins with export",
		"LB_BACKENDS = :1\n":      "line 1 has a blank in its name",
		"\n=secret-value\n":       "line 2 has no name",
	} {
		r := pillion.Run(t, nil, "check", "--env-file", writeEnvFile(t, text))
		if r.Code != 1 || !strings.Contains(r.Stderr, want) || strings.Contains(r.Stderr, "secret-value") {
			t.Errorf("%q: exit code %d, want 1 and %q: %s", text, r.Code, want, r.Stderr)
		}
	}
	if r := pillion.Run(t, nil, "check", "--env-file", "/no/such/file"); r.Code != 1 {
		t.Errorf("a missing file: exit code %d, want 1: %s", r.Code, r.Output())
	}
	if r := pillion.Run(t, nil, "check", "--env-file"); r.Code != 2 {
		t.Errorf("no file: exit code %d, want 2: %s", r.Code, r.Output())
	}
}

func TestConnect_ReportsForEachBackendWhatWorksAndWhatFails(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	healthy := backend.Start(t, "healthy", nil)
	unhealthy := backend.Start(t, "unhealthy", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})
	secure := backend.StartTLS(t, "secure", authority, nil)
	closed := backend.Closed(t)
	r := pillion.Run(t, []string{
		"LB_BACKENDS=" + strings.Join([]string{
			healthy.Target(), unhealthy.Target(), secure.Target(), "http://" + closed + "?name=closed", "demo://1",
		}, ";"),
		"LB_CA_FILE=" + authority.File, "LB_HEALTH_CHECK=/healthz",
	}, "check", "--connect")
	if r.Code != 1 {
		t.Errorf("exit code %d, want 1", r.Code)
	}
	wantInOrder(t, r.Stdout, "  healthy  ", "connected to "+healthy.Address+" in ", " ms\n", "health check: status 200\n",
		"  unhealthy  ", "error: the health check /healthz says: status 418",
		"  secure  ", "connected to ", "TLS 1.3, HTTP/1.1, certificate for ", " by ", ", until ",
		"health check: status 200\n",
		"  closed  ", "error: nothing listens there (connection refused); inside a container",
		"demo-1  starts together with Pillion")
	wantInOrder(t, r.Stderr, "2 of 5 backends cannot be used")
}

// A health check over HTTP/2 that is answered in HTTP/1.1 says so, as the log
// does of requests: "no answer" would not lead to the scheme.
func TestConnect_AHealthCheckSaysWhichVersionTheBackendSpeaks(t *testing.T) {
	t.Parallel()
	old := backend.StartRaw(t, "old", func(c *backend.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	r := pillion.Run(t, []string{"LB_BACKENDS=h2c://" + old.Address, "LB_HEALTH_CHECK=/"}, "check", "--connect")
	if r.Code != 1 || !strings.Contains(r.Stdout, "the backend answers in HTTP/1.1: write http:// in its target") {
		t.Errorf("exit code %d: %s", r.Code, r.Output())
	}
}

func TestConnect_ExitsWith0IfAllCanBeUsed(t *testing.T) {
	t.Parallel()
	r := pillion.Run(t, []string{backend.Backends(backend.StartMany(t, 2)...)}, "check", "--connect")
	if r.Code != 0 || strings.Count(r.Stdout, "health check: none (LB_HEALTH_CHECK)") != 2 {
		t.Errorf("exit code %d, want 0 and two backends without a health check: %s", r.Code, r.Output())
	}
	wantInOrder(t, r.Stdout, "  one  ", "connected to 127.0.0.1:", "  two  ", "connected to 127.0.0.1:")
}

func TestConnect_ExplainsErrorsOfTLSAndNames(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	certificates := []tls.Certificate{authority.CertificateFor(t, "app.internal")}
	named := backend.StartTLSWith(t, "named", &tls.Config{Certificates: certificates}, nil)
	clear := backend.Start(t, "clear", nil)
	trusted := "LB_CA_FILE=" + authority.File
	for name, test := range map[string]struct {
		env  []string
		want []string
	}{
		"an unknown issuer": {
			[]string{"LB_BACKENDS=https://" + named.Address + "?host=app.internal"},
			[]string{"certificate for app.internal", "unknown authority", "LB_CA_FILE"},
		},
		"another name": {
			[]string{"LB_BACKENDS=https://" + named.Address, trusted},
			[]string{"certificate for app.internal", "?host=NAME behind the target"},
		},
		"no TLS": {
			[]string{"LB_BACKENDS=https://" + clear.Address},
			[]string{"does not speak TLS: write http://"},
		},
		"no HTTP/2": {
			[]string{"LB_BACKENDS=h2://" + startWithoutHTTP2(t, authority) + "?host=app.internal", trusted},
			[]string{"write https:// in its target, or LB_PROTOCOL=http1"},
		},
		"no HTTP/2, told by an alert": {
			[]string{"LB_BACKENDS=h2://" + startWithoutHTTP2(t, authority, "http/1.1") + "?host=app.internal", trusted},
			[]string{"write https:// in its target, or LB_PROTOCOL=http1"},
		},
		"no such name": {
			[]string{"LB_BACKENDS=http://nosuch.invalid:80"},
			[]string{"nosuch.invalid"},
		},
		"TLS where clear text is spoken": {
			[]string{"LB_BACKENDS=http://" + named.Address, "LB_HEALTH_CHECK=/"},
			[]string{"says: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := pillion.Run(t, test.env, "check", "--connect")
			if r.Code != 1 {
				t.Errorf("exit code %d, want 1", r.Code)
			}
			wantInOrder(t, r.Stdout, test.want...)
		})
	}

	right := []string{"LB_BACKENDS=https://" + named.Address + "?host=app.internal", trusted}
	r := pillion.Run(t, right, "check", "--connect")
	if r.Code != 0 {
		t.Errorf("exit code %d, want 0 with the name of the certificate in ?host=: %s", r.Code, r.Output())
	}
}

// startWithoutHTTP2 starts a TLS listener that offers protocols by ALPN, and
// returns its address.
func startWithoutHTTP2(t *testing.T, authority *backend.Authority, protocols ...string) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{authority.CertificateFor(t, "app.internal")}, NextProtos: protocols,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
		}
	}()

	return l.Addr().String()
}

func TestConnect_ABackendThatNeverAnswersIsReportedAfterTheTimeout(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent := []string{"LB_BACKENDS=https://" + l.Addr().String(), "LB_CONNECT_TIMEOUT=200ms"}
	r := pillion.Run(t, silent, "check", "--connect")
	if r.Code != 1 {
		t.Errorf("exit code %d, want 1", r.Code)
	}
	wantInOrder(t, r.Stdout, "the TLS handshake is not over within LB_CONNECT_TIMEOUT (200ms)")
}

func TestResolve_FetchesTheKeysOfEachIssuer(t *testing.T) {
	t.Parallel()
	const keys = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/openid-configuration" {
			fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"http://%s/keys"}`, r.Host, r.Host)
			return
		}
		fmt.Fprint(w, keys)
	}))
	defer issuer.Close()

	env := []string{"LB_BACKENDS=:9001", "LB_AUTH=" + issuer.URL + "/?audience=shop"}
	r := pillion.Run(t, env, "check", "--resolve")
	if r.Code != 0 {
		t.Errorf("exit code %d, want 0: %s", r.Code, r.Stderr)
	}
	wantInOrder(t, r.Stdout, issuer.URL, "1 keys")

	gone := []string{"LB_BACKENDS=:9001", "LB_AUTH=http://" + backend.Closed(t) + "/?audience=shop"}
	r = pillion.Run(t, gone, "check", "--resolve")
	if r.Code != 1 {
		t.Errorf("exit code %d without an issuer, want 1", r.Code)
	}
	wantInOrder(t, r.Stdout, "error: ", "connection refused")
	wantInOrder(t, r.Stderr, "1 of 1 issuers of LB_AUTH gave no keys")
}
