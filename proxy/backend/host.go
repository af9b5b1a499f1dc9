package backend

import (
	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
)

// hostFor returns the Host of requests to a backend; "" keeps the client's.
// Cloud Run routes by the Host.
func (s *Service) hostFor(b discovery.Backend) string {
	switch {
	case b.SetHost != "":
		return b.SetHost
	case b.Run,
		s.cfg.HostHeader == config.HostBackend,
		s.cfg.HostHeader != config.HostClient && b.TLS:
		return b.Host
	}
	return ""
}
