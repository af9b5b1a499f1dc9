package fakegoogle

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// computePage is the largest page of the Compute Engine API.
const computePage = 500

// Instance is a Compute Engine instance. The zero value runs and has no network
// interface.
type Instance struct {
	Name       string
	Zone       string
	Status     string // "": RUNNING
	Labels     map[string]string
	Tags       []string
	Interfaces []Interface
}

// Interface is a network interface of an instance.
type Interface struct {
	Network string // its name; "": default
	Address string // IPv4; "": it has IPv6 only
	IPv6    string
}

// Port is a named port of a group.
type Port struct {
	Name   string
	Number int
}

// Group is an instance group. Its members are names as NAME.ZONE.
type Group struct {
	Ports   []Port
	Members []string
}

// NEG is a network endpoint group.
type NEG struct {
	DefaultPort int
	Endpoints   []Endpoint
}

// Endpoint is an endpoint of a NEG.
type Endpoint struct {
	Instance string // NAME.ZONE; "": none
	Address  string
	IPv6     string
	Name     string // of an endpoint that is no address
	Port     int    // 0: the group's
}

// project has the Compute Engine resources of a project. Groups are by their
// paths below it.
type project struct {
	name        string
	instances   []Instance
	groups      map[string]Group
	negs        map[string]NEG
	unreachable []string // zones
}

// inProject changes a project. It creates the project if there is none.
// SetUnreachable sets the zones that the API can't reach.
func (s *Server) inProject(name string, change func(*project)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.compute[name] == nil {
		s.compute[name] = &project{name: name, groups: map[string]Group{}, negs: map[string]NEG{}}
	}
	change(s.compute[name])
}

// SetInstances replaces the instances of a project.
func (s *Server) SetInstances(name string, all ...Instance) {
	s.inProject(name, func(p *project) { p.instances = all })
}

// SetGroup replaces an instance group of a zone or a region.
func (s *Server) SetGroup(name, location, group string, g Group) {
	s.inProject(name, func(p *project) { p.groups[scope(location)+"/instanceGroups/"+group] = g })
}

// SetNEG replaces a network endpoint group of a zone or a region.
func (s *Server) SetNEG(name, location, group string, n NEG) {
	s.inProject(name, func(p *project) { p.negs[scope(location)+"/networkEndpointGroups/"+group] = n })
}

// SetUnreachable says which zones cannot be reached.
func (s *Server) SetUnreachable(name string, zones ...string) {
	s.inProject(name, func(p *project) { p.unreachable = zones })
}

// IgnoreFilters makes lists return items that do not match their filters.
func (s *Server) IgnoreFilters() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unfiltered = true
}

// scope returns the path of a zone or a region.
func scope(location string) string {
	if strings.Count(location, "-") > 1 {
		return "zones/" + location
	}
	return "regions/" + location
}

const computeURL = "https://www.googleapis.com/compute/v1/projects/"

// askCompute answers a request for a path below /compute/v1/projects/.
func (s *Server) askCompute(r *http.Request, path []string) (map[string]any, *Fault) {
	p := s.compute[path[0]]
	if p == nil {
		return nil, missing("projects/" + path[0])
	}

	rest := strings.Join(path[1:], "/")
	parent, method := rest[:max(0, strings.LastIndexByte(rest, '/'))], path[len(path)-1]
	group, isGroup := p.groups[parent]
	neg, isNEG := p.negs[parent]
	switch asked := r.Method + " " + method; {
	case asked == "POST listInstances" && isGroup:
		return s.listMembers(r, p, group)
	case asked == "POST listNetworkEndpoints" && isNEG:
		return s.listEndpoints(r, p, neg)
	case asked == "GET instances" && parent == "aggregated":
		return s.listEverywhere(r, p)
	case asked == "GET instances" && strings.HasPrefix(parent, "zones/"):
		return s.listZone(r, p, path[2])
	case parent == "regions" && r.Method == http.MethodGet:
		return p.region(method), nil
	case r.Method == http.MethodGet:
		if neg, ok := p.negs[rest]; ok {
			return map[string]any{"kind": "compute#networkEndpointGroup", "name": method, "defaultPort": neg.DefaultPort,
				"size": len(neg.Endpoints)}, nil
		}
	}

	return nil, missing("projects/" + path[0] + "/" + strings.TrimSuffix(rest, "/"+method))
}

