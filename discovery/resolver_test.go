package discovery

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// deaf is a resolver of the system that must not be asked.
func deaf(t *testing.T) *kinds {
	return &kinds{identity: "auto", interval: time.Second, resolver: &net.Resolver{
		PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			t.Error("the system's resolver is asked")
			return nil, errors.New("deaf")
		}}}
}

// A named server is asked for names as they are written: the search domains of
// this machine are not its own.
func TestResolver_TheNamedServerAloneIsAsked(t *testing.T) {
	t.Parallel()
	server, resolver := newDNSServer(t)
	c, err := resolver.Dial(t.Context(), "udp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	at := c.RemoteAddr().String()
	server.set("redis.service.consul.", "10.0.0.1")
	server.setSRV("_web._tcp.service.consul.", srvRecord{"one.node.consul.", 8080, 1, 1})
	server.set("one.node.consul.", "10.0.0.2")

	for item, want := range map[string]string{
		"dns://redis.service.consul:6379?resolver=" + at: "10.0.0.1:6379",
		"srv://_web._tcp.service.consul?resolver=" + at:  "one.node.consul",
	} {
		target := parseOne(t, item)
		a, err := lookupOf(t, named(target.Kind).source(deaf(t), target))()
		if err != nil || names(a.backends) != want {
			t.Errorf("%s: %+v, %v", item, a, err)
		}
	}
}

func TestResolver_ANestedListMayNotAskTheMetadataServer(t *testing.T) {
	t.Parallel()
	target, problems := grammar{nested: true}.parse([]string{"dns://a:80?resolver=meta.test:53"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	server, system := newDNSServer(t)
	server.set("meta.test.", "169.254.169.254")
	k := &kinds{identity: "auto", interval: time.Second, resolver: system}
	if a, err := lookupOf(t, dnsKind().source(k, target[0]))(); err == nil || stateOf(err) != unreachable {
		t.Errorf("found %+v, %v", a, err)
	}
}

// Package net writes the system's DNS server into its errors, whoever was
// asked. Somebody who reads that looks at the wrong server.
func TestResolver_AFailureNamesTheServerThatWasAsked(t *testing.T) {
	t.Parallel()
	_, resolver := newDNSServer(t)
	c, err := resolver.Dial(t.Context(), "udp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	at := c.RemoteAddr().String()

	for _, item := range []string{"dns://gone.consul:80?resolver=" + at, "srv://gone.consul?resolver=" + at} {
		target := parseOne(t, item)
		_, err := lookupOf(t, named(target.Kind).source(deaf(t), target))()
		if err == nil || !strings.Contains(err.Error(), " on "+at+": no such host") {
			t.Errorf("%s: %v", item, err)
		}
	}
}

// A look-up ends before the wait for all targets does. Its error names what was
// looked up, "no full answer came in time" names nothing.
func TestAsk_ASilentServerIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		silent := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() { _, _ = far.Read(make([]byte, 512)) }()
			return near, nil
		}}
		cfg, _ := config.Load([]string{"LB_BACKENDS=dns://app.test.:80"})
		targets := []Target{parseOne(t, "dns://app.test.:80")}
		answers := Ask(t.Context(), cfg, targets, Options{Resolver: silent})
		if err := answers[0].Err; err == nil || !strings.Contains(err.Error(), "lookup app.test.") {
			t.Errorf("%v", err)
		}
	})
}
