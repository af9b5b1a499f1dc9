package backend

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Probes find out that an endpoint is bad before a request does. They take the
// way of traffic (transports, TLS, Host, identity), but they don't count as
// traffic: not as requests, not in flight, not in the retry budget, not for an
// ejection.

const (
	// probesAtOnce bounds the probes in progress over all endpoints.
	probesAtOnce = 64
	// confirmPause is the time between probes while a verdict is changing.
	confirmPause = time.Second
	// overrun is how far a failed probe may exceed its time limit. One that
	// took longer is ignored, because the process was stopped meanwhile.
	overrun = 100 * time.Millisecond
)

// prober has one goroutine for each published endpoint.
type prober struct {
	service *Service
	check   check
	places  chan struct{}
	running sync.WaitGroup
	watched map[*Endpoint]context.CancelFunc
}

// Run probes the published endpoints until ctx ends. It follows publications,
// and returns after its last goroutine has ended.
func (s *Service) Run(ctx context.Context) error {
	if s.cfg.Health.Check.Kind() == config.NoCheck {
		return nil
	}

	p := &prober{
		service: s,
		check:   s.newCheck(),
		places:  make(chan struct{}, probesAtOnce),
		watched: make(map[*Endpoint]context.CancelFunc),
	}
	defer p.running.Wait()

	ctx = socket.WithoutRelief(ctx)
	for {
		p.follow(ctx)
		select {
		case <-s.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// follow starts to watch new endpoints and stops watching those that are gone.
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

// live returns the set of published endpoints.
func (s *Service) live() map[*Endpoint]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := make(map[*Endpoint]bool, len(s.endpoints))
	for _, ep := range s.endpoints {
		set[ep] = true
	}

	return set
}

// watch probes one endpoint until ctx ends.
func (p *prober) watch(ctx context.Context, ep *Endpoint) {
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

// ask makes one probe. It reports whether the verdict is about to change.
func (p *prober) ask(ctx context.Context, ep *Endpoint) (changing bool) {
	limit := p.service.cfg.Health.Timeout
	began := time.Now()
	why, err := p.check.ask(ctx, ep, began.Add(limit))
	now := time.Now()
	if ctx.Err() != nil {
		return false // the endpoint has left, or the process is ending
	}

	if err != nil {
		if wire.Shortage(err) {
			return false // Pillion's own lack of descriptors
		}

		why = err.Error()
		if now.Sub(began) > limit+limit/2+overrun {
			// The process was stopped, so the failure says nothing.
			return true
		}
	}

	p.service.log.Debug("probe", "backend", ep.Name, "passed", err == nil, "result", why,
		"ms", float64(now.Sub(began).Round(time.Second/100_000))/float64(time.Millisecond))

	return p.service.judge(ep, err == nil, why, began, now)
}

// pause returns the time until the next probe. The jitter keeps the probes of
// many endpoints and many balancers apart.
func (p *prober) pause(changing bool) time.Duration {
	interval := p.service.cfg.Health.Interval
	if changing {
		return min(confirmPause, interval)
	}
	return time.Duration(float64(interval) * (0.8 + 0.4*rand.Float64()))
}
