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

// connectVersion is the release of the suite. It is built outside this module,
// which keeps its dependencies away.
const connectVersion = "v1.0.7"

// connectFeatures are the suite's features for a proxy in clear text, including
// half-duplex streams in both directions over HTTP/1.1.
const connectFeatures = `features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_CONNECT, PROTOCOL_GRPC, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP]
  supportsH2c: true
  supportsTls: false
  supportsHalfDuplexBidiOverHttp1: true
`

// The suite starts a server under test many times. That server is this test
// binary with these variables: the path of the reference server, the path of
// Pillion in front of it, and what happens to the backends during the run.
const (
	referenceVariable = "PILLION_CONNECT_REFERENCE"
	programVariable   = "PILLION_CONNECT_PROGRAM"
	churnVariable     = "PILLION_CONNECT_CHURN"
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

// allConnect is the number of cases.
const allConnect = 1182

// mostHit is the largest number of calls that the kills can affect. There is a
// server for each version of the protocol and more, one backend of each is
// killed, and four calls run at a time.
const mostHit = 60

// TestConnect_ABackendsDeathEndsItsCallsOnly kills a backend of each server
// under test. A case with a call on it fails soon enough for the suite to end.
// All others pass.
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

		// how a client of another protocol reports a cut answer is not
		// checked
		if !strings.Contains(c, "PROTOCOL_GRPC/") {
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

// connectScore returns the line in which the suite counts its cases.
func connectScore(out string) string {
	return regexp.MustCompile(`(?m)^(\d+) passed, (\d+) failed`).FindString(out)
}

// runConnect runs the suite, or some of its cases, and returns what it printed.
func runConnect(t *testing.T, c churn, args ...string) (string, error) {
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
	cmd.Env = append(os.Environ(), referenceVariable+"="+filepath.Join(dir, "referenceserver"),
		programVariable+"="+pillion.Path,
		churnVariable+"="+string(c))
	out, err := cmd.CombinedOutput()

	return string(out), err
}

// runConnectServer runs the server under test if the process is one, and does
// not return then. Otherwise it returns at once.
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

// serveConnect passes the suite's request on to reference servers, and answers
// with the port of Pillion instead of theirs.
func serveConnect() error {
	request, err := readMessage(os.Stdin)
	if err != nil {
		return err
	}

	changing := churn(os.Getenv(churnVariable))
	var references []*exec.Cmd
	var targets []string

	for range changing.backends() {
		reference, target, err := startReference(request)
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
	program.Env = []string{"LB_LISTEN=127.0.0.1:0", "LB_LOG_FORMAT=json", "LB_ACCESS_LOG=off", "LB_DRAIN_DELAY=0s",
		"LB_EJECT_ERRORS=0",
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

	changing.run(stop, list, references)
	return nil
}

// startReference starts a reference server and returns it as an item of
// LB_BACKENDS, too.
func startReference(request []byte) (*exec.Cmd, string, error) {
	reference := exec.Command(os.Getenv(referenceVariable), "-bind", "127.0.0.1")
	reference.Stdin, reference.Stderr = bytes.NewReader(message(request)), os.Stderr
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
	if field(request, 2) == 2 { // http_version of ServerCompatRequest: HTTP_VERSION_2
		scheme = "h2c"
	}

	return reference, fmt.Sprintf("%s://127.0.0.1:%d", scheme, field(reply, 2)), nil
}

// startProgram starts Pillion and returns its port.
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

// end ends a process that the test has started.
func end(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait()
}

// message is a message in the framing of the suite: four bytes with the length,
// then the message.
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

// field returns a number in a protobuf message, or 0 if it is missing.
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
