//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// loadSpec describes the requests of the clients.
type loadSpec struct {
	Connections int
	Rate        int    // requests per second at fixed times; 0 is a closed loop
	NewEach     bool   // a new connection for every request
	Answer      int    // body bytes asked for
	Listing     bool   // of a list of products
	Coding      string // the content coding asked for; "": none comes
	Unique      bool   // every request has a URL of its own, and no cookies but the session's
	Token       string // a bearer token
	Upload      int    // body bytes sent
	Sessions    int    // cookies per connection, used in turn; 0 means 1
	Filler      int    // length of the cookie for a proxy that sets none
	Frames      frames // through tunnels, in place of requests
}

// loadResult is the result of one measured period.
type loadResult struct {
	Requests int
	Content  int64 // bytes of the answers' bodies, coded as they came
	Elapsed  time.Duration
	P50, P99 time.Duration
}

// load is a set of clients of one proxy, driven from one epoll loop on one
// thread. It is not safe for concurrent use.
//
// Latency is the time from sending a request to the last byte of its answer;
// at a fixed rate it starts at the moment the request was due, so that a slow
// proxy cannot hide by delaying the load.
type load struct {
	spec    loadSpec
	target  unix.SockaddrInet4
	host    string
	poll    *poller
	conns   []*clientConn
	byFD    map[int]*clientConn
	scratch []byte
	upload  []byte
	answer  int64 // bytes of every burst through a tunnel

	times    histogram
	done     int    // in this run
	content  int64  // and the bytes of their bodies
	serial   uint64 // of unique URLs
	inFlight int
	ever     int  // answers since the load was made
	source   byte // rotates client addresses when every request connects anew
}

// clientConn is one client.
type clientConn struct {
	fd       int
	requests [][]byte // one per session
	next     int
	out      []byte // what of the request the socket did not take yet
	tail     []byte // the upload that follows out
	partial  []byte // an incomplete response head
	left     int64  // body bytes still to come
	inBody   bool
	size     int64 // of the body, as far as it is known
	chunked  bool  // it is read by chunks, and left does not count
	chunks   chunked
	ended    bool // the answer is complete, the proxy's close is awaited
	blocked  bool // the socket is full and watched for room
	begun    time.Time
}

// newLoad opens the connections. The first exchange of each is checked byte by
// byte, and gives the session cookies that all later requests carry.
func newLoad(addr netip.AddrPort, spec loadSpec) (*load, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}

	l := &load{spec: spec, poll: poll, host: addr.String(), byFD: map[int]*clientConn{}, serial: rand.Uint64(),
		target: unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}, scratch: make([]byte, 256<<10)}
	if spec.Upload > 0 {
		l.upload = body(spec.Upload)
	}

	for range spec.Connections {
		if err := l.open(); err != nil {
			l.close()
			return nil, err
		}
	}

	return l, nil
}

// connect waits until a socket is connected. After an interrupt, which gVisor
// reports, the socket goes on, and another call tells what became of it
// (connect(2)).
func connect(fd int, to unix.Sockaddr) error {
	for {
		switch err := unix.Connect(fd, to); err {
		case unix.EINTR, unix.EALREADY:
			time.Sleep(time.Millisecond)
		case unix.EISCONN:
			return nil
		default:
			return err
		}
	}
}

func (l *load) open() error {
	c := &clientConn{}
	if err := l.connect(c); err != nil {
		return err
	}

	l.conns = append(l.conns, c)
	if l.spec.Frames.Size > 0 {
		return l.openTunnel(c)
	}

	for range max(l.spec.Sessions, 1) {
		cookie, err := l.firstExchange(c)
		if err != nil {
			return fmt.Errorf("first exchange: %w", err)
		}
		c.requests = append(c.requests, requestHead(l.host, l.spec, cookie))
	}

	return nil
}

// connect blocks; on the loopback the handshake is done within the call.
func (l *load) connect(c *clientConn) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}

	plainTCP(fd)
	if l.spec.NewEach {
		// Many client addresses, or the ports of one would run out.
		l.source = l.source%200 + 1
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 200, l.source}}); err != nil {
			_ = unix.Close(fd)
			return err
		}
	}

	if err := connect(fd, &l.target); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("connect: %w", err)
	}

	if err := l.poll.add(fd); err != nil {
		_ = unix.Close(fd)
		return err
	}

	c.fd = fd
	l.byFD[fd] = c
	return nil
}

func (l *load) disconnect(c *clientConn) {
	delete(l.byFD, c.fd)
	_ = unix.Close(c.fd)
	c.fd = -1
}

func (l *load) close() {
	for _, c := range l.conns {
		if c.fd >= 0 {
			l.disconnect(c)
		}
	}
	_ = l.poll.close()
}

// runFor loads the proxy for d and then waits for the answers under way.
func (l *load) runFor(d time.Duration) (loadResult, error) {
	return l.run(d, 1<<62)
}

// runCount sends n requests.
func (l *load) runCount(n int) (loadResult, error) {
	return l.run(time.Hour, n)
}

// stuck is how long the load waits for an event before it fails.
const stuck = 20 * time.Second

func (l *load) run(d time.Duration, limit int) (loadResult, error) {
	l.times, l.done, l.content, l.inFlight = histogram{}, 0, 0, 0
	start := time.Now()

	next := closedLoop(l, start.Add(d), limit)
	if l.spec.Rate > 0 {
		timed, err := newSchedule(l, start, d, limit)
		if err != nil {
			return loadResult{}, err
		}
		defer timed.close()
		next = timed
	}

	if err := next.start(); err != nil {
		return loadResult{}, err
	}

	for !next.over() {
		if err := l.step(next); err != nil {
			return loadResult{}, err
		}
	}

	return loadResult{Requests: l.done, Content: l.content, Elapsed: time.Since(start),
		P50: l.times.quantile(0.5), P99: l.times.quantile(0.99)}, nil
}

// pacer decides when a free connection sends its next request.
type pacer interface {
	start() error
	// free is called with a connection whose exchange has ended.
	free(c *clientConn, now time.Time) error
	// tick is called for events of a descriptor that is no connection.
	tick(fd int) error
	over() bool
}

func (l *load) step(next pacer) error {
	events, err := l.poll.wait(int(stuck.Milliseconds()))
	if err != nil {
		return err
	}
	if len(events) == 0 {
		return fmt.Errorf("no answer for %v, %d requests open", stuck, l.inFlight)
	}

	for _, ev := range events {
		c := l.byFD[int(ev.Fd)]
		if c == nil {
			if err := next.tick(int(ev.Fd)); err != nil {
				return err
			}
			continue
		}

		ended, err := l.progress(c, ev.Events)
		if err != nil {
			return fmt.Errorf("after %d requests: %w", l.done, err)
		}
		if !ended {
			continue
		}

		if err := next.free(c, time.Now()); err != nil {
			return err
		}
	}

	return nil
}

// filler returns a cookie of n bytes without a meaning.
func filler(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	if n < 8 {
		return ""
	}

	b := []byte("__lb_x0=")
	for len(b) < n {
		b = append(b, letters[rand.IntN(len(letters))])
	}

	return string(b)
}
