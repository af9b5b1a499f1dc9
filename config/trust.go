package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Trust says from whom forwarding fields are believed.
type Trust struct {
	Setting  string         // as the user would write it: "none", "cloudrun", "gclb+cloudrun", "2", "10.0.0.0/8"
	Hops     int            // that many entries from the right of X-Forwarded-For are ours; 0: not by count
	Prefixes []netip.Prefix // or peers in these networks
}

// maxHops is more proxies than any real path has; a larger count is a slip of the finger.
const maxHops = 16

// EnvDecode reads a preset, a hop count or a list of networks.
func (t *Trust) EnvDecode(given string) error {
	hops, isCount := 0, false
	switch strings.ToLower(given) {
	case "none", "off":
		*t = Trust{Setting: "none"}
		return nil
	case "cloudrun":
		hops, isCount = 1, true
	case "gclb+cloudrun":
		hops, isCount = 2, true
	default:
		hops, isCount = digits(given)
	}
	if isCount {
		return t.count(given, hops)
	}
	return t.networks(given)
}

func (t *Trust) count(given string, hops int) error {
	if hops < 1 || hops > maxHops {
		return fmt.Errorf("is out of range: a hop count is from 1 to %d", maxHops)
	}
	*t = Trust{Setting: strings.ToLower(given), Hops: hops}
	return nil
}

func (t *Trust) networks(given string) error {
	items := split(given)
	if len(items) == 0 {
		return errors.New("names no network")
	}
	prefixes := make([]netip.Prefix, 0, len(items))
	for _, item := range items {
		p, err := network(item)
		if err != nil {
			return fmt.Errorf("has the item %q, which is neither a preset nor a network", clip(item))
		}
		prefixes = append(prefixes, p)
	}
	*t = Trust{Setting: strings.Join(items, ";"), Prefixes: prefixes}
	return nil
}

// network reads 10.0.0.0/8, or a single address as the network that holds nothing else.
func network(item string) (netip.Prefix, error) {
	if strings.Contains(item, "/") {
		p, err := netip.ParsePrefix(item)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(item)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, errors.New("not an address")
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// digits reads a whole number written in decimal digits alone: no sign, no octal, no exponent. A number too large for
// an int is a number still; it comes back as the largest.
func digits(s string) (int, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, _ := strconv.Atoi(s)
	return n, true
}
