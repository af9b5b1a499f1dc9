package xds

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
)

// Check returns an error for an assignment that gRPC and Envoy refuse too: a
// weight of 0, a sum of weights that is too large, a missing priority, or the
// same address twice.
func (a *Assignment) Check() error {
	seen := map[string]bool{}
	weights := map[uint32]uint64{} // sum of the localities' weights, by priority
	for i := range a.Localities {
		l := &a.Localities[i]
		if l.Priority > maxPriority {
			return fmt.Errorf("a priority is %d and not from 0 to %d", l.Priority, maxPriority)
		}

		weights[l.Priority] += uint64(l.given())
		if weights[l.Priority] > math.MaxUint32 {
			return errors.New("the weights of the localities are too large together")
		}

		if err := l.check(seen); err != nil {
			return err
		}
	}

	for priority := range uint32(len(weights)) {
		if _, ok := weights[priority]; !ok {
			return fmt.Errorf("there is no priority %d, but a higher one", priority)
		}
	}

	return nil
}

// given returns a locality's weight, or 0 if it has none.
func (l *Locality) given() uint32 {
	if l.Weight == nil {
		return 0
	}
	return *l.Weight
}

// check judges the endpoints of a locality. seen holds the addresses of the
// localities before, and gets those of this one.
func (l *Locality) check(seen map[string]bool) error {
	var sum uint64
	for i := range l.Endpoints {
		e := &l.Endpoints[i]
		if len(e.Addresses) == 0 {
			return errors.New("an endpoint has no address")
		}
		if e.Weight != nil && *e.Weight == 0 {
			return fmt.Errorf("the weight of %s is 0", e.Addresses[0])
		}
		if sum += uint64(e.Share()); sum > math.MaxUint32 {
			return errors.New("the weights of a locality's endpoints are too large together")
		}

		for _, p := range e.Addresses {
			if p.Other != "" {
				continue
			}
			if p.Host == "" || p.Port == 0 || p.Port > math.MaxUint16 {
				return fmt.Errorf("%q with the port %d is no address", p.Host, p.Port)
			}
			if seen[p.String()] {
				return fmt.Errorf("the address %s is there twice", p)
			}
			seen[p.String()] = true
		}
	}

	return nil
}

// Share returns the endpoint's weight among the endpoints of its locality.
func (e *Endpoint) Share() uint32 {
	if e.Weight == nil {
		return 1
	}
	return *e.Weight
}

// String returns host:port, or Other if it is not "".
func (p Address) String() string {
	if p.Other != "" {
		return p.Other
	}
	return net.JoinHostPort(p.Host, strconv.FormatUint(uint64(p.Port), 10))
}
