package limit

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// startWith starts Pillion with a store, and waits until the store is in use.
func startWith(t *testing.T, store string, env ...string) *binary.Process {
	t.Helper()
	env = append(env, app(t), "LB_RATE_LIMIT_STORE="+store)
	if !strings.Contains(strings.Join(env, "\n"), "LB_RATE_LIMIT_TIMEOUT=") {
		env = append(env, "LB_RATE_LIMIT_TIMEOUT=1s") // the store decides, however busy the machine is
	}
	p := pillion.Start(t, env...)
	message(p, inUse)

	return p
}

// wantServed sends n requests, and fails the test unless all get 200.
func wantServed(t *testing.T, p *binary.Process, n int, when string) {
	t.Helper()
	for range n {
		if resp := get(t, p, "/"); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, want 200", when, resp.Status)
		}
	}
}

// wantLimitOfThree fails the test unless an instance without a store counts for
// itself: of the limit of three for a key, it serves three requests and refuses
// the fourth.
func wantLimitOfThree(t *testing.T, p *binary.Process) {
	t.Helper()
	for i, want := range []int{200, 200, 200, 429} {
		if got := get(t, p, "/key", "X-Key", "a").StatusCode; got != want {
			t.Errorf("request %d for the key: status %d, want %d", i, got, want)
		}
	}
}

func TestStore_ALimitHoldsForFourInstancesTogether(t *testing.T) {
	server := startRedis(t)
	const burst, perSecond, last = 200, 400, 3 * time.Second
	instances := make([]*binary.Process, 4)
	for i := range instances {
		instances[i] = startWith(t, server.url(),
			"LB_RATE_LIMIT="+strconv.Itoa(perSecond)+"/s?by=all&burst="+strconv.Itoa(burst),
			"LB_RATE_LIMIT_TIMEOUT=1s")
	}

	// Eight clients send requests as fast as they can. The bounds of what may
	// pass follow from the time at which the first and the last one were sent.
	var passed atomic.Int64
	var clients sync.WaitGroup
	begun := time.Now()
	for i := range 8 {
		clients.Go(func() {
			for time.Since(begun) < last {
				if get(t, instances[i%4], "/").StatusCode == http.StatusOK {
					passed.Add(1)
				}
			}
		})
	}
	clients.Wait()
	took := time.Since(begun).Seconds()

	n, most := float64(passed.Load()), burst+perSecond*took
	least := burst + perSecond*last.Seconds()
	if n > most*1.01 || n < least*0.99 {
		t.Errorf("%.0f requests passed in %.2f s, want %.0f to %.0f", n, took, least*0.99, most*1.01)
	}
}

func TestStore_AnInstanceRemembersARefusalWithoutAskingAgain(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	p := startWith(t, server.url(), "LB_RATE_LIMIT=2/h")
	wantServed(t, p, 2, "the burst")
	for range 50 {
		if resp := get(t, p, "/"); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("beyond the limit: %s, want 429 and Retry-After: %v", resp.Status, resp.Header)
		}
	}

	// Two calls try the connection, and three belong to requests.
	if calls := server.do("INFO", "commandstats"); !strings.Contains(calls, "cmdstat_evalsha:calls=5,") {
		t.Errorf("want 5 calls of evalsha in the statistics:\n%s", calls)
	}

	other := startWith(t, server.url(), "LB_RATE_LIMIT=2/h")
	if resp := get(t, other, "/"); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the other instance: %s, want 429", resp.Status)
	}
}

func TestStore_KeysExpireWithTheirWindow(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	p := startWith(t, server.url()+"?prefix=mine:", "LB_RATE_LIMIT=5/s;100/h?by=header:X-Key")
	if got := get(t, p, "/", "X-Key", "a secret").StatusCode; got != http.StatusOK {
		t.Fatalf("status %d, want 200", got)
	}
	await.Until(t, "the key of the limit for a second has expired", func() bool { return server.do("DBSIZE") == ":1" })
	server.want("*1", "KEYS", "mine:*")
}

