//go:build linux

// Command bench compares Pillion with other proxies on one machine, by what
// each costs its host per request.
//
//	go run ./test/bench                     the main case, about three minutes
//	go run ./test/bench -case all           every case, about forty minutes
//	go run ./test/bench -case post4k,get1 -peers pillion,nginx -quick
//	go run ./test/bench -old /path/binary   also against an older Pillion
//	go run ./test/bench -json results.json  with every round's figures
//
// # What runs
//
// One process serves as three backends (raw epoll, see backend.go), this one as
// the clients (load.go), both on the first core. Each proxy runs on the last
// core with one thread and equal settings: three backends chosen at random,
// connections kept alive on both sides, no access log. All proxies of a case
// are started, then loaded in turn, round after round, in rotated order; an
// idle proxy costs the one under load nothing. The peers run plain. Pillion
// runs as its users run it: session affinity on, with a valid cookie in every
// request, and tracing on but unsampled. The requests to the peers carry a
// cookie of the same length.
//
// Tunnels carry bursts of WebSocket frames: the client sends one, at a fixed
// rate or in a closed loop, and the backend answers each with as much. Their
// costs are given by MiB of payload, both ways together.
//
// Every answer's status and length is checked, and the first answer of every
// connection byte by byte. A wrong answer fails the run.
//
// # How to read the tables
//
// A cell is the median over all rounds; in parentheses the median of the
// ratios to nginx, formed round by round. Compare ratios, not microseconds:
// on a shared machine the same binary's cost wanders by a factor of two within
// minutes, and it wanders for all alike. CPU is what the kernel's scheduler
// charged to the proxy and its children, divided by completed requests, so it
// does not depend on how fast the clients are; requests per second do.
// Latency includes the client's own queue at 64 connections in a closed loop,
// and starts when a request was due at a fixed rate. System calls are counted
// in a round of their own under strace. Peak memory is VmHWM.
//
// The last table compares the promised bounds with the measured values. A
// missed bound does not change the exit status unless -strict is given.
//
// The bench needs Linux. It skips peers that are not installed, and names them.
package main
