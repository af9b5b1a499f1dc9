package test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/attribute"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

func TestChaos_AnUploadToAHungBackendEnds(t *testing.T) {
	t.Parallel()
	wantHungUploadsEnd(t)
}

func TestChaos_AnUploadToAHungBackendEndsOverHTTP2(t *testing.T) {
	t.Parallel()
	wantHungUploadsEnd(t, "LB_PROTOCOL=h2c")
}

// wantHungUploadsEnd fails unless a backend that stops reading in the middle of
// an upload holds the request no longer than the stall timeout, and is ejected
// for it.
func wantHungUploadsEnd(t *testing.T, env ...string) {
	t.Helper()
	hung := backend.StartWorker(t, "hung", "127.0.0.1:0")
	good := backend.Start(t, "good", nil)
	p := pillion.Start(t, append(env, "LB_STALL_TIMEOUT=1s", "LB_RESPONSE_TIMEOUT=1s", "LB_EJECT_ERRORS=2",
		"LB_BACKENDS="+hung.Target()+";"+good.Target())...)
	client := newClient(t)
	await.Until(t, "the backend is used", func() bool { return get(t, client, p.URL("/")).Backend() == "hung" })
	if err := hung.Stop(); err != nil {
		t.Fatal(err)
	}

	body := strings.Repeat("x", 16<<20)
	failed := 0
	for i := 0; i < 30 && count(p, saying("backend ejected", "hung")) == 0; i++ {
		began := time.Now()
		a := send(t, client, newRequest(t, http.MethodPost, p.URL("/"), strings.NewReader(body)))
		switch took := time.Since(began); {
		case a.StatusCode == http.StatusOK:
		case a.StatusCode == http.StatusGatewayTimeout && took < 3*time.Second+slack:
			failed++
		default:
			t.Errorf("status %d after %v", a.StatusCode, took)
		}
	}

	if failed != 2 {
		t.Errorf("%d uploads failed before the ejection, want 2", failed)
	}
}

func TestChaos_AStuckAnswerEndsOverHTTP2(t *testing.T) {
	t.Parallel()
	stuck := backend.Start(t, "stuck", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	p := pillion.Start(t, "LB_STALL_TIMEOUT=1s", "LB_PROTOCOL=h2c", backend.Backends(stuck))
	c := &asker{address: p.Address}
	r := c.Call(question{Method: http.MethodGet, Target: "/", Number: "1"})
	if !r.Cut() || r.Took > time.Second+slack {
		t.Errorf("a stuck answer: %v", r)
	}
}

// A TLS backend that accepts connections and never sends anything fails no
// request. Requests only sometimes wait for the connect timeout.
func TestChaos_AHungHandshakeCostsNoRequest(t *testing.T) {
	t.Parallel()
	hangs := backend.StartRaw(t, "hangs", func(c *backend.Conn) { _, _ = io.Copy(io.Discard, c) })
	good := backend.Start(t, "good", nil)
	p := pillion.Start(t, "LB_CONNECT_TIMEOUT=500ms",
		"LB_BACKENDS="+backend.Target("https://"+hangs.Address, "hangs")+";"+good.Target())
	c := (&clientLoad{address: p.Address, callers: 16, ask: mixed}).start(t)
	p.Line("an ejection", saying("backend ejected", "hangs"))
	c.After(t, 500)
	c.Stop()
	wantAll(t, "beside a hung handshake", c.replies.All(), reply.OK)
	if longest := percentile(c.replies.All(), 1); longest > 500*time.Millisecond+slack {
		t.Errorf("a request took %v", longest)
	}
}

// Requests at a backend that was removed from the list are finished there.
func TestChaos_ABackendThatVanishedFinishesWhatItHas(t *testing.T) {
	t.Parallel()
	b := deliberate(t, 2*time.Second)
	stays := backend.Start(t, "stays", nil)
	lists := attribute.Start(t, "lb-backends", b.Target())
	p := pillion.Start(t, "GCE_METADATA_HOST="+lists.Host)
	await.Until(t, "the list is there",
		func() bool { return get(t, newClient(t), p.URL("/.lb/started")).StatusCode == http.StatusOK })
	socket := openSocket(t, p.Address)
	const n = 10
	replies := askAtOnce(p.Address, n)
	await.Until(t, "all requests have arrived", func() bool { return b.Requests.Len() == n })
	lists.Set(stays.Target())
	client := newClient(t)
	p.Line("about the backend that left", saying("backend left", "one"))
	wantNone(t, p, "one")
	wantStatus(t, get(t, client, p.URL("/")), http.StatusOK)
	for range n {
		if r := soon(t, "an answer", replies); !r.OK() || r.Text != "done" {
			t.Errorf("%v", r)
		}
	}

	socket.Send(text("still here", true))
	socket.Expect(text("still here", true))
}

// An answer that is cut on the way is an error for a client over HTTP/2 as
// well.
func TestChaos_ACutAnswerIsVisibleOverHTTP2(t *testing.T) {
	t.Parallel()
	for name, half := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		cuts := backend.StartRaw(t, name, func(c *backend.Conn) {
			if _, err := c.ReadRequest(); err == nil {
				_, _ = io.WriteString(c, half)
			}
		})
		p := pillion.Start(t, cuts.Environment())
		request := newRequest(t, http.MethodGet, p.URL("/"), nil)
		if a, err := exchange(newH2CClient(t), request); err == nil {
			t.Errorf("%s: a cut answer looks whole: %d %q", name, a.StatusCode, a.Text)
		}

		c := wire.Dial(t, p.Address)
		c.Send(wire.Request("GET", "/", "", "Connection: close"))
		if rest, _ := c.Rest(); strings.HasSuffix(rest, "0\r\n\r\n") || !strings.Contains(rest, "half") {
			t.Errorf("%s: over HTTP/1.1 it ends as %q", name, rest)
		}
	}
}
