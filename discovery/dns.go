package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// lookupDeadline bounds one refresh. It leaves room for the second server of a resolv.conf whose first one is dead,
// which the resolver gives up after 5 s.
const lookupDeadline = 10 * time.Second

// addresses finds the addresses of one DNS name: every A and AAAA record is a backend. Its name is its address, for
// nothing else tells one record from another.
type addresses struct {
	target   Target
	identity string
	resolver *net.Resolver
	families [2]family
}

// family is one address family and its last good answer.
type family struct {
	network string // of net.Resolver.LookupNetIP
	last    []netip.Addr
}

func newDNS(t Target, identity string, r *net.Resolver, interval time.Duration) source {
	a := &addresses{target: t, identity: identity, resolver: r}
	a.families = [2]family{{network: "ip4"}, {network: "ip6"}}
	return &poll{lookup: a.lookup, interval: interval, deadline: lookupDeadline, slowest: interval}
}

func (a *addresses) lookup(ctx context.Context) (answer, error) {
	found, err := a.resolve(ctx)
	if err != nil {
		return answer{}, err
	}
	port, err := strconv.ParseUint(a.target.Port, 10, 16)
	if err != nil {
		return answer{}, fmt.Errorf("reading the port of %s: %w", a.target.Item, err)
	}
	var ans answer
	for _, ip := range found {
		if reason := unusable(ip); reason != "" {
			ans.refused = append(ans.refused, fmt.Sprintf("%s is %s address", ip, reason))
			continue
		}
		b := a.target.Template
		b.Address = netip.AddrPortFrom(ip, uint16(port)).String()
		b.Name = b.Address
		ans.backends = append(ans.backends, identified(b, a.target, a.identity))
	}
	return ans.orEmpty(a.target.Host)
}

// orEmpty turns an answer without backends into a failure, so that the last good one stays.
func (a answer) orEmpty(name string) (answer, error) {
	if len(a.backends) > 0 {
		return a, nil
	}
	if len(a.refused) > 0 {
		return answer{}, &failure{"empty", fmt.Errorf("looking up %s: every address is refused: %v", name, a.refused)}
	}
	return answer{}, &failure{"empty", fmt.Errorf("looking up %s: the answer is empty", name)}
}

// resolve asks for both families at once. One of them may fail for good on a network without it; but a family that
// had addresses and now fails would take its backends away, so then the whole refresh fails.
func (a *addresses) resolve(ctx context.Context) ([]netip.Addr, error) {
	answers := lookupBoth(ctx, a.resolver, a.target.Host)
	var found []netip.Addr
	var failed error
	for i, got := range answers {
		if got.err != nil && !isNotFound(got.err) && len(a.families[i].last) > 0 {
			return nil, lookupFailure(got.err)
		}
		if got.err != nil && (failed == nil || isNotFound(failed)) {
			failed = got.err
		}
		found = append(found, got.addrs...)
	}
	if len(found) == 0 && failed != nil {
		return nil, lookupFailure(failed)
	}
	for i, got := range answers {
		a.families[i].last = got.addrs
	}
	return found, nil
}

// resolved is the answer for one family.
type resolved struct {
	addrs []netip.Addr // sorted, each once
	err   error
}

// lookupBoth resolves the A and the AAAA records of name at the same time.
func lookupBoth(ctx context.Context, r *net.Resolver, name string) (answers [2]resolved) {
	second := make(chan struct{})
	go func() {
		defer close(second)
		answers[1] = lookupFamily(ctx, r, "ip6", name)
	}()
	answers[0] = lookupFamily(ctx, r, "ip4", name)
	<-second
	return answers
}

func lookupFamily(ctx context.Context, r *net.Resolver, network, name string) resolved {
	addrs, err := r.LookupNetIP(ctx, network, name)
	if err != nil {
		return resolved{err: err}
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return resolved{addrs: slices.Compact(addrs)}
}

// isNotFound reports whether a look-up was answered, by saying that there is no such record. (An AddrError comes from
// a hosts file that knows the name in the other family only.)
func isNotFound(err error) bool {
	var dns *net.DNSError
	var other *net.AddrError
	return errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &other)
}

// lookupFailure gives a failed look-up the state that it is logged under.
func lookupFailure(err error) error {
	if isNotFound(err) {
		return &failure{"empty", err}
	}
	return &failure{"unreachable", err}
}
