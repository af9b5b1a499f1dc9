package discovery

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"
)

// askTimeout bounds the connection to a target's own resolver.
const askTimeout = 2 * time.Second

// resolverOf returns the resolver for a target's name: the system's, or one
// that asks only the server in the target.
func (k *kinds) resolverOf(t Target) *net.Resolver {
	if t.Resolver == "" {
		return k.resolver
	}

	dialer := net.Dialer{Timeout: askTimeout, Resolver: k.resolver, Control: t.Template.Control()}
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, t.Resolver)
		},
	}
}

// asked returns a name in the form for the target's resolver. This machine's
// search domains belong to its own resolver, so another resolver gets names
// with a final dot.
func (t Target) asked(name string) string {
	if t.Resolver == "" || strings.HasSuffix(name, ".") {
		return name
	}
	return name + "."
}

// asking returns the failure of a look-up with the server that was asked.
// Package net names the system's server even if another one was dialled.
func (t Target) asking(err error) error {
	var dns *net.DNSError
	if t.Resolver == "" || !errors.As(err, &dns) {
		return err
	}

	named := *dns
	named.Server = t.Resolver

	return &named
}
