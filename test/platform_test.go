package test

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// These tests do what platforms do: inject variables, write secrets, and read
// the output or not.

// The reader of standard output ends, like a log agent that restarts. No
// request is affected.
func TestPlatform_AReaderOfTheOutputThatEndsEndsNothing(t *testing.T) {
	t.Parallel()
	u := startUnread(t, "LB_ACCESS_LOG=on", backend.Backends(backend.Start(t, "one", nil)))
	client := newClient(t)
	wantStatus(t, get(t, client, u.URL+"/"), http.StatusOK)
	if err := u.reader.Close(); err != nil {
		t.Fatal(err)
	}

	for range 20 {
		wantStatus(t, get(t, client, u.URL+"/"), http.StatusOK)
	}
	if err := u.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}

	if err := soon(t, "the end", u.ended); err != nil {
		t.Errorf("the process ended with %v", err)
	}
}

// After a named pipe has a new reader, lines are written again. One of them has
// the number of missing lines.
func TestPlatform_ANewReaderOfTheOutputReadsOn(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "log")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}

	first := openFIFO(t, fifo)
	writer, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}

	u := startUnreadAt(t, first, writer, "LB_ACCESS_LOG=on", "LB_STATUS_TOKEN="+watchword,
		backend.Backends(backend.Start(t, "one", nil)))
	client := newClient(t)
	_ = first.Close()
	wantStatus(t, get(t, client, u.URL+"/lost"), http.StatusOK)
	await.Until(t, "a line is lost", func() bool { return sum(metricsText(t, u.URL), "lb_log_lines_dropped") > 0 })

	second := openFIFO(t, fifo)
	_ = second.SetReadDeadline(time.Now().Add(await.Limit))
	wantStatus(t, get(t, client, u.URL+"/read"), http.StatusOK)

	text, lines := "", bufio.NewReader(second)
	for !strings.Contains(text, "log lines were dropped") {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the new reader got %q, then %v", text, err)
		}
		text += line
	}

	if !strings.Contains(text, "/read") || strings.Contains(text, "/lost") {
		t.Errorf("the new reader got %q", text)
	}
}

// openFIFO opens the reading end without waiting for a writer.
func openFIFO(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = f.Close() })
	return f
}

// Standard output is a file on a full disk.
func TestPlatform_AFullDiskUnderTheOutputFailsNoRequest(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this machine has no /dev/full")
	}
	defer full.Close()
	listening := backend.Listen(t)
	address := listening.Addr().String()
	_ = listening.Close()
	cmd := exec.Command(pillion.Path)
	cmd.Env = []string{"LB_LISTEN=" + address, "LB_ACCESS_LOG=on", backend.Backends(backend.Start(t, "one", nil))}
	cmd.Stdout = full
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	client := newClient(t)
	await.Until(t, "the process listens", func() bool {
		resp, err := client.Get("http://" + address + "/")
		if err != nil {
			return false
		}

		_ = resp.Body.Close()

		return resp.StatusCode == http.StatusOK
	})
	for range 20 {
		wantStatus(t, get(t, client, "http://"+address+"/"), http.StatusOK)
	}
}

// Variables that Docker and Kubernetes inject for neighbours called lb are
// ignored at the start.
func TestPlatform_LinksAreIgnored(t *testing.T) {
	t.Parallel()
	docker := []string{
		"LB_NAME=/web/lb", "LB_PORT=tcp://172.17.0.5:80", "LB_PORT_80_TCP=tcp://172.17.0.5:80",
		"LB_PORT_80_TCP_ADDR=172.17.0.5", "LB_PORT_80_TCP_PORT=80", "LB_PORT_80_TCP_PROTO=tcp", "LB_ENV_PATH=/usr/bin",
		"LB_ENV_LB_BACKENDS=:80", "LB_PORT_90_TCP_START=tcp://172.17.0.5:90", "LB_PORT_90_TCP_END=tcp://172.17.0.5:99",
		"LB_PORT_90_TCP_PORT_START=90", "LB_PORT_90_TCP_PORT_END=99",
	}
	for name, env := range map[string][]string{
		"docker": docker,
		"docker, alias": {"LB_WEB_NAME=/app/lb-web", "LB_WEB_ENV_A=b", "LB_WEB_PORT=udp://172.17.0.5:53",
			"LB_WEB_PORT_53_UDP_PROTO=udp"},
		"kubernetes": {"LB_SERVICE_HOST=10.96.0.10", "LB_SERVICE_PORT=80", "LB_SERVICE_PORT_HTTP=80",
			"LB_PORT=tcp://10.96.0.10:80", "LB_PORT_80_TCP_PORT=80"},
		"kubernetes, IPv6": {"LB_SERVICE_HOST=fd00::a", "LB_PORT=tcp://[fd00::a]:80", "LB_PORT_80_TCP=tcp://[fd00::a]:80"},
	} {
		if r := pillion.Run(t, append(env, "LB_BACKENDS=demo://1"), "check"); r.Code != 0 {
			t.Errorf("%s: exit code %d\n%s", name, r.Code, r.Output())
		}
	}

	if r := pillion.Run(t, []string{"LB_BACKENDS=demo://1", "LB_ENV_PATH=/bin"}, "check"); r.Code != 78 {
		t.Errorf("without a link: exit code %d", r.Code)
	}
}