func missing(resource string) *Fault {
	return &Fault{Code: http.StatusNotFound, Kind: "notFound", Message: "The resource '" + resource + "' was not found"}
}

func invalid(field, value string) *Fault {
	return &Fault{Code: http.StatusBadRequest, Kind: "invalid",
		Message: fmt.Sprintf("Invalid value for field '%s': '%s'.", field, value)}
}

// paged returns a page of a list.
func (s *Server) paged(r *http.Request, kind string, items []any) (map[string]any, *Fault) {
	if size := r.URL.Query().Get("maxResults"); size != "" && (len(size) > 3 || len(size) == 3 && size > "500") {
		return nil, invalid("maxResults", size)
	}

	from, to, next := s.pageOf(r, "maxResults", computePage, len(items))
	answer := map[string]any{"kind": "compute#" + kind, "id": "list"}
	if to > from {
		answer["items"] = items[from:to]
	} else {
		answer["warning"] = map[string]any{"code": "NO_RESULTS_ON_PAGE", "message": "There are no results on this page."}
	}
	if next != "" {
		answer["nextPageToken"] = next
	}

	return answer, nil
}

func (s *Server) listMembers(r *http.Request, p *project, g Group) (map[string]any, *Fault) {
	var body struct{ InstanceState string }
	if f := readBody(r, &body); f != nil {
		return nil, f
	}

	var items, ports []any
	for _, port := range g.Ports {
		ports = append(ports, map[string]any{"name": port.Name, "port": port.Number})
	}
	for _, member := range g.Members {
		name, zone, _ := strings.Cut(member, ".")
		i := slices.IndexFunc(p.instances, func(i Instance) bool { return i.Name == name && i.Zone == zone })
		if i < 0 || body.InstanceState == "RUNNING" && p.instances[i].status() != "RUNNING" {
			continue
		}
		item := map[string]any{"instance": computeURL + p.name + "/zones/" + zone + "/instances/" + name,
			"status": p.instances[i].status()}
		if len(ports) > 0 {
			item["namedPorts"] = ports
		}
		items = append(items, item)
	}

	return s.paged(r, "instanceGroupsListInstances", items)
}

func (s *Server) listEndpoints(r *http.Request, p *project, n NEG) (map[string]any, *Fault) {
	var body struct{ HealthStatus string }
	if f := readBody(r, &body); f != nil {
		return nil, f
	}

	var items []any
	for _, e := range n.Endpoints {
		endpoint := map[string]any{}
		if name, zone, ok := strings.Cut(e.Instance, "."); ok {
			endpoint["instance"] = computeURL + p.name + "/zones/" + zone + "/instances/" + name
		}
		for key, value := range map[string]string{"ipAddress": e.Address, "ipv6Address": e.IPv6, "fqdn": e.Name} {
			if value != "" {
				endpoint[key] = value
			}
		}
		if e.Port != 0 {
			endpoint["port"] = e.Port
		}
		items = append(items, map[string]any{"networkEndpoint": endpoint})
	}

	return s.paged(r, "networkEndpointGroupsListNetworkEndpoints", items)
}

func (s *Server) listZone(r *http.Request, p *project, zone string) (map[string]any, *Fault) {
	if slices.Contains(p.unreachable, zone) {
		return nil, &Fault{Code: http.StatusServiceUnavailable, Kind: "backendError", Message: "The zone is unavailable."}
	}

	found, f := s.filtered(r, p, func(i Instance) bool { return i.Zone == zone })
	if f != nil {
		return nil, f
	}

	return s.paged(r, "instanceList", found)
}

