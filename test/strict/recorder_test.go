package strict

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// recorder is a backend that records every complete request, and all bytes that
// belong to none.
type recorder struct {
	target   string // as an item of LB_BACKENDS
	requests await.Values[seen]
	faults   await.Values[string]
}

// recorders starts one backend of each protocol.
func recorders(t *testing.T) map[string]*recorder {
	return map[string]*recorder{"http": startRecorder(t), "h2c": startFramedRecorder(t)}
}

// startRecorder records HTTP/1.1.
func startRecorder(tb testing.TB) *recorder {
	r := &recorder{}
	raw := backend.StartRaw(tb, "recorder", func(c *backend.Conn) {
		for {
			got, err := c.ReadRequest()
			if err != nil {
				if got.Head != "" && !wholeHead.MatchString(got.Head) && strings.HasSuffix(got.Head, "\r\n\r\n") {
					r.faults.Add(fmt.Sprintf("head %q", got.Head))
				}
				return
			}

			s, err := parse(got)
			if err != nil {
				r.faults.Add(fmt.Sprintf("%v: %q %q", err, got.Head, got.Body))
			}

			r.requests.Add(s)
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
				return
			}
		}
	})
	r.target = raw.Target()

	return r
}

// startFramedRecorder records HTTP/2.
func startFramedRecorder(tb testing.TB) *recorder {
	r := &recorder{}
	r.target = startFramed(tb, &r.faults, func(s seen, a *answerer) {
		r.requests.Add(s)
		a.headers(true, pair{":status", "200"})
	})
	return r
}

// wholeHead matches a head in the only form that Pillion may send.
var wholeHead = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\\x21\\x22\\x24-\\x7e]+ HTTP/1\\.1\r\n" +
	"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: " +
	"(?:[\\x21-\\x7e\\x80-\\xff](?:[\\t\\x20-\\x7e\\x80-\\xff]*[\\x21-\\x7e\\x80-\\xff])?)?\r\n)+\r\n$")

// parse parses a request. It returns an error for anything that a strict parser
// would refuse.
func parse(r backend.Request) (seen, error) {
	first, rest, _ := strings.Cut(r.Head, "\r\n")
	parts := strings.SplitN(first, " ", 3)
	s := seen{method: parts[0], body: r.Body}
	if len(parts) == 3 {
		s.target = parts[1]
	}

	s.fields = pairs(rest)
	if hosts := s.values("Host"); len(hosts) == 1 {
		s.host = hosts[0]
	}

	lengths, codings := s.values("Content-Length"), s.values("Transfer-Encoding")
	switch {
	case !latin1(wholeHead, r.Head):
		return s, fmt.Errorf("malformed head")
	case len(s.values("Host")) != 1 || len(lengths)+len(codings) > 1:
		return s, fmt.Errorf("not one Host or more than one framing")
	case len(lengths) == 1 && strings.Trim(lengths[0], "0123456789") != "":
		return s, fmt.Errorf("malformed length")
	case len(codings) == 1 && codings[0] != "chunked":
		return s, fmt.Errorf("coding %q", codings[0])
	}

	if len(codings) == 1 {
		var err error
		s.body, s.trailers, err = unchunk(r.Body)
		return s, err
	}

	return s, nil
}

// latin1 matches bytes, not runes.
func latin1(re *regexp.Regexp, s string) bool {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return re.MatchString(string(runes))
}

// pairs parses field lines.
func pairs(lines string) []pair {
	var fields []pair
	for l := range strings.SplitSeq(lines, "\r\n") {
		if name, value, ok := strings.Cut(l, ":"); ok {
			fields = append(fields, pair{name, strings.Trim(value, " \t")})
		}
	}
	return fields
}

// unchunk decodes a chunked body. It refuses chunk extensions.
func unchunk(body string) (data string, trailers []pair, err error) {
	for {
		size, rest, _ := strings.Cut(body, "\r\n")
		n, err := strconv.ParseUint(size, 16, 31)
		if err != nil || uint64(len(rest)) < n+2 {
			return data, nil, fmt.Errorf("chunk size %q", size)
		}

		if n == 0 {
			return data, pairs(rest), nil
		}
		if rest[n:n+2] != "\r\n" {
			return data, nil, fmt.Errorf("chunk without its end")
		}

		data, body = data+rest[:n], rest[n+2:]
	}
}
