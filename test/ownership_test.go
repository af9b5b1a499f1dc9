package test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// The parts of a request have one owner at a time (proxy/wire, Ownership).
// These tests bring several readers as close to one request as they can come: a
// client sends the rest of its body, with many trailers, at the very moment at
// which its request is retried, answered early or cut. Under the race detector
// the program reports two owners by itself. Without it, a body that reaches the
// wrong request shows in the echo that follows on the same connection.

// ownershipTrailers is how many trailers a body ends with: writing them takes
// long enough for another reader to come. More than 4 KiB of them are too many
// for a server of net/http.
const ownershipTrailers = 200

// ownershipBackend answers in the way that the path of a request names.
type ownershipBackend struct {
	mu    sync.Mutex
	tried map[string]chan struct{} // by request; closed when the request arrived for the first time
}

// arrival returns the channel of a request.
func (b *ownershipBackend) arrival(key string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.tried == nil {
		b.tried = make(map[string]chan struct{})
	}

	if b.tried[key] == nil {
		b.tried[key] = make(chan struct{})
	}

	return b.tried[key]
}

// arrived notes a request and reports whether it came for the first time.
func (b *ownershipBackend) arrived(key string) bool {
	arrival := b.arrival(key)
	b.mu.Lock()
	defer b.mu.Unlock()

	select {
	case <-arrival:
		return false
	default:
		close(arrival)
		return true
	}
}

// ServeHTTP is the backend over HTTP/1.1.
func (b *ownershipBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first := b.arrived(r.Header.Get("X-Key"))

	switch r.URL.Path {
	case "/retry":
		if first {
			_, _ = r.Body.Read(make([]byte, 1))
			panic(http.ErrAbortHandler)
		}
	case "/early":
		_, _ = io.WriteString(w, "early")
		return
	case "/cut":
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}

	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}

	_, _ = fmt.Fprintf(w, "%s trailers=%d", body, len(r.Trailer))
}

// turn is the backend over HTTP/2.
func (b *ownershipBackend) turn(s *backend.Stream) {
	if len(s.Body) == 0 {
		return
	}

	first := b.arrived(s.Fields["x-key"])

	switch path := s.Fields[":path"]; {
	case path == "/retry" && first:
		s.Reset()
	case path == "/early":
		s.Head()
		s.Data([]byte("early"), true)
	case path == "/cut":
		s.Head()
		s.Data([]byte("half"), false)
		s.Reset()
	case s.Ended:
		s.Head()
		s.Data(fmt.Appendf(nil, "%s trailers=%d", s.Body, s.Trailers), true)
	}
}

// ownershipBody sends its second half when the request has arrived at a
// backend.
type ownershipBody struct {
	first, second *strings.Reader
	arrival       chan struct{}
	give          <-chan struct{} // gives up waiting
	end           func()
}

func (b *ownershipBody) Read(p []byte) (int, error) {
	if n, err := b.first.Read(p); err == nil {
		return n, nil
	}

	select {
	case <-b.arrival:
	case <-b.give:
		return 0, io.ErrUnexpectedEOF
	}

	n, err := b.second.Read(p)
	if err == io.EOF {
		b.end()
	}

	return n, err
}

func (b *ownershipBody) Close() error { return nil }

// ownershipClient is one worker with a connection of its own.
type ownershipClient struct {
	t       *testing.T
	http    *http.Client
	backend *ownershipBackend
	url     string
}

// exchangeOnce makes a request of a kind, and then a request that is echoed.
// The key is unique in the test.
func (c *ownershipClient) exchangeOnce(kind, key string) {
	first, second := strings.Repeat(key, 200), strings.Repeat(key, 300)
	r := newRequest(c.t, "PUT", c.url+"/"+kind, nil, "X-Key", key)
	trailer := make(http.Header)
	for i := range ownershipTrailers {
		trailer[fmt.Sprintf("X-%d", i)] = nil
	}

	r.Trailer = trailer
	waits, end := context.WithTimeout(c.t.Context(), await.Limit)
	defer end()
	r.Body = &ownershipBody{
		first: strings.NewReader(first), second: strings.NewReader(second),
		arrival: c.backend.arrival(key), give: waits.Done(),
		end: func() {
			for name := range trailer {
				trailer[name] = []string{"v"}
			}
		},
	}
	r.ContentLength = -1

	text, err := c.do(r)
	switch want := fmt.Sprintf("%s%s trailers=%d", first, second, ownershipTrailers); {
	case kind == "cut" && err == nil:
		c.t.Errorf("an answer that was cut arrived whole: %.100q", text)
	case kind == "early" && (err != nil || text != "early"):
		c.t.Errorf("%s: %.100q, %v", key, text, err)
	case kind == "retry" && (err != nil || text != want):
		c.t.Errorf("%s: %d bytes %.100q, %v, want %d bytes", key, len(text), text, err, len(want))
	}

	body := strings.Repeat(key+"-echo", 100)
	r = newRequest(c.t, "PUT", c.url+"/echo", strings.NewReader(body), "X-Key", key+"-echo")
	if text, err := c.do(r); err != nil || text != body+" trailers=0" {
		c.t.Errorf("the echo after %s: %d bytes %.100q, %v", key, len(text), text, err)
	}
}

