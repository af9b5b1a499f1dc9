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
	share     metric = "of its size"
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
		steady("file10m", "a file of 10 MiB at a fixed 50/s, 8 connections", steadySpec{
			load: loadSpec{Connections: 8, Answer: 10 << 20, Rate: 50}, files: true,
			only: []string{"pillion", "old", "nginx"}, traced: 40}),
		steady("cache64", "small GET from the proxy's cache, 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128}, kept: true, only: []string{"pillion", "old", "nginx"}}),
		steady("cache64k", "responses of 64 KiB from the proxy's cache, 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 64 << 10}, kept: true, large: true,
			only: []string{"pillion", "old", "nginx"}, traced: 2000}),
		steady("miss", "small GET of a new URL each, to be stored, 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128, Unique: true}, kept: true, only: ours,
			extras: []extra{{name: "pillion-off", of: "pillion", with: uncached}}}),
		steady("gzipjson", "a list of 30 KiB in JSON, compressed, 16 connections", steadySpec{
			load: loadSpec{Connections: 16, Answer: 30 << 10, Listing: true}, flow: true, traced: 1000,
			only: []string{"pillion", "old", "nginx"}, with: coded("gzip", equalLevel),
			extras: []extra{
				{name: "pillion-zstd", of: "pillion", with: coded("zstd", 0)},
				{name: "nginx-1", of: "nginx", with: coded("gzip", 1)},
				{name: "pillion-plain", of: "pillion", with: nothing},
				{name: "nginx-plain", of: "nginx", with: nothing}}}),
		steady("routes20", "small GET with 20 routes, 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128}, only: ours, with: manyRoutes(),
			extras: []extra{{name: "pillion-none", of: "pillion", with: nothing}}}),
		steady("token", "small GET with a token that is known, 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128}, only: ours, with: withToken(true),
			extras: []extra{{name: "pillion-none", of: "pillion", with: withToken(false)}}}),
		steady("limit", "small GET with a limit by client, 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128}, only: ours, with: told("LB_RATE_LIMIT=1000000/s"),
			extras: []extra{{name: "pillion-none", of: "pillion", with: nothing}}}),
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
		steady("grpc100", "gRPC unary, one connection, 100 streams (h2load)", called(unaryCalls(1, 100, 8000))),
		steady("grpcs100", "the same with TLS on both sides", steadySpec{
			calls: unaryCalls(1, 100, 6000), tls: true, only: []string{"pillion", "old", "nginx", "haproxy"}}),
		steady("grpc10x10", "gRPC unary, 10 connections of 10 streams", called(unaryCalls(10, 10, 8000))),
		steady("grpc1", "gRPC unary, one call at a time", called(unaryCalls(1, 1, 3000))),
		steady("grpc64k", "gRPC unary, messages of 64 KiB, 8 streams", called(
			&callSpec{Connections: 1, Streams: 8, Size: 64 << 10, Answers: 1, PerSecond: 1500})),
		steady("grpcstream", "gRPC, answers of 50 messages of 100 bytes, 20 streams", called(
			&callSpec{Connections: 1, Streams: 20, Size: 100, Answers: 50, PerSecond: 600})),
		steady("h2toh1", "gRPC unary to HTTP/1.1 backends, one connection, 100 streams", called(
			&callSpec{Connections: 1, Streams: 100, Size: 64, Answers: 1, PerSecond: 8000, HTTP1: true})),
		steady("h2get", "small GET over HTTP/2, HTTP/1.1 backends, one connection, 100 streams", called(
			&callSpec{Connections: 1, Streams: 100, Size: 128, PerSecond: 15000, Get: true})),
		steady("h2get10", "the same over 10 connections of 10 streams", called(
			&callSpec{Connections: 10, Streams: 10, Size: 128, PerSecond: 15000, Get: true})),
		steady("h1h2", "small GET over HTTP/1.1, HTTP/2 backends, 64 connections", steadySpec{
			load: loadSpec{Connections: 64, Answer: 128}, http2: true, only: []string{"pillion", "old", "haproxy"}}),
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

// ours are the peers that are Pillion.
var ours = []string{"pillion", "old"}

// equalLevel is the level at which nginx makes a list as small as Pillion does.
const equalLevel = 5

// tunnellers are the peers whose tunnels are compared.
var tunnellers = []string{"pillion", "old", "nginx", "haproxy", "caddy"}

// called is a load of calls, for the peers that take them.
func called(c *callSpec) steadySpec {
	return steadySpec{calls: c, only: []string{"pillion", "old", "nginx", "haproxy", "caddy"}, large: c.Size > 16<<10}
}

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
