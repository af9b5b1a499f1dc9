package discovery

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// srvKind is the kind of an SRV name whose records are the backends.
func srvKind() kind {
	return kind{
		name:    SRV,
		schemes: []string{"srv"},
		keys:    []string{"protocol", "host", "resolver"},
		parse:   parseSRV,
		source: func(k *kinds, t Target) source {
			return newSRV(t, k.identity, k.resolverOf(t), k.interval)
		},
	}
}

func parseSRV(p *parser, _, authority string, t *Target) {
	host, port, ok := p.lookupName(authority)
	if ok && port != "" {
		p.failf("srv://_http._tcp.name", "a port is refused: SRV records carry it")
		return
	}

	t.Host = host
}

// srvParallel is the number of SRV targets that are resolved at the same time.
const srvParallel = 8

// services is the source of an SRV name: each record is a backend. Its name is
// the record's target, so it keeps its sessions when its address changes.
// Addresses are resolved here and not when they are dialled, so that forbidden
// addresses can be refused.
type services struct {
	target   Target
	identity string
	resolver *net.Resolver
	last     map[string]place // by the record's target
}

// place is the address of an SRV target, and one of the other family, if there
// is one.
type place struct{ address, fallback netip.Addr }

func newSRV(t Target, identity string, r *net.Resolver, interval time.Duration) source {
	s := &services{target: t, identity: identity, resolver: r, last: map[string]place{}}
	return &poll{lookup: s.lookup, interval: interval, deadline: 2 * lookupDeadline,
		slowest: interval}
}

func (s *services) lookup(ctx context.Context) (answer, error) {
	_, records, err := s.resolver.LookupSRV(ctx, "", "", s.target.asked(s.target.Host))
	if err != nil && len(records) == 0 {
		return answer{}, lookupFailure(s.target.asking(err))
	}

	var a answer
	if err != nil {
		a.refused = append(a.refused, err.Error())
	}

	records = slices.DeleteFunc(records, func(r *net.SRV) bool {
		r.Target = strings.ToLower(strings.TrimSuffix(r.Target, "."))
		reason := hostProblem(r.Target)
		if r.Target != "" && reason != "" { // a single dot means that the service does not exist
			a.refused = append(a.refused, fmt.Sprintf("the target %q %s", r.Target, reason))
		}

		return reason != "" || r.Port == 0
	})

	records = onePerEndpoint(records)
	places := s.locate(ctx, records)
	for _, r := range records {
		p, ok := places[r.Target]
		if !ok {
			a.refused = append(a.refused, fmt.Sprintf("the target %q has no usable address",
				r.Target))
			continue
		}

		a.backends = append(a.backends, identified(s.backend(r, p, records), s.target, s.identity))
	}

	if len(places) > 0 { // otherwise the last good answer stays, with its places
		s.last = places
	}

	slices.Sort(a.refused)
	a.refused = slices.Compact(a.refused)
	return a.orEmpty(s.target.Host)
}

// onePerEndpoint sorts records. Of records with the same target and port, it
// keeps the one with the lowest priority number.
func onePerEndpoint(records []*net.SRV) []*net.SRV {
	slices.SortFunc(records, func(a, b *net.SRV) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port),
			cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight))
	})
	return slices.CompactFunc(records, func(a, b *net.SRV) bool {
		return a.Target == b.Target &&
			a.Port == b.Port
	})
}

// backend returns the backend of one record. Its name has the port only if
// several records have the target. A weight of 0 means "seldom" in a record
// (RFC 2782), but "no new sessions" in a backend, so it becomes 1.
func (s *services) backend(r *net.SRV, p place, all []*net.SRV) Backend {
	b := s.target.Template
	port := strconv.Itoa(int(r.Port))
	b.Name = r.Target

	for _, other := range all {
		if other.Target == r.Target && other.Port != r.Port {
			b.Name = r.Target + ":" + port
		}
	}

	b.Host = b.authority(r.Target, port)
	b.Address = netip.AddrPortFrom(p.address, r.Port).String()
	if p.fallback.IsValid() {
		b.Fallback = netip.AddrPortFrom(p.fallback, r.Port).String()
	}

	b.Weight = max(int(r.Weight), 1)
	b.Priority = int(r.Priority)
	return b
}

// locate resolves the targets of records. If a look-up fails, the target keeps
// its place; a target without any place is left out.
func (s *services) locate(ctx context.Context, records []*net.SRV) map[string]place {
	places := map[string]place{}
	var mu sync.Mutex
	var running sync.WaitGroup
	slots := make(chan struct{}, srvParallel)
	asked := map[string]bool{}

	for _, r := range records {
		if asked[r.Target] {
			continue
		}

		asked[r.Target] = true
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if p, ok := s.place(ctx, r.Target); ok {
				mu.Lock()
				defer mu.Unlock()
				places[r.Target] = p
			}
		})
	}

	running.Wait()
	return places
}

// place returns the place of target: the same as before, if that is still one
// of its addresses, else its lowest IPv4 or IPv6 address.
func (s *services) place(ctx context.Context, target string) (place, bool) {
	old, known := s.last[target]
	answers := lookupBoth(ctx, s.resolver, s.target.asked(target))
	var p place
	for _, got := range answers {
		if got.err != nil && !isNotFound(got.err) && known {
			return old, true
		}

		addrs := slices.DeleteFunc(got.addrs, func(a netip.Addr) bool { return unusable(a) != "" })
		if len(addrs) == 0 {
			continue
		}

		chosen := addrs[0]
		if slices.Contains(addrs, old.address) {
			chosen = old.address
		} else if slices.Contains(addrs, old.fallback) {
			chosen = old.fallback
		}

		if p.address.IsValid() {
			p.fallback = chosen
		} else {
			p.address = chosen
		}
	}

	return p, p.address.IsValid()
}