// do returns the body of a 200.
func (c *ownershipClient) do(r *http.Request) (string, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}

	return string(text), err
}

func TestOwnership_EveryPartOfARequestHasOneOwner(t *testing.T) {
	t.Parallel()
	clients := map[string]func(*testing.T) *http.Client{"HTTP/1.1": newClient, "h2c": newH2CClient}
	for _, protocol := range []string{"http", "h2c"} {
		for client, connect := range clients {
			for _, kind := range []string{"retry", "early", "cut"} {
				t.Run(fmt.Sprintf("%s from %s to %s", kind, client, protocol), func(t *testing.T) {
					t.Parallel()
					runOwnership(t, kind, protocol, connect)
				})
			}
		}
	}
}

// A copy for a mirror, a cache and a coder are further readers of a request or
// of its answer.
func TestOwnership_EveryPartHasOneOwnerBesideFurtherReaders(t *testing.T) {
	t.Parallel()
	shadow := backend.Start(t, "shadow", nil)
	for name, env := range map[string][]string{
		"mirror":          {"LB_MIRROR__APP=shadow", "LB_BACKENDS__SHADOW=" + shadow.Target(), "LB_ROUTE__SHADOW=none"},
		"cache and coder": {"LB_CACHE__APP=origin", "LB_COMPRESS__APP=gzip;zstd"},
		"all": {"LB_MIRROR__APP=shadow", "LB_BACKENDS__SHADOW=" + shadow.Target(), "LB_ROUTE__SHADOW=none",
			"LB_CACHE__APP=origin",
			"LB_COMPRESS__APP=gzip;zstd", "LB_SESSION_AFFINITY=cookie"},
	} {
		for protocol, connect := range map[string]func(*testing.T) *http.Client{"http": newClient, "h2c": newH2CClient} {
			for _, kind := range []string{"retry", "early", "cut"} {
				t.Run(fmt.Sprintf("%s, %s over %s", name, kind, protocol), func(t *testing.T) {
					t.Parallel()
					runOwnership(t, kind, protocol, connect, append(env, "LB_ROUTE__APP=/*")...)
				})
			}
		}
	}
}

// start returns the backend as a target. A first try is a reset of its stream
// where there are streams; tries of others go on.
func (b *ownershipBackend) start(t *testing.T, name, protocol string) string {
	if protocol == "h2c" {
		return backend.Target("h2c://"+backend.StartFrames(t, name, b.turn).Address, name)
	}

	return backend.Start(t, name, b.ServeHTTP).Target()
}

// runOwnership runs one kind of exchange from several workers, over one pair of
// protocols.
func runOwnership(t *testing.T, kind, protocol string, connect func(*testing.T) *http.Client, env ...string) {
	const workers, rounds = 8, 25
	b := new(ownershipBackend)
	one, two := b.start(t, "one", protocol), b.start(t, "two", protocol)
	list := "LB_BACKENDS="
	if len(env) > 0 {
		list = "LB_BACKENDS__APP="
	}
	p := pillion.Start(t, append(append(calm, env...), "LB_RETRY_BUDGET=100%", "LB_RETRIES=3", list+one+";"+two)...)

	var running sync.WaitGroup

	for worker := range workers {
		c := &ownershipClient{t: t, http: connect(t), backend: b, url: p.URL("")}
		running.Go(func() {
			for round := range rounds {
				c.exchangeOnce(kind, fmt.Sprintf("%d-%d.", worker, round))
			}
		})
	}

	running.Wait()
}

// A transport may still be about to read a body when the backend has answered.
// The next request on the connection of the client has to wait for that reader,
// or loses bytes to it.
func TestOwnership_ABodyHasOneReader(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			runReaders(t, protocol)
		})
	}
}

// runReaders sends bodies that are answered at their first byte, each with an
// ordinary request behind it. All of a body is sent at once, so that its reader
// never waits for the client: it is anywhere in its work when the answer comes.
func runReaders(t *testing.T, protocol string) {
	const workers, rounds = 16, 100
	b := new(ownershipBackend)
	p := pillion.Start(t, append(calm, "GOMAXPROCS=4", "LB_BACKENDS="+b.start(t, "one", protocol))...)

	var running sync.WaitGroup

	for worker := range workers {
		c := wire.Dial(t, p.Address)
		running.Go(func() {
			for round := range rounds {
				key := fmt.Sprintf("%d-%d.", worker, round)
				early, echo := strings.Repeat("x", 60_000+round*1000), strings.Repeat(key, 1000)
				length := fmt.Sprintf("Content-Length: %d", len(early))
				c.Send(wire.Request("PUT", "/early", early, "X-Key: "+key, length))
				if resp, text := c.Response("PUT"); text != "early" {
					t.Errorf("%s: %d %.100q", key, resp.StatusCode, text)
				} else if resp.Close {
					c = wire.Dial(t, p.Address)
				}

				length = fmt.Sprintf("Content-Length: %d", len(echo))
				c.Send(wire.Request("PUT", "/echo", echo, "X-Key: "+key+"-echo", length))
				if resp, text := c.Response("PUT"); text != echo+" trailers=0" {
					t.Errorf("the echo after %s: %d, %d bytes %.100q", key, resp.StatusCode, len(text), text)
				}
			}
		})
	}

	running.Wait()
}
