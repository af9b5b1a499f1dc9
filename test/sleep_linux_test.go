package test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// watched descriptors of an epoll set: those with and without events.
type epollSet struct{ waits, known []int }

// epollSets reads the epoll sets of a process (proc_pid_fdinfo(5)).
func epollSets(t *testing.T, pid int) map[int]epollSet {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}

	sets := make(map[int]epollSet)
	for _, f := range files {
		what, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, f.Name()))
		if !strings.Contains(what, "eventpoll") {
			continue
		}
		info, err := os.Open(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, f.Name()))
		if err != nil {
			continue // closed meanwhile
		}

		var set epollSet
		for lines := bufio.NewScanner(info); lines.Scan(); {
			var fd, events int
			if n, _ := fmt.Sscanf(lines.Text(), "tfd: %d events: %x", &fd, &events); n != 2 {
				continue
			}
			if set.known = append(set.known, fd); events&1 != 0 {
				set.waits = append(set.waits, fd)
			}
		}
		_ = info.Close()
		var own int
		_, _ = fmt.Sscan(f.Name(), &own)
		sets[own] = set
	}

	return sets
}

// sleeping returns how many connections wait in an epoll set that is itself in
// another one, the runtime's.
func sleeping(t *testing.T, pid int) (n int) {
	t.Helper()
	sets := epollSets(t, pid)
	for fd, set := range sets {
		for _, other := range sets {
			if slices.Contains(other.known, fd) {
				n += len(set.waits)
			}
		}
	}

	return n
}

// Idle clients have no goroutine. Each is served when it comes back, and the
// process ends without waiting for any of them.
func TestIdle_ConnectionsSleep(t *testing.T) {
	t.Parallel()
	const each = 40
	p := pillion.Start(t, backend.Backends(backend.StartMany(t, 2)...))
	if len(epollSets(t, p.PID())) == 0 {
		t.Skip("this kernel shows no epoll sets")
	}

	var ones []*wire.Conn
	var twos []*http.Client
	for range each {
		ones = append(ones, wire.Dial(t, p.Address))
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols}
		t.Cleanup(transport.CloseIdleConnections)
		twos = append(twos, &http.Client{Transport: transport, Timeout: await.Limit})
	}

	for range 3 {
		for i := range each {
			ones[i].Get("/")
			if resp, _ := ones[i].Response(http.MethodGet); resp.StatusCode != http.StatusOK {
				t.Fatal(resp.Status)
			}
			wantStatus(t, get(t, twos[i], p.URL("/")), http.StatusOK)
		}
		await.Until(t, "all connections sleep", func() bool { return sleeping(t, p.PID()) == 2*each })
	}

	begun := time.Now()
	p.Signal(terminate)
	if code := p.Wait(await.Limit); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("it ended after %v", took)
	}
}
