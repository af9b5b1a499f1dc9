//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// rawBackends serves until the test binary ends; its loop has no other end.
func rawBackends(t *testing.T) netip.AddrPort {
	t.Helper()
	listeners, addrs, err := listenMany(1)
	if err != nil {
		t.Fatal(err)
	}

	go func() { _ = serveRaw(listeners, unkept) }()
	return netip.MustParseAddrPort(addrs[0])
}

func TestLoad_AgainstTheBackendsThemselves(t *testing.T) {
	t.Parallel()
	addr := rawBackends(t)
	for name, spec := range map[string]loadSpec{
		"small":                     {Connections: 8, Answer: 128},
		"many sessions":             {Connections: 2, Answer: 128, Sessions: 5},
		"no body":                   {Connections: 2, Answer: 0},
		"a new connection for each": {Connections: 4, Answer: 128, NewEach: true},
		"small upload":              {Connections: 4, Answer: 128, Upload: 4 << 10},
		"large answer":              {Connections: 2, Answer: 3 << 20},
		"large upload":              {Connections: 2, Answer: 128, Upload: 3 << 20},
		"fixed rate":                {Connections: 4, Answer: 128, Rate: 5000},
		"a listing":                 {Connections: 2, Answer: 30 << 10, Listing: true},
		"URLs of their own":         {Connections: 2, Answer: 128, Unique: true},
		"a tunnel":                  {Connections: 1, Frames: frames{64 << 10, 1}, Rate: 1000},
		"tunnels of small frames":   {Connections: 4, Frames: frames{100, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := newLoad(addr, spec)
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()

			for range 2 {
				res, err := l.runCount(50)
				if err != nil || res.Requests != 50 || res.P99 < res.P50 || res.P50 <= 0 {
					t.Fatalf("%+v, %v", res, err)
				}
			}
		})
	}
}

func TestLoad_FixedRateSendsAllThatWasDue(t *testing.T) {
	t.Parallel()
	l, err := newLoad(rawBackends(t), loadSpec{Connections: 2, Answer: 128, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if res, err := l.runFor(100 * time.Millisecond); err != nil || res.Requests != 100 {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestLoad_WrongAnswersFail answers as proxies that are right at first would.
func TestLoad_WrongAnswersFail(t *testing.T) {
	t.Parallel()
	right := string(newAnswer(body(128), unkept).bytes)
	for name, later := range map[string]string{
		"status":  strings.Replace(right, "200 OK", "503 Service Unavailable", 1),
		"length":  strings.Replace(right, "Content-Length: 128", "Content-Length: 127", 1),
		"surplus": right + "x",
		"cut":     right[:len(right)-1],
		"nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := newLoad(scripted(t, right, later), loadSpec{Connections: 1, Answer: 128})
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			if res, err := l.runCount(1); err == nil {
				t.Errorf("accepted: %+v", res)
			}
		})
	}
}

// TestLoad_CodedAnswers answers as proxies would whose first answer is right,
// and whose second one may not be.
func TestLoad_CodedAnswers(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(listing(5000))
	_ = z.Close()
	right := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"a\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", zipped.Bytes()[:10], zipped.Len()-10, zipped.Bytes()[10:])

	for name, later := range map[string]string{
		"":         right,
		"coding":   strings.Replace(right, "gzip", "zstd", 1),
		"no end":   right[:len(right)-1],
		"framing":  strings.Replace(right, "\r\na\r\n", "\r\n9\r\n", 1),
		"surplus":  right + "x",
		"no bytes": right[:strings.Index(right, "a\r\n")] + "0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := newLoad(scripted(t, right, later), loadSpec{Connections: 1, Answer: 5000, Listing: true, Coding: "gzip"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			res, err := l.runCount(1)
			if (err == nil) != (name == "") || err == nil && res.Content != int64(zipped.Len()) {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

func TestLoad_FirstAnswerIsComparedByteByByte(t *testing.T) {
	t.Parallel()
	right := string(newAnswer(body(128), unkept).bytes)
	wrong := right[:len(right)-1] + "!"
	if l, err := newLoad(scripted(t, wrong), loadSpec{Connections: 1, Answer: 128}); err == nil {
		l.close()
		t.Error("a changed body was accepted")
	}
}

// scripted is a server that gives one answer per request and then closes.
func scripted(t *testing.T, answers ...string) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()

		buf := make([]byte, 64<<10)
		for _, a := range answers {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			if _, err := io.WriteString(conn, a); err != nil {
				return
			}
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}