// listEverywhere returns the instances of all zones, grouped by zone.
func (s *Server) listEverywhere(r *http.Request, p *project) (map[string]any, *Fault) {
	if len(p.unreachable) > 0 && r.URL.Query().Get("returnPartialSuccess") != "true" {
		return nil, &Fault{Code: http.StatusServiceUnavailable, Kind: "backendError", Message: "A zone is unavailable."}
	}

	found, f := s.filtered(r, p, func(i Instance) bool { return !slices.Contains(p.unreachable, i.Zone) })
	if f != nil {
		return nil, f
	}

	answer, f := s.paged(r, "instanceAggregatedList", found)
	if f != nil {
		return nil, f
	}

	page, _ := answer["items"].([]any)
	delete(answer, "warning")
	scopes := map[string]any{}
	for _, i := range p.instances {
		scopes["zones/"+i.Zone] = map[string]any{"warning": map[string]any{"code": "NO_RESULTS_ON_PAGE",
			"message": "There are no results for scope 'zones/" + i.Zone + "' on this page."}}
	}
	for _, item := range page {
		zone := item.(map[string]any)["zone"].(string)
		key := "zones/" + zone[strings.LastIndexByte(zone, '/')+1:]
		instances, _ := scopes[key].(map[string]any)["instances"].([]any)
		scopes[key] = map[string]any{"instances": append(instances, item)}
	}
	answer["items"] = scopes
	for _, zone := range p.unreachable {
		delete(scopes, "zones/"+zone)
		unreachables, _ := answer["unreachables"].([]any)
		answer["unreachables"] = append(unreachables, computeURL+p.name+"/zones/"+zone)
	}

	return answer, nil
}

// filterTerm matches the conditions of filters that this server supports.
var filterTerm = regexp.MustCompile(`\(labels\.([a-z0-9_-]+)(?: = "([a-z0-9_-]*)"|:\*)\)`)

// filtered returns the instances that match the filter of a request.
func (s *Server) filtered(r *http.Request, p *project, fits func(Instance) bool) (found []any, f *Fault) {
	filter := r.URL.Query().Get("filter")
	if strings.TrimSpace(filterTerm.ReplaceAllString(filter, "")) != "" {
		return nil, invalid("filter", filter)
	}

	for _, i := range p.instances {
		ok := fits(i)
		for _, term := range filterTerm.FindAllStringSubmatch(filter, -1) {
			value, has := i.Labels[term[1]]
			ok = ok && (s.unfiltered || has && (strings.HasSuffix(term[0], ":*)") || value == term[2]))
		}
		if ok {
			found = append(found, i.shape(p.name))
		}
	}

	return found, nil
}

// region returns a region with three zones.
func (p *project) region(name string) map[string]any {
	var zones []any
	for _, letter := range []string{"b", "c", "d"} {
		zones = append(zones, computeURL+p.name+"/zones/"+name+"-"+letter)
	}

	return map[string]any{"kind": "compute#region", "name": name, "status": "UP", "zones": zones}
}

func (i Instance) status() string {
	if i.Status == "" {
		return "RUNNING"
	}
	return i.Status
}

// shape returns an instance as the API shows it, with some unused fields.
func (i Instance) shape(project string) map[string]any {
	url := computeURL + project
	var interfaces []any
	for n, nic := range i.Interfaces {
		network := nic.Network
		if network == "" {
			network = "default"
		}
		shape := map[string]any{
			"kind": "compute#networkInterface", "name": fmt.Sprint("nic", n),
			"network": url + "/global/networks/" + network, "stackType": "IPV4_ONLY",
			"accessConfigs": []any{map[string]any{"type": "ONE_TO_ONE_NAT", "natIP": "203.0.113.9"}},
		}
		if nic.Address != "" {
			shape["networkIP"] = nic.Address
		}
		if nic.IPv6 != "" {
			shape["ipv6Address"], shape["stackType"] = nic.IPv6, "IPV6_ONLY"
		}
		interfaces = append(interfaces, shape)
	}

	shape := map[string]any{
		"kind": "compute#instance", "id": fmt.Sprint(crc32.ChecksumIEEE([]byte(i.Name))), "name": i.Name,
		"zone":   url + "/zones/" + i.Zone,
		"status": i.status(), "labels": i.Labels, "networkInterfaces": interfaces,
		"tags":  map[string]any{"items": i.Tags, "fingerprint": "x"},
		"disks": []any{map[string]any{"kind": "compute#attachedDisk", "boot": true}},
	}
	if len(i.Labels) == 0 {
		delete(shape, "labels")
	}

	return shape
}

func readBody(r *http.Request, into any) *Fault {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return &Fault{Code: http.StatusBadRequest, Kind: "parseError", Message: "Parse Error"}
	}

	return nil
}
