package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/h1"
)

// Listen opens the one port, LB_LISTEN, with TLS where a certificate is configured. An error says that the address
// cannot be had or that the certificate is not usable.
func Listen(p config.Process) (net.Listener, error) {
	// Without the kernel's keep-alive probes: our own limits end what is idle, and each option costs a call per connection.
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", p.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	if p.TLSCertFile == "" {
		return h1.Lightly(l), nil
	}
	secure, err := ListenerTLS(p.TLSCertFile, p.TLSKeyFile)
	if err != nil {
		l.Close()
		return nil, err
	}
	return tls.NewListener(l, secure), nil
}
