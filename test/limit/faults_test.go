package limit

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// fault is a fault of a server, with its begin and its end.
type fault struct {
	begin, end func(s *redis)
	reported   string // a part of the error on the status page
}

// faults has each fault by its name. The server has the user pillion beside the
// default user.
var faults = map[string]fault{
	"its memory is full": {
		func(s *redis) { s.want("+OK", "CONFIG", "SET", "maxmemory", "1") },
		func(s *redis) { s.want("+OK", "CONFIG", "SET", "maxmemory", "0") }, "OOM",
	},
	"it becomes a read-only replica": {
		func(s *redis) { s.want("+OK", "REPLICAOF", "127.0.0.1", "1") },
		func(s *redis) { s.want("+OK", "REPLICAOF", "NO", "ONE") }, "READONLY",
	},
	"the password is another": {
		func(s *redis) {
			s.want("+OK", "ACL", "SETUSER", "pillion", "resetpass", ">other")
			s.do("CLIENT", "KILL", "USER", "pillion")
		},
		func(s *redis) { s.want("+OK", "ACL", "SETUSER", "pillion", "resetpass", ">long-word") }, "WRONGPASS",
	},
	"the user may do nothing": {
		func(s *redis) { s.want("+OK", "ACL", "SETUSER", "pillion", "-@all") },
		func(s *redis) { s.want("+OK", "ACL", "SETUSER", "pillion", "+@all") }, "NOPERM",
	},
	"it delays answers": {
		func(s *redis) { s.want("+OK", "CLIENT", "PAUSE", "600000", "WRITE") },
		func(s *redis) { s.want("+OK", "CLIENT", "UNPAUSE") }, "",
	},
	"it is stopped": {
		func(s *redis) { s.signal(syscall.SIGSTOP) },
		func(s *redis) { s.signal(syscall.SIGCONT) }, "",
	},
	"it is killed": {func(s *redis) { s.kill() }, func(s *redis) { s.start() }, ""},
}

// During a fault of the server no request fails, each instance counts for
// itself, and the status page has the reason. After the fault, instances count
// together again.
func TestStore_NoFaultFailsARequestAndItsEndIsNoticed(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	for name, f := range faults {
		for _, secure := range []bool{false, true} {
			t.Run(name+", TLS "+strconv.FormatBool(secure), func(t *testing.T) {
				t.Parallel()
				server, store := startForFaults(t, authority, secure)
				p := pillion.Start(t, app(t), "LB_RATE_LIMIT_STORE="+store,
					"LB_RATE_LIMIT=1000000/s;3/h?by=header:X-Key&path=/key&name=key",
					"LB_RATE_LIMIT_TIMEOUT=500ms", "LB_STATUS_TOKEN="+statusToken)
				message(p, inUse)
				wantServed(t, p, 10, "before")

				f.begin(server)
				await.Until(t, "the store is off", func() bool {
					wantServed(t, p, 1, "while it fails")
					return stateOf(t, p).Access.Limits.Store.State == "off"
				})
				message(p, away)
				wantLimitOfThree(t, p)
				await.Until(t, "the page has the reason", func() bool {
					wantServed(t, p, 1, "while it fails")
					return strings.Contains(stateOf(t, p).Access.Limits.Store.Error, f.reported)
				})

				f.end(server)
				await.Until(t, "the store is in use again", func() bool {
					wantServed(t, p, 1, "after it")
					return countOf(p, inUse) > 1 && stateOf(t, p).Access.Limits.Store.State == "on"
				})
				wantServed(t, p, 10, "after it")
				if strings.Contains(p.Printed(), "long-word") {
					t.Error("the log has the password")
				}
			})
		}
	}
}

