package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// connectVersion is the release of the suite. It is built outside this module, which keeps its dependencies away.
const connectVersion = "v1.0.7"

// connectFeatures is what goes through a proxy in clear text. A half-duplex stream in both directions over HTTP/1.1 is
// what a proxy can carry, too.
const connectFeatures = `features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_CONNECT, PROTOCOL_GRPC, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP]
  supportsH2c: true
  supportsTls: false
  supportsHalfDuplexBidiOverHttp1: true
`

// The suite starts a server under test many times over, which is this test binary with these variables: the reference
// server, and the program in front of it.
// The third variable says what happens to the backends meanwhile.
const (
	referenceVariable = "PILLION_CONNECT_REFERENCE"
	programVariable   = "PILLION_CONNECT_PROGRAM"
	unrestVariable    = "PILLION_CONNECT_UNREST"
)

func TestConnect_EveryCasePasses(t *testing.T) {
	out, err := runConnect(t, calm)
	score := connectScore(out)
	if err != nil || !strings.HasSuffix(score, " 0 failed") {
		t.Errorf("%v: %s\n%s", err, score, out)
	}
	t.Log("Connect conformance: ", score)
}

func TestConnect_EveryCasePassesWhileBackendsChange(t *testing.T) {
	out, err := runConnect(t, changes)
	if score := connectScore(out); err != nil || !strings.HasSuffix(score, " 0 failed") {
		t.Errorf("%v: %s\n%s", err, score, out)
	}
}

// allConnect is how many cases there are.
const allConnect = 1182

// mostHit is how many calls the deaths can have hit: one server for each protocol's version and more, of each of which one
// backend dies, and four calls at a time.
const mostHit = 60

// TestConnect_ABackendsDeathEndsItsCallsOnly kills a backend of each server under test. A case whose call was on it says
// so, soon enough for the suite to end; all others pass.
func TestConnect_ABackendsDeathEndsItsCallsOnly(t *testing.T) {
	out, _ := runConnect(t, death)
	score := connectScore(out)
	var passed, failed int
	if _, err := fmt.Sscanf(score, "%d passed, %d failed", &passed, &failed); err != nil || passed+failed < allConnect {
		t.Fatalf("%s of %d: %v\n%s", score, allConnect, err, out)
	}
	cases := strings.Split(out, "FAILED: ")[1:]
	for _, c := range cases {
		c, _, _ = strings.Cut(c, "\n\n")
		if !strings.Contains(c, "PROTOCOL_GRPC/") { // what another protocol's client makes of a cut answer is its own affair
			continue
		}
		if !strings.Contains(strings.ToLower(c), "unavailable") {
			t.Errorf("failed, but not because its backend was gone: %s", c)
		}
	}
	t.Logf("Connect conformance with deaths: %s", score)
	if len(cases) > mostHit {
		t.Errorf("%d cases failed", len(cases))
	}
}

// connectScore is the suite's own count.
func connectScore(out string) string {
	return regexp.MustCompile(`(?m)^(\d+) passed, (\d+) failed`).FindString(out)
}

// runConnect runs the suite, or some of its cases, and returns what it printed.
func runConnect(t *testing.T, u unrest, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"connectconformance", "referenceserver"} {
		install := exec.Command("go", "install", "connectrpc.com/conformance/cmd/"+name+"@"+connectVersion)
		install.Dir, install.Env = dir, append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	features := filepath.Join(dir, "features.yaml")
	if err := os.WriteFile(features, []byte(connectFeatures), 0o644); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--mode", "server", "--conf", features, "-p", "4", "--max-servers", "2"}, args...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "connectconformance"), append(args, "--", self)...)
	cmd.Env = append(os.Environ(), referenceVariable+"="+filepath.Join(dir, "referenceserver"), programVariable+"="+pillion.Path,
		unrestVariable+"="+string(u))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// runConnectServer is the side of the server under test. It returns only in a process that is none.
func runConnectServer() {
	if os.Getenv(referenceVariable) == "" {
		return
	}
	if err := serveConnect(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serveConnect passes the suite's question on to reference servers and answers with the program's port instead.
func serveConnect() error {
	question, err := readMessage(os.Stdin)
	if err != nil {
		return err
	}
	u := unrest(os.Getenv(unrestVariable))
	var references []*exec.Cmd
	var targets []string
	for range u.backends() {
		reference, target, err := startReference(question)
		if err != nil {
			return err
		}
		defer end(reference)
		references, targets = append(references, reference), append(targets, target)
	}
	list, err := publish(targets)
	if err != nil {
		return err
	}
	program := exec.Command(os.Getenv(programVariable))
	program.Env = []string{"LB_LISTEN=127.0.0.1:0", "LB_LOG_FORMAT=json", "LB_ACCESS_LOG=off", "LB_DRAIN_DELAY=0s", "LB_EJECT_ERRORS=0",
		"LB_EJECT_RATE=0", list.environment()}
	port, err := startProgram(program)
	if err != nil {
		return err
	}
	defer end(program)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	own := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "127.0.0.1")
	own = protowire.AppendVarint(protowire.AppendTag(own, 2, protowire.VarintType), port)
	if _, err := os.Stdout.Write(message(own)); err != nil {
		return err
	}
	u.unsettle(stop, list, references)
	return nil
}

// startReference starts a reference server and returns it as an item of LB_BACKENDS, too.
func startReference(question []byte) (*exec.Cmd, string, error) {
	reference := exec.Command(os.Getenv(referenceVariable), "-bind", "127.0.0.1")
	reference.Stdin, reference.Stderr = bytes.NewReader(message(question)), os.Stderr
	answer, err := reference.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := reference.Start(); err != nil {
		return nil, "", err
	}
	reply, err := readMessage(answer)
	if err != nil {
		end(reference)
		return nil, "", err
	}
	scheme := "http"
	if field(question, 2) == 2 { // http_version of ServerCompatRequest: HTTP_VERSION_2
		scheme = "h2c"
	}
	return reference, fmt.Sprintf("%s://127.0.0.1:%d", scheme, field(reply, 2)), nil
}

// startProgram returns the port that the program says it listens on.
func startProgram(program *exec.Cmd) (port uint64, err error) {
	stdout, err := program.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := program.Start(); err != nil {
		return 0, err
	}
	printed := make([]byte, 0, 4096)
	at := regexp.MustCompile(`"message":"listening","address":"127\.0\.0\.1:(\d+)"`)
	for {
		n, err := stdout.Read(printed[len(printed):cap(printed)])
		printed = printed[:len(printed)+n]
		if found := at.FindSubmatch(printed); found != nil {
			_, err := fmt.Sscan(string(found[1]), &port)
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return port, err
		}
		if err != nil || len(printed) == cap(printed) {
			return 0, errors.Join(fmt.Errorf("the program does not listen: %s", printed), err)
		}
	}
}

// end ends a process that we started.
func end(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait()
}

// message is a message as the suite frames it: its length in four bytes before it.
func message(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func readMessage(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// field is a number of a protobuf message; 0 when it is not there.
func field(b []byte, wanted protowire.Number) uint64 {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0
		}
		b = b[n:]
		if number == wanted && kind == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(b)
			return v
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return 0
		}
		b = b[n:]
	}
	return 0
}
