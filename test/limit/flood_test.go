package limit

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// addresses is the number of clients in the flood. The default is more than the
// tables have room for.
var addresses = flag.Int("limit.addresses", 25_000, "how many addresses flood the limits")

const statusToken = "0123456789abcdef"

// During a flood of addresses, clients over their limit stay refused and
// clients within it are served. The process, with the settings of a container
// of 64 MiB, stays within that memory.
func TestFlood_ChangesNothingForOtherClients(t *testing.T) {
	limits := []string{"5/h?name=real"}
	for i := range 15 { // each limit has a table, so all tables are small
		limits = append(limits, fmt.Sprintf("1000000/h?name=other-%d", i))
	}
	p := pillion.Start(t, app(t), "LB_ROUTE__LOGIN=/login", "LB_RESPOND__LOGIN=204", "LB_TRUSTED_PROXIES=127.0.0.0/8",
		"LB_RATE_LIMIT="+strings.Join(limits, ";"), "GOMEMLIMIT=57MiB", "LB_STATUS_TOKEN="+statusToken)
	statusFor := func(client string) int { return get(t, p, "/", "X-Forwarded-For", client).StatusCode }

	const over, within, withinIPv6 = "192.0.2.1", "192.0.2.2", "2001:db8:ffff:ffff::7"
	for i, want := range []int{200, 200, 200, 200, 200, 429} {
		if got := statusFor(over); got != want {
			t.Fatalf("request %d of the client over its limit: status %d, want %d", i, got, want)
		}
	}
	wantOthersServed := func(when string) {
		t.Helper()
		for _, client := range []string{within, withinIPv6} {
			if got := statusFor(client); got != http.StatusOK {
				t.Errorf("%s, %s: status %d, want 200", when, client, got)
			}
		}
	}
	wantOthersServed("before")

	var flooded atomic.Int64
	var clients sync.WaitGroup
	const connections = 4
	for i := range connections {
		clients.Go(func() { flood(t, p.Address, i, connections, &flooded) })
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for half := false; ; {
		if got := statusFor(over); got != http.StatusTooManyRequests {
			t.Fatalf("after %d addresses the client over its limit got status %d, want 429", flooded.Load(), got)
		}
		if !half && flooded.Load() > int64(*addresses)/2 {
			half = true
			wantOthersServed("in the middle")
		}
		select {
		case <-done:
		case <-time.After(20 * time.Millisecond):
			continue
		}
		break
	}

	wantOthersServed("afterwards")
	if got := statusFor(over); got != http.StatusTooManyRequests {
		t.Errorf("afterwards the client over its limit got status %d, want 429", got)
	}
	if n := flooded.Load(); n != int64(*addresses) {
		t.Errorf("%d addresses were answered, want %d", n, *addresses)
	}
	known, room := knownTo(t, p)
	if room != 16_384 || known > room || *addresses > room*3/2 && known < room*9/10 {
		t.Errorf("%d of %d keys are known, want 9 of 10 of 16,384 at least after enough addresses", known, room)
	}
	if most := peak(t, p.PID()); most > 64<<20 && !binary.Race {
		t.Errorf("the process used %d MiB, want 64 at most", most>>20)
	}
}

// flood sends one request for each address with the number first, first+step
// and so on, and counts the answers.
func flood(t *testing.T, address string, first, step int, answered *atomic.Int64) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()

	in := bufio.NewReader(conn)
	const batch = 64
	for n := first; n < *addresses; {
		var out strings.Builder
		sent := 0
		for ; sent < batch && n < *addresses; n += step {
			client := fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)
			if n%2 == 1 {
				client = fmt.Sprintf("2001:db8:%x:%x::1", n>>16, n&0xffff)
			}
			out.WriteString("GET /login HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: " + client + "\r\n\r\n")
			sent++
		}
		_ = conn.SetDeadline(time.Now().Add(await.Limit))
		if _, err := io.WriteString(conn, out.String()); err != nil {
			t.Error(err)
			return
		}
		for range sent {
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusTooManyRequests {
				t.Errorf("a request of the flood got %s, want 204 or 429", resp.Status)
				return
			}
			answered.Add(1)
		}
	}
}

// knownTo returns how many keys the first limit knows, and for how many it has
// room.
func knownTo(t *testing.T, p *binary.Process) (known, room int) {
	t.Helper()
	limits := stateOf(t, p).Access.Limits.Limits
	if len(limits) == 0 {
		t.Fatal("state.json has no limits")
	}

	return limits[0].Known, limits[0].Room
}

// state is the part of state.json that these tests read.
type state struct {
	Access struct {
		Limits struct {
			Limits []struct{ Known, Room int }
			Store  struct {
				State, Error string
				Retry        *time.Time
				Results      map[string]int
			}
		}
	}
}

func stateOf(t *testing.T, p *binary.Process) (s state) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL("/.lb/state.json"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+statusToken)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}

	return s
}

// peak returns the largest resident memory of a process in bytes, or 0 if the
// system does not tell it.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}

	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}

	return kib << 10
}
