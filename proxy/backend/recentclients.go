package backend

import (
	"net/netip"
	"sync"
	"time"
)

// enoughClients is how many clients must have met an endpoint's server errors
// before the errors say more about the endpoint than about one client's
// requests.
const enoughClients = 3

// recentClients remembers which clients met an endpoint's server errors last.
// It needs only three clients, so its memory is bounded. It is safe for
// concurrent use.
type recentClients struct {
	mu   sync.Mutex
	last [enoughClients]clientSeen
}

type clientSeen struct {
	network netip.Addr
	second  int64 // Unix seconds; 0 if empty
}

// note notes that a client met a server error. It replaces the client that was
// seen longest ago.
func (c *recentClients) note(client string, now time.Time) {
	network := clientNetwork(client)
	c.mu.Lock()
	defer c.mu.Unlock()

	oldest := &c.last[0]
	for i := range c.last {
		seen := &c.last[i]
		if seen.second != 0 && seen.network == network {
			seen.second = now.Unix()
			return
		}

		if seen.second < oldest.second {
			oldest = seen
		}
	}

	*oldest = clientSeen{network, now.Unix()}
}

// enough reports whether enough clients were seen in the last seconds, which
// are counted as a window counts them.
func (c *recentClients) enough(now time.Time, seconds int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()

	for i := range c.last {
		if now.Unix()-c.last[i].second >= seconds {
			return false
		}
	}

	return true
}

// reset removes all clients.
func (c *recentClients) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.last[:])
}

// clientNetwork returns what identifies a client: its IPv4 address, or the
// first 64 bits of its IPv6 address, because one client may have all addresses
// of such a network (RFC 4291 section 2.5.1). All texts that are not an address
// are one client.
func clientNetwork(client string) netip.Addr {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return netip.Addr{}
	}
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		return addr
	}

	network, _ := addr.Prefix(64) // can't fail for an IPv6 address
	return network.Addr()
}
