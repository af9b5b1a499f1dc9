package xds

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Values of Cluster.Type: how the endpoints of a cluster are found.
const (
	Static int32 = iota
	StrictDNS
	LogicalDNS
	EDS
	OriginalDestination
)

// Cluster holds the fields of a Cluster message that Pillion uses.
type Cluster struct {
	Name string
	Type int32
	// Custom is the name of a type that has no number, or "".
	Custom string
	// For an aggregate cluster: the names of its clusters, in the order of
	// failover.
	Clusters []string

	// For EDS: the name of the assignment to ask for, and whether the stream
	// that sent the cluster sends it too.
	Endpoints string
	OnStream  bool

	Inline  []byte // for the other types: the assignment, not parsed yet
	Socket  string // the transport to the endpoints: "" for clear text, TLS, or an unknown name
	Ignored []string
}

// Aggregate is the Custom name of aggregate clusters. aggregateType is the
// message type of their configuration.
const (
	Aggregate     = "envoy.clusters.aggregate"
	aggregateType = "envoy.extensions.clusters.aggregate.v3.ClusterConfig"
)

// TLS is the Socket of a cluster whose endpoints use TLS.
const TLS = "UpstreamTlsContext"

// ignored returns the name of a field that Pillion ignores, because its own
// settings decide that, or because it lacks the feature. It returns "" for any
// other number. Fields that every cluster has are not named, although they are
// ignored as well.
func ignored(number protowire.Number) string {
	switch number {
	case 8:
		return "health_checks"
	case 10:
		return "circuit_breakers"
	case 19:
		return "outlier_detection"
	case 22:
		return "lb_subset_config"
	case 40:
		return "filters"
	case 43:
		return "transport_socket_matches"
	case 59:
		return "transport_socket_matcher"
	}

	return ""
}

// ReadCluster parses a Cluster message. The result refers to the bytes of
// message.
func ReadCluster(message []byte) (*Cluster, error) {
	c := &Cluster{}
	err := walk(message, setOf(1, 3, 24, 33), c.take, setOf(2, 38))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster %.100q: %w", c.Name, err)
	}
	if c.Name == "" {
		return nil, errors.New("a cluster has no name")
	}

	if c.Endpoints == "" {
		c.Endpoints = c.Name
	}
	slices.Sort(c.Ignored)
	c.Ignored = slices.Compact(c.Ignored)

	return c, nil
}

func (c *Cluster) take(f field) error {
	switch f.number {
	case 1:
		return f.text(&c.Name)
	case 2:
		return f.enum(&c.Type)
	case 3:
		return c.takeEDS(f)
	case 24:
		return c.takeSocket(f)
	case 33:
		return f.message(&c.Inline)
	case 38:
		return c.takeCustom(f)
	}

	name := ignored(f.number)
	if name == "" {
		return nil
	}

	c.Ignored = append(c.Ignored, name)
	return f.message(nil)
}

// takeEDS parses an EdsClusterConfig.
func (c *Cluster) takeEDS(f field) error {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return err
	}

	return walk(inner, setOf(1, 2), func(f field) error {
		switch f.number {
		case 1:
			return c.takeConfigSource(f)
		case 2:
			return f.text(&c.Endpoints)
		}

		return nil
	})
}

// takeConfigSource parses a ConfigSource. Its field 3 is ads and its field 5 is
// self: both mean the stream that sent the cluster.
func (c *Cluster) takeConfigSource(f field) error {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return err
	}

	return walk(inner, 0, func(f field) error {
		switch f.number {
		case 1, 2, 8:
			return f.message(nil)
		case 3, 5:
			c.OnStream = true
			return f.message(nil)
		}

		return nil
	}, setOf(1, 2, 3, 5, 8))
}

// takeSocket parses a TransportSocket.
func (c *Cluster) takeSocket(f field) error {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return err
	}

	var config Resource
	name := ""
	err := walk(inner, setOf(1, 3), func(f field) (err error) {
		switch f.number {
		case 1:
			err = f.text(&name)
		case 3:
			config, err = readAny(f)
		}
		return err
	})

	kind := config.Type[strings.LastIndexByte(config.Type, '.')+1:]
	switch {
	case kind == "RawBuffer", kind == "" && name == "envoy.transport_sockets.raw_buffer":
	case kind == "" && name == "envoy.transport_sockets.tls":
		c.Socket = TLS
	case kind == "":
		c.Socket = name
	default:
		c.Socket = kind
	}

	return err
}

// takeCustom parses a CustomClusterType.
func (c *Cluster) takeCustom(f field) error {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return err
	}

	var config Resource
	err := walk(inner, setOf(1, 2), func(f field) (err error) {
		switch f.number {
		case 1:
			err = f.text(&c.Custom)
		case 2:
			config, err = readAny(f)
		}
		return err
	})
	if c.Custom == "" { // otherwise it would look like a cluster of a numbered type
		c.Custom = "?"
	}
	kind := config.Type[strings.LastIndexByte(config.Type, '/')+1:]
	if err != nil || c.Custom != Aggregate || kind != aggregateType {
		return err
	}

	// In the ClusterConfig of an aggregate cluster, field 1 holds the names.
	return walk(config.Value, 0, func(f field) error {
		if f.number != 1 {
			return nil
		}
		c.Clusters = append(c.Clusters, "")
		return f.text(&c.Clusters[len(c.Clusters)-1])
	})
}
