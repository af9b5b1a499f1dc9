package h1

import (
	"bytes"
	"net/http"
	"strings"
)

var crlf = []byte("\r\n")

// headEnd is the length of the head that b begins with, 0 when it is not whole yet. A line that ends with a bare LF is
// refused at once: nobody can say where such a head ends.
func headEnd(b []byte) (int, *refusal) {
	for end := 0; ; {
		i := bytes.IndexByte(b[end:], '\n')
		if i < 0 {
			return 0, nil
		}
		end += i + 1
		switch line := b[:end]; {
		case end < 2 || line[end-2] != '\r':
			return 0, malformed("bare LF in head")
		case end >= 4 && line[end-3] == '\n':
			return end, nil
		}
	}
}

// tooLarge is the refusal of a head that is over the limit and not at its end.
func tooLarge(b []byte) *refusal {
	if bytes.IndexByte(b, '\n') < 0 {
		return &refusal{http.StatusRequestURITooLong, "request line over the limit"}
	}
	return &refusal{http.StatusRequestHeaderFieldsTooLarge, "head over the limit"}
}

// requestLine splits a head after its first line: RFC 9112 section 3, one space between the parts and nothing else.
func requestLine(head string) (method, target string, minor int, fields string, err *refusal) {
	i := 0
	for i < len(head) && chars[head[i]]&inToken != 0 {
		i++
	}
	if i == 0 || i == len(head) || head[i] != ' ' {
		return "", "", 0, "", malformed("malformed method")
	}
	method = head[:i]
	i++
	start := i
	for i < len(head) && chars[head[i]]&inTarget != 0 {
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

// badVersion tells a version that we do not speak from bytes that are none.
func badVersion(line string) *refusal {
	if len(line) == 8 && strings.HasPrefix(line, "HTTP/") && line[6] == '.' && digit(line[5]) && digit(line[7]) {
		return &refusal{http.StatusHTTPVersionNotSupported, "unsupported version"}
	}
	return malformed("malformed version")
}

func digit(b byte) bool { return '0' <= b && b <= '9' }

// statusLine splits a response head after its first line: RFC 9112 section 4. The space before an empty reason may be
// missing, as many servers send it.
func statusLine(head string) (code, minor int, reason, fields string, err *refusal) {
	if rest, usual := strings.CutPrefix(head, "HTTP/1.1 200 OK\r\n"); usual {
		return http.StatusOK, 1, "OK", rest, nil
	}
	line, fields, ok := strings.Cut(head, "\r\n")
	if !ok || len(line) < 12 || line[:7] != "HTTP/1." || line[8] != ' ' || (line[7] != '0' && line[7] != '1') {
		return 0, 0, "", "", malformed("malformed status line")
	}
	for _, d := range []byte(line[9:12]) {
		if !digit(d) {
			return 0, 0, "", "", malformed("malformed status")
		}
		code = code*10 + int(d-'0')
	}
	if code < 100 || (len(line) > 12 && line[12] != ' ') || !every(line[12:], inValue) {
		return 0, 0, "", "", malformed("malformed status")
	}
	if len(line) > 13 {
		reason = line[13:]
	}
	return code, int(line[7] - '0'), reason, fields, nil
}
