package proxy

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/discovery"
)

// hostFor is the Host that requests to a backend carry; "" keeps the client's. Cloud Run routes by it.
func (s *service) hostFor(b discovery.Backend) string {
	switch {
	case b.SetHost != "":
		return b.SetHost
	case b.Run, s.cfg.HostHeader == "backend", s.cfg.HostHeader != "client" && b.TLS:
		return b.Host
	}
	return ""
}

// rewriteLocation turns a redirect to the backend's own origin into one to the origin that the client used. It is only
// needed where the backend was addressed by another Host than the client's.
func (x *exchange) rewriteLocation(ep *endpoint, from, h http.Header) {
	if ep.host == "" {
		return
	}
	for _, name := range [...]string{"Location", "Content-Location"} {
		value := first(from, name)
		if value == "" {
			continue
		}
		if rest, ok := cutOrigin(value, ep.origin); ok {
			h[name] = []string{x.origin() + rest}
		} else if rest, ok := cutOrigin(value, scheme(ep.origin)+ep.host); ok {
			h[name] = []string{x.origin() + rest}
		}
	}
}

// cutOrigin cuts scheme and authority off a URL if they are those of origin, in any case.
func cutOrigin(url, origin string) (string, bool) {
	if len(url) < len(origin) || !strings.EqualFold(url[:len(origin)], origin) {
		return "", false
	}
	rest := url[len(origin):]
	if rest != "" && rest[0] != '/' && rest[0] != '?' && rest[0] != '#' {
		return "", false
	}
	return rest, true
}

func scheme(origin string) string {
	i := strings.Index(origin, "://")
	return origin[:i+3]
}

// splitAddress splits host:port; a port that is no number is 0.
func splitAddress(address string) (string, int) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, 0
	}
	n, _ := strconv.Atoi(port)
	return host, n
}
