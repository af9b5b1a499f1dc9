//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// backendOptions are the options of a backend process. It gets them as JSON in
// its first argument, and prints a JSON line with the list of its addresses.
type backendOptions struct {
	Count int    // listening sockets; each is one backend
	Cert  string // PEM files; with them the backends speak TLS
	Key   string
	GRPC  bool // HTTP/2, answering calls
	HTTP2 bool // in clear text, answering as the others do
	Kept  bool // answers may be stored
}

// runBackends is the main function of the process that serves as all backends.
func runBackends(arg string) error {
	var opts backendOptions
	if err := json.Unmarshal([]byte(arg), &opts); err != nil {
		return err
	}

	listeners, addrs, err := listenMany(opts.Count)
	if err != nil {
		return err
	}

	go exitWithParent()
	if err := json.NewEncoder(os.Stdout).Encode(addrs); err != nil {
		return err
	}

	switch {
	case opts.GRPC:
		return serveGRPC(listeners, opts.Cert, opts.Key)
	case opts.HTTP2:
		return serveHTTP2(listeners)
	case opts.Cert != "":
		return serveTLS(listeners, opts.Cert, opts.Key)
	}

	control := unkept
	if opts.Kept {
		control = kept
	}

	return serveRaw(listeners, control)
}

// exitWithParent ends a child process when the bench has ended, because its
// standard input is then closed.
func exitWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// listenMany opens n listeners. Up to three share 127.0.0.1; more get
// addresses of their own, so that they are n different hosts to a proxy.
func listenMany(n int) ([]*net.TCPListener, []string, error) {
	var listeners []*net.TCPListener
	var addrs []string
	for i := range n {
		ip := net.IPv4(127, 0, 0, 1)
		if n > 3 {
			ip = net.IPv4(127, 0, byte(1+i/250), byte(1+i%250))
		}

		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: ip})
		if err != nil {
			return nil, nil, err
		}

		listeners = append(listeners, l)
		addrs = append(addrs, l.Addr().String())
	}

	return listeners, addrs, nil
}

// rawBackend serves all listeners and connections from one epoll loop.
type rawBackend struct {
	poll    *poller
	listen  map[int]bool
	conns   map[int]*backendConn
	answers map[content]*answer
	control string // Cache-Control of the answers
	scratch []byte
	now     time.Time
}

type backendConn struct {
	fd      int
	partial []byte // an incomplete head
	upload  int64  // body bytes still to come
	req     request
	out     []byte // what the socket did not take yet
	echo    *echo  // the connection has become a tunnel
}

// serveRaw runs until an unexpected error of the poller.
func serveRaw(listeners []*net.TCPListener, control string) error {
	poll, err := newPoller()
	if err != nil {
		return err
	}

	b := &rawBackend{poll: poll, listen: map[int]bool{}, conns: map[int]*backendConn{},
		answers: map[content]*answer{}, control: control, scratch: make([]byte, 256<<10)}
	for _, l := range listeners {
		f, err := l.File()
		if err != nil {
			return err
		}
		defer f.Close()
		fd := int(f.Fd())
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}

		b.listen[fd] = true
		if err := poll.add(fd); err != nil {
			return err
		}
	}

	return b.loop()
}

func (b *rawBackend) loop() error {
	for {
		events, err := b.poll.wait(-1)
		if err != nil {
			return err
		}

		b.now = time.Now()
		for _, ev := range events {
			fd := int(ev.Fd)
			if b.listen[fd] {
				b.accept(fd)
				continue
			}

			if c := b.conns[fd]; c != nil {
				if err := b.serve(c, ev.Events); err != nil {
					b.drop(c, err)
				}
			}
		}
	}
}

func (b *rawBackend) accept(listener int) {
	fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return
	}

	plainTCP(fd)
	if b.poll.add(fd) != nil {
		_ = unix.Close(fd)
		return
	}

	b.conns[fd] = &backendConn{fd: fd}
}

// drop closes a connection and logs the reason, unless the proxy has closed it.
func (b *rawBackend) drop(c *backendConn, why error) {
	if why != io.EOF && why != unix.ECONNRESET && why != unix.EPIPE {
		fmt.Fprintln(os.Stderr, "bench backend:", why)
	}
	delete(b.conns, c.fd)
	_ = unix.Close(c.fd)
}

func (b *rawBackend) serve(c *backendConn, events uint32) error {
	if events&unix.EPOLLOUT != 0 {
		return b.flush(c)
	}
	if c.upload > 0 {
		return b.takeBody(c)
	}

	if c.echo != nil {
		return b.takeFrames(c)
	}

	n := copy(b.scratch, c.partial)
	m, err := receive(c.fd, b.scratch[n:])
	if again(err) {
		return nil
	}

	if err != nil {
		return err
	}
	if m == 0 {
		return io.EOF
	}

	return b.takeHeads(c, b.scratch[:n+m])
}

// takeHeads answers every complete request in buf and keeps the rest.
func (b *rawBackend) takeHeads(c *backendConn, buf []byte) error {
	for len(buf) > 0 {
		i := bytes.Index(buf, blankLine)
		if i < 0 {
			break
		}

		req, err := parseRequest(buf[:i+len(blankLine)])
		if err != nil {
			return err
		}

		buf = buf[i+len(blankLine):]
		taken := min(int64(len(buf)), req.upload)
		buf = buf[taken:]
		c.req, c.upload = req, req.upload-taken
		if c.upload > 0 {
			break
		}

		if err := b.reply(c); err != nil {
			return err
		}
	}

	c.partial = append(c.partial[:0], buf...)
	return nil
}

func (b *rawBackend) takeBody(c *backendConn) error {
	// With MSG_TRUNC the length alone counts, but the buffer has to be real
	// where a kernel does not know the flag for TCP.
	n, err := discard(c.fd, b.scratch[:min(c.upload, int64(len(b.scratch)))])
	if again(err) {
		return nil
	}
	if err != nil {
		return err
	}

	if n == 0 {
		return fmt.Errorf("an upload cut %d bytes early", c.upload)
	}

	c.upload -= int64(n)
	if c.upload == 0 {
		return b.reply(c)
	}

	return nil
}

func (b *rawBackend) reply(c *backendConn) error {
	if c.req.frames.Size > 0 {
		return b.upgrade(c)
	}

	a := b.answers[c.req.answer]
	if a == nil {
		a = newAnswer(c.req.answer.bytes(), b.control)
		b.answers[c.req.answer] = a
	}

	return b.push(c, a.stamp(b.now))
}

// push sends the output, now or when the socket has room again.
func (b *rawBackend) push(c *backendConn, out []byte) error {
	n, err := send(c.fd, out)
	if err != nil && !again(err) {
		return err
	}

	if n < len(out) {
		c.out = out[n:]
		return b.poll.watch(c.fd, true)
	}

	return b.finish(c)
}

func (b *rawBackend) flush(c *backendConn) error {
	n, err := send(c.fd, c.out)
	if again(err) {
		return nil
	}
	if err != nil {
		return err
	}

	c.out = c.out[n:]
	if len(c.out) > 0 {
		return nil
	}
	if err := b.poll.watch(c.fd, false); err != nil {
		return err
	}

	return b.finish(c)
}

func (b *rawBackend) finish(c *backendConn) error {
	if c.req.close {
		return io.EOF
	}
	return nil
}
