package h2

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// A client hears twice that it should go elsewhere: first without a number, so
// that requests on their way are served, then with that of the last one (RFC
// 9113 section 6.8).
func TestServer_ShutdownServesWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}, 1), make(chan struct{})
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			begun <- struct{}{}
			<-goOn
		}
	})}
	p := client(t, s)
	p.request(1, false)
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(context.Background()) }()

	first, ok := p.next().(*http2.GoAwayFrame)
	if !ok || first.LastStreamID != largestValue || first.ErrCode != http2.ErrCodeNo {
		t.Fatalf("first: %v", first)
	}
	p.request(3, true) // on its way
	answered, named := false, false
	for range 2 { // in either order
		switch f := p.next().(type) {
		case *http2.MetaHeadersFrame:
			answered = f.StreamID == 3 && f.PseudoValue("status") == "200"
		case *http2.GoAwayFrame:
			named = f.LastStreamID == 3
		}
	}
	if !answered || !named {
		t.Fatalf("a request on its way was answered: %v; the second GOAWAY names it: %v", answered, named)
	}
	p.request(5, true) // too late, and nobody's fault

	close(goOn)
	if f, ok := p.next().(*http2.MetaHeadersFrame); !ok || f.StreamID != 1 {
		t.Fatalf("the request in progress: %v", f)
	}
	if f, ok := p.next().(*http2.RSTStreamFrame); !ok || f.StreamID != 1 || f.ErrCode != http2.ErrCodeNo {
		t.Fatalf("the rest of its body: %v", f)
	}
	if f := p.next(); f != nil {
		t.Errorf("then %v", f)
	}
	_ = p.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A backend that leaves says which requests it did not look at. They may be
// sent elsewhere, whatever their method.
func TestTransport_WhatAGoAwayExcludesWasNotProcessed(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(p *peer, id uint32){
		"GOAWAY":         func(p *peer, id uint32) { _ = p.WriteGoAway(id-2, http2.ErrCodeNo, nil) },
		"REFUSED_STREAM": func(p *peer, id uint32) { _ = p.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport := backendPeer(t, func(p *peer) {
				for id := p.awaitRequest(); id != 0; id = p.awaitRequest() {
					if id == 1 {
						p.headers(id, true, ":status", "200")
						continue
					}
					answer(p, id)
				}
			})
			if status, _, err := fetch(t, transport, "/"); status != 200 || err != nil {
				t.Fatal(status, err)
			}
			_, _, err := fetch(t, transport, "/")
			if e := wire.AsError(err); e.Outcome != wire.NotProcessed || e.Client != wire.NoFault {
				t.Errorf("%+v", e)
			}
		})
	}
}

// A backend may allow no streams for a while (RFC 9113 section 6.5.2). Its
// connections do not pile up then.
func TestTransport_AConnectionThatAllowsNoStreamIsClosed(t *testing.T) {
	t.Parallel()
	var open atomic.Int32
	transport := backendPeer(t, func(p *peer) {
		open.Add(1)
		defer open.Add(-1)
		for id := p.awaitRequest(); id != 0; id = p.awaitRequest() {
			_ = p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
			p.headers(id, true, ":status", "200")
		}
	})
	for range 20 {
		if status, _, err := fetch(t, transport, "/"); status != 200 || err != nil {
			t.Fatal(status, err)
		}
	}
	if n := transport.Idle(); n > 2 {
		t.Errorf("the transport keeps %d connections", n)
	}
	for end := time.Now().Add(10 * time.Second); open.Load() > 2; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d connections are open", open.Load())
		}
	}
}

// A connection that was not used for a while gets a PING before its next
// request. If no answer comes, the request is sent on another connection and
// does not fail.
func TestTransport_ASilentConnectionIsAskedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	for name, dead := range map[string]bool{"alive": false, "dead": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pings, conns := make(chan struct{}, 10), make(chan struct{}, 10)
			transport := backendPeer(t, func(p *peer) {
				conns <- struct{}{}
				served := false
				for {
					f, err := p.ReadFrame()
					if err != nil {
						return
					}
					switch f := f.(type) {
					case *http2.PingFrame:
						pings <- struct{}{}
						if !dead {
							_ = p.WritePing(true, f.Data)
						}
					case *http2.MetaHeadersFrame:
						if served && dead {
							t.Error("a request on a dead connection")
						}
						served = true
						p.headers(f.StreamID, true, ":status", "200")
					}
				}
			})
			if status, _, err := fetch(t, transport, "/"); status != 200 || err != nil {
				t.Fatal(status, err)
			}

			transport.mu.Lock()
			for _, c := range transport.conns {
				c.mu.Lock()
				c.heard = time.Now().Add(-2 * silence)
				c.mu.Unlock()
			}
			transport.mu.Unlock()
			if status, _, err := fetch(t, transport, "/"); status != 200 || err != nil {
				t.Fatal(status, err)
			}
			want := 1
			if dead {
				want = 2
			}
			if len(pings) != 1 || len(conns) != want {
				t.Errorf("%d pings, %d connections", len(pings), len(conns))
			}
		})
	}
}

// An answer that ended stays whole when the backend resets the rest of the
// request (RFC 9113 section 8.1).
func TestTransport_AResetAfterTheAnswerIsNoFailure(t *testing.T) {
	t.Parallel()
	transport := backendPeer(t, func(p *peer) {
		for {
			f, err := p.ReadFrame()
			if err != nil {
				return
			}
			if f, ok := f.(*http2.MetaHeadersFrame); ok {
				p.headers(f.StreamID, false, ":status", "200")
				_ = p.WriteData(f.StreamID, true, []byte("enough"))
				_ = p.WriteRSTStream(f.StreamID, http2.ErrCodeNo)
			}
		}
	})
	body, client := io.Pipe()
	defer client.Close()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://app.example/", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "enough" || err != nil {
		t.Errorf("%q %v", b, err)
	}
}

// gRPC's servers count a PING that comes within five minutes of the last one as
// a strike, and end the connection at the third.
func TestTransport_ThePauseBetweenPingsIsLongEnoughForGRPC(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for open, want := range map[int]time.Duration{0: 0, 1: 5*time.Minute + time.Second} {
		c := &conn{transport: &Transport{}, open: open, clock: clock{heard: now}}
		if at := c.pingAt(); want == 0 && !at.IsZero() || want > 0 && at.Sub(now) < want {
			t.Errorf("with %d calls a PING is sent after %v", open, at.Sub(now))
		}
	}
}
