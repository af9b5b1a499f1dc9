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

// answer is one prepared response of a backend, head and body in one slice.
type answer struct {
	bytes []byte
	date  int // offset of the Date value
	at    int64
}

// The values of Cache-Control in answers.
const (
	unkept = "private, max-age=0"
	kept   = "public, max-age=3600"
)

// newAnswer prepares a response that looks like an application's: eight
// fields, of which Date is kept right by stamp.
func newAnswer(content []byte, control string) *answer {
	head := "HTTP/1.1 200 OK\r\nServer: app/2.4\r\nDate: "
	tail := "\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: " + strconv.Itoa(len(content)) +
		"\r\nCache-Control: " + control + "\r\nETag: \"5f3c-1a2b3c4d5e6f\"\r\nVary: Accept-Encoding" +
		"\r\nX-Content-Type-Options: nosniff\r\n\r\n"
	date := time.Now().UTC().Format(httpDate)
	b := append([]byte(head+date+tail), content...)

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

// request has the parts of a request head that a backend uses.
type request struct {
	answer content // asked for by the path /bytes/N or /listing/N
	upload int64   // bytes of body that follow the head
	close  bool    // the peer asked for the connection to end
	frames frames  // of the tunnel asked for by the path /tunnel/SIZE/COUNT
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

	r, ok := parseTarget(line)
	if !ok {
		return request{}, fmt.Errorf("%w: %q", errRequest, line)
	}

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

// parseTarget parses a request target. A query only makes URLs different.
func parseTarget(line []byte) (r request, ok bool) {
	_, target, found := bytes.Cut(line, []byte(" /bytes/"))
	if !found {
		if _, target, r.answer.list = bytes.Cut(line, []byte(" /listing/")); !r.answer.list {
			return r, false
		}
	}

	digits, _, _ := bytes.Cut(target, []byte(" "))
	digits, _, _ = bytes.Cut(digits, []byte("?"))
	size, ok := decimal(digits)
	r.answer.size = int(size)

	return r, ok
}

// answerHead has the parts of a response head that a client uses.
type answerHead struct {
	length int64  // of the body; -1 where it is chunked
	coding string // of the content
}

// parseAnswer reads a response head, which ends with the blank line. Anything
// but a 200 whose end is told is an error.
func parseAnswer(head []byte) (answerHead, error) {
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return answerHead{}, fmt.Errorf("wrong answer: %.120q", head)
	}

	coding, _ := field(head, "content-encoding")
	a := answerHead{length: -1, coding: string(coding)}
	v, declared := field(head, "content-length")
	transfer, _ := field(head, "transfer-encoding")
	if !declared && bytes.EqualFold(transfer, []byte("chunked")) {
		return a, nil
	}
	if !declared || len(transfer) > 0 {
		return a, fmt.Errorf("an answer without an end: %.400q", head)
	}

	var ok bool
	if a.length, ok = decimal(v); !ok {
		return a, fmt.Errorf("an answer of length %q", v)
	}

	return a, nil
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
