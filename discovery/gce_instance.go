package discovery

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// instance holds the fields of an instance of the Compute Engine API that are
// used.
type instance struct {
	Name              string
	Status            string
	Labels            map[string]string
	Tags              struct{ Items []string }
	NetworkInterfaces []networkInterface

	zone string
}

type networkInterface struct {
	Network     string // URL
	NetworkIP   string // IPv4
	Ipv6Address string
}

// namedPort is a port of an instance group.
type namedPort struct {
	Name string
	Port int
}

func (p namedPort) compare(q namedPort) int {
	return cmp.Or(strings.Compare(p.Name, q.Name), cmp.Compare(p.Port, q.Port))
}

// serves reports whether an instance takes requests, and whether it will stop
// soon. An instance in PENDING_STOP still serves until its graceful shutdown
// ends. In any other state except RUNNING, its app may have ended.
func (i *instance) serves() (serving, ending bool) {
	ending = i.Status == "PENDING_STOP"
	return ending || i.Status == "RUNNING", ending
}

// matchesInstance reports whether an instance has the labels and the network
// tag that the target asks for.
func (t Target) matchesInstance(i *instance) bool {
	return (t.Labels == "" || t.matches(i.Labels)) &&
		(t.NetTag == "" || slices.Contains(i.Tags.Items, t.NetTag))
}

// port returns the port of the target's backends. The item has a number, or the
// name of a port that its instance group defines.
func (l *instanceList) port(named []namedPort, instances int) (uint16, error) {
	if number, ok := number(l.target.Port, 65535); ok {
		return uint16(number), nil
	}
	if instances == 0 { // without instances, no ports were fetched
		return 0, nil
	}

	var fitting, words []string
	for _, p := range named {
		words = append(words, printable(p.Name)+"="+strconv.Itoa(p.Port))
		if p.Port > 0 && p.Port <= 65535 && (l.target.Port == "" || p.Name == l.target.Port) {
			fitting = append(fitting, strconv.Itoa(p.Port))
		}
	}

	wanted := "a port named " + l.target.Port
	if l.target.Port == "" {
		wanted = "one named port"
	}
	if len(fitting) != 1 {
		return 0, &failure{"port", fmt.Errorf("the instance group %s does not have %s; it has %s: "+
			"write ?port=NAME or ?port=NUMBER", l.target.Group, wanted,
			cmp.Or(strings.Join(words, ", "), "no named port"))}
	}

	number, _ := number(fitting[0], 65535)
	return uint16(number), nil
}

// backend converts an instance to a backend. The backend is named by instance
// and zone, so that it keeps its name when its address changes.
func (i *instance) backend(t Target, port uint16) (Backend, error) {
	if !isLabel(i.Name) || !isLocation(i.zone) {
		return Backend{}, errors.New("is not the name of an instance")
	}

	address, err := i.address(t.Network)
	if err != nil {
		return Backend{}, err
	}

	b := t.Template
	b.Name = i.Name + "." + i.zone
	b.setAddress(netip.AddrPortFrom(address, port))

	if weight, ok := i.Labels["lb-weight"]; ok {
		if b.Weight, ok = number(weight, 256); !ok {
			return Backend{}, errors.New("has a label lb-weight that is no number from 0 to 256")
		}
	}

	return b, nil
}

// setAddress sets an address that has no host name. It is also the Host field
// of requests.
func (b *Backend) setAddress(place netip.AddrPort) {
	b.Address, b.Host = place.String(), place.String()
	if host, ok := strings.CutSuffix(b.Host, ":"+b.defaultPort()); ok {
		b.Host = host
	}
}

// address returns the instance's internal address in a network. For network "",
// it is the address of the first interface.
func (i *instance) address(network string) (netip.Addr, error) {
	for _, n := range i.NetworkInterfaces {
		if network == "" || lastSegment(n.Network) == network {
			return usableAddress(cmp.Or(n.NetworkIP, n.Ipv6Address))
		}
	}

	if network != "" {
		return netip.Addr{}, fmt.Errorf("has no interface in the network %s", network)
	}
	return netip.Addr{}, errors.New("has no interface")
}

// usableAddress parses an address that comes from an API and not from the
// operator. It refuses addresses that such a backend may not have, such as that
// of the metadata server.
func usableAddress(text string) (netip.Addr, error) {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("has %.80q for an address", text)
	}

	address = address.Unmap()
	if reason := unusable(address); reason != "" {
		return netip.Addr{}, fmt.Errorf("has %s, %s address", address, reason)
	}

	return address, nil
}
