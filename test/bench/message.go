//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

var blankLine = []byte("\r\n\r\n")

// bodyPattern is what every body in the bench consists of.
const bodyPattern = "The quick brown fox jumps over the lazy dog. "

// body returns n bytes of the pattern.
func body(n int) []byte {
	return bytes.Repeat([]byte(bodyPattern), n/len(bodyPattern)+1)[:n:n]
}

// answer is one prepared response of a backend, head and body in one slice.
type answer struct {
	bytes []byte
	date  int // offset of the Date value
	at    int64
}

// newAnswer prepares a response that looks like an application's: eight
// fields, of which Date is kept right by stamp.
func newAnswer(size int) *answer {
	head := "HTTP/1.1 200 OK\r\nServer: app/2.4\r\nDate: "
	tail := "\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: " + strconv.Itoa(size) +
		"\r\nCache-Control: private, max-age=0\r\nETag: \"5f3c-1a2b3c4d5e6f\"\r\nVary: Accept-Encoding" +
		"\r\nX-Content-Type-Options: nosniff\r\n\r\n"
	date := time.Now().UTC().Format(httpDate)
	b := append([]byte(head+date+tail), body(size)...)
	return &answer{bytes: b, date: len(head), at: time.Now().Unix()}
}

const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// stamp renews the Date field once a second. The value's length never changes.
func (a *answer) stamp(now time.Time) []byte {
	if s := now.Unix(); s != a.at {
		a.at = s
		now.UTC().AppendFormat(a.bytes[a.date:a.date], httpDate)
	}
	return a.bytes
}

// request is what a backend needs to know of a request head.
type request struct {
	answer int    // bytes asked for by the path /bytes/N
	upload int64  // bytes of body that follow the head
	close  bool   // the peer asked for the connection to end
	frames frames // of the tunnel asked for by the path /tunnel/SIZE/COUNT
}

var errRequest = errors.New("a request the backends do not understand")

// parseRequest reads a request head, which ends with the blank line.
func parseRequest(head []byte) (request, error) {
	line, _, _ := bytes.Cut(head, crlf)
	if _, target, ok := bytes.Cut(line, []byte(" /tunnel/")); ok {
		target, _, _ := bytes.Cut(target, []byte(" "))
		if f, ok := parseTunnel(target); ok {
			return request{frames: f}, nil
		}
	}
	_, target, ok := bytes.Cut(line, []byte(" /bytes/"))
	if !ok {
		return request{}, fmt.Errorf("%w: %q", errRequest, line)
	}
	digits, _, _ := bytes.Cut(target, []byte(" "))
	size, ok := decimal(digits)
	if !ok {
		return request{}, fmt.Errorf("%w: %q", errRequest, line)
	}
	r := request{answer: int(size)}
	if v, ok := field(head, "content-length"); ok {
		if r.upload, ok = decimal(v); !ok {
			return request{}, fmt.Errorf("%w: length %q", errRequest, v)
		}
	} else if head[0] == 'P' {
		return request{}, fmt.Errorf("%w: a body without a length", errRequest)
	}
	v, _ := field(head, "connection")
	r.close = bytes.EqualFold(v, []byte("close"))
	return r, nil
}

// parseAnswer reads a response head, which ends with the blank line, and
// returns the length of the body that follows. Anything but a 200 of known
// length is an error.
func parseAnswer(head []byte) (int64, error) {
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("wrong answer: %.120q", head)
	}
	v, ok := field(head, "content-length")
	if !ok {
		return 0, fmt.Errorf("an answer without a length: %.400q", head)
	}
	n, ok := decimal(v)
	if !ok {
		return 0, fmt.Errorf("an answer of length %q", v)
	}
	return n, nil
}

var crlf = []byte("\r\n")

// field returns the value of the first field with this name, which is given in
// lower case.
func field(head []byte, name string) ([]byte, bool) {
	for {
		i := bytes.IndexByte(head, '\n')
		if i < 0 || i+1 >= len(head) {
			return nil, false
		}
		head = head[i+1:]
		if len(head) > len(name) && head[len(name)] == ':' && equalLower(head[:len(name)], name) {
			line, _, _ := bytes.Cut(head[len(name)+1:], crlf)
			return bytes.TrimSpace(line), true
		}
	}
}

func equalLower(b []byte, lower string) bool {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// decimal reads digits and nothing else.
func decimal(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	n := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
