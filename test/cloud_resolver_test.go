package test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/pillion-lb/pillion/test/internal/backend"
	programs "github.com/pillion-lb/pillion/test/internal/binary"
)

// network is a piece of 127.0.0.0/8 that belongs to one test: a DNS server on
// its address 53, and backends on others, all on one port, as DNS targets want
// it.
type network struct {
	*programs.Binary // runs with the DNS server as the only one that it knows
	prefix           string
	server           string // host:port of the DNS server
	port             string

	mu    sync.Mutex
	zone  map[string][]netip.Addr // by name with the final dot
	fault string                  // "", "nxdomain", "servfail", "empty", "silent", "truncated"
	asked atomic.Int64
}

var networks atomic.Int64

// newNetwork skips the test where a process may not have a resolv.conf of its
// own: that takes root, and a kernel that permits mount namespaces.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := listenNetwork(t, "53")
	n.Binary = n.wrap(t)

	return n
}

// newNamedNetwork is a network whose DNS server is on a port of its own, which
// no resolv.conf can name. It takes no privilege.
func newNamedNetwork(t *testing.T) *network {
	t.Helper()
	n := listenNetwork(t, "0")
	n.Binary = pillion

	return n
}

// listenNetwork starts the DNS server of a network.
func listenNetwork(t *testing.T, port string) *network {
	t.Helper()
	n := &network{prefix: fmt.Sprintf("127.%d.%d.", 64+os.Getpid()%128, networks.Add(1)), zone: map[string][]netip.Addr{}}
	udp, err := net.ListenPacket("udp", n.Address(53)+":"+port)
	if err != nil {
		t.Skipf("no DNS server on port %s: %v", port, err)
	}

	n.server = udp.LocalAddr().String()
	tcp, err := net.Listen("tcp", n.server)
	if err != nil {
		_ = udp.Close()
		t.Skipf("no DNS server on port %s: %v", port, err)
	}

	var running sync.WaitGroup
	running.Go(func() { n.serveUDP(udp) })
	running.Go(func() { n.serveTCP(tcp) })
	t.Cleanup(func() { _, _ = udp.Close(), tcp.Close(); running.Wait() })

	return n
}

// wrap is the program in a mount namespace of its own, in which
// /etc/resolv.conf names the DNS server.
func (n *network) wrap(t *testing.T) *programs.Binary {
	t.Helper()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("there is no unshare here")
	}

	mount, err := exec.LookPath("mount")
	if err != nil {
		t.Skip("there is no mount here")
	}

	dir := t.TempDir()
	conf, script := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "pillion")
	write := func(file, text string, mode os.FileMode) {
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(conf, "nameserver "+n.Address(53)+"\noptions timeout:1 attempts:1\n", 0o644)
	inside := fmt.Sprintf("%s --bind %s /etc/resolv.conf && GODEBUG=netdns=go exec %s \"$@\"", mount, conf, pillion.Path)
	write(script, fmt.Sprintf("#!/bin/sh\nexec %s -m /bin/sh -c '%s' pillion \"$@\"\n", unshare, inside), 0o755)
	probe := fmt.Sprintf("%s --bind %s /etc/resolv.conf", mount, conf)
	if out, err := exec.Command(unshare, "-m", "/bin/sh", "-c", probe).CombinedOutput(); err != nil {
		t.Skipf("no mount namespace with a resolv.conf of its own: %v: %s", err, out)
	}

	return &programs.Binary{Path: script}
}

// Address is a host of the network.
func (n *network) Address(host int) string { return n.prefix + fmt.Sprint(host) }

// StartBackends starts named servers on the hosts 1, 2, 3 and so on, all on one
// port.
func (n *network) StartBackends(t *testing.T, count int) []*backend.Server {
	t.Helper()
	var servers []*backend.Server
	for i := range count {
		l, err := net.Listen("tcp", net.JoinHostPort(n.Address(i+1), n.portOr("0")))
		if err != nil {
			t.Fatal(err)
		}
		if n.port == "" {
			_, n.port, _ = net.SplitHostPort(l.Addr().String())
		}

		servers = append(servers, backend.StartAt(t, fmt.Sprint("host-", i+1), l, nil))
	}

	return servers
}

func (n *network) portOr(otherwise string) string {
	if n.port == "" {
		return otherwise
	}
	return n.port
}

// Set gives a name the addresses of hosts.
func (n *network) Set(name string, hosts ...int) {
	var addresses []netip.Addr
	for _, h := range hosts {
		addresses = append(addresses, netip.MustParseAddr(n.Address(h)))
	}
	n.SetAddresses(name, addresses...)
}

// SetAddresses gives a name any addresses.
func (n *network) SetAddresses(name string, addresses ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.zone[name+"."] = addresses
}

// SetFault makes the server misbehave until it is "".
func (n *network) SetFault(fault string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = fault
}

func (n *network) serveUDP(c net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		size, from, err := c.ReadFrom(buffer)
		if err != nil {
			return
		}
		if reply := n.answer(buffer[:size]); reply != nil {
			_, _ = c.WriteTo(reply, from)
		}
	}
}

// serveTCP is asked when an answer over UDP was truncated, and then says
// nothing.
func (n *network) serveTCP(l net.Listener) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}

		context.AfterFunc(ctx, func() { _ = c.Close() })
		var length [2]byte
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := io.ReadFull(c, length[:]); err == nil && binary.BigEndian.Uint16(length[:]) > 0 {
			_ = c.Close()
		}
	}
}

func (n *network) answer(query []byte) []byte {
	n.asked.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 || n.fault == "silent" {
		return nil
	}

	q := m.Questions[0]
	addresses, known := n.zone[strings.ToLower(q.Name.String())]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil

	switch {
	case n.fault == "nxdomain", !known:
		m.RCode = dnsmessage.RCodeNameError
	case n.fault == "servfail":
		m.RCode = dnsmessage.RCodeServerFailure
	case n.fault == "truncated":
		m.Truncated = true
	case n.fault == "empty":
	default:
		m.Answers = records(q, addresses)
	}

	reply, err := m.Pack()
	if err != nil {
		panic(err) // made of what was parsed
	}

	return reply
}

// records is the addresses that a question asks for.
func records(q dnsmessage.Question, addresses []netip.Addr) (found []dnsmessage.Resource) {
	h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
	for _, a := range addresses {
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			found = append(found, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			found = append(found, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}

	return found
}
