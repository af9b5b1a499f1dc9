package proxy

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// believePeer decides whether the peer is one whose forwarding fields count.
func (x *exchange) believePeer() {
	x.record.Peer = peerAddress(x.r.RemoteAddr)
	x.trusted = x.p.trust.Hops > 0 || trustedPeer(x.p.trust.Prefixes, x.record.Peer)
}

// forward settles who the client is and tells the backend: X-Forwarded-For gets the peer, X-Forwarded-Proto and -Host
// what the client used. What the request already says of it is believed only as far as LB_TRUSTED_PROXIES goes.
func (x *exchange) forward(h http.Header) {
	peer := x.record.Peer
	x.record.Client = peer
	if !x.trusted {
		x.say("X-Forwarded-For", peer)
	} else {
		chain := believed(h["X-Forwarded-For"], x.p.trust)
		x.record.Client = clientOf(chain, peer)
		x.say("X-Forwarded-For", appendHop(chain, peer))
		x.trustRest(h, len(chain))
	}
	proto := "http"
	if x.secure {
		proto = "https"
	}
	x.record.Scheme = proto
	x.say("X-Forwarded-Proto", proto)
	x.say("X-Forwarded-Host", x.clientHost)
}

// hintTrust says once, at the first drop, which setting would have believed the field.
func (x *exchange) hintTrust(field string) {
	if x.p.trustHint.Load() || !x.p.trustHint.CompareAndSwap(false, true) {
		return
	}
	x.p.log.Info("forwarding fields of an untrusted peer were dropped; if it is a proxy of yours, name it in LB_TRUSTED_PROXIES",
		"field", field, "peer", x.record.Peer, "setting", "LB_TRUSTED_PROXIES='"+hintFor(x.record.Peer)+"'")
}

// hintFor is a value of LB_TRUSTED_PROXIES that would trust the peer.
func hintFor(peer string) string {
	if a, err := netip.ParseAddr(peer); err == nil && a.Is6() {
		return peer + "/128"
	}
	return peer + "/32"
}

// trustRest takes over scheme and host from a trusted peer and cuts Forwarded to as many hops as are believed.
func (x *exchange) trustRest(h http.Header, hops int) {
	switch strings.ToLower(last(h["X-Forwarded-Proto"])) {
	case "https":
		x.secure = true
	case "http":
		x.secure = false
	}
	if host := last(h["X-Forwarded-Host"]); host != "" && goodHost(host) {
		x.clientHost = host
	}
	if f := splitList(h["Forwarded"]); len(f) > 0 {
		x.say("Forwarded", strings.Join(f[max(0, len(f)-max(hops, 1)):], ", "))
	}
}

// believed is the part of X-Forwarded-For that trusted proxies wrote: by count, that many entries from the right; by
// network, from the right up to and with the first address that is not a proxy of ours.
func believed(lines []string, trust config.Trust) []string {
	all := splitList(lines)
	if trust.Hops > 0 {
		if len(all) < trust.Hops {
			return nil // a proxy was passed by, so nobody knows who wrote this
		}
		return all[len(all)-trust.Hops:]
	}
	for i := len(all) - 1; i >= 0; i-- {
		if !trustedPeer(trust.Prefixes, bareAddress(all[i])) {
			return all[i:]
		}
	}
	return all
}

// clientOf is the client as the believed chain says; the peer itself where the chain says nothing usable.
func clientOf(chain []string, peer string) string {
	if len(chain) > 0 {
		if _, err := netip.ParseAddr(bareAddress(chain[0])); err == nil {
			return bareAddress(chain[0])
		}
	}
	return peer
}

func appendHop(chain []string, peer string) string {
	if len(chain) == 0 {
		return peer
	}
	return strings.Join(chain, ", ") + ", " + peer
}

// splitList splits a list field at its commas, but not inside quoted strings (RFC 9110 section 5.6.1).
func splitList(lines []string) []string {
	var out []string
	for _, line := range lines {
		quoted, start := false, 0
		for i := 0; i <= len(line); i++ {
			if i < len(line) && line[i] == '"' {
				quoted = !quoted
			}
			if i == len(line) || line[i] == ',' && !quoted {
				if item := strings.Trim(line[start:i], " \t"); item != "" {
					out = append(out, item)
				}
				start = i + 1
			}
		}
	}
	return out
}

func last(lines []string) string {
	if items := splitList(lines); len(items) > 0 {
		return items[len(items)-1]
	}
	return ""
}

// peerAddress is the address of host:port, without brackets and zone.
func peerAddress(remote string) string {
	i := strings.LastIndexByte(remote, ':')
	if i < 0 {
		return remote
	}
	host := strings.TrimSuffix(strings.TrimPrefix(remote[:i], "["), "]")
	host, _, _ = strings.Cut(host, "%")
	return host
}

// bareAddress is an entry of X-Forwarded-For without the port that some proxies add.
func bareAddress(entry string) string {
	if strings.HasPrefix(entry, "[") || strings.Count(entry, ":") == 1 {
		return peerAddress(entry)
	}
	return entry
}

func trustedPeer(prefixes []netip.Prefix, peer string) bool {
	if len(prefixes) == 0 {
		return false
	}
	a, err := netip.ParseAddr(peer)
	if err != nil {
		return false
	}
	a = a.Unmap()
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// goodHost accepts what may stand in a Host field.
func goodHost(host string) bool {
	if len(host) > 255 {
		return false
	}
	for i := range len(host) {
		c := host[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~:[]%!$&'()*+,;=", c) >= 0
		if !ok {
			return false
		}
	}
	return true
}
