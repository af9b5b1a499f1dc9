package h1

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRelay_RandomCutsLeaveNothingBehind runs requests of all kinds through
// clients and backends that cut at random places, checks that whole answers are
// the right ones, and that no goroutine and no descriptor stays.
func TestRelay_RandomCutsLeaveNothingBehind(t *testing.T) {
	before, files := runtime.NumGoroutine(), descriptors(t)
	t.Run("traffic", func(t *testing.T) {
		addr, _ := through(t, backend(t, func(_ int, c *client) { unreliable(c) }))
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for range 50 {
					randomRequests(t, addr)
				}
			})
		}

		clients.Wait()
	})
	for range 100 {
		// the poller's own, and a pooled pipe
		if runtime.NumGoroutine() <= before && descriptors(t) <= files+3 {
			return
		}
		time.Sleep(20 * time.Millisecond)
		runtime.GC()
	}

	t.Errorf("%d goroutines and %d descriptors were %d and %d", runtime.NumGoroutine(), descriptors(t), before, files)
}

func descriptors(t *testing.T) int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(all)
}

// unreliable echoes each request's body and target until it cuts.
func unreliable(c *client) {
	for {
		r, err := http.ReadRequest(c.r)
		if err != nil {
			return
		}

		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}

		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Target: %s\r\nContent-Length: %d\r\n\r\n%s", r.RequestURI, len(body),
			body)
		if rand.IntN(2) == 0 {
			answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Target: %s\r\nTransfer-Encoding: chunked\r\n\r\n", r.RequestURI)
			for len(body) > 0 {
				n := 1 + rand.IntN(len(body))
				answer += fmt.Sprintf("%x\r\n%s\r\n", n, body[:n])
				body = body[n:]
			}

			answer += "0\r\n\r\n"
		}

		if rand.IntN(10) == 0 {
			io.WriteString(c, answer[:rand.IntN(len(answer))])
			if rand.IntN(2) == 0 {
				c.Conn.(*net.TCPConn).SetLinger(0)
			}
			return
		}

		io.WriteString(c, answer)
	}
}

// randomRequests sends a few requests and leaves in the middle of one now and
// then.
func randomRequests(t *testing.T, addr string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))

	r := bufio.NewReader(c)
	for range 3 {
		target := fmt.Sprintf("/%d", rand.Uint64())
		body := strings.Repeat(target, rand.IntN(3)*rand.IntN(4000))
		wire := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
		if rand.IntN(10) == 0 {
			io.WriteString(c, wire[:rand.IntN(len(wire))])
			return
		}

		go io.WriteString(c, wire)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return
		}

		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode == http.StatusBadGateway {
			return
		}

		if string(got) != body || resp.Header.Get("X-Target") != target {
			t.Errorf("%s got the answer of %s, %d bytes of %d", target, resp.Header.Get("X-Target"), len(got), len(body))
			return
		}
	}
}
