package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// instanceFields selects the fields of an instance in the API's fields
// parameter.
const instanceFields = "(name,status,labels,tags/items," +
	"networkInterfaces(network,networkIP,ipv6Address))"

// instanceList finds the instances of a target.
type instanceList struct {
	*computeEngine
	identity string
	last     []Backend // the backends of the last good answer
}

func newGCE(k *kinds, t Target) source {
	l := &instanceList{computeEngine: k.computeEngine(t), identity: k.identity}
	return partialPoll{k.computePoll(l.lookup)}
}

// found is what the API returned for a target.
type found struct {
	instances []instance
	ports     []namedPort // the named ports of the target's group
	missing   []string    // zones that the API cannot reach
}

func (l *instanceList) lookup(ctx context.Context) (answer, error) {
	if err := l.begin(ctx); err != nil {
		return answer{}, err
	}

	f, err := l.find(ctx)
	if err != nil {
		return answer{}, err
	}

	return l.answer(f)
}

func (l *instanceList) find(ctx context.Context) (found, error) {
	switch {
	case l.target.Group != "":
		return l.ofGroup(ctx)
	case l.target.Location == "":
		return l.everywhere(ctx)
	case isRegion(l.target.Location):
		return l.ofRegion(ctx)
	}

	instances, err := l.ofZone(ctx, l.target.Location)
	return found{instances: instances}, err
}

// ofZone lists the instances of a zone that have the target's labels.
func (l *instanceList) ofZone(ctx context.Context, zone string) (all []instance, err error) {
	q := l.list("/zones/"+zone+"/instances", "items"+instanceFields+",nextPageToken", "", "zone")
	l.filter(q.query)
	err = askPages(ctx, l.api, q, func(page *struct {
		Items         []instance
		NextPageToken string
	}) string {
		all = append(all, page.Items...)
		return page.NextPageToken
	})

	for i := range all {
		all[i].zone = zone
	}

	return all, err
}

// ofRegion lists the instances of all zones of a region.
func (l *instanceList) ofRegion(ctx context.Context) (f found, err error) {
	var region struct{ Zones []string } // URLs
	q := l.request("/regions/"+l.target.Location, "zones", "", "region")
	if err := l.api.ask(ctx, q, &region); err != nil {
		return f, err
	}

	var zones []string
	for _, url := range region.Zones {
		zones = append(zones, lastSegment(url))
	}

	return l.ofZones(ctx, zones)
}

func (l *instanceList) ofZones(ctx context.Context, zones []string) (f found, err error) {
	for _, zone := range slices.Compact(slices.Sorted(slices.Values(zones))) {
		if !isLocation(zone) {
			return f, &failure{"zone", fmt.Errorf("the compute API names a zone %.80q", zone)}
		}

		instances, err := l.ofZone(ctx, zone)
		if err != nil {
			return f, err
		}
		f.instances = append(f.instances, instances...)
	}

	return f, nil
}

// zonePage is a page of the instances of all zones.
type zonePage struct {
	Items map[string]struct { // by zones/ZONE
		Instances []instance
		Warning   struct{ Code string }
	}
	Unreachables  []string
	NextPageToken string
}

// everywhere lists the instances of all zones of the project. If the API can't
// reach a zone, the instances of the other zones are still returned.
func (l *instanceList) everywhere(ctx context.Context) (f found, err error) {
	q := l.list("/aggregated/instances", "items/*/instances"+instanceFields+
		",items/*/warning/code,unreachables,nextPageToken", "", "project")
	q.query.Set("returnPartialSuccess", "true")
	l.filter(q.query)
	err = askPages(ctx, l.api, q, func(page *zonePage) string {
		f.add(page)
		return page.NextPageToken
	})
	f.missing = slices.Compact(slices.Sorted(slices.Values(f.missing)))

	return f, err
}

func (f *found) add(page *zonePage) {
	for _, key := range slices.Sorted(maps.Keys(page.Items)) {
		zone, items := lastSegment(key), page.Items[key]
		if items.Warning.Code == "UNREACHABLE" { // other codes: no instances here
			f.missing = append(f.missing, zone)
		}

		for _, i := range items.Instances {
			i.zone = zone
			f.instances = append(f.instances, i)
		}
	}

	for _, place := range page.Unreachables {
		f.missing = append(f.missing, lastSegment(place))
	}
}

// misses reports whether the API could not reach a zone or its region.
func (f *found) misses(zone string) bool {
	return slices.ContainsFunc(f.missing, func(place string) bool {
		return place == zone || place != "" && strings.HasPrefix(zone, place+"-")
	})
}

