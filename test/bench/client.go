//go:build linux

package main

import (
	"bytes"
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
	fmt.Fprintf(&b, "%s /bytes/%d HTTP/1.1\r\nHost: %s\r\n", method, spec.Answer, host)
	b.WriteString("User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
		"Accept: application/json, text/plain;q=0.9, */*;q=0.8\r\n" +
		"Accept-Language: en-GB,en;q=0.7\r\nAccept-Encoding: gzip, deflate, br\r\n" +
		"Referer: https://shop.example.com/cart\r\nSec-Fetch-Mode: cors\r\n")
	b.WriteString("Cookie: theme=dark; visit=8f14e45fceea167a5a36dedd4bea2543")
	if cookie != "" {
		b.WriteString("; " + cookie)
	}
	b.WriteString("\r\n")
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

// readAnswer waits for one whole answer with a body of size bytes.
func readAnswer(fd, size int) (head, content []byte, err error) {
	buf := make([]byte, 0, size+8<<10)
	for {
		if i := bytes.Index(buf, blankLine); i >= 0 && len(buf) >= i+len(blankLine)+size {
			head, content = buf[:i+len(blankLine)], buf[i+len(blankLine):]
			_, err := parseAnswer(head)
			return head, content, err
		} else if i >= 0 {
			if _, err := parseAnswer(buf[:i+len(blankLine)]); err != nil {
				return nil, nil, err
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

// patience is how long a single client waits for a proxy.
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