// A secret keeps its value whether or not the tool that made it added a line
// break, by either way of giving it.
func TestPlatform_ALineBreakAtTheEndOfASecretIsNoPartOfIt(t *testing.T) {
	t.Parallel()
	one := backend.Start(t, "one", nil)
	for name, end := range map[string]string{"none": "", "LF": "\n", "CR LF": "\r\n"} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(watchword+end), 0o600); err != nil {
			t.Fatal(err)
		}

		for _, env := range []string{"LB_STATUS_TOKEN=" + watchword + end, "LB_STATUS_TOKEN_FILE=" + path} {
			p := pillion.Start(t, backend.Backends(one), env)
			a := get(t, newClient(t), p.URL("/.lb/state.json"), "Authorization", "Bearer "+watchword)
			if !strings.HasPrefix(a.Text, "{") {
				t.Errorf("%s, %s: got %q", name, strings.SplitN(env, "=", 2)[0], a.Text)
			}
		}
	}
}

func TestPlatform_CheckKnowsAudiences(t *testing.T) {
	t.Parallel()
	for audience, want := range map[string]int{
		"https://app.example.com": 0, "https://app.example.com/path?x=1": 0, "133742036069-abc.apps.googleusercontent.com": 0,
		"myservice": 0, "off": 0, "https://a.example.com;https://b.example.com": 78,
		"https://a.example.com,https://b.example.com": 78, "a\nb": 78, "my service": 78, "http://app.example.com": 78,
		"https://": 78, "true": 78,
	} {
		if r := pillion.Run(t, []string{"LB_BACKENDS=https://app.example.com", "LB_IDENTITY=" + audience},
			"check"); r.Code != want {
			t.Errorf("%q: exit code %d, want %d\n%s", audience, r.Code, want, r.Output())
		}
	}
}

func TestPlatform_CheckKnowsMetadataHosts(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]int{
		"127.0.0.1:8099": 0, "metadata.google.internal": 0, "[fd20:ce::254]:80": 0, "[fd20:ce::254]": 0,
		"fake_metadata:80\r\n": 0, "http://127.0.0.1:8099": 78, "::1:8099": 78, "127.0.0.1:8099/computeMetadata/v1": 78,
		"a b": 78, "u@a": 78, "a:": 78, "a:0": 78,
	} {
		if r := pillion.Run(t, []string{"LB_BACKENDS=run://api", "GCE_METADATA_HOST=" + host}, "check"); r.Code != want {
			t.Errorf("%q: exit code %d, want %d\n%s", host, r.Code, want, r.Output())
		}
	}
}

// An audience that is no URL reaches the metadata server and the backend.
func TestPlatform_ATokenForAnOAuthClientReachesTheBackend(t *testing.T) {
	t.Parallel()
	const client = "133742036069-abc.apps.googleusercontent.com"
	authority := backend.NewAuthority(t)
	b := backend.StartTLS(t, "one", authority, nil)
	m := newMachine(t)
	p := pillion.Start(t, backend.Backends(b), m.Environment, "LB_IDENTITY="+client, "LB_CA_FILE="+authority.File)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
	if n := m.Requests("instance/service-accounts/default/identity?audience=" + client); n != 1 {
		t.Errorf("%d tokens for the client were fetched", n)
	}
}

// Metrics that nobody can read, because there is no token or no status path,
// are reported by check and at the start.
func TestPlatform_PrometheusWithoutAReaderIsTold(t *testing.T) {
	t.Parallel()
	one := backend.Backends(backend.Start(t, "one", nil))
	const setting = "OTEL_METRICS_EXPORTER=prometheus"

	for name, test := range map[string]struct {
		env  []string
		code int
	}{
		"no token":             {nil, 78},
		"no path":              {[]string{"LB_STATUS_TOKEN=" + watchword, "LB_STATUS_PATH=none"}, 78},
		"a token":              {[]string{"LB_STATUS_TOKEN=" + watchword}, 0},
		"telemetry is off":     {[]string{"OTEL_SDK_DISABLED=true"}, 0},
		"a token and a prefix": {[]string{"LB_STATUS_TOKEN=" + watchword, "LB_STATUS_PATH=/-/"}, 0},
	} {
		env := append([]string{one, setting}, test.env...)
		if r := pillion.Run(t, env, "check"); r.Code != test.code ||
			(r.Code != 0) != strings.Contains(r.Stderr, "LB_STATUS_") {
			t.Errorf("%s: exit code %d\n%s", name, r.Code, r.Output())
		}
	}

	p := pillion.Start(t, one, setting)
	p.Line("the warning", func(l binary.Line) bool { return l.String("variable") == "OTEL_METRICS_EXPORTER" })
}
