package h2

import "syscall"

// userTimeout is how long a backend may leave what was sent unacknowledged
// before the connection counts as lost (TCP_USER_TIMEOUT of tcp(7), in
// milliseconds). With it, the kernel notices a backend that vanished, and no
// PING is needed. It also bounds the keep-alive probes of an idle connection.
const (
	tcpUserTimeout = 18
	userTimeout    = 20_000
)

func (t *Transport) control(network, address string, raw syscall.RawConn) error {
	raw.Control(func(fd uintptr) {
		// If it can't be set, a PING notices a lost connection.
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, userTimeout)
	})
	if t.Control != nil {
		return t.Control(network, address, raw)
	}
	return nil
}
