package soak

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// session is a visitor's HTTP/2 connection. Requests share it, and are never
// retried.
type session struct {
	conn   net.Conn
	client *http.ClientConn
	left   int // requests until it is closed
}

// connect opens a session.
func (v *visitor) connect() (*session, error) {
	s := &session{left: 20 + v.random.IntN(200)}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, DisableCompression: true,
		DialContext: func(_ context.Context, _, address string) (c net.Conn, err error) {
			s.conn, err = net.DialTimeout("tcp", address, await.Limit)
			return s.conn, err
		}}
	var err error
	s.client, err = transport.NewClientConn(v.t.Context(), "http", v.address)

	return s, err
}

// close ends the visitor's session, if it has one.
func (v *visitor) close() {
	if v.h2 != nil {
		_ = v.h2.client.Close()
		v.h2 = nil
	}
}

// visitHTTP2 sends some requests at once and returns how many.
func (v *visitor) visitHTTP2() int {
	if v.h2 == nil || v.h2.client.Err() != nil {
		s, err := v.connect()
		if err != nil {
			v.seen.refuse(v.t, "connect: %v", err)
			return 1
		}
		v.h2 = s
	}

	together := 1 + v.random.IntN(4)
	var asking sync.WaitGroup
	for range together {
		further := &visitor{t: v.t, address: v.address, seen: v.seen, h2: v.h2,
			random: rand.New(rand.NewPCG(v.random.Uint64(), 0))}
		asking.Go(further.ask)
	}

	v.h2.left -= together
	if v.h2.left <= 0 && v.random.IntN(2) == 0 { // gone with requests on it
		_ = v.h2.conn.(*net.TCPConn).SetLinger(0)
		_ = v.h2.conn.Close()
	}

	asking.Wait()
	if v.h2.left <= 0 {
		v.close()
	}

	return together
}

// ask sends one request over HTTP/2. It may cancel it before the answer.
func (v *visitor) ask() {
	method, body, kind := http.MethodGet, "", "HTTP/2 without a body"
	if v.random.IntN(2) == 0 {
		method, body, kind = http.MethodPost, v.body(), "HTTP/2 with a body"
	} else if v.random.IntN(4) == 0 {
		method = http.MethodHead
	}

	ctx, cancel := context.WithTimeout(v.t.Context(), 2*await.Limit)
	defer cancel()
	leaves := v.random.IntN(100) < 8
	if leaves {
		defer time.AfterFunc(time.Duration(v.random.IntN(3000))*time.Microsecond, cancel).Stop()
	}

	target := v.target()
	var sent io.Reader = strings.NewReader(body)
	if v.random.IntN(2) == 0 {
		sent = io.MultiReader(sent) // of a length that the transport doesn't know
	}

	r, err := http.NewRequestWithContext(ctx, method, "http://"+v.address+target, sent)
	if err != nil {
		v.seen.refuse(v.t, "%v", err)
		return
	}

	if body == "" {
		r.Body = nil
	}

	response, err := v.h2.client.RoundTrip(r)
	switch {
	case err != nil && leaves:
		v.seen.count(kind, left, 1)
	case errors.Is(err, context.DeadlineExceeded):
		v.seen.refuse(v.t, "%s: no answer, and no end of it: %v", kind, err)
	case err != nil:
		v.seen.count(kind, cut, 1)
	default:
		v.judge(kind, method, response, target, body)
	}
}
