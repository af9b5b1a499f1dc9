package test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// In a pod nothing but the address of the metadata server says whether there is
// one. So these tests need that address, and are played a second time in a
// network of their own, by the test binary itself.

const (
	podVariable     = "PILLION_TEST_POD" // names the test that is inside
	metadataAddress = "169.254.169.254"
	podHost         = "api-abc-ew.a.run.app"
	accountCount    = "instance/service-accounts/default/email"
	podTokenCount   = "instance/service-accounts/default/identity?audience=https://" + podHost
)

// inPod reports whether the test is inside. Outside it runs the test inside,
// or skips it where a process can't have a network of its own.
func inPod(t *testing.T) bool {
	t.Helper()
	if os.Getenv(podVariable) == t.Name() {
		return true
	}

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	var pattern []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}

	id := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	group := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	cmd := exec.CommandContext(t.Context(), self, "-test.run", strings.Join(pattern, "/"), "-test.v")
	cmd.Env = append(os.Environ(), podVariable+"="+t.Name(), binary.PathVariable+"="+pillion.Path)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, UidMappings: id, GidMappings: group,
	}

	out, err := cmd.CombinedOutput()
	switch {
	case cmd.ProcessState == nil:
		t.Skipf("no network of its own: %v", err)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("inside:\n%s", out)
	case err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("inside: %v\n%s", err, out)
	}

	return false
}

// joinNetwork raises loopback, with the metadata server's address if there is
// to be one.
func joinNetwork(t *testing.T, withServer bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)

	loopback, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}

	loopback.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, loopback); err != nil {
		t.Skipf("loopback can't be raised: %v", err)
	}
	if !withServer {
		return
	}

	alias, err := unix.NewIfreq("lo:0")
	if err == nil {
		err = alias.SetInet4Addr(net.ParseIP(metadataAddress).To4())
	}
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCSIFADDR, alias)
	}
	if err != nil {
		t.Skipf("loopback gets no second address: %v", err)
	}
}

// podMachine serves metadata at the address at which pods look for it.
func podMachine(t *testing.T) machine {
	t.Helper()
	l, err := net.Listen("tcp", metadataAddress+":80")
	if err != nil {
		t.Fatal(err)
	}

	return newMachineAt(t, l)
}

// pod is Pillion in a pod, and clients on both versions of HTTP. Its backends
// ask for a token: one on HTTP/1.1, one on HTTP/2.
type pod struct {
	*binary.Process
	clients map[string]*http.Client
}

func startPod(t *testing.T, env ...string) *pod {
	t.Helper()
	n := newNamedNetwork(t)
	n.SetAddresses(podHost, netip.MustParseAddr("127.0.0.1"))
	authority := backend.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{authority.CertificateFor(t, podHost)}}

	var targets []string
	for _, scheme := range []string{"https", "h2"} {
		b := backend.StartTLSWith(t, scheme, config.Clone(), func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.Header.Get(identityField), "Bearer ") {
				w.WriteHeader(http.StatusForbidden)
			}
		})
		_, port, _ := net.SplitHostPort(b.Address)
		targets = append(targets, "dns://"+podHost+":"+port+"?protocol="+scheme+"&resolver="+n.server)
	}

	env = append([]string{
		"LB_BACKENDS=" + strings.Join(targets, ";"), "LB_CA_FILE=" + authority.File, "LB_POLICY=round_robin",
		"KUBERNETES_SERVICE_HOST=10.96.0.1",
	}, env...)

	return &pod{pillion.Start(t, env...), map[string]*http.Client{"HTTP/1.1": newClient(t), "h2c": newH2CClient(t)}}
}

// all returns how many of some requests of every client were answered by a
// status.
func (p *pod) all(t *testing.T, status int) (n int) {
	t.Helper()
	for _, client := range p.clients {
		for range 4 {
			if get(t, client, p.URL("/")).StatusCode == status {
				n++
			}
		}
	}

	return n
}

// askedInAll is how many requests all makes.
const askedInAll = 8

// late is what the metadata server does in the first seconds of a pod. The zero
// value refuses connections.
var late = map[string]server.Fault{
	"refuses": {}, "drops": {Mode: server.Drop}, "500": {Mode: server.Error}, "404": {Mode: server.Gone},
	"html": {Mode: server.HTML}, "reset": {Mode: server.Reset},
}

// Whatever the metadata server of a pod does in the pod's first seconds,
// requests carry tokens when it answers at last, and from then on for good.
func TestCloud_ALateMetadataServerOfAPodTurnsTokensOn(t *testing.T) {
	t.Parallel()
	for name, fault := range late {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if inPod(t) {
				joinNetwork(t, true)
				runLateServer(t, fault)
			}
		})
	}
}

func runLateServer(t *testing.T, fault server.Fault) {
	var m machine
	if fault.Mode != server.None {
		m = podMachine(t)
		m.SetFault(fault)
	}

	p := startPod(t)
	if n := p.all(t, http.StatusForbidden); n != askedInAll {
		t.Errorf("%d of %d requests went without a token", n, askedInAll)
	}

	if fault.Mode == server.None {
		m = podMachine(t)
	}
	m.SetFault(server.Fault{})
	await.Until(t, "requests carry tokens", func() bool { return p.all(t, http.StatusOK) == askedInAll })

	m.SetFault(fault) // a server that fails later does not turn them off again
	if n := p.all(t, http.StatusOK); n != askedInAll {
		t.Errorf("%d of %d later requests carried a token", n, askedInAll)
	}

	for part, want := range map[string]int{"identity tokens are off until": 1, "identity tokens are on": 1} {
		if n := strings.Count(p.Printed(), part); n != want {
			t.Errorf("the log says %d times that %s, want %d", n, part, want)
		}
	}
}

// Where there is no metadata server, only requests at the start wait for it,
// for as long as one question takes, and none of them fails. Later ones never
// wait.
func TestCloud_AClusterWithoutAMetadataServerWaitsOnce(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"no route", "refuses", "drops", "404", "off"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if inPod(t) {
				joinNetwork(t, name != "no route")
				runNoServer(t, name)
			}
		})
	}
}

func runNoServer(t *testing.T, name string) {
	var env []string
	var m machine
	switch name {
	case "drops", "404":
		m = podMachine(t)
		m.SetFault(late[name])
	case "off":
		m, env = podMachine(t), []string{"LB_IDENTITY=off"}
	}

	p := startPod(t, env...)
	first := time.Now()
	wantStatus(t, get(t, p.clients["h2c"], p.URL("/")), http.StatusForbidden)
	t.Logf("the first request took %v", time.Since(first))

	began := time.Now()
	for i := range 25 { // questions go on meanwhile
		if n := p.all(t, http.StatusForbidden); n != askedInAll {
			t.Fatalf("round %d: %d of %d requests went without a token", i, n, askedInAll)
		}
	}

	// A question that drops takes 2 s, so if each request waited for one, all
	// would take minutes.
	if took := time.Since(began); took > await.Limit {
		t.Errorf("%d later requests took %v", 25*askedInAll, took)
	}

	if name == "off" && m.Requests(accountCount)+m.Requests(podTokenCount) > 0 {
		t.Error("a metadata server was asked though identity is off")
	}
}
