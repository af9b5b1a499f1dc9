package discovery

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/xds"
)

// usable returns an error if Pillion can't use the cluster. For a cluster that
// holds its endpoints itself, it returns these.
func (s *subscriptions) usable(c *xds.Cluster) (*xds.Assignment, error) {
	template := s.target.Template
	switch {
	case c.Custom == xds.Aggregate && len(c.Clusters) == 0:
		return nil, errNoParts
	case c.Custom == xds.Aggregate:
		return nil, nil // the clusters that it names are looked at
	case c.Custom != "":
		return nil, fmt.Errorf("the cluster has the type %.100q; supported are EDS, STATIC, STRICT_DNS, "+
			"LOGICAL_DNS and %s", c.Custom, xds.Aggregate)
	case c.Type < xds.Static || c.Type > xds.EDS:
		return nil, fmt.Errorf("the cluster has the type %d; supported are EDS, STATIC, STRICT_DNS "+
			"and LOGICAL_DNS", c.Type)
	case c.Type == xds.EDS && !c.OnStream:
		return nil, errors.New("the cluster's endpoints come by another way than ADS, which is not " +
			"supported")
	case c.Socket != "" && !template.TLS && template.Protocol == config.Auto:
		return nil, fmt.Errorf("the cluster's endpoints are spoken to by %.100q and not in clear "+
			"text: add protocol=https, or protocol=http1 if they take clear text too", c.Socket)
	case c.Type == xds.EDS:
		return nil, nil
	}

	a, err := xds.ReadAssignment(c.Inline)
	if err == nil {
		err = a.Check()
	}

	return a, err
}

// endpointMerge collects the endpoints of all localities of all clusters.
type endpointMerge struct {
	template Backend
	names    map[string]int // position in found, by name
	found    []weighedBackend
	refused  []string

	// The state of the cluster that is being added.
	resolves bool // an endpoint's host may be a name
	first    int  // its first priority
	start    int  // the length of found before it
}

// weighedBackend is a backend whose weight is still a fraction.
type weighedBackend struct {
	Backend
	share  float64
	health xds.Health
}

func (m *endpointMerge) refusef(format string, args ...any) {
	m.refused = append(m.refused, fmt.Sprintf(format, args...))
}

// addCluster adds the endpoints of a cluster.
func (m *endpointMerge) addCluster(p part) {
	m.resolves = p.cluster.Type == xds.StrictDNS || p.cluster.Type == xds.LogicalDNS
	m.start = len(m.found)
	next := m.first
	weighted := map[uint32]bool{} // priorities whose localities have weights
	for _, l := range p.at.Localities {
		weighted[l.Priority] = weighted[l.Priority] || l.Weight != nil
		next = max(next, m.first+int(l.Priority)+1)
	}

	for i := range p.at.Localities {
		if l := &p.at.Localities[i]; weighted[l.Priority] && (l.Weight == nil || *l.Weight == 0) {
			if l.Weight == nil {
				m.refusef("the locality %q has no weight, and others have one", l.Zone)
			}
			continue
		}
		m.add(&p.at.Localities[i])
	}
	m.first = next
}

// add adds the endpoints of a locality. The weight of the locality is divided
// among all its endpoints, the unhealthy ones included. Otherwise the last
// healthy endpoint of a locality would get the traffic of all.
func (m *endpointMerge) add(l *xds.Locality) {
	each := 1.0
	if l.Weight != nil {
		var sum float64
		for i := range l.Endpoints {
			sum += float64(l.Endpoints[i].Share())
		}
		each = float64(*l.Weight) / sum
	}

	for i := range l.Endpoints {
		e := &l.Endpoints[i]
		b, ok := m.backend(e)
		if !ok {
			continue
		}
		if before, ok := m.names[b.Name]; ok {
			if before >= m.start { // an endpoint may be in two clusters
				m.refusef("%s is there twice", b.Name)
			}
			continue
		}

		m.names[b.Name] = len(m.found)
		b.Priority = m.first + int(l.Priority)
		m.found = append(m.found, weighedBackend{b, each * float64(e.Share()), e.Health})
	}
}

