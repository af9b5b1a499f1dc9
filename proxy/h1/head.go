package h1

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

var crlf = []byte("\r\n")

// headScan finds the end of a head whose bytes come in pieces. It looks at each
// byte once, because a client may send a long head byte by byte. The zero value
// begins a head.
type headScan struct{ seen int }

// end returns the length of the head that b begins with, or 0 if the head is
// not complete. The next call must be with the same bytes and those that
// followed. A line that ends with a bare LF is refused at once, because
// implementations disagree about the end of such a head.
func (s *headScan) end(b []byte) (int, *refusal) {
	for {
		i := bytes.IndexByte(b[s.seen:], '\n')
		if i < 0 {
			s.seen = len(b)
			return 0, nil
		}

		end := s.seen + i + 1
		s.seen = end

		switch {
		case end < 2 || b[end-2] != '\r':
			s.seen = 0
			return 0, malformed("bare LF in head")
		case end >= 4 && b[end-3] == '\n':
			s.seen = 0
			return end, nil
		}
	}
}

// headEnd is headScan.end without earlier calls.
func headEnd(b []byte) (int, *refusal) {
	var s headScan
	return s.end(b)
}

// tooLarge returns the refusal of a head that exceeds the limit.
func tooLarge(b []byte) *refusal {
	if bytes.IndexByte(b, '\n') < 0 {
		return &refusal{http.StatusRequestURITooLong, "request line over the limit"}
	}
	return &refusal{http.StatusRequestHeaderFieldsTooLarge,
		"head over the limit (LB_MAX_HEADER_BYTES, 256 fields)"}
}

// requestLine splits a head after its first line (RFC 9112 section 3). There
// must be exactly one space between the parts.
func requestLine(head string) (method, target string, minor int, fields string, err *refusal) {
	i := 0
	for i < len(head) && wire.Is(head[i], wire.InToken) {
		i++
	}
	if i == 0 || i == len(head) || head[i] != ' ' {
		return "", "", 0, "", malformed("malformed method")
	}

	method = head[:i]
	i++
	start := i
	for i < len(head) && wire.Is(head[i], wire.InTarget) {
		i++
	}

	if i == start || i == len(head) || head[i] != ' ' {
		return "", "", 0, "", malformed("malformed target")
	}

	target = head[start:i]
	const version = len("HTTP/1.1\r\n")
	if rest := head[i+1:]; len(rest) >= version {
		switch rest[:version] {
		case "HTTP/1.1\r\n":
			return method, target, 1, rest[version:], nil
		case "HTTP/1.0\r\n":
			return method, target, 0, rest[version:], nil
		}
	}

	line, _, _ := strings.Cut(head[i+1:], "\r\n")
	return "", "", 0, "", badVersion(line)
}

// badVersion distinguishes an unsupported version from bytes that are no
// version.
func badVersion(line string) *refusal {
	if len(line) == 8 && strings.HasPrefix(line, "HTTP/") && line[6] == '.' && digit(line[5]) &&
		digit(line[7]) {
		return &refusal{http.StatusHTTPVersionNotSupported, "unsupported version"}
	}
	if !strings.Contains(line, "/") {
		return notHTTP
	}
	return malformed("malformed version")
}

// notHTTP is for a line of three words of which none is a version of any
// protocol. Its sender does not speak HTTP/1, so as the first line of a
// connection it gets no answer: RFC 9113 section 3.4 says so of a bad preface.
var notHTTP = malformed("no version of HTTP")

func digit(b byte) bool { return '0' <= b && b <= '9' }

// statusLine splits a response head after its first line (RFC 9112 section 4).
// The space before an empty reason may be missing, because many servers omit
// it.
func statusLine(head string) (code, minor int, reason, fields string, err *refusal) {
	if rest, usual := strings.CutPrefix(head, "HTTP/1.1 200 OK\r\n"); usual {
		return http.StatusOK, 1, "OK", rest, nil
	}

	line, fields, ok := strings.Cut(head, "\r\n")
	if !ok || len(line) < 12 || line[:7] != "HTTP/1." || line[8] != ' ' ||
		(line[7] != '0' && line[7] != '1') {
		return 0, 0, "", "", malformed("malformed status line")
	}

	for _, d := range []byte(line[9:12]) {
		if !digit(d) {
			return 0, 0, "", "", malformed("malformed status")
		}
		code = code*10 + int(d-'0')
	}

	if code < 100 || (len(line) > 12 && line[12] != ' ') || !wire.Every(line[12:], wire.InValue) {
		return 0, 0, "", "", malformed("malformed status")
	}
	if len(line) > 13 {
		reason = line[13:]
	}

	return code, int(line[7] - '0'), reason, fields, nil
}
