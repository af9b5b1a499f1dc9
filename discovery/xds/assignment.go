package xds

import (
	"fmt"
	"slices"
)

// Assignment holds the fields of a ClusterLoadAssignment that Pillion uses: the
// endpoints of a cluster with their addresses.
type Assignment struct {
	Name       string
	Localities []Locality
	Ignored    []string
}

// Locality is a group of endpoints in the same place, such as a zone.
type Locality struct {
	Region, Zone, SubZone string
	Weight                *uint32 // nil if the message has none
	Priority              uint32
	Endpoints             []Endpoint
}

// Health is the HealthStatus that the control plane reports for an endpoint.
type Health int32

// The values of Health. A control plane may send values that are not listed.
const (
	Unknown Health = iota
	Healthy
	Unhealthy
	Draining
	Timeout
	Degraded
)

// Endpoint is an LbEndpoint.
type Endpoint struct {
	Addresses []Address // the main address first, then the additional ones
	Hostname  string
	Health    Health
	Weight    *uint32 // nil if the message has none, which counts as 1
}

// Address is an address of an endpoint.
type Address struct {
	Host  string
	Port  uint32
	Other string // for an address that is not TCP with a numeric port: what it is
}

// Bounds of an assignment.
const (
	MaxEndpoints = 10_000
	maxPlaces    = 8
	maxPriority  = 127
)

// AssignmentName returns the name of a ClusterLoadAssignment. It reads no other
// field.
func AssignmentName(message []byte) (name string, err error) {
	err = walk(message, setOf(1), func(f field) error {
		if f.number == 1 {
			return f.text(&name)
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("reading a ClusterLoadAssignment: %w", err)
	}

	return name, nil
}

// ReadAssignment parses a ClusterLoadAssignment. It returns an error if the
// message is malformed or over a bound. Check judges what the fields say.
func ReadAssignment(message []byte) (*Assignment, error) {
	a, left := &Assignment{}, MaxEndpoints
	err := walk(message, setOf(1, 4), func(f field) error {
		switch f.number {
		case 1:
			return f.text(&a.Name)
		case 2:
			return a.takeLocality(f, &left)
		case 4:
			return a.takePolicy(f)
		}

		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the endpoints %.100q: %w", a.Name, err)
	}
	slices.Sort(a.Ignored)

	return a, nil
}

// takePolicy notes whether a Policy has drop_overloads, which Pillion ignores.
func (a *Assignment) takePolicy(f field) error {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return err
	}

	return walk(inner, 0, func(f field) error {
		if f.number != 2 {
			return nil
		}
		a.ignore("drop_overloads")
		return f.message(nil)
	})
}

func (a *Assignment) ignore(what string) {
	if !slices.Contains(a.Ignored, what) {
		a.Ignored = append(a.Ignored, what)
	}
}

// takeLocality parses a LocalityLbEndpoints. left is how many more endpoints
// the assignment may have.
func (a *Assignment) takeLocality(f field, left *int) error {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return err
	}

	l := Locality{}
	err := walk(inner, setOf(1, 3, 5), func(f field) error {
		switch f.number {
		case 1:
			return l.takeName(f)
		case 2:
			return l.takeEndpoint(f, left)
		case 3:
			l.Weight = new(uint32)
			return f.wrapped(l.Weight)
		case 5:
			return f.number32(&l.Priority)
		case 7, 8:
			a.ignore("lb_config")
			return f.message(nil)
		}

		return nil
	})
	a.Localities = append(a.Localities, l)

	return err
}

// takeName parses a Locality message, which names the locality.
func (l *Locality) takeName(f field) error {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return err
	}

	return walk(inner, setOf(1, 2, 3), func(f field) error {
		switch f.number {
		case 1:
			return f.text(&l.Region)
		case 2:
			return f.text(&l.Zone)
		case 3:
			return f.text(&l.SubZone)
		}

		return nil
	})
}

// takeEndpoint parses an LbEndpoint.
func (l *Locality) takeEndpoint(f field, left *int) error {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return err
	}
	if *left--; *left < 0 {
		return fmt.Errorf("there are more than %d endpoints", MaxEndpoints)
	}

	e := Endpoint{}
	err := walk(inner, setOf(2, 4), func(f field) error {
		switch f.number {
		case 1:
			return e.take(f)
		case 2:
			return f.enum((*int32)(&e.Health))
		case 4:
			e.Weight = new(uint32)
			return f.wrapped(e.Weight)
		case 5:
			e.Addresses = append(e.Addresses, Address{Other: "a reference by name"})
			return f.text(new(string))
		}

		return nil
	}, setOf(1, 5))
	l.Endpoints = append(l.Endpoints, e)

	return err
}

// take parses an Endpoint.
func (e *Endpoint) take(f field) error {
	var inner, first []byte
	var others [][]byte
	if err := f.message(&inner); err != nil {
		return err
	}

	given := false
	err := walk(inner, setOf(1, 3), func(f field) error {
		switch f.number {
		case 1:
			given = true
			return f.message(&first)
		case 3:
			return f.text(&e.Hostname)
		case 4:
			return f.additional(&others)
		}

		return nil
	})
	if err != nil || !given {
		return err
	}

	for _, address := range append([][]byte{first}, others...) {
		p, err := readAddress(address)
		if err != nil {
			return err
		}
		e.Addresses = append(e.Addresses, p)
	}

	return nil
}

// additional parses an AdditionalAddress.
func (f field) additional(into *[][]byte) error {
	var inner, address []byte
	if err := f.message(&inner); err != nil {
		return err
	}
	if len(*into) >= maxPlaces-1 {
		return fmt.Errorf("an endpoint has more than %d addresses", maxPlaces)
	}

	err := walk(inner, setOf(1), func(f field) error {
		if f.number == 1 {
			return f.message(&address)
		}
		return nil
	})
	*into = append(*into, address)

	return err
}

// readAddress parses an Address.
func readAddress(message []byte) (p Address, err error) {
	p.Other = "an address without a place"
	err = walk(message, 0, func(f field) error {
		switch f.number {
		case 1:
			return p.takeSocket(f)
		case 2:
			p.Other = "a pipe"
			return f.message(nil)
		case 3:
			p.Other = "an internal address of Envoy"
			return f.message(nil)
		}

		return nil
	}, setOf(1, 2, 3))

	return p, err
}

// takeSocket parses a SocketAddress.
func (p *Address) takeSocket(f field) error {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return err
	}

	udp, named := false, false
	err := walk(inner, setOf(1, 2), func(f field) error {
		switch f.number {
		case 1:
			var protocol int32
			err := f.enum(&protocol)
			udp = protocol != 0
			return err
		case 2:
			return f.text(&p.Host)
		case 3:
			return f.number32(&p.Port)
		case 4:
			named = true
			return f.text(new(string))
		}

		return nil
	}, setOf(3, 4))

	switch p.Other = ""; {
	case udp:
		p.Other = "a UDP address"
	case named:
		p.Other = "an address with a named port"
	}

	return err
}
