package front

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// ErrEndedAtOnce means that a second signal cut what was in progress.
var ErrEndedAtOnce = errors.New("ended at once by a second signal")

// Run serves the port until the first signal, then ends in order within
// LB_DRAIN_TIMEOUT. It returns nil after that, ErrEndedAtOnce after a second
// signal, and otherwise the error of the listener.
func (s *Server) Run(signals <-chan os.Signal) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http1.Serve(s.listener) }()
	s.logStart()
	releaseStart()

	select {
	case err := <-failed:
		s.options.Logger.Error("listener failed", "error", err.Error())
		return err
	case first := <-signals:
		s.options.Logger.Info("stopping", "signal", first.String())
		return s.end(signals, first == os.Interrupt)
	}
}

// end drains the server, or closes it when a second signal comes.
func (s *Server) end(signals <-chan os.Signal, terminal bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.process.DrainTimeout)
	defer cancel()

	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.drain(ctx, terminal)
	}()

	select {
	case <-drained:
	case second := <-signals:
		s.options.Logger.Warn("second signal, ending at once", "signal", second.String())
		s.Close()
		return ErrEndedAtOnce
	}

	requests, tunnels := s.options.Active()
	s.Close()
	s.options.Logger.Info("stopped", "cut_requests", requests, "cut_tunnels", tunnels)

	return nil
}

// drain ends the server in order, and returns when ctx ends at the latest:
//
//  1. It continues to accept connections for a time that depends on the role,
//     so that a balancer in front notices.
//  2. The listener closes, and requests in progress end.
//  3. The tunnels end, when the last request has ended or little time is left.
//
// At a terminal there is no balancer in front, so it stops accepting at once.
func (s *Server) drain(ctx context.Context, terminal bool) {
	s.options.Draining()

	switch {
	case terminal:
	case s.process.Role == config.Egress:
		s.untilUnused(ctx)
	case s.process.DrainDelay > 0:
		s.http1.Drain()
		pause(ctx, s.process.DrainDelay)
	}

	var both sync.WaitGroup
	both.Go(func() { s.http1.Shutdown(ctx) })
	both.Go(func() { s.http2.Shutdown(ctx) })
	s.options.EndTunnels(ctx)
	both.Wait()
}

// untilUnused waits, in role egress, until the app has closed its connections
// and opened no new one for a second.
func (s *Server) untilUnused(ctx context.Context) {
	begun := time.Now()
	for ctx.Err() == nil && min(time.Since(begun), s.http1.Unused()) < time.Second {
		pause(ctx, 20*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()

	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
