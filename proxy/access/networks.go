package access

import (
	"cmp"
	"net/netip"
	"slices"
)

// Networks is a set of networks. They are sorted and don't overlap, so a
// look-up is a binary search.
type Networks struct {
	sorted []netip.Prefix
}

// NewNetworks makes the set of the networks in a list.
func NewNetworks(list []netip.Prefix) *Networks {
	all := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		all = append(all, p.Masked())
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits())
	})

	n := &Networks{}
	for _, p := range all {
		// Of networks that begin at one address, the largest comes first.
		if last := len(n.sorted) - 1; last >= 0 && n.sorted[last].Overlaps(p) {
			continue
		}
		n.sorted = append(n.sorted, p)
	}

	return n
}

// Hold reports whether an address is in one of the networks. An IPv4 address in
// the form of an IPv6 address counts as the IPv4 address.
func (n *Networks) Hold(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	at, found := slices.BinarySearchFunc(n.sorted, a, func(p netip.Prefix, a netip.Addr) int {
		return p.Addr().Compare(a)
	})
	if found {
		return true
	}

	return at > 0 && n.sorted[at-1].Contains(a)
}