// backend converts an endpoint to a backend. It reports false if it can't be
// one; then the reason is in m.
func (m *endpointMerge) backend(e *xds.Endpoint) (Backend, bool) {
	b := m.template
	for i, p := range e.Addresses {
		host, reason := m.host(p)
		switch {
		case reason != "" && i == 0:
			m.refusef("%s", reason)
			return b, false
		case reason != "":
			continue
		}

		port := strconv.Itoa(int(p.Port))
		address := net.JoinHostPort(host, port)
		if i > 0 {
			if b.Fallback == "" && strings.HasPrefix(address, "[") != strings.HasPrefix(b.Address, "[") {
				b.Fallback = address
			}
			continue
		}

		b.Name, b.Address = address, address
		b.Guarded = b.Guarded || !isAddress(host)
		if e.Hostname != "" && hostProblem(e.Hostname) == "" {
			host = e.Hostname
		} else if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		b.Host = b.authority(host, port)
	}

	return b, true
}

// host returns the host of an address, or the reason why it can't be used.
func (m *endpointMerge) host(p xds.Address) (host, reason string) {
	address, err := netip.ParseAddr(p.Host)
	switch {
	case p.Other != "":
		return "", p.Other + " is not supported"
	case err != nil && (!m.resolves || hostProblem(p.Host) != ""), address.Zone() != "":
		return "", fmt.Sprintf("%.80q is no address", p.Host)
	case err != nil:
		return p.Host, ""
	}

	address = address.Unmap()
	if reason := unusable(address); reason != "" {
		return "", fmt.Sprintf("%s is %s address", address, reason)
	}

	return address.String(), ""
}

// answer returns the collected backends. A draining endpoint gets no new
// sessions. Other unhealthy endpoints are left out, unless no endpoint is
// healthy.
func (m *endpointMerge) answer(cluster string) (a answer, err error) {
	if len(m.found) == 0 && len(m.refused) == 0 {
		return answer{}, &failure{"empty", fmt.Errorf("the cluster %s has no endpoints", cluster)}
	}

	m.weigh()
	used := func(w weighedBackend) bool { return w.health == xds.Unknown || w.health == xds.Healthy }
	some := slices.ContainsFunc(m.found, used)
	if !some && len(m.found) > 0 {
		m.refusef("the control plane calls no endpoint healthy, so all are used")
	}

	for _, w := range m.found {
		switch {
		case !some || used(w):
		case w.health == xds.Draining:
			w.Weight = 0
		default:
			continue
		}
		a.backends = append(a.backends, w.Backend)
	}

	slices.SortFunc(a.backends, func(x, y Backend) int { return strings.Compare(x.Name, y.Name) })
	a.refused = slices.Compact(slices.Sorted(slices.Values(m.refused)))

	return a.orEmpty(cluster)
}

// mostWeight is the largest weight that is computed from fractions.
const mostWeight = 10_000

// weigh converts the fractions to whole weights, separately for each priority.
// Weights that are small whole numbers already are not changed.
func (m *endpointMerge) weigh() {
	largest, whole := map[int]float64{}, map[int]bool{}
	for _, w := range m.found {
		if _, ok := largest[w.Priority]; !ok {
			whole[w.Priority] = true
		}
		largest[w.Priority] = max(largest[w.Priority], w.share)
		whole[w.Priority] = whole[w.Priority] && w.share == math.Trunc(w.share)
	}

	for i := range m.found {
		w := &m.found[i]
		scale := 1.0
		if most := largest[w.Priority]; !whole[w.Priority] || most > mostWeight {
			scale = mostWeight / most
		}

		w.Weight = max(int(math.Round(w.share*scale)), 1)
	}
}
