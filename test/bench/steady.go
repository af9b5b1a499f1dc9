//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"
)

// steadySpec is a case of measured rounds under load.
type steadySpec struct {
	load     loadSpec
	backends int       // 0 means 3
	large    bool      // bodies of many KiB: the peers' buffers may be large
	tls      bool      // to the backends
	calls    *callSpec // of gRPC, made by h2load; nil for requests of HTTP/1.1
	files    bool      // of the proxy's own, in place of backends
	kept     bool      // answers may be stored in the proxy's cache
	http2    bool      // to the backends, in clear text
	with     condition // of the rows that are peers; nil: none
	only     []string  // peers; all when empty
	extras   []extra
	exported bool // count the spans that reach the collector
	flow     bool // cost by MiB, not by request
	traced   int  // requests in the round that counts system calls; 0 means 4,000
}

// extra is one more row: a peer under other conditions than the case's.
type extra struct {
	name, of    string
	connections int
	backends    int
	with        condition // in place of the case's; nil: the case's
}

// entry is one row while it is measured: a running proxy and its load.
type entry struct {
	peer   peer
	load   loadSpec
	addr   netip.AddrPort
	scheme string // of its clients' URLs
	proc   *process
	pids   []int
	cost   usage // of all measured rounds
	ever   int   // requests answered in this case
	result *entryResult
}

func (e *entry) ok() bool { return e.result.Failure == "" }

func steady(name, title string, spec steadySpec) benchCase {
	return benchCase{name: name, title: title, run: func(ctx context.Context, b *bench, c benchCase) (*caseResult, error) {
		return b.runSteady(ctx, c, spec)
	}}
}

// columns are the metrics of a case: speed, cost and system calls count
// requests or MiB.
func (s steadySpec) columns() []metric {
	speed, cost, traced := s.metrics()
	list := []metric{speed, p50, p99, cost, userCPU, systemCPU, traced, peak}
	if s.exported {
		list = append(list, spans)
	}
	if s.load.Listing {
		list = append(list, share)
	}

	return list
}

func (s steadySpec) metrics() (speed, cost, traced metric) {
	if s.flow {
		return flow, flowCPU, flowCalls
	}
	return rate, cpu, calls
}

// amount converts n exchanges to the unit of a case.
func (s steadySpec) amount(n int) float64 {
	switch {
	case s.flow && s.load.Frames.Size > 0:
		return float64(n) * s.load.Frames.volume()
	case s.flow:
		return float64(n) * mebibytes(int64(s.load.Answer))
	}
	return float64(n)
}

// runSteady starts all entries side by side, loads them in turn, round after
// round, and stops them. An idle proxy costs the one under load nothing.
func (b *bench) runSteady(ctx context.Context, c benchCase, spec steadySpec) (*caseResult, error) {
	res := &caseResult{Name: c.name, Title: c.title, Columns: spec.columns()}
	if _, err := installed("h2load"); spec.calls != nil && err != nil {
		fmt.Fprintf(os.Stderr, "%s is skipped: %v\n", c.name, err)
		return res, nil
	}

	entries, err := b.startEntries(spec)
	defer stopEntries(entries)
	if err != nil {
		return nil, err
	}

	for _, e := range entries {
		res.Entries = append(res.Entries, e.result)
	}

	for round := range b.rounds {
		if err := b.runRound(ctx, entries, round, spec); err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", c.name, round+1, b.rounds)
	}

	for _, e := range entries {
		if e.ok() {
			b.finish(e, spec)
		}
	}

	return res, nil
}

// runRound measures every entry once; each round begins with another one.
func (b *bench) runRound(ctx context.Context, entries []*entry, round int, spec steadySpec) error {
	for i := range entries {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if e := entries[(i+round)%len(entries)]; e.ok() {
			b.measure(e, spec)
		}
	}

	return nil
}

func stopEntries(entries []*entry) {
	for _, e := range entries {
		if e.proc != nil {
			e.proc.stop()
		}
	}
}

// startEntries starts the backends and every proxy of a case.
func (b *bench) startEntries(spec steadySpec) ([]*entry, error) {
	var entries []*entry
	filler := defaultCookie
	for _, want := range b.wanted(spec) {
		p, ok := b.peer(want.of)
		if !ok {
			continue
		}

		e := &entry{peer: p, load: spec.load, result: &entryResult{Name: want.name}}
		entries = append(entries, e)
		if want.connections > 0 {
			e.load.Connections = want.connections
		}

		if err := b.startEntry(e, spec, want); err != nil {
			e.result.fail(err)
			continue
		}

		if n := cookieLength(e, spec); n > 0 {
			filler = n
		}
	}

	for _, e := range entries {
		e.load.Filler = filler
	}
	if len(entries) == 0 {
		return nil, errors.New("no peer for this case")
	}

	return entries, nil
}

// wanted lists the rows of a case: the peers, then the extras.
func (b *bench) wanted(spec steadySpec) []extra {
	var rows []extra
	for _, p := range b.peers {
		if len(spec.only) == 0 && p.name != sampledPillion || slices.Contains(spec.only, p.name) {
			rows = append(rows, extra{name: p.name, of: p.name})
		}
	}
	return append(rows, spec.extras...)
}

