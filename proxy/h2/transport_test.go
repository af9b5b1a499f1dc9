package h2

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// startBackend serves handler over HTTP/2 in clear text until the test ends.
func startBackend(t *testing.T, handler http.HandlerFunc) *Transport {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	transport := &Transport{Address: l.Addr().String()}
	t.Cleanup(func() {
		transport.CloseIdle()
		s.Close()
		<-done
	})
	return transport
}

// stubborn is a client's body that brings nothing more, and whose Close does
// not end a read in progress.
type stubborn struct{ end chan struct{} }

func (b stubborn) Read([]byte) (int, error) { <-b.end; return 0, io.ErrUnexpectedEOF }
func (b stubborn) Close() error             { return nil }

// A call in both directions may be ended by the backend alone. Its client says
// nothing more before it has seen that end, which it cannot before Close
// returns.
func TestTransport_AnAnswerMayEndBeforeItsRequest(t *testing.T) {
	t.Parallel()
	transport := startBackend(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "enough") })
	body := stubborn{make(chan struct{})}
	defer close(body.end)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", "http://app.example/", body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = -1
	resp, err := transport.Send(r, &wire.Call{Body: body, ResponseTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "enough" {
		t.Errorf("the answer is %q, %v", text, err)
	}
	resp.Body.Close()
	if ctx.Err() != nil {
		t.Error("Close waited for the request's body")
	}
}

// A caller who is waiting for an answer and has nothing to say hears that his
// backend died, and why his stream was reset.
func TestTransport_AQuietCallerHearsThatTheBackendDied(t *testing.T) {
	t.Parallel()
	type conn struct{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Protocols:   new(http.Protocols),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, conn{}, c) },
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/dies" {
				r.Context().Value(conn{}).(net.Conn).Close()
				return
			}
			panic(http.ErrAbortHandler)
		}),
	}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	defer s.Close()
	transport := &Transport{Address: l.Addr().String()}
	defer transport.CloseIdle()
	for path, reset := range map[string]bool{"/dies": false, "/resets": true} {
		body := stubborn{make(chan struct{})}
		defer close(body.end)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "POST", "http://app.example"+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = -1
		_, err = transport.Send(r, &wire.Call{Body: body})
		e, _ := err.(*wire.Error)
		if e == nil || e.Outcome != wire.NoAnswer || e.Client != wire.NoFault || e.Timeout || IsReset(e.Err) != reset ||
			ctx.Err() != nil {
			t.Errorf("%s: %+v, %v", path, e, ctx.Err())
		}
	}
}

func TestTransport_ACancelledRequestIsTheClientsDoing(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	transport := startBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://app.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = transport.Send(r, &wire.Call{})
	if e, ok := err.(*wire.Error); !ok || e.Client != wire.Gone {
		t.Errorf("the error is %#v", err)
	}
}

// A backend that says something on the way, and reads the request to its end
// after that, has as long for its answer as any other from then on.
func TestTransport_AnInterimResponseIsNoAnswer(t *testing.T) {
	t.Parallel()
	hinted := make(chan struct{})
	transport := startBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	body, client := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://app.example/", body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = -1
	go func() {
		<-hinted
		client.Close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = transport.Send(r.WithContext(ctx), &wire.Call{
		Body: body, ResponseTimeout: 50 * time.Millisecond, Informational: func(int, http.Header) { close(hinted) },
	})
	if e, ok := err.(*wire.Error); !ok || !e.Timeout {
		t.Errorf("%v, and not a timeout", err)
	}
}

// A request whose head is larger than the backend's settings allow never leaves
// us, and the backend is not to blame for it.
func TestTransport_WhatTheBackendWouldNotTakeIsNotSent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Protocols: new(http.Protocols), MaxHeaderBytes: 2 << 10,
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
	}
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	transport := &Transport{Address: l.Addr().String()}
	t.Cleanup(func() {
		transport.CloseIdle()
		s.Close()
		<-done
	})
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://app.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.Send(r, new(wire.Call)) // whose answer comes behind the settings
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	r.Header["X"] = []string{strings.Repeat("a", 8<<10)}
	_, err = transport.Send(r, new(wire.Call))
	if e, ok := err.(*wire.Error); !ok || e.Outcome != wire.NotSent || e.Phase != wire.Write {
		t.Errorf("%+v", err)
	}
}
