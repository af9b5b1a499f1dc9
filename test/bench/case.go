//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
)

// metric names one column. All but rates are better when lower.
type metric string

const (
	rate      metric = "req/s"
	p50       metric = "p50 µs"
	p99       metric = "p99 µs"
	cpu       metric = "CPU µs/req"
	userCPU   metric = "user"
	systemCPU metric = "sys"
	calls     metric = "calls/req"
	flow      metric = "MiB/s"
	flowCPU   metric = "CPU µs/MiB"
	flowCalls metric = "calls/MiB"
	peak      metric = "peak MiB"
	spans     metric = "spans/req"
	resident  metric = "idle MiB"
	perConn   metric = "KiB/conn"
	startup   metric = "start ms"
	size      metric = "MiB"
)

// caseResult is one table.
type caseResult struct {
	Name    string
	Title   string
	Columns []metric
	Entries []*entryResult
}

// entryResult is one row: a peer, or a peer under a load of its own.
type entryResult struct {
	Name    string
	Values  map[metric]series
	Failure string // why there is nothing, or not everything
}

func (r *entryResult) add(m metric, v float64) {
	if r.Values == nil {
		r.Values = map[metric]series{}
	}
	r.Values[m] = append(r.Values[m], v)
}

func (r *entryResult) fail(err error) {
	r.Failure = err.Error()
	fmt.Fprintf(os.Stderr, "%s: %v\n", r.Name, err)
}

// row finds a row or adds it.
func (c *caseResult) row(name string) *entryResult {
	for _, e := range c.Entries {
		if e.Name == name {
			return e
		}
	}
	c.Entries = append(c.Entries, &entryResult{Name: name})
	return c.Entries[len(c.Entries)-1]
}

// entry finds a row; nil if it is missing or failed.
func (c *caseResult) entry(name string) *entryResult {
	i := slices.IndexFunc(c.Entries, func(e *entryResult) bool { return e.Name == name && e.Failure == "" })
	if i < 0 {
		return nil
	}
	return c.Entries[i]
}

// benchCase is one thing to compare.
type benchCase struct {
	name, title string
	run         func(context.Context, *bench, benchCase) (*caseResult, error)
}

// allCases in the order in which they run and are explained.
func allCases() []benchCase {
	return []benchCase{
		steady("get64", "small GET, 64 connections, closed loop", steadySpec{load: loadSpec{Connections: 64, Answer: 128}}),
		steady("rate2000", "small GET at a fixed 2,000/s over 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128, Rate: 2000}}),
		steady("get1", "small GET, 1 connection", steadySpec{load: loadSpec{Connections: 1, Answer: 128}}),
		steady("get1000", "small GET, 1,000 connections", steadySpec{
			load: loadSpec{Connections: 1000, Answer: 128},
			extras: []extra{
				{name: "pillion@64", of: "pillion", connections: 64},
				{name: "nginx@64", of: "nginx", connections: 64},
				{name: "haproxy@64", of: "haproxy", connections: 64}}}),
		steady("connect64", "a new connection for every small GET, 64 at once", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128, NewEach: true}}),
		steady("post4k", "POST of 4 KiB, 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128, Upload: 4 << 10}}),
		steady("get64k", "responses of 64 KiB, 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 64 << 10}, large: true, traced: 2000}),
		steady("get10m", "responses of 10 MiB, 8 connections", steadySpec{
			load: loadSpec{Connections: 8, Answer: 10 << 20}, large: true, traced: 40}),
		steady("put10m", "uploads of 10 MiB, 8 connections", steadySpec{
			load: loadSpec{Connections: 8, Answer: 128, Upload: 10 << 20}, large: true, traced: 40}),
		steady("https64", "small GET to TLS backends, 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128}, tls: true}),
		steady("sampled", "small GET, every trace sampled and exported", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128}, only: []string{"pillion", "old"}, exported: true,
			extras: []extra{{name: sampledPillion, of: sampledPillion}}}),
		steady("backends1000", "small GET, 1,000 backends, 64 connections of 16 sessions each", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128, Sessions: 16}, backends: 1000,
			extras: []extra{
				{name: "pillion@3", of: "pillion", backends: 3},
				{name: "nginx@3", of: "nginx", backends: 3},
				{name: "haproxy@3", of: "haproxy", backends: 3}}}),
		steady("grpc100", "gRPC unary, one connection, 100 streams (h2load)", steadySpec{
			grpc: true, only: []string{"pillion", "old", "nginx", "haproxy", "caddy"}}),
		steady("tunnel", "one WebSocket, 64 MiB/s each way in frames of 64 KiB", tunnelled(64<<10, 1)),
		steady("tunnel4k", "one WebSocket, 64 MiB/s each way in frames of 4 KiB", tunnelled(4<<10, 16)),
		steady("tunnel1m", "one WebSocket, frames of 1 MiB each way in turn, closed loop", steadySpec{
			load: loadSpec{Connections: 1, Frames: frames{1 << 20, 1}}, only: tunnellers, large: true, flow: true, traced: 200}),
		steady("chat64", "64 WebSockets, a frame of 128 bytes each way at a time, closed loop", steadySpec{
			load: loadSpec{Connections: 64, Frames: frames{Size: 128, Count: 1}}, only: tunnellers}),
		{name: "idle10k", title: "10,000 idle client connections", run: runIdle},
		{name: "start", title: "from exec to the first answer", run: runStart},
		{name: "size", title: "size of the program file", run: runSize},
	}
}

// tunnellers are the peers whose tunnels are compared.
var tunnellers = []string{"pillion", "old", "nginx", "haproxy", "caddy"}

// tunnelled is one tunnel at 64 MiB/s each way, in bursts of 64 KiB.
func tunnelled(size, count int) steadySpec {
	return steadySpec{load: loadSpec{Connections: 1, Rate: 64 << 20 / (size * count), Frames: frames{size, count}},
		only: tunnellers, large: true, flow: true, traced: 2000}
}

// selectCases picks by name, comma separated.
func selectCases(names string) ([]benchCase, error) {
	all := allCases()
	if names == "all" {
		return all, nil
	}
	var picked []benchCase
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(c benchCase) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no case %q; there are: all, %s", name, caseNames(all))
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

func caseNames(cases []benchCase) string {
	var names []string
	for _, c := range cases {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}
