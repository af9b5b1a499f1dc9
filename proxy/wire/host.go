package wire

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ValidHost reports whether s is a host name or an address, with an optional
// port. It accepts RFC 3986's host without escapes and sub-delimiters, which no
// DNS name has and which servers read differently.
func ValidHost(s string) bool {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || strings.IndexByte(s[:end], '%') >= 0 {
			return false
		}

		addr, err := netip.ParseAddr(s[1:end])

		return err == nil && addr.Is6() && validPort(s[end+1:])
	}

	i := 0
	for i < len(s) && Is(s[i], InHost) {
		i++
	}

	return i > 0 && validPort(s[i:])
}

// validPort reports whether s is "" or a colon and a port. The port may be
// empty.
func validPort(s string) bool {
	if s == "" || s == ":" {
		return true
	}
	if s[0] != ':' || s[1] == '+' {
		return false
	}

	_, err := strconv.ParseUint(s[1:], 10, 16)
	return err == nil
}

// SplitHostPort splits host:port. A port that is not a number is 0.
func SplitHostPort(address string) (string, int) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, 0
	}

	n, _ := strconv.Atoi(port)

	return host, n
}
