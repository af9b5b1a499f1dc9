package proxy

import (
	"errors"
	"net/http"
	"testing"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// The law of retries: what may be sent again, by how far it came and by whether doing it twice does harm.
func TestOutcome_RetryLaw(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outcome     h1.Outcome
		client      h1.Fault
		once, twice retryClass // for requests that may not, and may, be repeated
	}{
		{h1.NotSent, h1.NoFault, notSent, notSent},
		{h1.NotProcessed, h1.NoFault, notProcessed, notProcessed},
		{h1.NoAnswer, h1.NoFault, never, idempotent},
		{h1.Broken, h1.NoFault, never, never},
		{h1.NotSent, h1.Gone, never, never},
		{h1.NoAnswer, h1.Gone, never, never},
		{h1.NoAnswer, h1.BadBody, never, never},
		{h1.NoAnswer, h1.Stalled, never, never},
		{h1.NoAnswer, h1.TooLarge, never, never},
	} {
		e := &h1.Error{Outcome: c.outcome, Phase: h1.Head, Client: c.client, Err: errors.New("x")}
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
		"GET": true, "HEAD": true, "OPTIONS": true, "PUT": true, "DELETE": true, "POST": false, "PATCH": false, "get": false, "PROPFIND": false,
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
		e    h1.Error
		want bool
	}{
		{h1.Error{Outcome: h1.NotSent, Phase: h1.Connect}, true},
		{h1.Error{Outcome: h1.NotSent, Phase: h1.Write}, false}, // a request that can't be put on the wire
		{h1.Error{Outcome: h1.NoAnswer, Phase: h1.Write}, true},
		{h1.Error{Outcome: h1.NoAnswer, Phase: h1.Head, Timeout: true}, true},
		{h1.Error{Outcome: h1.Broken, Phase: h1.Body}, true},
		{h1.Error{Outcome: h1.NotSent, Phase: h1.Connect, Client: h1.Gone}, false},
		{h1.Error{Outcome: h1.NoAnswer, Phase: h1.Write, Client: h1.BadBody}, false},
	} {
		if got := blame(&c.e); got != c.want {
			t.Errorf("%+v: %v", c.e, got)
		}
	}
}

func TestOutcome_WhatTheClientIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e      h1.Error
		status int
		who    string
		phase  string
	}{
		{h1.Error{Outcome: h1.NotSent, Phase: h1.Connect}, 503, "backend", "connect"},
		{h1.Error{Outcome: h1.NotSent, Phase: h1.Connect, Timeout: true}, 504, "backend", "connect"},
		{h1.Error{Outcome: h1.NoAnswer, Phase: h1.Head, Timeout: true}, 504, "backend", "head"},
		{h1.Error{Outcome: h1.NoAnswer, Phase: h1.Head}, 502, "backend", "head"},
		{h1.Error{Outcome: h1.Broken, Phase: h1.Head}, 502, "backend", "head"},
		{h1.Error{Outcome: h1.NoAnswer, Phase: h1.Head, Client: h1.Gone}, 499, "client", "head"},
		{h1.Error{Outcome: h1.NoAnswer, Phase: h1.Write, Client: h1.BadBody}, 400, "client", "write"},
		{h1.Error{Outcome: h1.NoAnswer, Phase: h1.Write, Client: h1.Stalled}, 408, "client", "write"},
		{h1.Error{Outcome: h1.NoAnswer, Phase: h1.Write, Client: h1.TooLarge}, 413, "us", "write"},
	} {
		if got := endingOf(&c.e); got != (ending{c.status, c.who, c.phase}) {
			t.Errorf("%+v: %+v", c.e, got)
		}
	}
}

func TestOutcome_UntypedErrorIsTheWorst(t *testing.T) {
	t.Parallel()
	if e := asError(errors.New("x")); e.Outcome != h1.Broken || retriable(e, true) != never {
		t.Errorf("%+v", e)
	}
}
