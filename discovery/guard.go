package discovery

import (
	"fmt"
	"net/netip"
	"syscall"
)

// Control is what the net.Dialer of a guarded backend asks before each connection (its field Control): by then the name
// is resolved, so an answer of DNS that changes after a check cannot get past it. It refuses the addresses that no
// backend has. For a backend whose host the operator wrote it is nil.
func (b Backend) Control() func(network, address string, _ syscall.RawConn) error {
	if !b.Guarded {
		return nil
	}
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("the address %q of a backend: %w", address, err)
		}
		if reason := unusable(at.Addr()); reason != "" {
			return fmt.Errorf("the name of a backend resolves to %s, %s address, which is refused", at.Addr(), reason)
		}
		return nil
	}
}
