package strict

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// limits make the program give up early on requests that never end, and send
// every request once.
var limits = []string{"LB_HEADER_TIMEOUT=1s", "LB_STALL_TIMEOUT=1s", "LB_RETRIES=0", "LB_EJECT_ERRORS=0",
	"LB_EJECT_RATE=0",
	"LB_RESPONSE_TIMEOUT=4s"}

func start(t *testing.T, target string) *binary.Process {
	t.Helper()
	return pillion.Start(t, append([]string{"LB_BACKENDS=" + target}, limits...)...)
}

// fixture is a program and a recorder behind it, for cases that run one after
// the other.
type fixture struct {
	p        *binary.Process
	r        *recorder
	count    int // requests that were checked
	faults   int // faults that were checked
	sequence int
}

// settings are the settings under which the corpora are sent: one with few
// features between the two sides, and one with many.
var settings = map[string][]string{
	"plain": nil,
	"much": {"LB_CACHE=origin", "LB_COMPRESS=gzip;zstd", "LB_SESSION_AFFINITY=cookie", "LB_BACKEND_COOKIES=auto",
		"LB_HEDGE=1m", "LB_SECURITY_HEADERS=on", "LB_RATE_LIMIT=1000000/s", "LB_CLIENT_IN_FLIGHT=1000",
		"LB_CORS_ORIGINS=https://app.example"},
}

// TestRequests sends the corpus of HTTP/1.1 to backends of both protocols.
func TestRequests(t *testing.T) {
	t.Parallel()
	for setting, env := range settings {
		for theme, cases := range requests {
			t.Run(setting+", "+theme, func(t *testing.T) {
				t.Parallel()
				for protocol, r := range recorders(t) {
					s := &fixture{p: startWith(t, r.target, env...), r: r}
					for _, c := range cases {
						if problem := s.check(c); problem != "" {
							t.Errorf("%s to %s: %s", c.name, protocol, problem)
						}
					}
				}
			})
		}
	}
}

// A request of HTTP/1.0 may have no Host. The backend then gets its own name.
func TestRequests_WithoutAHostAreForTheBackendsOwn(t *testing.T) {
	t.Parallel()
	for protocol, r := range recorders(t) {
		s := &fixture{p: start(t, r.target), r: r}
		_, address, _ := strings.Cut(r.target, "://")
		address, _, _ = strings.Cut(address, "?")
		if problem := s.check(accept("", bare("GET / HTTP/1.0"), `GET / `+address+` ""`)); problem != "" {
			t.Errorf("to %s: %s", protocol, problem)
		}
	}
}

// check sends one case and returns what is wrong, or "".
func (s *fixture) check(c request) string {
	problem := s.exchange(c)
	if p := s.judge(c.as, c.fields, ""); problem == "" {
		problem = p
	}
	return problem
}

// exchange sends the bytes of a case on a new connection and checks the
// answers.
func (s *fixture) exchange(c request) string {
	conn, err := net.Dial("tcp", s.p.Address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(await.Limit))

	// this fails if the refusal arrives first
	go func() { _, _ = io.WriteString(conn, c.raw) }()
	in := bufio.NewReader(conn)
	for i, as := range c.as {
		method, _, _ := strings.Cut(as, " ")
		if status, err := answerTo(in, method); err != nil || status != http.StatusOK {
			return fmt.Sprintf("answer %d: %d %v", i+1, status, err)
		}
	}

	if c.as != nil {
		return ""
	}

	return refusal(in)
}

// answerTo reads one final response completely.
func answerTo(in *bufio.Reader, method string) (int, error) {
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return 0, err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode >= 200 {
			return resp.StatusCode, err
		}
	}
}

// refusal checks that there is at most one answer, an error, and then the end
// of the connection.
func refusal(in *bufio.Reader) string {
	status, err := answerTo(in, "GET")
	if err == nil && status < 400 {
		return fmt.Sprintf("answered %d", status)
	}
	if rest, err := io.ReadAll(in); len(rest) > 0 || isTimeout(err) {
		return fmt.Sprintf("after %d came %q (%v)", status, rest, err)
	}

	return ""
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// judge sends a harmless request on a new connection. It compares the requests
// that the backend received until then. may is one that it may have received
// besides.
func (s *fixture) judge(as, fields []string, may string) string {
	s.sequence++
	after := fmt.Sprintf("/after/%d", s.sequence)
	if problem := s.harmless(after); problem != "" {
		return problem
	}

	all := s.r.requests.All()
	got := all[s.count:]
	s.count = len(all)
	var lines []string
	for _, g := range got {
		lines = append(lines, g.String())
	}

	if may != "" && lines[0] == may {
		lines = lines[1:]
	}
	if want := append(slices.Clone(as), fmt.Sprintf(`GET %s app.example ""`, after)); !slices.Equal(lines, want) {
		return fmt.Sprintf("the backend saw %q, want %q", lines, want)
	}

	faults := s.r.faults.All()[s.faults:]
	s.faults += len(faults)
	if len(faults) > 0 {
		return fmt.Sprintf("the backend saw %q", faults)
	}

	return got[0].lacks(fields)
}

// harmless is a request that must be served.
func (s *fixture) harmless(path string) string {
	conn, err := net.Dial("tcp", s.p.Address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(await.Limit))
	_, _ = io.WriteString(conn, line("GET "+path+" HTTP/1.1"))
	if status, err := answerTo(bufio.NewReader(conn), "GET"); err != nil || status != http.StatusOK {
		return "the next request got " + strconv.Itoa(status) + " " + fmt.Sprint(err)
	}

	return ""
}
