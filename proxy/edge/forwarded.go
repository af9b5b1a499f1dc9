package edge

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// Believe decides whether the peer is a trusted proxy and who the client is.
// remote is the peer's address with its port. It runs before any refusal, so
// that the log names the client that was refused.
func (r *Rules) Believe(h *Hop, remote string, fields http.Header) {
	h.Peer = peerAddress(remote)
	h.Client = h.Peer
	h.Trusted = r.trust.Hops > 0 || trustedPeer(r.trust.Prefixes, h.Peer)

	if h.Trusted {
		h.chain = believed(fields["X-Forwarded-For"], r.trust)
		h.Client = clientOf(h.chain, h.Peer)
	}
}

// Forward tells the backend who the client is. X-Forwarded-For gets the peer's
// address, and X-Forwarded-Proto and X-Forwarded-Host what the client used.
// What the request already says about that is kept only as far as
// LB_TRUSTED_PROXIES allows.
func (r *Rules) Forward(h *Hop, fields http.Header) {
	if !h.Trusted {
		h.Say("X-Forwarded-For", h.Peer)
	} else {
		h.Say("X-Forwarded-For", appendHop(h.chain, h.Peer))
		r.trustRest(h, fields)
	}

	h.Say("X-Forwarded-Proto", h.Scheme())
	h.Say("X-Forwarded-Host", h.Host)
}

// Hint returns a value for LB_TRUSTED_PROXIES that would trust the peer.
func (h *Hop) Hint() string {
	if a, err := netip.ParseAddr(h.Peer); err == nil && a.Is6() {
		return h.Peer + "/128"
	}

	return h.Peer + "/32"
}

// trustRest takes the scheme from a trusted peer, and the host if
// LB_TRUSTED_PROXIES allows that. It cuts Forwarded to the hops that are
// believed.
func (r *Rules) trustRest(h *Hop, fields http.Header) {
	hops := len(h.chain)
	switch clientScheme(fields["X-Forwarded-Proto"], h.forwarded, hops) {
	case "https":
		h.Secure = true
	case "http":
		h.Secure, h.SaidHTTP = false, true
	}

	if !r.trust.Host {
		return
	}

	if host := ofHops(splitList(fields["X-Forwarded-Host"]), hops); host != "" && goodHost(host) {
		h.Host = host
	}

	if f := splitList(fields["Forwarded"]); len(f) > 0 {
		h.Say("Forwarded", strings.Join(f[max(0, len(f)-max(hops, 1)):], ", "))
	}
}

// clientScheme returns the scheme that the client used: from X-Forwarded-Proto
// or, without that, from Forwarded (RFC 7239 section 5.4). Each believed hop
// may have added an entry, and the first of these is the client's. Some proxies
// write ws and wss for a WebSocket. The result is "" if there is no usable
// entry.
func clientScheme(protos, forwarded []string, hops int) string {
	said := ofHops(splitList(protos), hops)
	if said == "" {
		said = forwardedProto(ofHops(splitList(forwarded), hops))
	}

	switch strings.ToLower(said) {
	case "https", "wss":
		return "https"
	case "http", "ws":
		return "http"
	}

	return ""
}

// ofHops returns the entry that the first believed hop has added: the one at
// position hops from the end. If the list is shorter, not every hop has added
// one, and it is the first entry. It returns "" for an empty list.
func ofHops(entries []string, hops int) string {
	if len(entries) == 0 {
		return ""
	}
	return entries[max(0, len(entries)-max(hops, 1))]
}

// forwardedProto returns the proto parameter of one element of Forwarded (RFC
// 7239 section 4).
func forwardedProto(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if strings.EqualFold(strings.Trim(name, " \t"), "proto") {
			return strings.Trim(value, " \t\"")
		}
	}
	return ""
}

// believed returns the part of X-Forwarded-For that trusted proxies wrote. With
// a number of hops, these are that many entries from the right. With networks,
// these are the entries from the right up to the first address that is not a
// trusted proxy.
func believed(lines []string, trust config.Trust) []string {
	all := splitList(lines)
	if trust.Hops > 0 {
		if len(all) < trust.Hops {
			// A proxy was bypassed, so the entries may be the client's own.
			return nil
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

// clientOf returns the client of a believed chain, or the peer if the chain has
// no usable address.
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

// splitList splits a list field at its commas, but not inside quoted strings
// (RFC 9110 section 5.6.1).
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

// peerAddress returns the address of host:port, without brackets and zone.
func peerAddress(remote string) string {
	i := strings.LastIndexByte(remote, ':')
	if i < 0 {
		return remote
	}

	host := strings.TrimSuffix(strings.TrimPrefix(remote[:i], "["), "]")
	host, _, _ = strings.Cut(host, "%")
	return host
}

// bareAddress returns an entry of X-Forwarded-For without the port that some
// proxies add.
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

// goodHost reports whether a text may be the value of a Host field.
func goodHost(host string) bool {
	if len(host) > 255 {
		return false
	}

	for i := range len(host) {
		c := host[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("-._~:[]%!$&'()*+,;=", c) >= 0
		if !ok {
			return false
		}
	}

	return true
}
