//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a running child: a backend, a sink or a proxy.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	output *tailBuffer
	done   chan struct{}
}

// spawn starts a command on a core. Its output is kept for error messages.
func spawn(cmd *exec.Cmd, core, home int) (*process, error) {
	p := &process{cmd: cmd, output: &tailBuffer{}, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.output
	}

	cmd.Stderr = p.output

	// A proxy must not outlive a bench that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}

	p.stdin = in
	if err := startOn(cmd, core, home); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}

	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop asks the process to end, then ends it.
func (p *process) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// tailBuffer keeps the last few KiB written to it.
type tailBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tailBuffer) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > 64<<10 {
		t.buf.Next(t.buf.Len() - 4<<10)
	}

	return t.buf.Write(b)
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf.Bytes()[max(0, t.buf.Len()-2<<10):]))
}

// self is a command that runs this program again in one of its other roles.
func self(role, arg string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.Command(path, role, arg), nil
}

// spawnListening starts this program in a role that prints its addresses as
// one JSON line.
func spawnListening(role string, options any, at cores) (*process, []string, error) {
	arg, err := json.Marshal(options)
	if err != nil {
		return nil, nil, err
	}

	cmd, err := self(role, string(arg))
	if err != nil {
		return nil, nil, err
	}

	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	cmd.Stdout = w
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	p, err := spawn(cmd, at.Load, at.Load)
	w.Close()
	if err != nil {
		return nil, nil, err
	}

	var addrs []string
	if err := json.NewDecoder(bufio.NewReader(r)).Decode(&addrs); err != nil {
		p.stop()
		return nil, nil, fmt.Errorf("%s: %w: %s", role, err, p.output)
	}

	return p, addrs, nil
}

// awaitAnswer asks until the proxy gives one right answer. The token, unless it
// is empty, goes with each request.
func (p *process) awaitAnswer(addr netip.AddrPort, token string, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		l, err := newLoad(addr, loadSpec{Connections: 1, Answer: 128, Token: token})
		if err == nil {
			l.close()
			return nil
		}

		select {
		case <-p.done:
			return fmt.Errorf("ended at start: %s", p.output)
		default:
		}

		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("no right answer within %v: %w", limit, err), errors.New(p.output.String()))
		}

		time.Sleep(200 * time.Microsecond)
	}
}

// awaitListener connects until the proxy accepts.
func (p *process) awaitListener(addr netip.AddrPort, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		c, err := net.DialTimeout("tcp", addr.String(), limit)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %s", err, p.output)
		}

		time.Sleep(5 * time.Millisecond)
	}
}
