package discovery

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-lb/pillion/discovery/xds"
)

// maxClusters bounds the number of clusters of a target.
const maxClusters = 100

// clusterTree holds the clusters of a target. That is the named cluster or, if
// this is an aggregate cluster, the clusters that it names, which may be
// aggregate clusters too.
type clusterTree struct {
	names  []string // of all clusters, missing ones included
	top    *xds.Cluster
	leaves []leaf   // the clusters with endpoints, in the order of failover
	absent []string // the clusters that the response does not hold
}

// leaf is a cluster with endpoints of its own.
type leaf struct {
	cluster *xds.Cluster
	inline  *xds.Assignment // the assignment that the cluster holds itself
}

// newTree builds the tree of a target from the clusters of a response.
func (s *subscriptions) newTree(found map[string]*xds.Cluster) (*clusterTree, error) {
	t := &clusterTree{top: found[s.target.Service]}
	if err := s.grow(t, s.target.Service, found, nil); err != nil {
		return nil, err
	}

	return t, nil
}

// grow adds a cluster and, if it is an aggregate cluster, its clusters. above
// holds the aggregate clusters on the way to it. A cluster that is named twice
// keeps its first place.
func (s *subscriptions) grow(t *clusterTree, name string, found map[string]*xds.Cluster,
	above []string) error {
	switch {
	case name == "":
		return errors.New("an aggregate cluster names one without a name")
	case slices.Contains(above, name):
		return fmt.Errorf("the aggregate cluster %.100q is a part of itself", name)
	case slices.Contains(t.names, name):
		return nil
	case len(t.names) == maxClusters:
		return fmt.Errorf("%s is made of more than %d clusters", s.target.Service, maxClusters)
	}

	t.names = append(t.names, name)
	c := found[name]
	if c == nil {
		t.absent = append(t.absent, name)
		return nil
	}

	inline, err := s.usable(c)
	if err != nil {
		if len(above) > 0 {
			err = fmt.Errorf("%.100q: %w", name, err)
		}
		return err
	}
	c.Inline = nil // it would keep the memory of the whole response

	if c.Custom == "" {
		t.leaves = append(t.leaves, leaf{c, inline})
		return nil
	}

	for _, part := range c.Clusters {
		if err := s.grow(t, part, found, append(slices.Clip(above), name)); err != nil {
			return err
		}
	}

	return nil
}

// endpoints returns the names of the assignments to subscribe to.
func (t *clusterTree) endpoints() (names []string) {
	if t == nil {
		return nil
	}

	for _, l := range t.leaves {
		if l.cluster.Type == xds.EDS {
			names = append(names, l.cluster.Endpoints)
		}
	}
	slices.Sort(names)

	return slices.Compact(names)
}

// part is a cluster with its assignment.
type part struct {
	cluster *xds.Cluster
	at      *xds.Assignment
}

// parts returns the known clusters with their assignments, in the order of
// failover. lacking describes what is not known.
func (s *subscriptions) parts() (known []part, lacking []string) {
	if s.tree == nil || s.tree.top == nil {
		return nil, nil
	}

	for _, name := range s.tree.absent {
		lacking = append(lacking, "no cluster "+name)
	}
	for _, l := range s.tree.leaves {
		at := l.inline
		if l.cluster.Type == xds.EDS {
			at = s.assignments[l.cluster.Endpoints]
		}
		if at == nil {
			lacking = append(lacking, fmt.Sprintf("no endpoints %s of the cluster %s",
				l.cluster.Endpoints, l.cluster.Name))
			continue
		}
		known = append(known, part{l.cluster, at})
	}

	return known, lacking
}

// enough reports whether the known clusters may be used. There must be at least
// one, and either nothing is lacking, or something has been lacking for too
// long to wait for it.
func (s *subscriptions) enough(known []part, lacking []string) bool {
	late := !s.partial.IsZero() && wallClock().Sub(s.partial) >= xdsOverdue
	return len(known) > 0 && (len(lacking) == 0 || late)
}

// backendsOf returns the backends of clusters. As in Envoy and gRPC, the
// priorities of a cluster follow those of the clusters before it.
func backendsOf(t Target, parts []part) (answer, error) {
	m := endpointMerge{template: t.Template, names: map[string]int{}}
	count := 0
	for _, p := range parts {
		for i := range p.at.Localities {
			count += len(p.at.Localities[i].Endpoints)
		}
		if count > xds.MaxEndpoints {
			return answer{}, &failure{"refused", fmt.Errorf("the clusters have more than %d "+
				"endpoints together", xds.MaxEndpoints)}
		}
		m.addCluster(p)
	}

	return m.answer(t.Service)
}

// errNoParts is the error for an aggregate cluster that names no clusters.
var errNoParts = errors.New("the aggregate cluster names no clusters")

// lack returns an error that lists what the server has not sent.
func (s *subscriptions) lack(lacking []string) error {
	return &failure{"overdue", fmt.Errorf("the server %s names %s", s.server.Address,
		strings.Join(lacking, ", "))}
}
