package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// gceNEGKind is the kind gce+neg://. Its backends are the endpoints of a
// network endpoint group: pairs of an address and a port, such as those of pods
// in Kubernetes Engine.
func gceNEGKind() kind {
	return kind{
		name:    GCENEG,
		schemes: []string{"gce+neg"},
		keys:    []string{"port", "protocol", "host"},
		parse:   parseGCENEG,
		finish:  finishGCENEG,
		source:  newGCENEG,
	}
}

func parseGCENEG(p *parser, scheme, authority string, t *Target) {
	const form = "gce+neg://GROUP.LOCATION or gce+neg://GROUP.LOCATION.PROJECT, where LOCATION is a " +
		"zone or a region"
	if !p.plainGroup(scheme, authority) {
		return
	}

	group, place, given := strings.Cut(authority, ".")
	switch {
	case !isLabel(group):
		p.failf(form, "%q is not the name of a network endpoint group", group)
	case !given:
		p.failf(form, "it names no zone and no region")
	default:
		p.setPlace(place, form, t)
	}

	t.Group = group
}

func finishGCENEG(p *parser, t *Target) {
	switch {
	case t.Port != "" && !isPort(t.Port):
		p.failf("?port=NUMBER", "ports of network endpoint groups have no names")
	case t.Template.TLS && t.Template.SetHost == "":
		p.failf("?host=NAME", "with TLS it needs the name that the endpoints' certificates are for")
	}
}

// networkEndpoint holds the fields of an endpoint of the Compute Engine API
// that are used.
type networkEndpoint struct {
	IPAddress   string
	Ipv6Address string
	Fqdn        string
	Port        int // 0: the default port of the group
}

// endpointList finds the endpoints of a group.
type endpointList struct {
	*computeEngine
	identity string
}

func newGCENEG(k *kinds, t Target) source {
	l := &endpointList{computeEngine: k.computeEngine(t), identity: k.identity}
	return k.computePoll(l.lookup)
}

func (l *endpointList) lookup(ctx context.Context) (answer, error) {
	if err := l.begin(ctx); err != nil {
		return answer{}, err
	}

	var all []networkEndpoint
	group := at(l.target.Location) + "/networkEndpointGroups/" + l.target.Group
	q := l.list(group+"/listNetworkEndpoints",
		"items/networkEndpoint(ipAddress,ipv6Address,fqdn,port),nextPageToken",
		`{"healthStatus":"SKIP"}`, "network endpoint group")
	err := askPages(ctx, l.api, q, func(page *struct {
		Items         []struct{ NetworkEndpoint networkEndpoint }
		NextPageToken string
	}) string {
		for _, item := range page.Items {
			all = append(all, item.NetworkEndpoint)
		}
		return page.NextPageToken
	})
	if err != nil {
		return answer{}, err
	}

	port, err := l.defaultPort(ctx, group, all)
	if err != nil {
		return answer{}, err
	}

	return l.answer(all, port)
}

// defaultPort returns the port of endpoints that have none: the port in the
// item, else the group's default port.
func (l *endpointList) defaultPort(ctx context.Context, group string,
	all []networkEndpoint) (int, error) {
	port, given := number(l.target.Port, 65535)
	if given || !slices.ContainsFunc(all, networkEndpoint.portless) {
		return port, nil
	}

	var answer struct{ DefaultPort int }
	q := l.request(group, "defaultPort", "", "network endpoint group")
	err := l.api.ask(ctx, q, &answer)

	return answer.DefaultPort, err
}

func (e networkEndpoint) portless() bool { return e.Port == 0 }

// answer converts the endpoints to backends.
func (l *endpointList) answer(all []networkEndpoint, port int) (a answer, err error) {
	for _, e := range all {
		b, err := e.backend(l.target, port)
		if err != nil {
			a.refused = append(a.refused, "an endpoint "+err.Error())
			continue
		}
		a.backends = append(a.backends, identified(b, l.target, l.identity))
	}

	slices.SortFunc(a.backends, func(x, y Backend) int { return strings.Compare(x.Name, y.Name) })
	a.backends = slices.Compact(a.backends)
	a.refused = slices.Compact(slices.Sorted(slices.Values(a.refused)))
	switch {
	case len(a.backends) > 0:
		return a, nil
	case len(a.refused) > 0:
		return answer{}, &failure{"empty", fmt.Errorf("no endpoint of the group %s can be used: %v",
			l.target.Group, a.refused[:min(len(a.refused), mostNamed)])}
	}

	return answer{}, &failure{"empty", fmt.Errorf("the network endpoint group %s has no endpoint",
		l.target.Group)}
}

// backend converts an endpoint to a backend. It is named by its address and
// port, because an instance can have many endpoints and nothing else
// distinguishes them.
func (e networkEndpoint) backend(t Target, port int) (Backend, error) {
	text := cmp.Or(e.IPAddress, e.Ipv6Address)
	if text == "" && e.Fqdn != "" {
		return Backend{}, fmt.Errorf("has no address, but the name %.80q: list that as a target of "+
			"its own", e.Fqdn)
	}

	address, err := usableAddress(text)
	if err != nil {
		return Backend{}, err
	}

	if port = cmp.Or(e.Port, port); port < 1 || port > 65535 {
		return Backend{}, errors.New("has no port: write ?port=NUMBER")
	}

	b := t.Template
	b.setAddress(netip.AddrPortFrom(address, uint16(port)))
	b.Name = b.Address

	return b, nil
}
