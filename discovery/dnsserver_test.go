package discovery

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer is a small DNS server over UDP and TCP on one loopback port.
type dnsServer struct {
	mu       sync.Mutex
	zone     map[string][]dnsmessage.ResourceBody // by "TYPE name."
	code     map[string]dnsmessage.RCode          // by "TYPE name." or "name."
	truncate bool                                 // over UDP
	drop     bool
	asked    int
	tcp      int
}

// newDNSServer returns a server and a resolver that asks it and nobody else.
func newDNSServer(t *testing.T) (*dnsServer, *net.Resolver) {
	t.Helper()
	s := &dnsServer{zone: map[string][]dnsmessage.ResourceBody{}, code: map[string]dnsmessage.RCode{}}
	udp, tcp := listenBoth(t)
	var running sync.WaitGroup
	running.Go(func() { s.serveUDP(udp) })
	running.Go(func() { s.serveTCP(tcp) })
	t.Cleanup(func() { udp.Close(); tcp.Close(); running.Wait() })
	return s, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, udp.LocalAddr().String())
	}}
}

// listenBoth opens one port for UDP and TCP. A port that is free for one may be
// taken for the other.
func listenBoth(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	var err error
	for range 20 {
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			break
		}
		var tcp net.Listener
		if tcp, err = net.Listen("tcp", udp.LocalAddr().String()); err == nil {
			return udp, tcp
		}
		udp.Close()
	}
	t.Fatal(err)
	return nil, nil
}

// set replaces the addresses of name.
func (s *dnsServer) set(name string, addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone["TypeA "+name], s.zone["TypeAAAA "+name] = nil, nil
	for _, a := range addrs {
		if ip := netip.MustParseAddr(a); ip.Is4() {
			s.zone["TypeA "+name] = append(s.zone["TypeA "+name], &dnsmessage.AResource{A: ip.As4()})
		} else {
			s.zone["TypeAAAA "+name] = append(s.zone["TypeAAAA "+name], &dnsmessage.AAAAResource{AAAA: ip.As16()})
		}
	}
}

type srvRecord struct {
	target                 string
	port, priority, weight uint16
}

func (s *dnsServer) setSRV(name string, records ...srvRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone["TypeSRV "+name] = nil
	for _, r := range records {
		s.zone["TypeSRV "+name] = append(s.zone["TypeSRV "+name], &dnsmessage.SRVResource{
			Target: dnsmessage.MustNewName(r.target), Port: r.port, Priority: r.priority, Weight: r.weight,
		})
	}
}

// with changes the server while nothing reads it.
func (s *dnsServer) with(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *dnsServer) serveUDP(c net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := s.answer(slices.Clone(buf[:n]), true); answer != nil {
			c.WriteTo(answer, from)
		}
	}
}

func (s *dnsServer) serveTCP(l net.Listener) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		running.Go(func() { s.serveConn(c) })
	}
}

func (s *dnsServer) serveConn(c net.Conn) {
	defer c.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		s.with(func() { s.tcp++ })
		if answer := s.answer(query, false); answer != nil {
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
		}
	}
}

func (s *dnsServer) answer(query []byte, udp bool) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) == 0 || s.drop {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(q.Name.String())
	key := q.Type.String() + " " + name
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if code, ok := s.code[key]; ok {
		m.RCode = code
	} else if code, ok := s.code[name]; ok {
		m.RCode = code
	} else if s.truncate && udp {
		m.Truncated = true
	} else if records, ok := s.zone[key]; ok {
		for _, body := range records {
			h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: body})
		}
	} else {
		m.RCode = dnsmessage.RCodeNameError
	}
	answer, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return answer
}
