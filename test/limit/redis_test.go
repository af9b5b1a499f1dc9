package limit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// redis is a redis-server that runs until the test ends.
type redis struct {
	t    *testing.T
	port string
	args []string
	cmd  *exec.Cmd
}

// startRedis starts a redis-server with further arguments on a free port. It
// skips the test if none is installed.
func startRedis(t *testing.T, args ...string) *redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed; Debian and Ubuntu have a package of that name")
	}

	s := &redis{t: t, port: freePort(t), args: args}
	s.start()

	return s
}

// freePort returns a port without a listener. It is below 55,000, because a
// cluster also uses the port that is 10,000 higher.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port < 55_000 {
			return strconv.Itoa(port)
		}
	}
}

// start starts the server. It may be called again after kill.
func (s *redis) start() {
	s.t.Helper()
	args := append([]string{"--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
		s.t.TempDir()}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	var printed bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &printed, &printed
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd := s.cmd
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("redis-server %q printed:\n%s", args, printed.String())
		}
	})
	await.Until(s.t, "redis-server listens", func() bool { return listens(s.address()) })
}

// listens reports whether an address accepts connections.
func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}

	return err == nil
}

func (s *redis) address() string { return "127.0.0.1:" + s.port }

func (s *redis) url() string { return "redis://" + s.address() }

func (s *redis) signal(sig os.Signal) { _ = s.cmd.Process.Signal(sig) }

func (s *redis) kill() {
	s.signal(syscall.SIGKILL)
	_ = s.cmd.Wait()
}

// do sends a command and returns the first line of the answer, or its text.
func (s *redis) do(words ...string) string {
	s.t.Helper()
	return s.list(words...)[0]
}

// list is do for an answer that is a list of texts. It returns the answer's
// first line and then the texts.
func (s *redis) list(words ...string) []string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.address())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(await.Limit))

	fmt.Fprintf(conn, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(word), word)
	}
	reply := bufio.NewReader(conn)
	all := []string{s.text(reply)}
	if n, ok := strings.CutPrefix(all[0], "*"); ok {
		for count, _ := strconv.Atoi(n); count > 0; count-- {
			all = append(all, s.text(reply))
		}
	}

	return all
}

// text reads a line of an answer. If the line announces a text, it returns the
// text.
func (s *redis) text(reply *bufio.Reader) string {
	s.t.Helper()
	line, err := reply.ReadString('\n')
	if err == nil && strings.HasPrefix(line, "$") {
		n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
		body := make([]byte, max(0, n)+2)
		_, err = io.ReadFull(reply, body)
		line = string(body)
	}
	if err != nil {
		s.t.Fatal(err)
	}

	return strings.TrimSpace(line)
}

// want sends a command and fails the test if the answer is another.
func (s *redis) want(answer string, words ...string) {
	s.t.Helper()
	if got := s.do(words...); got != answer {
		s.t.Fatalf("%q: answer %q, want %q", words, got, answer)
	}
}

// startCluster starts a cluster of three servers that share the slots.
func startCluster(t *testing.T) []*redis {
	t.Helper()
	nodes := make([]*redis, 3)
	for i := range nodes {
		nodes[i] = startRedis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
			"--cluster-require-full-coverage", "no", "--cluster-config-file", filepath.Join(t.TempDir(), "nodes.conf"))
	}
	for i, n := range nodes {
		first, last := i*16384/3, (i+1)*16384/3-1
		n.want("+OK", "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last))
		nodes[0].want("+OK", "CLUSTER", "MEET", "127.0.0.1", n.port)
	}
	for _, n := range nodes {
		await.Until(t, "the cluster is complete", func() bool {
			info := n.do("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_assigned:16384") &&
				strings.Contains(info, "cluster_known_nodes:3")
		})
	}

	return nodes
}