// A stopped server accepts commands and does not answer. At most three requests
// wait for it until the timeout.
func TestStore_AStoppedServerDelaysThreeRequestsAtMost(t *testing.T) {
	server := startRedis(t)
	const timeout = 600 * time.Millisecond // much longer than a request takes otherwise
	p := startWith(t, server.url(), "LB_RATE_LIMIT=1000000/s", "LB_RATE_LIMIT_TIMEOUT="+timeout.String())
	wantServed(t, p, 20, "before")

	server.signal(syscall.SIGSTOP)
	var waited atomic.Int64
	serveOne := func() {
		begun := time.Now()
		wantServed(t, p, 1, "while the server is stopped")
		if time.Since(begun) > timeout*9/10 {
			waited.Add(1)
		}
	}
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(serveOne)
	}
	clients.Wait()
	for range 50 {
		serveOne()
	}
	if n := waited.Load(); n == 0 || n > 3 {
		t.Errorf("%d requests waited until the timeout, want 1 to 3", n)
	}
	message(p, away)

	server.signal(syscall.SIGCONT)
	await.Until(t, "the store is in use again", func() bool {
		wantServed(t, p, 1, "after")
		return countOf(p, inUse) == 2
	})
}

// countOf returns the number of log lines with a message.
func countOf(p *binary.Process, text string) (n int) {
	for _, l := range p.Lines() {
		if l.String("message") == text {
			n++
		}
	}

	return n
}

func TestStore_ARestartOfTheServerFailsNoRequest(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	p := startWith(t, server.url(), "LB_RATE_LIMIT=1000000/s;3/h?by=header:X-Key&path=/key")
	wantServed(t, p, 20, "before")

	server.kill()
	wantServed(t, p, 50, "without a server")
	message(p, away)
	wantLimitOfThree(t, p)

	server.start()
	await.Until(t, "the store is in use again", func() bool {
		wantServed(t, p, 1, "after")
		return countOf(p, inUse) == 2
	})
}

func TestStore_ClosedConnectionsFailNoRequest(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	p := startWith(t, server.url(), "LB_RATE_LIMIT=1000000/s")
	for round := 2; round <= 4; round++ {
		server.do("CLIENT", "KILL", "TYPE", "normal")
		await.Until(t, "the store is in use again", func() bool {
			wantServed(t, p, 1, "after CLIENT KILL")
			return countOf(p, inUse) >= round
		})
	}
}

// If the store can't be used from the start, no request fails, each instance
// counts for itself, and the log has the reason without the password.
func TestStore_AnUnusableStoreFailsNoRequest(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(t *testing.T) string{
		"wrong password": func(t *testing.T) string {
			return strings.Replace(startRedis(t, "--requirepass", "right-horse").url(), "//", "//:hush-hush@", 1)
		},
		"no password": func(t *testing.T) string { return startRedis(t, "--requirepass", "right-horse").url() },
		"read-only replica": func(t *testing.T) string {
			return startRedis(t, "--replicaof", "127.0.0.1", startRedis(t).port, "--replica-serve-stale-data", "yes").url()
		},
		"full memory": func(t *testing.T) string {
			return startRedis(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction").url()
		},
		"no server":            func(t *testing.T) string { return "redis://" + backend.Closed(t) },
		"no such host":         func(*testing.T) string { return "redis://store.invalid" },
		"no TLS on the server": func(t *testing.T) string { return "rediss://" + startRedis(t).address() },
		"no metadata server":   func(t *testing.T) string { return "rediss://" + startRedis(t).address() + "?auth=google" },
		"no Redis": func(t *testing.T) string {
			web, _, _ := strings.Cut(backend.Start(t, "web", func(http.ResponseWriter, *http.Request) {}).Target(), "?")
			return strings.Replace(web, "http://", "redis://", 1)
		},
		"no answers": func(t *testing.T) string {
			return "redis://" + backend.Listen(t).Addr().String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, app(t), "LB_RATE_LIMIT_STORE="+store(t),
				"LB_RATE_LIMIT=1000000/s;3/h?by=header:X-Key&path=/key")
			wantServed(t, p, 20, "at the start")
			wantLimitOfThree(t, p)
			line := message(p, away)
			wantServed(t, p, 20, "later")
			if line.String("error") == "" || strings.Contains(p.Printed(), "hush") {
				t.Errorf("the log has no error, or the password: %v", line)
			}
			if n := countOf(p, inUse); n != 0 {
				t.Errorf("the store was in use %d times, want never", n)
			}
		})
	}
}

