package discovery

import (
	"fmt"
	"net/netip"
	"syscall"
)

// Control returns a function for the field Control of a net.Dialer. The
// function refuses addresses that no backend may have. The dialer calls it
// after the name was resolved, so a DNS answer that changes after a check can't
// evade it. Control returns nil if the backend's host is written in
// LB_BACKENDS.
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
			return fmt.Errorf("the name of a backend resolves to %s, %s address, which is refused",
				at.Addr(), reason)
		}

		return nil
	}
}
