package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// Listen opens the port of LB_LISTEN, with TLS if a certificate is configured.
// It fails if the address can't be used.
func (s *Server) Listen() error {
	p := &s.process

	// No keep-alive probes of the kernel: Pillion's own limits end idle
	// connections, and each option costs a system call per connection.
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", p.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listening: %w: another process has it, set PORT or LB_LISTEN", err)
	}
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}

	if p.Certificate == nil {
		s.listener = socket.LazyListener(l)
		return nil
	}
	s.listener = tls.NewListener(
		socket.WaitingListener(l), listenerTLS(p.Certificate, p.ClientRoots))

	return nil
}
