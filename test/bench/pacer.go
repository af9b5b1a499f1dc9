//go:build linux

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// closed is a pacer whose connections send again at once, until the deadline
// or the limit.
type closed struct {
	l        *load
	deadline time.Time
	limit    int
	begun    int
}

func closedLoop(l *load, deadline time.Time, limit int) pacer {
	return &closed{l: l, deadline: deadline, limit: limit}
}

func (p *closed) start() error {
	for _, c := range p.l.conns {
		if err := p.free(c, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

func (p *closed) free(c *clientConn, now time.Time) error {
	if p.begun >= p.limit || now.After(p.deadline) {
		return nil
	}
	p.begun++
	return p.l.begin(c, now)
}

func (p *closed) tick(int) error { return nil }

func (p *closed) over() bool { return p.l.inFlight == 0 }

// schedule is a pacer that sends at fixed times, whatever the proxy does. A
// request that is due while no connection is free waits, and its wait counts.
type schedule struct {
	l     *load
	timer int
	begin time.Time
	every time.Duration
	total int
	sent  int
	idle  []*clientConn // first in, first out, so that all connections are used
}

func newSchedule(l *load, start time.Time, d time.Duration, limit int) (*schedule, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, err
	}

	every := time.Second / time.Duration(l.spec.Rate)
	p := &schedule{l: l, timer: fd, begin: start, every: every, total: min(limit, int(d/every))}
	p.idle = append(p.idle, l.conns...)

	return p, l.poll.add(fd)
}

func (p *schedule) close() { _ = unix.Close(p.timer) }

func (p *schedule) start() error {
	t := unix.NsecToTimespec(p.every.Nanoseconds())
	return unix.TimerfdSettime(p.timer, 0, &unix.ItimerSpec{Interval: t, Value: t}, nil)
}

func (p *schedule) free(c *clientConn, now time.Time) error {
	p.idle = append(p.idle, c)
	return p.sendDue(now)
}

func (p *schedule) tick(fd int) error {
	var expirations [8]byte
	if _, err := unix.Read(fd, expirations[:]); err != nil && !again(err) {
		return err
	}
	return p.sendDue(time.Now())
}

func (p *schedule) sendDue(now time.Time) error {
	for p.sent < p.total && len(p.idle) > 0 {
		due := p.begin.Add(time.Duration(p.sent+1) * p.every)
		if due.After(now) {
			return nil
		}

		c := p.idle[0]
		p.idle = append(p.idle[:0], p.idle[1:]...)
		p.sent++
		if err := p.l.begin(c, due); err != nil {
			return err
		}
	}

	return nil
}

func (p *schedule) over() bool { return p.sent == p.total && p.l.inFlight == 0 }
