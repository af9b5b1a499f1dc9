package proxy

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Probes are questions that we ask ourselves, so that an endpoint is known to be bad before a request finds out. They
// take the way of traffic (its transports, TLS, Host, identity) but are no traffic: nothing of them is counted as a
// request, in flight, in the retry budget or towards an ejection.

const (
	// probesAtOnce bounds how many probes are under way, however many endpoints there are.
	probesAtOnce = 64
	// fastPause is the time between probes while a verdict is changing.
	fastPause = time.Second
	// frozen is by how much a probe that failed may have outlived its time limit before we doubt it.
	frozen = 100 * time.Millisecond
)

// prober has one goroutine for each endpoint that is published.
type prober struct {
	service *service
	check   check
	places  chan struct{}
	running sync.WaitGroup
	watched map[*endpoint]context.CancelFunc
}

// probe asks the endpoints for their health until ctx ends. It covers whatever is published, from then on, and returns
// when its last goroutine has.
func (s *service) probe(ctx context.Context) error {
	if s.cfg.Health.Check == "" {
		return nil
	}
	p := &prober{
		service: s,
		check:   s.newCheck(),
		places:  make(chan struct{}, probesAtOnce),
		watched: make(map[*endpoint]context.CancelFunc),
	}
	defer p.running.Wait()
	for {
		p.follow(ctx)
		select {
		case <-s.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// follow begins to watch the endpoints that are new and leaves those that are gone.
func (p *prober) follow(ctx context.Context) {
	published := p.service.live()
	for ep, stop := range p.watched {
		if !published[ep] {
			stop()
			delete(p.watched, ep)
		}
	}
	for ep := range published {
		if p.watched[ep] == nil {
			watch, stop := context.WithCancel(ctx)
			p.watched[ep] = stop
			p.running.Go(func() { p.watch(watch, ep) })
		}
	}
}

// live is the set of the endpoints that are published now.
func (s *service) live() map[*endpoint]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := make(map[*endpoint]bool, len(s.endpoints))
	for _, ep := range s.endpoints {
		set[ep] = true
	}
	return set
}

// watch probes one endpoint again and again.
func (p *prober) watch(ctx context.Context, ep *endpoint) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		select {
		case p.places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		changing := p.ask(ctx, ep)
		<-p.places
		timer.Reset(p.pause(changing))
	}
}

// ask makes one probe and reports whether the verdict is changing.
func (p *prober) ask(ctx context.Context, ep *endpoint) (changing bool) {
	limit := p.service.cfg.Health.Timeout
	began := time.Now()
	why, err := p.check.ask(ctx, ep, began.Add(limit))
	now := time.Now()
	if ctx.Err() != nil {
		return false // the endpoint left, or we are ending
	}
	if err != nil {
		why = err.Error()
		if now.Sub(began) > limit+limit/2+frozen {
			return true // nobody waited that long: the platform had stopped us, so the failure says nothing
		}
	}
	return p.service.judge(ep, err == nil, why, began, now)
}

// pause is the time until the next probe. The jitter keeps probes of many endpoints, and of many balancers, apart.
func (p *prober) pause(changing bool) time.Duration {
	interval := p.service.cfg.Health.Interval
	if changing {
		return min(fastPause, interval)
	}
	return time.Duration(float64(interval) * (0.8 + 0.4*rand.Float64()))
}