// filter adds the target's labels to a query, so that the API returns fewer
// instances. The answer is compared with the target again.
func (l *instanceList) filter(query url.Values) {
	var terms []string
	for pair := range strings.SplitSeq(l.target.Labels, "&") {
		switch key, value, _ := strings.Cut(pair, "="); {
		case key == "":
		case value == "*":
			terms = append(terms, "(labels."+key+":*)")
		default:
			terms = append(terms, "(labels."+key+` = "`+value+`")`)
		}
	}

	if len(terms) > 0 {
		query.Set("filter", strings.Join(terms, " "))
	}
}

// member is an instance in the list of a group. This list has no addresses.
type member struct {
	Instance   string // URL
	NamedPorts []namedPort
}

// ofGroup lists the instances of a managed or unmanaged group. It first lists
// the names of the members, then the instances of their zones, which have the
// addresses.
func (l *instanceList) ofGroup(ctx context.Context) (f found, err error) {
	members, ports := map[string]bool{}, map[namedPort]bool{}
	var zones []string
	q := l.list(at(l.target.Location)+"/instanceGroups/"+l.target.Group+"/listInstances",
		"items(instance,namedPorts),nextPageToken", `{"instanceState":"ALL"}`, "instance group")
	err = askPages(ctx, l.api, q, func(page *struct {
		Items         []member
		NextPageToken string
	}) string {
		for _, m := range page.Items {
			zone, name := zoneAndName(m.Instance)
			members[name+"."+zone] = true
			zones = append(zones, zone)
			for _, port := range m.NamedPorts {
				ports[port] = true
			}
		}
		return page.NextPageToken
	})
	if err != nil {
		return f, err
	}

	if f, err = l.ofZones(ctx, zones); err != nil {
		return f, err
	}
	f.ports = slices.SortedFunc(maps.Keys(ports), namedPort.compare)
	f.instances = slices.DeleteFunc(f.instances, func(i instance) bool {
		return !members[i.Name+"."+i.zone]
	})

	return f, nil
}

// zoneAndName returns the zone and the name in the URL of an instance:
// …/zones/ZONE/instances/NAME.
func zoneAndName(url string) (zone, name string) {
	before, name, _ := strings.Cut(url, "/instances/")
	return lastSegment(before), name
}

// answer converts the instances to backends.
func (l *instanceList) answer(f found) (a answer, err error) {
	port, err := l.port(f.ports, len(f.instances))
	if err != nil {
		return answer{}, err
	}

	ending := map[string]bool{}
	for i := range f.instances {
		l.add(&a, &f.instances[i], port, ending)
	}
	if len(ending) == len(a.backends) { // all stop soon: they serve, because there is no other
		for i := range a.backends {
			a.backends[i].Weight = l.target.Template.Weight
		}
	}

	for _, b := range l.last {
		if f.misses(b.Name[strings.LastIndexByte(b.Name, '.')+1:]) {
			a.backends = append(a.backends, b)
		}
	}
	slices.SortFunc(a.backends, func(x, y Backend) int { return strings.Compare(x.Name, y.Name) })
	a.backends = slices.CompactFunc(a.backends, func(x, y Backend) bool { return x.Name == y.Name })
	slices.Sort(a.refused)

	if a, err = l.judged(a, f); err == nil || a.stale {
		l.last = a.backends
	}

	return a, err
}

// add adds an instance to an answer if it serves. ending gets the name of an
// instance that will stop soon.
func (l *instanceList) add(a *answer, i *instance, port uint16, ending map[string]bool) {
	serving, ends := i.serves()
	if !serving || !l.target.matchesInstance(i) {
		return
	}

	b, err := i.backend(l.target, port)
	if err != nil {
		a.refused = append(a.refused, fmt.Sprintf("%.80q %v", i.Name, err))
		return
	}

	if ends {
		b.Weight, ending[b.Name] = 0, true
	}
	a.backends = append(a.backends, identified(b, l.target, l.identity))
}

// judged decides whether an answer is a failure. An answer without backends is
// one. If the API could not reach some zones, both the answer and a failure are
// returned.
func (l *instanceList) judged(a answer, f found) (answer, error) {
	switch {
	case len(f.missing) > 0:
		a.stale = len(a.backends) > 0
		return a, &failure{"unreachable zones " + strings.Join(f.missing, " "), fmt.Errorf("the "+
			"compute API cannot reach %s now; instances that were known there stay",
			printable(strings.Join(f.missing, ", ")))}
	case len(a.backends) > 0:
		return a, nil
	case len(a.refused) > 0:
		return answer{}, &failure{"empty", fmt.Errorf("no instance of %s can be used: %v",
			l.target.Item, a.refused[:min(len(a.refused), mostNamed)])}
	case l.target.Group != "":
		return answer{}, &failure{"empty", fmt.Errorf("none of the %d instances of the group %s "+
			"is running with what the item asks for", len(f.instances), l.target.Group)}
	}

	return answer{}, &failure{"empty", errors.New("no running instance has the labels and tags " +
		"of the item")}
}
