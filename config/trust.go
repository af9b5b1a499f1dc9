package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Trust describes the proxies whose forwarding fields are trusted.
type Trust struct {
	// as the user would write it: "none", "cloudrun", "gclb+cloudrun", "2",
	// "10.0.0.0/8+host"
	Setting string
	// the number of entries from the right of X-Forwarded-For that trusted
	// proxies wrote; 0 if not by count
	Hops     int
	Prefixes []netip.Prefix // or peers in these networks
	Preset   TrustPreset    // the platform whose proxy is trusted, if it is one

	// Host means that the proxies set or remove all forwarding fields of their
	// clients, including X-Forwarded-Host and Forwarded. Without it, only
	// X-Forwarded-For and X-Forwarded-Proto are believed, because most proxies
	// pass the others on unchanged.
	Host bool
}

// hostWord after a hop count or a network sets Trust.Host.
const hostWord = "+host"

// TrustPreset is a platform whose own proxies are trusted.
type TrustPreset uint8

// The presets. Their proxies set X-Forwarded-For and X-Forwarded-Proto only.
const (
	NoPreset               TrustPreset = iota
	CloudRunProxy                      // Cloud Run's own
	CloudLoadBalancerProxy             // Google's external load balancer in front of Cloud Run
)

var errHostWord = errors.New("has +host behind a word: it may follow a hop count or a network")

// maxHops is larger than the number of proxies on any real path, so a larger
// count is a typing error.
const maxHops = 16

// EnvDecode reads a preset, a hop count or a list of networks.
func (t *Trust) EnvDecode(given string) error {
	given, withHost := withoutHostWord(given)
	hops, isCount, preset := 0, false, NoPreset
	switch strings.ToLower(given) {
	case "none", "off":
		*t = Trust{Setting: "none"}
		if withHost {
			return errHostWord
		}

		return nil
	case "cloudrun":
		hops, isCount, preset = 1, true, CloudRunProxy
	case "gclb+cloudrun":
		hops, isCount, preset = 2, true, CloudLoadBalancerProxy
	default:
		hops, isCount = digits(given)
	}

	if withHost && preset != NoPreset {
		return errHostWord
	}

	err := error(nil)
	if isCount {
		err = t.count(given, hops, preset)
	} else {
		err = t.networks(given)
	}

	t.Host = withHost
	return err
}

// withoutHostWord removes hostWord from every item of a setting, and reports
// whether one had it. It holds for all of them.
func withoutHostWord(given string) (rest string, found bool) {
	items := split(given)
	for i, item := range items {
		if cut, ok := strings.CutSuffix(item, hostWord); ok {
			items[i], found = cut, true
		}
	}

	if !found {
		return given, false
	}

	return strings.Join(items, ";"), true
}

func (t *Trust) count(given string, hops int, preset TrustPreset) error {
	if hops < 1 || hops > maxHops {
		return fmt.Errorf("is out of range: a hop count is from 1 to %d", maxHops)
	}

	*t = Trust{Setting: strings.ToLower(given), Hops: hops, Preset: preset}
	return nil
}

func (t *Trust) networks(given string) error {
	items := split(given)
	if len(items) == 0 {
		return errors.New("names no network")
	}

	prefixes := make([]netip.Prefix, 0, len(items))
	for _, item := range items {
		if strings.EqualFold(item, "private") {
			for _, text := range privateNetworks() {
				prefixes = append(prefixes, netip.MustParsePrefix(text))
			}
			continue
		}
		if item == "*" || strings.EqualFold(item, "true") || strings.EqualFold(item, "all") {
			return errors.New("would trust everybody: name the networks of your proxies, or private")
		}

		p, err := network(item)
		if err != nil {
			return fmt.Errorf("has the item %q, which is neither a preset nor a network",
				clip(item))
		}

		prefixes = append(prefixes, p)
	}

	*t = Trust{Setting: strings.Join(items, ";"), Prefixes: prefixes}
	return nil
}

// network reads a network such as 10.0.0.0/8, or a single address as a network
// of one.
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

// digits reads a whole number in decimal digits, without sign or exponent. A
// number that is too large for an int is returned as the largest int.
func digits(s string) (int, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}

	n, _ := strconv.Atoi(s)
	return n, true
}

// none reports whether no proxy is trusted.
func (t *Trust) none() bool { return t.Hops == 0 && len(t.Prefixes) == 0 }
