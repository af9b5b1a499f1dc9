package proxy

import (
	"net/http"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// tunnelMemory is the memory of a tunnel beside its two connections: a second
// goroutine, and an exchange that lasts as long as the tunnel.
const tunnelMemory = 12 << 10

// reserve takes the memory for a tunnel if the request asks for one. It reports
// whether the request may go on. If not, it has answered it.
func (x *exchange) reserve() bool {
	if !x.upgrade {
		return true
	}

	if x.p.budget.Take(tunnelMemory, socket.Lasting) {
		x.reserved = true
		return true
	}

	x.p.budget.Count(socket.RefusedTunnel, 1)
	x.fail(ending{http.StatusServiceUnavailable, "us", "upgrade"}, wire.ErrShort)
	return false
}
