package limit

import (
	"hash/maphash"
	"net/netip"

	"github.com/pillion-lb/pillion/config"
)

// Key is the value that a limit counts by, with its kind. Keys of different
// kinds are different, even with equal texts.
type Key struct {
	kind config.LimitKind
	addr netip.Addr
	text string
}

// ClientKey returns the key for a client's address. An IPv6 network of /64 is
// one client, because a client can use any number of its addresses. All invalid
// addresses together are one client.
func ClientKey(a netip.Addr) Key {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}

	return Key{kind: config.ByClient, addr: a}
}

// TextKey returns the key for a text of a kind: a host, a value of a field or
// cookie, a claim.
func TextKey(kind config.LimitKind, text string) Key { return Key{kind: kind, text: text} }

// EveryoneKey returns the only key of a limit that counts all requests.
func EveryoneKey() Key { return Key{kind: config.ByAll} }

// hash returns the key's hash for a table. The seed belongs to the process, so
// a client can't choose keys with equal hashes.
func (k *Key) hash(seed maphash.Seed) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	_ = h.WriteByte(byte(k.kind))
	if k.addr.IsValid() {
		a := k.addr.As16()
		_, _ = h.Write(a[:])
	}
	_, _ = h.WriteString(k.text)

	return h.Sum64()
}

// append appends the key in a form that is different for different keys.
func (k *Key) append(b []byte) []byte {
	b = append(b, byte(k.kind))
	if k.addr.IsValid() {
		a := k.addr.As16()
		b = append(b, a[:]...)
	}

	return append(b, k.text...)
}
