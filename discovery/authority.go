package discovery

import (
	"net/netip"
	"strconv"
	"strings"
)

// authority splits host:port, [v6]:port, :port or a lone host, and checks both
// parts. The port is "" when none is given; the host is "" for ":port" and
// keeps the brackets of an IPv6 address.
func (p *parser) authority(s string) (host, port string, ok bool) {
	host, port, given, ok := p.split(s)
	if !ok {
		return "", "", false
	}

	if given && !isPort(port) {
		p.failf("a port from 1 to 65535", "the port %q is not between 1 and 65535", port)
		return "", "", false
	}

	if host == "" {
		return "", port, true
	}

	if reason := hostProblem(host); reason != "" {
		p.failf("a host name, an IPv4 address or an IPv6 address in brackets", "the host %q %s",
			host, reason)
		return "", "", false
	}

	return host, port, true
}

// split splits at the colon before the port. An IPv6 address needs brackets,
// because it contains colons.
func (p *parser) split(s string) (host, port string, given, ok bool) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || end+1 < len(s) && s[end+1] != ':' {
			p.failf("[v6]:port", "the brackets of an IPv6 address are not closed before the port")
			return "", "", false, false
		}

		host, port = s[:end+1], strings.TrimPrefix(s[end+1:], ":")
		return host, port, end+1 < len(s), true
	}

	if strings.Count(s, ":") > 1 {
		p.failf("[v6]:port", "it has several colons; an IPv6 address stands in brackets")
		return "", "", false, false
	}

	host, port, given = strings.Cut(s, ":")
	return host, port, given, true
}

// hostProblem returns what is wrong with a host, or "". It refuses every
// spelling that programs read in different ways: zones, octal and short IPv4
// forms, upper case, final dots.
func hostProblem(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		return addressProblem(strings.TrimSuffix(inner, "]"))
	}

	labels := strings.Split(host, ".")
	if last := labels[len(labels)-1]; isDigits(last) || strings.HasPrefix(last, "0x") {
		if a, err := netip.ParseAddr(host); err != nil || !a.Is4() {
			return "is not an IPv4 address (four decimal numbers without leading zeros)"
		}

		return ""
	}

	if len(host) > 253 {
		return "is longer than 253 characters"
	}

	for _, label := range labels {
		if reason := labelProblem(label); reason != "" {
			return reason
		}
	}

	return ""
}

func addressProblem(s string) string {
	if strings.Contains(s, "%") {
		return "has a zone, which is refused"
	}

	a, err := netip.ParseAddr(s)
	switch {
	case err != nil || !a.Is6():
		return "is not an IPv6 address"
	case a.Is4In6():
		return "is an IPv4 address in IPv6 form; write it as IPv4"
	case a.String() != s:
		return "is not in its shortest form; write [" + a.String() + "]"
	}

	return ""
}

func labelProblem(label string) string {
	switch {
	case label == "":
		return "has an empty label (two dots, or one at an end)"
	case len(label) > 63:
		return "has a label longer than 63 characters"
	case label[0] == '-' || label[len(label)-1] == '-':
		return "has a label that begins or ends with a hyphen"
	}

	for i := range len(label) {
		c := label[i]
		switch {
		case 'A' <= c && c <= 'Z':
			return "is not written in lower case"
		case !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'):
			return "contains the character " + strconv.QuoteRune(rune(c))
		}
	}

	return ""
}

// usable refuses literal addresses that no backend can have. In LB_BACKENDS
// they may be link-local, but not in a nested list: a person who may write the
// list must not get access to the metadata server.
func (p *parser) usable(host string) {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return
	}

	reason := unusable(a)
	if reason != "" && (p.nested || !a.IsLinkLocalUnicast()) {
		p.failf("the address of a backend", "%s is %s address", a, reason)
	}
}

// unusable returns why no backend may have an address from a nested list or
// from DNS, or "".
func unusable(a netip.Addr) string {
	switch a = a.Unmap(); {
	case a.IsUnspecified():
		return "the unspecified"
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "a multicast or broadcast"
	case a.IsLinkLocalUnicast():
		return "a link-local"
	case a == metadataV6():
		return "the metadata server's"
	}

	return ""
}

// metadataV6 returns fd20:ce::254, the metadata server of IPv6-only machines.
// It is not a link-local address, but is treated like one.
func metadataV6() netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x20, 3: 0xce, 14: 0x02, 15: 0x54})
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

func isPort(s string) bool {
	n, ok := number(s, 65535)
	return ok && n > 0
}

// number reads a decimal number from 0 to limit without sign and without
// leading zeros.
func number(s string, limit int) (int, bool) {
	if !isDigits(s) || len(s) > 1 && s[0] == '0' || len(s) > 9 {
		return 0, false
	}

	n, err := strconv.Atoi(s)
	if err != nil || n > limit {
		return 0, false
	}

	return n, true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}

	return s != ""
}

// isLabel reports whether s has the form of Cloud Run's names: lower-case
// letters, digits and inner hyphens, beginning with a letter.
func isLabel(s string) bool {
	return labelProblem(s) == "" && !strings.Contains(s, "_") && 'a' <= s[0] && s[0] <= 'z'
}

func isProjectNumber(s string) bool {
	return isDigits(s) && s[0] != '0' && len(s) <= 20
}

func isName(s string) bool {
	return len(s) <= 64 && consistsOf(s, "._-")
}

func isAttributeKey(s string) bool {
	return len(s) <= 128 && consistsOf(s, "_-")
}

// consistsOf reports whether s is not empty and consists of letters, digits and
// the characters of more.
func consistsOf(s, more string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte(more, c) >= 0) {
			return false
		}
	}

	return s != ""
}
