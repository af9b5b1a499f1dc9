package proxy

import (
	"errors"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// The law of retries: what may be sent again, by how far it came and by whether
// doing it twice does harm.
func TestOutcome_RetryLaw(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outcome     wire.Outcome
		client      wire.Fault
		once, twice retryClass // for requests that may not, and may, be repeated
	}{
		{wire.NotSent, wire.NoFault, notSent, notSent},
		{wire.Undelivered, wire.NoFault, notSent, notSent},
		{wire.NotProcessed, wire.NoFault, notProcessed, notProcessed},
		{wire.NoAnswer, wire.NoFault, never, idempotent},
		{wire.Broken, wire.NoFault, never, never},
		{wire.NotSent, wire.Gone, never, never},
		{wire.NoAnswer, wire.Gone, never, never},
		{wire.NoAnswer, wire.BadBody, never, never},
		{wire.NoAnswer, wire.Stalled, never, never},
		{wire.NoAnswer, wire.TooLarge, never, never},
	} {
		e := &wire.Error{Outcome: c.outcome, Phase: wire.Head, Client: c.client, Err: errors.New("x")}
		if got := retriable(e, false); got != c.once {
			t.Errorf("outcome %d, client %d: %q", c.outcome, c.client, got)
		}
		if got := retriable(e, true); got != c.twice {
			t.Errorf("outcome %d, client %d, repeatable: %q", c.outcome, c.client, got)
		}
	}
}

func TestOutcome_Repeatable(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]bool{
		"GET": true, "HEAD": true, "OPTIONS": true, "PUT": true, "DELETE": true, "POST": false, "PATCH": false, "get": false,
		"PROPFIND": false,
	} {
		if got := repeatable(&http.Request{Method: method}); got != want {
			t.Errorf("%s: %v", method, got)
		}
	}

	if !repeatable(&http.Request{Method: "POST", Header: http.Header{"Idempotency-Key": {"1"}}}) {
		t.Error("its sender vouches for it")
	}
}

func TestOutcome_Blame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    wire.Error
		want bool
	}{
		{wire.Error{Outcome: wire.NotSent, Phase: wire.Connect}, true},
		// a request that can't be put on the wire
		{wire.Error{Outcome: wire.NotSent, Phase: wire.Write}, false},
		{wire.Error{Outcome: wire.NoAnswer, Phase: wire.Write}, true},
		{wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Timeout: true}, true},
		{wire.Error{Outcome: wire.Broken, Phase: wire.Body}, true},
		{wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Client: wire.Gone}, false},
		{wire.Error{Outcome: wire.NoAnswer, Phase: wire.Write, Client: wire.BadBody}, false},
		{wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: os.NewSyscallError("socket", syscall.EMFILE)}, false},
		{wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: wire.ErrShort}, false},
	} {
		if got := blame(&c.e); got != c.want {
			t.Errorf("%+v: %v", c.e, got)
		}
	}
}

func TestOutcome_WhatTheClientIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e      wire.Error
		status int
		who    string
		phase  string
	}{
		{wire.Error{Outcome: wire.NotSent, Phase: wire.Connect}, 503, "backend", "connect"},
		{wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Timeout: true}, 504, "backend", "connect"},
		{wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: syscall.ENFILE}, 503, "us", "connect"},
		{wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Timeout: true}, 504, "backend", "head"},
		{wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head}, 502, "backend", "head"},
		{wire.Error{Outcome: wire.Broken, Phase: wire.Head}, 502, "backend", "head"},
		{wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Client: wire.Gone}, 499, "client", "head"},
		{wire.Error{Outcome: wire.NoAnswer, Phase: wire.Write, Client: wire.BadBody}, 400, "client", "write"},
		{wire.Error{Outcome: wire.NoAnswer, Phase: wire.Write, Client: wire.Stalled}, 408, "client", "write"},
		{wire.Error{Outcome: wire.NoAnswer, Phase: wire.Write, Client: wire.TooLarge}, 413, "us", "write"},
	} {
		if got := endingOf(&c.e); got != (ending{c.status, c.who, c.phase}) {
			t.Errorf("%+v: %+v", c.e, got)
		}
	}
}

func TestOutcome_UntypedErrorIsTheWorst(t *testing.T) {
	t.Parallel()
	if e := wire.AsError(errors.New("x")); e.Outcome != wire.Broken || retriable(e, true) != never {
		t.Errorf("%+v", e)
	}
}
