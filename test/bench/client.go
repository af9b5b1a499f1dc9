//go:build linux

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxJoined is the largest upload that is sent in one write with its head.
const maxJoined = 64 << 10

// requestHead is a request as a browser sends it: eight fields, and those of
// its body. A small upload is part of it.
func requestHead(host string, spec loadSpec, cookie string) []byte {
	var b strings.Builder
	method := "GET"
	if spec.Upload > 0 {
		method = "POST"
	}

	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, spec.target(), host)
	b.WriteString("User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
		"Accept: application/json, text/plain;q=0.9, */*;q=0.8\r\n" +
		"Accept-Language: en-GB,en;q=0.7\r\nAccept-Encoding: " + cmp.Or(spec.Coding, "gzip, deflate, br") + "\r\n" +
		"Referer: https://shop.example.com/cart\r\nSec-Fetch-Mode: cors\r\n")
	if cookies := spec.cookies(cookie); cookies != "" {
		b.WriteString("Cookie: " + cookies + "\r\n")
	}
	if spec.Token != "" {
		b.WriteString("Authorization: Bearer " + spec.Token + "\r\n")
	}
	if spec.NewEach {
		b.WriteString("Connection: close\r\n")
	}
	if spec.Upload > 0 {
		b.WriteString("Content-Type: application/octet-stream\r\nContent-Length: " + strconv.Itoa(spec.Upload) + "\r\n")
	}

	b.WriteString("\r\n")
	if spec.Upload > 0 && spec.Upload <= maxJoined {
		b.Write(body(spec.Upload))
	}

	return []byte(b.String())
}

// target is the path, and for unique URLs a query in which serials are written.
func (s loadSpec) target() string {
	path := "/bytes/"
	if s.Listing {
		path = "/listing/"
	}

	path += strconv.Itoa(s.Answer)
	if s.Unique {
		path += serialMark + strings.Repeat("0", serialLength)
	}

	return path
}

// cookies are those of a browser, with the session's among them.
func (s loadSpec) cookies(session string) string {
	if s.Unique {
		return session
	}

	others := "theme=dark; visit=8f14e45fceea167a5a36dedd4bea2543"
	if session != "" {
		others += "; " + session
	}

	return others
}

const (
	serialMark   = "?n="
	serialLength = 16
)

// putSerial makes the URL of a request different from all others.
func (l *load) putSerial(request []byte) {
	l.serial++
	at := bytes.Index(request, []byte(serialMark)) + len(serialMark)
	hex := strconv.AppendUint(make([]byte, 0, serialLength), l.serial, 16)
	copy(request[at+serialLength-len(hex):], hex)
}

// tailOf is the upload that requestHead left out.
func tailOf(spec loadSpec) []byte {
	if spec.Upload <= maxJoined {
		return nil
	}
	return body(spec.Upload)
}

// sendAll writes everything, waiting where the socket is full.
func sendAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := send(fd, b)
		if again(err) {
			if err := await(fd, unix.POLLOUT); err != nil {
				return err
			}
		} else if err != nil {
			return fmt.Errorf("send: %w", err)
		}

		b = b[n:]
	}

	return nil
}

// readAnswer waits for one whole answer, whose body is not much longer than
// size bytes.
func readAnswer(fd, size int) (head, body []byte, err error) {
	buf := make([]byte, 0, size+size/8+16<<10)
	for {
		if i := bytes.Index(buf, blankLine); i >= 0 {
			head, body = buf[:i+len(blankLine)], buf[i+len(blankLine):]
			if body, whole, err := wholeBody(head, body); whole || err != nil {
				return head, body, err
			}
		}

		if len(buf) == cap(buf) {
			return nil, nil, fmt.Errorf("a longer answer than expected: %.80q", buf)
		}

		n, err := receive(fd, buf[len(buf):cap(buf)])
		if again(err) {
			if err := await(fd, unix.POLLIN); err != nil {
				return nil, nil, err
			}
			continue
		}

		if err != nil {
			return nil, nil, fmt.Errorf("receive: %w", err)
		}
		if n == 0 {
			return nil, nil, fmt.Errorf("%w: %.80q", errClosed, buf)
		}

		buf = buf[:len(buf)+n]
	}
}

// wholeBody returns the body behind a head, if all of it is there.
func wholeBody(head, rest []byte) (body []byte, whole bool, err error) {
	a, err := parseAnswer(head)
	switch {
	case err != nil:
		return nil, false, err
	case a.length >= 0:
		return rest, int64(len(rest)) >= a.length, nil
	}

	var c chunked
	rest, err = c.take(rest, func(b []byte) { body = append(body, b...) })
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes after the answer", len(rest))
	}

	return body, c.over(), err
}

// patience is how long a client waits for a proxy.
const patience = 10 * time.Second

func await(fd int, events int16) error {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, int(patience.Milliseconds()))
	if err != nil && err != unix.EINTR {
		return err
	}
	if n == 0 && err == nil {
		return fmt.Errorf("no answer for %v", patience)
	}

	return nil
}
