package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/discovery/xds"
	"google.golang.org/protobuf/encoding/protowire"
)

// controlPlane is the far side of the streams of one source, in a bubble of
// synctest.
type controlPlane struct {
	t        *testing.T
	source   *clusterSource
	streams  chan *planeStream
	mu       sync.Mutex
	reports  []planeReport
	opened   atomic.Int64
	refusing atomic.Bool // no stream can be opened
}

type planeReport struct {
	answer answer
	err    error
}

type planeStream struct {
	requests  chan *xds.Request
	responses chan received
	closed    chan struct{}
}

func (s *planeStream) Send(r *xds.Request) error { s.requests <- r; return nil }

func (s *planeStream) Recv() (xds.Response, error) {
	select {
	case r := <-s.responses:
		return r.response, r.err
	case <-s.closed:
		return xds.Response{}, &xds.Ended{Reason: "closed"}
	}
}

func (s *planeStream) Close() { close(s.closed) }

// withPlane runs a source of the cluster app beside a test.
func withPlane(t *testing.T, test func(*controlPlane)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &controlPlane{t: t, streams: make(chan *planeStream, 1000)}
		p.source = &clusterSource{target: Target{Service: "app", Template: Backend{Weight: 1}},
			log: slog.New(slog.DiscardHandler)}
		p.source.bootstrap = func() (*xds.Bootstrap, error) {
			return &xds.Bootstrap{Servers: []xds.Server{{Address: "plane:1"}}, Node: xds.Node{ID: "lb"}}, nil
		}
		p.source.open = func(context.Context, xds.Server) (xdsStream, error) {
			if p.opened.Add(1); p.refusing.Load() {
				return nil, errors.New("refused")
			}
			s := &planeStream{requests: make(chan *xds.Request, 100), responses: make(chan received),
				closed: make(chan struct{})}
			p.streams <- s
			return s, nil
		}

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.source.run(ctx, func(a answer, err error) {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.reports = append(p.reports, planeReport{a, err})
			})
		}()
		test(p)
		cancel()
		<-done
	})
}

func (p *controlPlane) stream() *planeStream {
	p.t.Helper()
	select {
	case s := <-p.streams:
		return s
	case <-time.After(10 * time.Minute):
		p.t.Fatal("no stream is opened")
		return nil
	}
}

// wants takes the next request and compares it: type, version, nonce, names.
func (p *controlPlane) wants(s *planeStream, want string) *xds.Request {
	p.t.Helper()
	select {
	case r := <-s.requests:
		got := strings.TrimSpace(fmt.Sprintf("%s v=%s n=%s %s",
			map[string]string{xds.ClusterType: "CDS", xds.AssignmentType: "EDS"}[r.Type], r.Version, r.Nonce,
			strings.Join(r.Names, ",")))
		if r.Node != nil {
			got += " node=" + r.Node.ID
		}
		if r.Error != "" {
			got += " refused"
		}
		if got != want {
			p.t.Errorf("the request is %q and not %q (%s)", got, want, r.Error)
		}
		return r
	case <-time.After(10 * time.Minute):
		p.t.Fatalf("%q is not asked", want)
		return nil
	}
}

func (p *controlPlane) quiet(s *planeStream, d time.Duration) {
	p.t.Helper()
	select {
	case r := <-s.requests:
		p.t.Errorf("an unexpected request: %+v", r)
	case <-time.After(d):
	}
}

func (p *controlPlane) last() planeReport {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.reports) == 0 {
		p.t.Fatal("nothing is reported")
	}
	return p.reports[len(p.reports)-1]
}

// knowsNothing fails if anything was reported so far.
func (p *controlPlane) knowsNothing() {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.reports) > 0 {
		p.t.Errorf("reported %+v", p.reports)
	}
}

func (p *controlPlane) knows(want string) {
	p.t.Helper()
	if r := p.last(); r.err != nil || names(r.answer.backends) != want {
		p.t.Errorf("reported %+v and not %s", r, want)
	}
}

