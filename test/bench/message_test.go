//go:build linux

package main

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

func TestParseAnswer(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]answerHead{
		"date: x\r\ncontent-LENGTH:  128 \r\n":                     {length: 128},
		"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n": {length: -1, coding: "gzip"},
	} {
		if got, err := parseAnswer([]byte("HTTP/1.1 200 OK\r\n" + head + "\r\n")); err != nil || got != want {
			t.Errorf("%q: %+v, %v", head, got, err)
		}
	}

	for _, bad := range []string{
		"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 128\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 128\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX-Content-Length: 128\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0x80\r\n\r\n",
		"",
	} {
		if _, err := parseAnswer([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestParseRequest(t *testing.T) {
	t.Parallel()
	got, err := parseRequest([]byte("POST /bytes/65536 HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n" +
		"Content-Length: 4096\r\n\r\n"))
	if want := (request{answer: content{size: 65536}, upload: 4096, close: true}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}

	got, err = parseRequest([]byte("GET /listing/300?n=00ff HTTP/1.1\r\nHost: x\r\n\r\n"))
	if want := (request{answer: content{300, true}}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}

	for _, bad := range []string{
		"GET / HTTP/1.1\r\n\r\n", "GET /bytes/x HTTP/1.1\r\n\r\n",
		"POST /bytes/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\n\r\n",
	} {
		if _, err := parseRequest([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestAnswer_StampKeepsTheLengthAndTheRest(t *testing.T) {
	t.Parallel()
	a := newAnswer(body(128), unkept)
	before := string(a.bytes)
	after := string(a.stamp(time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)))
	if !strings.Contains(after, "\r\nDate: Tue, 06 May 2031 07:08:09 GMT\r\n") {
		t.Errorf("no such date in %q", after)
	}

	cut := func(s string) string { return s[:a.date] + s[a.date+len(httpDate):] }
	if cut(before) != cut(after) {
		t.Errorf("%q became %q", before, after)
	}
}

func TestRequestHead_PeersGetAsManyBytes(t *testing.T) {
	t.Parallel()
	cookie := "__lb_ab12cd=" + strings.Repeat("x", 70)
	spec := loadSpec{Answer: 128}
	ours := requestHead("127.0.0.1:1", spec, cookie)
	theirs := requestHead("127.0.0.1:1", spec, filler(len(cookie)))
	if len(ours) != len(theirs) {
		t.Errorf("%d and %d bytes", len(ours), len(theirs))
	}
}

func TestCountSpans(t *testing.T) {
	t.Parallel()
	message := func(number int, content ...[]byte) []byte {
		var b []byte
		for _, c := range content {
			b = binary.AppendUvarint(b, uint64(number<<3|2))
			b = binary.AppendUvarint(b, uint64(len(c)))
			b = append(b, c...)
		}
		return b
	}
	span := []byte{0x39, 1, 2, 3, 4, 5, 6, 7, 8, 0x30, 2}
	scope := append(message(1, []byte("scope")), message(2, span, span, span)...)
	whole := message(1, message(2, scope, scope))
	if got := countSpans(whole); got != 6 {
		t.Errorf("got %d spans, want 6", got)
	}

	for cut := range whole {
		countSpans(whole[:cut]) // must not panic
	}
}

func TestParseH2load(t *testing.T) {
	t.Parallel()
	out := "finished in 1.25s, 8000.00 req/s, 1.2MB/s\n" +
		"requests: 100 total, 100 started, 100 done, 100 succeeded, 0 failed, 0 errored, 0 timeout\n" +
		"traffic: 1.00MB (100) total, 1KB (1) headers (space savings 90%), 6.7KB (6900) data\n"
	got, err := parseH2load(out, 100, 6900)
	if err != nil || got.Requests != 100 || got.Elapsed != 1250*time.Millisecond {
		t.Errorf("got %+v, %v", got, err)
	}

	for _, bad := range []string{
		"", strings.Replace(out, "100 succeeded", "99 succeeded", 1), strings.Replace(out, "(6900)", "(6899)", 1),
	} {
		if _, err := parseH2load(bad, 100, 6900); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}

	if got := parseH2loadLog("1\t200\t500\n2\t200\t500\nbroken\n"); got.total != 2 {
		t.Errorf("%d lines of the log were counted", got.total)
	}
}