// startForFaults starts a server and returns its URL for LB_RATE_LIMIT_STORE.
func startForFaults(t *testing.T, authority *backend.Authority, secure bool) (server *redis, store string) {
	t.Helper()
	args := []string{"--user", "pillion", "on", ">long-word", "~*", "&*", "+@all"}
	if !secure {
		server = startRedis(t, args...)
		return server, strings.Replace(server.url(), "//", "//pillion:long-word@", 1)
	}

	dir, port := t.TempDir(), freePort(t)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	authority.Write(t, cert, key)
	server = startRedis(t, append(args, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", authority.File, "--tls-auth-clients", "no")...)
	await.Until(t, "the port for TLS is open", func() bool { return listens("127.0.0.1:" + port) })

	return server, "rediss://pillion:long-word@127.0.0.1:" + port + "?ca=" + authority.File
}

// If a server has lost its scripts, Pillion loads them again.
func TestStore_LostScriptsAreLoadedAgain(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	p := startWith(t, server.url(), "LB_RATE_LIMIT=4/h")
	wantServed(t, p, 2, "before")
	server.want("+OK", "SCRIPT", "FLUSH")
	wantServed(t, p, 2, "after it")
	other := startWith(t, server.url(), "LB_RATE_LIMIT=4/h")
	if got := get(t, other, "/").StatusCode; got != http.StatusTooManyRequests {
		t.Errorf("the other instance: status %d, want 429", got)
	}
	if n := countOf(p, away); n != 0 {
		t.Errorf("the store was off %d times, want never", n)
	}
}

// The slot of a key moves to another node, as when a cluster grows. The count
// moves along, so the limit holds.
func TestStore_TheLimitHoldsWhenSlotsOfAClusterMove(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t)
	store := nodes[0].url() + "?cluster=true"
	one := startWith(t, store, "LB_RATE_LIMIT=5/h?by=all")
	other := startWith(t, store, "LB_RATE_LIMIT=5/h?by=all")
	wantServed(t, one, 1, "before")
	wantServed(t, other, 1, "before")

	from, key := holder(t, nodes)
	to := (from + 1) % len(nodes)
	slot := strings.TrimPrefix(nodes[from].do("CLUSTER", "KEYSLOT", key), ":")
	source, target := nodes[from].do("CLUSTER", "MYID"), nodes[to].do("CLUSTER", "MYID")
	nodes[to].want("+OK", "CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	nodes[from].want("+OK", "CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	nodes[from].want("+OK", "MIGRATE", "127.0.0.1", nodes[to].port, key, "0", "10000")
	for _, i := range []int{to, from, 3 - to - from} {
		nodes[i].want("+OK", "CLUSTER", "SETSLOT", slot, "NODE", target)
	}

	wantServed(t, one, 1, "after it has moved")
	wantServed(t, other, 2, "after it has moved")
	for _, p := range []*binary.Process{one, other} {
		if got := get(t, p, "/").StatusCode; got != http.StatusTooManyRequests {
			t.Errorf("beyond the limit: status %d, want 429", got)
		}
		if n := countOf(p, away); n != 0 {
			t.Errorf("the store was off %d times, want never", n)
		}
	}
}

// holder returns the one key of a limit, and which node has it.
func holder(t *testing.T, nodes []*redis) (node int, key string) {
	t.Helper()
	for i, n := range nodes {
		for _, key := range n.list("KEYS", "*")[1:] {
			if !strings.HasSuffix(key, "probe") {
				return i, key
			}
		}
	}
	t.Fatal("no node has a key")

	return 0, ""
}

// If one node of a cluster hangs or is killed, no request fails, also none with
// a key of that node. When the node is back, it counts again.
func TestStore_AFaultOfOneClusterNodeFailsNoRequest(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"it is stopped", "it is killed"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := faults[name]
			nodes := startCluster(t)
			p := startWith(t, nodes[0].url()+"?cluster=true", "LB_RATE_LIMIT=2/h?by=header:X-Key", "LB_RATE_LIMIT_TIMEOUT=200ms")
			key := 0
			getNextKey := func(when string) {
				t.Helper()
				key++
				if got := get(t, p, "/", "X-Key", strconv.Itoa(key)).StatusCode; got != http.StatusOK {
					t.Fatalf("%s: status %d, want 200", when, got)
				}
			}
			for range 30 {
				getNextKey("before")
			}

			f.begin(nodes[2])
			for range 200 {
				getNextKey("without a node")
			}
			f.end(nodes[2])
			nodes[2].do("FLUSHALL")
			await.Until(t, "the node counts again", func() bool {
				getNextKey("with the node")
				return nodes[2].do("DBSIZE") != ":0"
			})
		})
	}
}