func (p *controlPlane) fails(want string) {
	p.t.Helper()
	if r := p.last(); r.err == nil || !strings.Contains(r.err.Error(), want) {
		p.t.Errorf("reported %+v and not %q", r, want)
	}
}

// sends gives a response of version and nonce n.
func (s *planeStream) sends(kind, n string, resources ...[]byte) {
	r := xds.Response{Type: kind, Version: "v" + n, Nonce: "n" + n}
	for _, b := range resources {
		r.Resources = append(r.Resources, xds.Resource{Type: kind, Value: b})
	}
	s.responses <- received{response: r}
}

func (s *planeStream) ends() { s.responses <- received{err: &xds.Ended{Reason: "the server is gone"}} }

func inner(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

func integer(number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
}

// edsCluster is a cluster whose endpoints have a name.
func edsCluster(name, endpoints string) []byte {
	config := slices.Concat(inner(1, inner(3, nil)), inner(2, []byte(endpoints)))
	return slices.Concat(inner(1, []byte(name)), integer(2, uint64(xds.EDS)), inner(3, config))
}

// endpointsOf are endpoints of a name. "bad" is one that is refused.
func endpointsOf(name string, hosts ...string) []byte {
	var locality []byte
	for _, host := range hosts {
		socket := slices.Concat(inner(2, []byte(host)), integer(3, 80))
		if host == "bad" {
			socket = inner(2, []byte(host))
		}
		locality = append(locality, inner(2, inner(1, inner(1, inner(1, socket))))...)
	}

	return slices.Concat(inner(1, []byte(name)), inner(2, locality))
}

// settled is a stream on which the cluster and its endpoints are known.
func (p *controlPlane) settled() *planeStream {
	p.t.Helper()
	s := p.stream()
	p.wants(s, "CDS v= n= app node=lb")
	s.sends(xds.ClusterType, "1", edsCluster("app", "app-eds"))
	p.wants(s, "CDS v=v1 n=n1 app")
	p.wants(s, "EDS v= n= app-eds")
	s.sends(xds.AssignmentType, "2", endpointsOf("app-eds", "10.0.0.1"))
	p.wants(s, "EDS v=v2 n=n2 app-eds")
	p.knows("10.0.0.1:80")

	return s
}

func TestXDSStream_VersionsOutliveAStreamAndNoncesDoNot(t *testing.T) {
	withPlane(t, func(p *controlPlane) {
		s := p.settled()
		began := time.Now()
		s.ends()
		s = p.stream()
		if took := time.Since(began); took < 900*time.Millisecond || took > 1200*time.Millisecond {
			t.Errorf("the next stream came after %s", took)
		}
		p.wants(s, "CDS v=v1 n= app node=lb")
		p.wants(s, "EDS v=v2 n= app-eds")
		p.knows("10.0.0.1:80")

		// The server says nothing of what has not changed. That is no failure.
		p.quiet(s, 10*time.Minute)
		p.knows("10.0.0.1:80")
		if p.opened.Load() != 2 {
			t.Errorf("%d streams were opened", p.opened.Load())
		}
		s.sends(xds.AssignmentType, "3", endpointsOf("app-eds", "10.0.0.2"), endpointsOf("other", "bad"))
		p.wants(s, "EDS v=v3 n=n3 app-eds")
		p.knows("10.0.0.2:80")
	})
}

func TestXDSStream_ARefusalIsRepeatedAfterPauses(t *testing.T) {
	withPlane(t, func(p *controlPlane) {
		s := p.settled()
		for i, pause := range []time.Duration{0, 1, 2, 4, 8, 16, 30, 30} {
			began := time.Now()
			s.sends(xds.AssignmentType, "3", endpointsOf("app-eds", "10.0.0.2", "bad"))
			p.fails("is no address")
			r := p.wants(s, "EDS v=v2 n=n3 app-eds refused")
			if took := time.Since(began); took != pause*time.Second || !strings.Contains(r.Error, "is no address") {
				t.Errorf("refusal %d after %s: %s", i, took, r.Error)
			}
		}

		// The other type goes on meanwhile, and does not end the failure.
		s.sends(xds.ClusterType, "4", edsCluster("app", "app-eds"))
		p.wants(s, "CDS v=v4 n=n4 app")
		if r := p.last(); !r.answer.stale || names(r.answer.backends) != "10.0.0.1:80" {
			t.Errorf("reported %+v", r)
		}

		// A good one that comes before the refusal is sent is taken at once.
		s.sends(xds.AssignmentType, "5", endpointsOf("app-eds", "bad"))
		s.sends(xds.AssignmentType, "6", endpointsOf("app-eds", "10.0.0.3"))
		p.wants(s, "EDS v=v6 n=n6 app-eds")
		p.knows("10.0.0.3:80")
		if p.last().answer.stale {
			t.Error("it is still stale")
		}
		p.quiet(s, time.Minute)
	})
}

func TestXDSStream_PausesOutliveAStream(t *testing.T) {
	withPlane(t, func(p *controlPlane) {
		s := p.settled()
		refused := 0
		began := time.Now()
		for time.Since(began) < 5*time.Minute {
			s.sends(xds.AssignmentType, "3", endpointsOf("app-eds", "bad"))
			if r := <-s.requests; r.Error != "" {
				refused++
			}
			s.ends()
			s = p.stream()
			p.wants(s, "CDS v=v1 n= app node=lb")
			p.wants(s, "EDS v=v2 n= app-eds")
		}
		if refused > 20 || p.opened.Load() > 25 {
			t.Errorf("refused %d times on %d streams", refused, p.opened.Load())
		}
	})
}

func TestXDSStream_SilenceIsAskedInTheOtherWay(t *testing.T) {
	withPlane(t, func(p *controlPlane) {
		began := time.Now()
		s := p.stream()
		p.wants(s, "CDS v= n= app node=lb")
		s.sends(xds.ClusterType, "1", edsCluster("app", ""))
		p.wants(s, "CDS v=v1 n=n1 app")
		p.wants(s, "EDS v= n= app")

		s = p.stream()
		if took := time.Since(began); took < xdsPatience || took > xdsPatience+time.Second {
			t.Errorf("asked again after %s", took)
		}
		p.wants(s, "CDS v= n= node=lb")
		s.sends(xds.ClusterType, "2", edsCluster("other", "b"), edsCluster("app", "a"), edsCluster("third", "b"))
		p.wants(s, "CDS v=v2 n=n2")
		p.wants(s, "EDS v= n= a,b")
		p.quiet(s, 9*time.Second)
		p.quiet(s, 5*time.Minute)
		p.fails("names no endpoints a of the cluster app")

		s.sends(xds.AssignmentType, "3", endpointsOf("b", "10.0.0.9"), endpointsOf("a", "10.0.0.1"))
		p.wants(s, "EDS v=v3 n=n3 a,b")
		p.knows("10.0.0.1:80")
		s.sends(xds.ClusterType, "4", edsCluster("app", "a"))
		p.wants(s, "CDS v=v4 n=n4")
		p.wants(s, "EDS v=v3 n=n3 a")
		p.knows("10.0.0.1:80")
		s.ends()
		s = p.stream()
		p.wants(s, "CDS v=v4 n= node=lb")
	})
}

func TestXDSStream_AServerThatSaysNothingIsNotHammered(t *testing.T) {
	withPlane(t, func(p *controlPlane) {
		began, asked := time.Now(), map[string]int{}
		for time.Since(began) < 10*time.Minute {
			select {
			case s := <-p.streams:
				asked[strings.Join((<-s.requests).Names, ",")]++
			case <-time.After(time.Minute + time.Second):
				t.Fatal("nothing is asked any more")
			}
		}
		p.fails("does it know the node lb?")
		if asked["app"] < 4 || asked[""] < 4 || p.opened.Load() > 16 {
			t.Errorf("asked %v on %d streams", asked, p.opened.Load())
		}
	})
}

func TestXDSStream_AServerThatIsAwayIsNotHammered(t *testing.T) {
	withPlane(t, func(p *controlPlane) {
		s := p.settled()
		p.refusing.Store(true)
		s.ends()
		time.Sleep(10 * time.Minute)
		p.fails("opening a stream to plane:1: refused")
		if p.opened.Load() > 30 {
			t.Errorf("tried %d times", p.opened.Load())
		}
		p.refusing.Store(false)
		s = p.stream()
		p.wants(s, "CDS v=v1 n= app node=lb")
		p.wants(s, "EDS v=v2 n= app-eds")
		time.Sleep(6 * time.Second)
		p.knows("10.0.0.1:80")
	})
}

func TestXDSStream_AClusterThatIsGoneKeepsItsEndpoints(t *testing.T) {
	withPlane(t, func(p *controlPlane) {
		s := p.settled()
		s.sends(xds.ClusterType, "3")
		p.wants(s, "CDS v=v3 n=n3 app")
		p.fails("plane:1 has no cluster app")
		p.quiet(s, time.Minute)
		p.fails("plane:1 has no cluster app")
		s.sends(xds.ClusterType, "4", edsCluster("app", "app-eds"))
		p.wants(s, "CDS v=v4 n=n4 app")
		p.knows("10.0.0.1:80")
	})
}

func TestXDSStream_WhatIsNoProtocolEndsTheStream(t *testing.T) {
	withPlane(t, func(p *controlPlane) {
		s := p.settled()
		s.sends("type.googleapis.com/other", "3")
		p.fails("which nobody asked for")
		began := time.Now()
		s = p.stream()
		if time.Since(began) < 900*time.Millisecond {
			t.Error("the next stream came at once")
		}
		p.wants(s, "CDS v=v1 n= app node=lb")
		p.wants(s, "EDS v=v2 n= app-eds")
		s.responses <- received{response: xds.Response{Type: xds.ClusterType, Version: "v4", Nonce: "n4",
			Resources: []xds.Resource{{Type: xds.AssignmentType}}}}
		p.wants(s, "CDS v=v1 n=n4 app refused")
		p.fails("a resource is of the type")
	})
}

// aggregateOf is a cluster that is made of others.
func aggregateOf(name string, parts ...string) []byte {
	var config []byte
	for _, part := range parts {
		config = append(config, inner(1, []byte(part))...)
	}
	const kind = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"
	settings := slices.Concat(inner(1, []byte(kind)), inner(2, config))
	custom := slices.Concat(inner(1, []byte(xds.Aggregate)), inner(2, settings))
	return slices.Concat(inner(1, []byte(name)), inner(38, custom))
}

func TestXDSStream_ClustersOfAnAggregateAreAskedForAndWaitedFor(t *testing.T) {
	withPlane(t, func(p *controlPlane) {
		s := p.stream()
		p.wants(s, "CDS v= n= app node=lb")
		s.sends(xds.ClusterType, "1", aggregateOf("app", "b", "more"))
		p.wants(s, "CDS v=v1 n=n1 app,b,more")
		s.sends(xds.ClusterType, "2", aggregateOf("more", "b", "c"), edsCluster("b", "b-eds"),
			aggregateOf("app", "b", "more"))
		p.wants(s, "CDS v=v2 n=n2 app,b,more,c")
		p.wants(s, "EDS v= n= b-eds")
		s.sends(xds.AssignmentType, "3", endpointsOf("b-eds", "10.0.0.2"))
		p.wants(s, "EDS v=v3 n=n3 b-eds")

		// What is for failover comes alone at no time.
		all := [][]byte{aggregateOf("app", "c", "b"), edsCluster("b", "b-eds"), edsCluster("c", "c-eds")}
		s.sends(xds.ClusterType, "4", all...)
		p.wants(s, "CDS v=v4 n=n4 app,c,b")
		p.wants(s, "EDS v=v3 n=n3 b-eds,c-eds")
		p.knowsNothing()
		s.sends(xds.AssignmentType, "5", endpointsOf("c-eds", "10.0.0.3"))
		p.wants(s, "EDS v=v5 n=n5 b-eds,c-eds")
		p.knows("10.0.0.2:80 10.0.0.3:80")
		if of := p.last().answer.backends; of[0].Priority != 1 || of[1].Priority != 0 {
			t.Errorf("the priorities are %+v", of)
		}

		// The next stream asks for all of them at once.
		s.ends()
		s = p.stream()
		p.wants(s, "CDS v=v4 n= app,c,b node=lb")
		p.wants(s, "EDS v=v5 n= b-eds,c-eds")
		p.quiet(s, 10*time.Minute)
		p.knows("10.0.0.2:80 10.0.0.3:80")

		// An update that can't be meant changes nothing.
		var many []string
		for i := range maxClusters {
			many = append(many, fmt.Sprint("part-", i))
		}
		for _, bad := range [][]byte{aggregateOf("app", "c", "app"), aggregateOf("app"), aggregateOf("app", ""),
			aggregateOf("app", many...)} {
			s.sends(xds.ClusterType, "6", append([][]byte{bad}, all[1:]...)...)
			p.fails("are refused")
			p.wants(s, "CDS v=v4 n=n6 app,c,b refused")
		}
		s.sends(xds.ClusterType, "7", aggregateOf("app", "b"), edsCluster("b", "b-eds"))
		p.wants(s, "CDS v=v7 n=n7 app,b")
		p.wants(s, "EDS v=v5 n= b-eds")
		p.knows("10.0.0.2:80")
	})
}

func TestXDSStream_APartOfAnAggregateThatStaysAwayIsLeftOut(t *testing.T) {
	withPlane(t, func(p *controlPlane) {
		s := p.stream()
		p.wants(s, "CDS v= n= app node=lb")
		s.sends(xds.ClusterType, "1", aggregateOf("app", "b", "c"))
		p.wants(s, "CDS v=v1 n=n1 app,b,c")
		s.sends(xds.ClusterType, "2", aggregateOf("app", "b", "c"), edsCluster("c", "c-eds"))
		began := time.Now()
		p.wants(s, "CDS v=v2 n=n2 app,b,c")
		p.wants(s, "EDS v= n= c-eds")
		s.sends(xds.AssignmentType, "3", endpointsOf("c-eds", "10.0.0.3"))
		p.wants(s, "EDS v=v3 n=n3 c-eds")

		// The server is asked for all clusters, which it may know under that
		// question alone.
		s = p.stream()
		p.wants(s, "CDS v= n= node=lb")
		s.sends(xds.ClusterType, "4", aggregateOf("app", "b", "c"), edsCluster("c", "c-eds"))
		p.wants(s, "CDS v=v4 n=n4")
		p.wants(s, "EDS v= n= c-eds")
		s.sends(xds.AssignmentType, "5", endpointsOf("c-eds", "10.0.0.3"))
		p.wants(s, "EDS v=v5 n=n5 c-eds")
		time.Sleep(time.Until(began.Add(xdsOverdue - time.Second)))
		p.knowsNothing()
		time.Sleep(dogTick + time.Second)
		p.knows("10.0.0.3:80")
		if said := p.last().answer.refused; !slices.Equal(said, []string{"the server names no cluster b"}) {
			t.Errorf("said %q", said)
		}
		p.quiet(s, 10*time.Minute)
		p.knows("10.0.0.3:80")

		// A cluster that comes is used, and one that goes is kept for a while.
		s.sends(xds.ClusterType, "6", aggregateOf("app", "b", "c"), edsCluster("c", "c-eds"), edsCluster("b", "b-eds"))
		p.wants(s, "CDS v=v6 n=n6")
		p.wants(s, "EDS v=v5 n=n5 b-eds,c-eds")
		s.sends(xds.AssignmentType, "7", endpointsOf("b-eds", "10.0.0.2"))
		p.wants(s, "EDS v=v7 n=n7 b-eds,c-eds")
		p.knows("10.0.0.2:80 10.0.0.3:80")
		s.sends(xds.ClusterType, "8", aggregateOf("app", "b", "c"), edsCluster("c", "c-eds"))
		p.wants(s, "CDS v=v8 n=n8")
		p.wants(s, "EDS v=v7 n=n7 c-eds")
		p.knows("10.0.0.2:80 10.0.0.3:80")
		time.Sleep(xdsOverdue + dogTick)
		p.knows("10.0.0.3:80")
	})
}