// backendsOf returns the backends of a row.
func (s steadySpec) backendsOf(row extra) backendOptions {
	return backendOptions{Count: cmp.Or(row.backends, s.backends, 3), GRPC: s.calls != nil && !s.calls.Get,
		HTTP2: s.http2, Kept: s.kept}
}

// conditionOf returns the condition of a row.
func (s steadySpec) conditionOf(row extra) condition {
	switch {
	case row.with != nil:
		return row.with
	case s.with != nil:
		return s.with
	}

	return nothing
}

func (b *bench) startEntry(e *entry, spec steadySpec, row extra) error {
	s, err := b.setup(spec.backendsOf(row), spec.tls)
	if err != nil {
		return err
	}

	s.Kept = spec.kept
	s.Large, s.Tunnel = spec.large, spec.load.Frames.Size > 0
	if spec.calls != nil {
		s.GRPC, s.HTTP1 = true, spec.calls.HTTP1 || spec.calls.Get
	}
	if spec.files {
		if s.Files, err = filesFor(s, spec.load); err != nil {
			return err
		}
	}
	if err := spec.conditionOf(row)(b, &s, &e.load); err != nil {
		return err
	}
	e.addr, e.scheme = s.Listen, s.scheme()
	if e.proc, err = e.peer.start(s, b.at); err != nil {
		return err
	}

	if spec.calls != nil {
		err = e.proc.awaitListener(e.addr, startLimit)
	} else {
		err = e.proc.awaitAnswer(e.addr, e.load.Token, startLimit)
	}
	if err != nil {
		return err
	}

	e.pids, err = family(e.proc.cmd.Process.Pid)
	return err
}

// startLimit is how long a proxy may take until its first answer.
const startLimit = 15 * time.Second

// defaultCookie is the length of the session cookie when Pillion is not there
// to show its own.
const defaultCookie = 90

// cookieLength asks a proxy once for the cookie that it sets, if it does.
func cookieLength(e *entry, spec steadySpec) int {
	if spec.calls != nil {
		return 0
	}

	l, err := newLoad(e.addr, loadSpec{Answer: 128, Token: e.load.Token})
	if err != nil {
		return 0
	}
	defer l.close()
	c := &clientConn{}
	if l.connect(c) != nil {
		return 0
	}
	defer l.disconnect(c)
	cookie, _ := l.firstExchange(c)

	return len(cookie)
}

// measure measures one entry for one round. It looks for the entry's processes
// each time, because a proxy may listen before its workers have started.
func (b *bench) measure(e *entry, spec steadySpec) {
	pids, err := family(e.proc.cmd.Process.Pid)
	if err != nil {
		e.result.fail(err)
		return
	}

	e.pids = pids
	res, before, after, err := b.measured(e, spec)
	if err != nil {
		e.result.fail(err)
		return
	}

	cost := after.since(before)
	e.cost = e.cost.plus(cost)
	n := spec.amount(res.Requests)
	speed, price, _ := spec.metrics()
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	e.result.add(speed, n/res.Elapsed.Seconds())
	e.result.add(p50, micros(res.P50))
	e.result.add(p99, micros(res.P99))
	e.result.add(price, micros(cost.CPU)/n)
	e.result.add(share, float64(res.Content)/float64(max(1, res.Requests*e.load.Answer)))
}

// measured warms the proxy up on the connections that are then measured.
func (b *bench) measured(e *entry, spec steadySpec) (res loadResult, before, after usage, err error) {
	if spec.calls != nil {
		return b.measuredGRPC(e, spec.calls)
	}

	l, err := newLoad(e.addr, e.load)
	if err != nil {
		return res, before, after, err
	}
	defer func() {
		e.ever += l.ever
		l.close()
	}()
	if _, err := l.runFor(b.duration / 5); err != nil {
		return res, before, after, err
	}

	if before, err = readUsage(e.pids); err != nil {
		return res, before, after, err
	}
	if res, err = l.runFor(b.duration); err != nil {
		return res, before, after, err
	}

	after, err = readUsage(e.pids)
	if err == nil && res.Requests == 0 {
		err = errors.New("not one request within a round")
	}

	return res, before, after, err
}

// finish takes what is measured once: peak memory, then system calls, whose
// tracer would spoil everything else.
func (b *bench) finish(e *entry, spec steadySpec) {
	m, err := readMemory(e.pids)
	if err != nil {
		e.result.fail(err)
		return
	}

	e.result.add(peak, mebibytes(m.Peak))
	_, price, traced := spec.metrics()
	for _, total := range e.result.Values[price] {
		e.result.add(userCPU, total*e.cost.userShare())
		e.result.add(systemCPU, total*(1-e.cost.userShare()))
	}

	if spec.exported && e.peer.name == sampledPillion {
		e.result.add(spans, float64(b.exportedSpans())/float64(e.ever))
	}
	if b.strace == "" || spec.calls != nil {
		return
	}

	each, err := b.countCalls(e, spec)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: system calls are not counted: %v\n", e.result.Name, err)
		return
	}

	e.result.add(traced, each)
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
