package discovery

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// slicePage is one page of a list of EndpointSlices, with the fields that are
// used.
type slicePage struct {
	Metadata struct{ ResourceVersion, Continue string }
	Items    []endpointSlice
}

// endpointSlice is an object of discovery.k8s.io/v1, with the fields that are
// used. It has the addresses of one family for some pods of a Service.
type endpointSlice struct {
	Metadata    struct{ Name, ResourceVersion string }
	AddressType string
	Ports       []slicePort
	Endpoints   []sliceEndpoint
}

type slicePort struct {
	Name     string
	Port     *int // nil for all ports
	Protocol string
}

type sliceEndpoint struct {
	Addresses  []string // all are equivalent; the first is used
	Conditions struct {
		Ready, Serving, Terminating *bool
	}
	TargetRef struct{ Kind, Name string }
}

func sorted(all iter.Seq[endpointSlice]) []endpointSlice {
	return slices.SortedFunc(all, func(a, b endpointSlice) int {
		return strings.Compare(a.Metadata.Name, b.Metadata.Name)
	})
}

// serves reports whether an endpoint accepts requests, and whether it is
// terminating. An unknown condition counts as the API's documentation says.
func (e *sliceEndpoint) serves() (serving, ending bool) {
	is := func(condition *bool, otherwise bool) bool {
		if condition == nil {
			return otherwise
		}
		return *condition
	}

	ready := is(e.Conditions.Ready, true)
	return ready || is(e.Conditions.Serving, ready), is(e.Conditions.Terminating, false)
}

// podMerge merges the pods of several slices. A pod may be in two slices, if it
// has addresses of both families, or while it moves from one to the other.
type podMerge struct {
	target  Target
	pods    map[string]pod
	ports   []string // other ports that slices have, for messages
	several bool     // a slice has several ports, and the target names none
	refused []string
}

type pod struct {
	places [2]netip.AddrPort // IPv4, IPv6
	ending bool
}

func (m *podMerge) add(s endpointSlice) {
	if len(s.Endpoints) == 0 {
		return
	}

	port, ok := m.port(s.Ports)
	if !ok {
		return
	}

	for i := range s.Endpoints {
		m.addEndpoint(&s.Endpoints[i], port)
	}
}

func (m *podMerge) addEndpoint(e *sliceEndpoint, port uint16) {
	serving, ending := e.serves()
	if !serving || len(e.Addresses) == 0 {
		return
	}

	address, err := netip.ParseAddr(e.Addresses[0])
	if err != nil || address.Zone() != "" {
		m.refused = append(m.refused, fmt.Sprintf("%.80q is no address", e.Addresses[0]))
		return
	}
	if reason := unusable(address); reason != "" {
		m.refused = append(m.refused, fmt.Sprintf("%s is %s address", address, reason))
		return
	}

	place := netip.AddrPortFrom(address.Unmap(), port)
	name := place.String()
	if e.TargetRef.Kind == "Pod" && isPodName(e.TargetRef.Name) {
		name = e.TargetRef.Name
	}

	family := 0
	if place.Addr().Is6() {
		family = 1
	}

	p, known := m.pods[name]
	if old := p.places[family]; !old.IsValid() || place.Compare(old) < 0 && p.ending == ending ||
		p.ending && !ending {
		p.places[family] = place
	}
	p.ending = ending && (p.ending || !known)
	m.pods[name] = p
}

// port returns the target's port among those of a slice.
func (m *podMerge) port(ports []slicePort) (uint16, bool) {
	var found []uint16
	number, isNumber := number(m.target.Port, 65535)
	for _, p := range ports {
		if p.Protocol != "" && p.Protocol != "TCP" {
			continue
		}

		switch {
		case p.Port == nil && isNumber && number > 0: // the slice is for all ports
			found = append(found, uint16(number))
		case p.Port == nil || *p.Port < 1 || *p.Port > 65535:
		case m.target.Port == "" || isNumber && *p.Port == number ||
			!isNumber && p.Name == m.target.Port:
			found = append(found, uint16(*p.Port))
		}
		m.ports = append(m.ports, p.words())
	}

	found = slices.Compact(slices.Sorted(slices.Values(found)))
	m.several = m.several || len(found) > 1

	return slices.Concat(found, []uint16{0})[0], len(found) == 1
}

func (p slicePort) words() string {
	words := "any"
	if p.Port != nil {
		words = strconv.Itoa(*p.Port)
	}
	if p.Name != "" {
		words = p.Name + "=" + words
	}

	return printable(words)
}

// answer returns the pods as backends, or a failure with the reason why there
// are none.
func (m *podMerge) answer(template Backend) (a answer, err error) {
	a.refused = slices.Compact(slices.Sorted(slices.Values(m.refused)))
	ports := strings.Join(slices.Compact(slices.Sorted(slices.Values(m.ports))), ", ")
	switch {
	case m.several:
		return answer{}, &failure{"port", fmt.Errorf("the Service %s has several ports (%s): "+
			"write %s:PORT", m.target.Service, ports, m.place())}
	case len(m.pods) == 0 && ports != "" && m.target.Port != "" && len(a.refused) == 0:
		return answer{}, &failure{"empty", fmt.Errorf("the Service %s has no pod that serves at "+
			"the port %s; its pods' ports are %s", m.target.Service, m.target.Port, ports)}
	}

	usable := false
	for name, p := range m.pods {
		a.backends = append(a.backends, p.backend(name, template))
		usable = usable || !p.ending
	}

	slices.SortFunc(a.backends, func(x, y Backend) int { return strings.Compare(x.Name, y.Name) })
	if !usable { // terminating pods are better than none
		for i := range a.backends {
			a.backends[i].Weight = template.Weight
		}
	}

	if len(a.backends) == 0 && len(a.refused) == 0 {
		return answer{}, &failure{"empty", fmt.Errorf("the Service %s has EndpointSlices, but no pod "+
			"in them is ready", m.target.Service)}
	}

	return a.orEmpty(m.target.Service)
}

// place returns the target without a port and without keys.
func (m *podMerge) place() string {
	if m.target.Namespace == "" {
		return "k8s://" + m.target.Service
	}
	return "k8s://" + m.target.Service + "." + m.target.Namespace
}

func (p pod) backend(name string, b Backend) Backend {
	places := slices.DeleteFunc(p.places[:], func(a netip.AddrPort) bool { return !a.IsValid() })
	b.Name, b.Address = name, places[0].String()
	if len(places) > 1 {
		b.Fallback = places[1].String()
	}

	b.Host = b.authority(b.Host, strconv.Itoa(int(places[0].Port())))
	if p.ending {
		b.Weight = 0
	}

	return b
}

func isPodName(s string) bool { return len(s) <= 253 && consistsOf(s, ".-") }
