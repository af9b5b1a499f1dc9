package strict

import (
	"strings"
	"testing"
)

// framedRequest is one case of HTTP/2: the fields and bodies of one stream, and what a backend may see of it.
type framedRequest struct {
	name     string
	head     []pair
	data     []string // one DATA frame each; with neither data nor trailers the head ends the stream
	trailers []pair
	open     bool // the stream is never ended
	as       []string
	may      string // of a refused one, what a backend may have seen whole before the rest came
	fields   []string
}

// TestFramedRequests sends the corpus of HTTP/2 to backends of both protocols.
func TestFramedRequests(t *testing.T) {
	t.Parallel()
	for protocol, r := range recorders(t) {
		t.Run(protocol, func(t *testing.T) {
			s := &scene{p: start(t, r.target), r: r}
			for _, c := range framedRequests {
				if problem := s.settled(t, c); problem != "" {
					t.Errorf("%s to %s: %s", c.name, protocol, problem)
				}
			}
		})
	}
}

// settled plays a case, up to three times while there is a problem: on a busy machine a request may come to its backend
// after the case was judged. What is really let through is let through each time.
func (s *scene) settled(t *testing.T, c framedRequest) (problem string) {
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

// stream sends one case on a connection of its own.
func (s *scene) stream(t *testing.T, c framedRequest) string {
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
