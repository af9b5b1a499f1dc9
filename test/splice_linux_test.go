package test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/confine"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// noise returns a body whose parts all differ, so that a shifted or repeated
// part is found.
func noise(size int) []byte {
	p := make([]byte, size)
	rand.NewChaCha8([32]byte{7}).Read(p)
	return p
}

// mirror reads all of a request's body and sends it back.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body)
}

// wantBodies has large bodies go both ways at once, by requests and by long
// WebSocket frames.
func wantBodies(t *testing.T, p *binary.Process, socket *binary.Process) {
	t.Helper()
	sent := noise(6 << 20)

	client := newClient(t)
	for range 3 {
		got := send(t, client, newRequest(t, "POST", p.URL("/"), bytes.NewReader(sent)))
		if got.StatusCode != 200 || got.Text != string(sent) {
			t.Errorf("status %d and %d bytes of %d, or other bytes", got.StatusCode, len(got.Text), len(sent))
		}
	}

	c := wire.Dial(t, socket.Address)
	c.Send(wire.Request("GET", "/", "", handshake...))
	c.Head()
	frame := fmt.Sprintf("\x82\xff%s\x00\x00\x00\x00%s", bigEndian(len(sent)), sent)
	done := make(chan struct{})

	go func() {
		defer close(done)
		for range 2 {
			_, _ = io.WriteString(c.Conn, frame)
		}
	}()
	c.Expect(frame + frame)
	soon(t, "the end of the message", done)
}

// bigEndian returns a length as eight bytes.
func bigEndian(n int) string {
	p := make([]byte, 8)
	for i := range p {
		p[i] = byte(n >> (8 * (7 - i)))
	}
	return string(p)
}

// A seccomp profile, a sandbox or a shortage may refuse splice(2) or the pipe
// for it, from the start or in the middle of a body. Every byte arrives in any
// case.
func TestSplice_WhatIsRefusedIsCopied(t *testing.T) {
	t.Parallel()
	refusals := map[string]confine.Refusal{
		// The check at first use asks for more at once, so it succeeds: a body
		// is moved by calls of 1 MiB, and a long frame by calls of 256 KiB.
		"in the middle of a body":          {Errno: syscall.EPERM, Of: 1 << 20},
		"in the middle of a body, EINVAL":  {Errno: syscall.EINVAL, Of: 1 << 20},
		"in the middle of a body, ENOMEM":  {Errno: syscall.ENOMEM, Of: 1 << 20},
		"in the middle of a frame":         {Errno: syscall.EPERM, Of: 256 << 10},
		"in the check, with bytes inside":  {Errno: syscall.EPERM, LongerThan: 70_000, NotOf: []uint32{2 << 20}},
		"in the check, with bytes, ENOMEM": {Errno: syscall.ENOMEM, LongerThan: 70_000, NotOf: []uint32{2 << 20}},
		"the pipe":                         {Call: syscall.SYS_PIPE2, Errno: syscall.EMFILE},
		"the pipe, EPERM":                  {Call: syscall.SYS_PIPE2, Errno: syscall.EPERM},
	}
	for _, errno := range []syscall.Errno{
		syscall.EPERM, syscall.ENOSYS, syscall.EINVAL, syscall.EOPNOTSUPP, syscall.EACCES,
		syscall.EIO, syscall.EBADF, syscall.EFAULT, syscall.ENOMEM, syscall.ENOBUFS,
	} {
		refusals["by "+errno.Error()] = confine.Refusal{Errno: errno}
	}

	for name, refusal := range refusals {
		if refusal.Call == 0 {
			refusal.Call = syscall.SYS_SPLICE
		}

		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := backend.Start(t, "one", mirror)
			p := confine.Start(t, pillion, refusal, backend.Backends(app))
			socket := confine.Start(t, pillion, refusal, echo(t, "").Environment())
			wantBodies(t, p, socket)

			// A refusal is remembered, so the answer needs a process of its own
			// to be the first that meets it.
			wantAnswer(t, confine.Start(t, pillion, refusal, backend.Backends(backend.Start(t, "one", noisy))))
		})
	}
}

// noisy answers with a large body.
func noisy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(6<<20))
	_, _ = w.Write(noise(6 << 20))
}

// wantAnswer has a large answer arrive.
func wantAnswer(t *testing.T, p *binary.Process) {
	t.Helper()
	got := get(t, newClient(t), p.URL("/"))
	if want := noise(6 << 20); got.StatusCode != 200 || got.Text != string(want) {
		t.Errorf("status %d and %d bytes of %d, or other bytes", got.StatusCode, len(got.Text), len(want))
	}
}

func TestSplice_LargeBodiesArriveUnchanged(t *testing.T) {
	t.Parallel()
	app := backend.Start(t, "one", mirror)
	p := pillion.Start(t, backend.Backends(app))
	wantBodies(t, p, pillion.Start(t, echo(t, "").Environment()))
}
