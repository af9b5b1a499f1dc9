package strict

import (
	"strings"
	"testing"
)

// framedRequest is one case of HTTP/2: the fields and bodies of a stream, and
// the requests that a backend may receive because of them.
type framedRequest struct {
	name string
	head []pair
	// one DATA frame each; with neither data nor trailers the head ends the
	// stream
	data     []string
	trailers []pair
	open     bool // the stream is never ended
	as       []string
	may      string // of a refused one, what a backend may have seen whole before the rest came
	fields   []string
}

// TestFramedRequests sends the corpus of HTTP/2 to backends of both protocols.
func TestFramedRequests(t *testing.T) {
	t.Parallel()
	for setting, env := range settings {
		for protocol, r := range recorders(t) {
			t.Run(setting+", "+protocol, func(t *testing.T) {
				s := &fixture{p: startWith(t, r.target, env...), r: r}
				for _, c := range framedRequests {
					if problem := s.settled(t, c); problem != "" {
						t.Errorf("%s to %s: %s", c.name, protocol, problem)
					}
				}
			})
		}
	}
}

// settled runs a case, up to three times while there is a problem. On a busy
// machine a request may reach its backend after the case was checked. A request
// that is really forwarded is forwarded each time.
func (s *fixture) settled(t *testing.T, c framedRequest) (problem string) {
	for range 3 {
		problem = s.stream(t, c)
		if p := s.judge(c.as, c.fields, c.may); problem == "" {
			problem = p
		}
		if problem == "" {
			return ""
		}

		t.Logf("%s: %s", c.name, problem)
	}

	return problem
}

// stream sends a case on a new connection.
func (s *fixture) stream(t *testing.T, c framedRequest) string {
	conn := dialFramed(t, s.p.Address)
	defer conn.Close()
	_ = conn.send(1, len(c.data)+len(c.trailers) == 0 && !c.open, c.head)
	for i, d := range c.data {
		last := i == len(c.data)-1 && c.trailers == nil && !c.open
		_ = conn.WriteData(1, last, []byte(d)) // fails where the refusal comes before the end
	}

	if c.trailers != nil {
		_ = conn.send(1, true, c.trailers)
	}

	got := conn.wait(1)
	switch accepted := got.status == "200" && got.ended; {
	case c.as != nil && !accepted:
		return "not accepted: " + got.String()
	case c.as == nil && got.cut == "" && (got.status == "" || got.status < "400"):
		return "not refused: " + got.String()
	case strings.HasSuffix(got.cut, "i/o timeout"):
		return "no answer"
	}

	return ""
}
