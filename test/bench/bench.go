//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// bench has the state that all cases share.
type bench struct {
	at       cores
	rounds   int
	duration time.Duration
	starts   int
	dir      string
	strace   string // empty: not installed
	peers    []peer
	skipped  []string

	backends map[backendOptions][]string
	sink     string
	issuer   *issuer // nil until it is asked for
	children []*process
}

// newBench pins this process to its core and starts what every case needs.
func newBench(dir string) (*bench, error) {
	at, err := pickCores()
	if err != nil {
		return nil, err
	}
	if err := pinSelf(at.Load); err != nil {
		return nil, err
	}

	if err := raiseFileLimit(); err != nil {
		return nil, err
	}

	b := &bench{at: at, dir: dir, backends: map[backendOptions][]string{}}
	if err := writeCerts(dir); err != nil {
		return nil, err
	}

	sink, addrs, err := spawnListening(roleSink, nil, at)
	if err != nil {
		return nil, err
	}

	b.children = append(b.children, sink)
	b.sink = addrs[0]
	return b, nil
}

func (b *bench) close() {
	for _, c := range b.children {
		c.stop()
	}
}

// peer finds a peer by name.
func (b *bench) peer(name string) (peer, bool) {
	for _, p := range b.peers {
		if p.name == name {
			return p, true
		}
	}
	return peer{}, false
}

// plainPeers are all but the one that samples every trace, which only its own
// case needs.
func (b *bench) plainPeers() []peer {
	return slices.DeleteFunc(slices.Clone(b.peers), func(p peer) bool { return p.name == sampledPillion })
}

// setup prepares a proxy's instructions; backends of one kind are started once.
func (b *bench) setup(opts backendOptions, tls bool) (setup, error) {
	if tls {
		opts.Cert, opts.Key = filepath.Join(b.dir, "cert.pem"), filepath.Join(b.dir, "key.pem")
	}

	if b.backends[opts] == nil {
		p, addrs, err := spawnListening(roleBackend, opts, b.at)
		if err != nil {
			return setup{}, err
		}
		b.children = append(b.children, p)
		b.backends[opts] = addrs
	}

	listen, err := freeAddr()
	if err != nil {
		return setup{}, err
	}

	dir, err := os.MkdirTemp(b.dir, "proxy-")
	if err != nil {
		return setup{}, err
	}

	return setup{Listen: listen, Backends: b.backends[opts], TLS: tls, GRPC: opts.GRPC, HTTP2: opts.HTTP2,
		CA: filepath.Join(b.dir, "ca.pem"), Cert: filepath.Join(b.dir, "cert.pem"), Key: filepath.Join(b.dir, "key.pem"),
		Dir: dir, Sink: b.sink}, nil
}

// freeAddr returns a loopback address without a listener. Its port is below
// those that the kernel gives to clients (ip_local_port_range(7)), so that no
// client takes it before the proxy does.
func freeAddr() (netip.AddrPort, error) {
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		l, err := net.Listen("tcp4", addr)
		if err == nil {
			return netip.MustParseAddrPort(addr), l.Close()
		}
	}

	return netip.AddrPort{}, errors.New("no free port between 10000 and 29999")
}

// addPeer adds a peer, or prints why it is left out.
func (b *bench) addPeer(name string, p peer, err error) {
	if err != nil {
		b.skipped = append(b.skipped, fmt.Sprintf("%s is skipped: %v", name, err))
		return
	}
	b.peers = append(b.peers, p)
}
