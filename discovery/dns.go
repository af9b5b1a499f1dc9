package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dnsKind is the kind of a DNS name whose addresses are the backends.
func dnsKind() kind {
	return kind{
		name:    DNS,
		schemes: []string{"dns"},
		keys:    []string{"protocol", "host", "resolver"},
		parse:   parseDNS,
		finish:  finishDNS,
		source: func(k *kinds, t Target) source {
			return newDNS(t, k.identity, k.resolverOf(t), k.interval)
		},
	}
}

func parseDNS(p *parser, _, authority string, t *Target) {
	host, port, ok := p.lookupName(authority)
	if !ok {
		return
	}

	t.Host, t.Port = host, port
}

// finishDNS sets the defaults of port and Host.
func finishDNS(_ *parser, t *Target) {
	if t.Port == "" {
		t.Port = t.Template.defaultPort()
	}

	t.Template.Host = t.Template.authority(strings.TrimSuffix(t.Host, "."), t.Port)
}

// lookupDeadline bounds one refresh. It is long enough for the second server of
// a resolv.conf, because the resolver gives up a dead first one after 5 s.
const lookupDeadline = 10 * time.Second

// addresses is the source of a DNS name: every A and AAAA record is a backend.
// A backend's name is its address, because records have no other identity.
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

// orEmpty makes a failure of an answer without backends, so that the last good
// answer stays.
func (a answer) orEmpty(name string) (answer, error) {
	if len(a.backends) > 0 {
		return a, nil
	}

	if len(a.refused) > 0 {
		return answer{}, &failure{"empty", fmt.Errorf("looking up %s: every address is refused: %v",
			name, a.refused)}
	}

	return answer{}, &failure{"empty", fmt.Errorf("looking up %s: the answer is empty", name)}
}

// resolve looks up both families at the same time. On a network with only one
// of them, the other may always fail. But if a family that had addresses fails,
// the whole refresh fails, because otherwise its backends would be removed.
func (a *addresses) resolve(ctx context.Context) ([]netip.Addr, error) {
	answers := lookupBoth(ctx, a.resolver, a.target.asked(a.target.Host))
	var found []netip.Addr
	var failed error
	for i, got := range answers {
		if got.err != nil && !isNotFound(got.err) && len(a.families[i].last) > 0 {
			return nil, lookupFailure(a.target.asking(got.err))
		}

		if got.err != nil && (failed == nil || isNotFound(failed)) {
			failed = got.err
		}

		found = append(found, got.addrs...)
	}

	if len(found) == 0 && failed != nil {
		return nil, lookupFailure(a.target.asking(failed))
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

// isNotFound reports whether a look-up got the answer that there is no such
// record. An AddrError comes from a hosts file that has the name only in the
// other family.
func isNotFound(err error) bool {
	var dns *net.DNSError
	var other *net.AddrError
	return errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &other)
}

// lookupFailure makes a failure of a failed look-up, with the state for the
// log.
func lookupFailure(err error) error {
	if isNotFound(err) {
		return &failure{"empty", err}
	}
	return &failure{"unreachable", err}
}
