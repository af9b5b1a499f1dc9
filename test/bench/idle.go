//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// idleConnections is the number of clients that stay connected in idle10k.
const idleConnections = 10_000

// runIdle measures the memory of an idle proxy, and how much is added by each
// connection that has carried one request and is idle.
func runIdle(ctx context.Context, b *bench, c benchCase) (*caseResult, error) {
	res := &caseResult{Name: c.name, Title: c.title, Columns: []metric{resident, perConn}}
	for _, p := range b.plainPeers() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}

		r := res.row(p.name)
		if err := b.idle(p, r); err != nil {
			r.fail(err)
		}
	}

	return res, nil
}

func (b *bench) idle(p peer, r *entryResult) error {
	proc, s, err := b.startPlain(p)
	if err != nil {
		return err
	}
	defer proc.stop()
	pids, err := family(proc.cmd.Process.Pid)
	if err != nil {
		return err
	}

	atRest, err := readMemory(pids)
	if err != nil {
		return err
	}
	r.add(resident, mebibytes(atRest.Resident))

	// The first requests bring parts of the program into memory, which belong
	// to no connection.
	first, err := newLoad(s.Listen, loadSpec{Connections: 100, Answer: 128, Filler: defaultCookie})
	if err != nil {
		return err
	}
	defer first.close()
	before, err := readMemory(pids)
	if err != nil {
		return err
	}

	l, err := newLoad(s.Listen, loadSpec{Connections: idleConnections, Answer: 128, Filler: defaultCookie})
	if err != nil {
		return err
	}
	defer l.close()
	time.Sleep(settle)
	after, err := readMemory(pids)
	if err != nil {
		return err
	}

	r.add(perConn, float64(after.Resident-before.Resident)/1024/idleConnections)

	// No connection may have been closed to save memory.
	for i, c := range l.conns {
		if _, err := l.firstExchange(c); err != nil {
			return fmt.Errorf("connection %d after the wait: %w", i, err)
		}
	}

	return nil
}

// settle is the time a proxy gets to give memory back.
const settle = 3 * time.Second

// startPlain starts a proxy with three backends and lets it come to rest.
func (b *bench) startPlain(p peer) (*process, setup, error) {
	s, err := b.setup(backendOptions{Count: 3}, false)
	if err != nil {
		return nil, s, err
	}

	proc, err := p.start(s, b.at)
	if err != nil {
		return nil, s, err
	}

	if err := proc.awaitAnswer(s.Listen, "", startLimit); err != nil {
		proc.stop()
		return nil, s, err
	}

	time.Sleep(settle / 3)
	return proc, s, nil
}

// runStart measures the time from exec to the first right answer, many times.
func runStart(ctx context.Context, b *bench, c benchCase) (*caseResult, error) {
	res := &caseResult{Name: c.name, Title: c.title, Columns: []metric{startup}}
	for range b.starts {
		for _, p := range b.plainPeers() {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}

			r := res.row(p.name)
			if r.Failure != "" {
				continue
			}

			took, err := b.startOnce(p)
			if err != nil {
				r.fail(err)
				continue
			}

			r.add(startup, float64(took.Nanoseconds())/1e6)
		}
	}

	return res, nil
}

func (b *bench) startOnce(p peer) (time.Duration, error) {
	s, err := b.setup(backendOptions{Count: 3}, false)
	if err != nil {
		return 0, err
	}

	begin := time.Now()
	proc, err := p.start(s, b.at)
	if err != nil {
		return 0, err
	}
	defer proc.stop()
	err = proc.awaitAnswer(s.Listen, "", startLimit)

	return time.Since(begin), err
}

// runSize compares program files. The Go peers' is this bench itself; nginx
// and HAProxy use shared libraries that do not count.
func runSize(_ context.Context, b *bench, c benchCase) (*caseResult, error) {
	res := &caseResult{Name: c.name, Title: c.title, Columns: []metric{size}}
	for _, p := range b.plainPeers() {
		if p.name == roleReverseProxy || p.name == roleArticle {
			continue
		}

		path, err := filepath.EvalSymlinks(p.binary)
		if err != nil {
			return nil, err
		}

		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}

		res.row(p.name).add(size, mebibytes(info.Size()))
	}

	return res, nil
}