func TestStore_MayHaveTLSAndAUser(t *testing.T) {
	t.Parallel()
	authority, dir := backend.NewAuthority(t), t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	authority.Write(t, cert, key)
	port := freePort(t)
	startRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", authority.File,
		"--tls-auth-clients", "no", "--user", "pillion", "on", ">long-word", "~pillion:*", "+@all")
	await.Until(t, "the port for TLS is open", func() bool { return listens("127.0.0.1:" + port) })
	store := "rediss://pillion:long-word@127.0.0.1:" + port + "/1?ca=" + authority.File
	for i, want := range []int{200, 200, 429} {
		p := startWith(t, store, "LB_RATE_LIMIT=2/h")
		if got := get(t, p, "/").StatusCode; got != want {
			t.Errorf("instance %d: status %d, want %d", i, got, want)
		}
	}

	// Without the authority, the server's certificate is not trusted.
	p := pillion.Start(t, app(t), "LB_RATE_LIMIT_STORE=rediss://127.0.0.1:"+port, "LB_RATE_LIMIT=1000/s")
	message(p, away)
	wantServed(t, p, 10, "without trust")
}

// Certificates of Memorystore do not have the server's address in the place
// that TLS clients check, but each server has its own authority. With verify=ca
// the authority is enough.
func TestStore_VerifyCAIgnoresTheNameButNotTheAuthority(t *testing.T) {
	t.Parallel()
	authority, dir := backend.NewAuthority(t), t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	authority.WriteFor(t, cert, key)
	port := freePort(t)
	startRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", authority.File,
		"--tls-auth-clients", "no")
	await.Until(t, "the port for TLS is open", func() bool { return listens("127.0.0.1:" + port) })

	store := "rediss://127.0.0.1:" + port + "?ca="
	startWith(t, store+authority.File+"&verify=ca", "LB_RATE_LIMIT=2/h")
	for name, untrusted := range map[string]string{
		"another name":      store + authority.File,
		"another authority": store + backend.NewAuthority(t).File + "&verify=ca",
	} {
		p := pillion.Start(t, app(t), "LB_RATE_LIMIT_STORE="+untrusted, "LB_RATE_LIMIT=1000/s")
		if line := message(p, away); !strings.Contains(line.String("error"), "x509") {
			t.Errorf("%s: error %q, want one of x509", name, line.String("error"))
		}
		wantServed(t, p, 5, name)
	}
}

func TestStore_AClusterOfThreeNodesHoldsTheLimit(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t)
	store := nodes[0].url() + "?cluster=true"
	one := startWith(t, store, "LB_RATE_LIMIT=2/h?by=header:X-Key")
	other := startWith(t, store, "LB_RATE_LIMIT=2/h?by=header:X-Key")
	for i := range 60 {
		key := strconv.Itoa(i)
		for j, p := range []*binary.Process{one, other, one, other} {
			want := http.StatusOK
			if j >= 2 {
				want = http.StatusTooManyRequests
			}
			if got := get(t, p, "/", "X-Key", key).StatusCode; got != want {
				t.Errorf("key %d, request %d: status %d, want %d", i, j, got, want)
			}
		}
	}
	for i, n := range nodes {
		if n.do("DBSIZE") == ":0" {
			t.Errorf("node %d has no keys, want some on each node", i)
		}
	}

	for i, n := range nodes[1:] {
		n.kill()
		for j := range 100 {
			key := strconv.Itoa(1000*(i+1) + j)
			if got := get(t, one, "/", "X-Key", key).StatusCode; got != http.StatusOK {
				t.Errorf("without node %d, key %s: status %d, want 200", i+1, key, got)
			}
		}
	}
}
