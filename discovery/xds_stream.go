package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/discovery/xds"
)

const (
	// xdsPatience is how long a server may leave a subscription without an
	// answer. After that, the next stream subscribes in the other way: to all
	// clusters, or to one. The time doubles with each such change.
	xdsPatience = 5 * time.Second
	xdsSlowest  = time.Minute

	// xdsOverdue is how long a resource may be missing before it is reported as
	// a failure.
	xdsOverdue = 15 * time.Second
)

// errReopen ends a stream that has to be replaced by a new one.
var errReopen = errors.New("it is replaced")

// subscription is the state of the subscription to one type of resources.
type subscription struct {
	what  string // the resources in words, for messages
	url   string
	names []string // nil: all

	version  string // of the newest accepted response; kept for the next stream
	refusals int    // responses in a row that were refused
	refused  error  // why the newest response was refused; nil: it was accepted

	// The state on the current stream.
	asked    bool
	answered bool
	nonce    string           // nonce of the newest response
	again    <-chan time.Time // fires when a delayed refusal has to be sent; nil: none
}

// subscriptions holds both subscriptions of a source, and what is known of its
// clusters. Only the goroutine of the source uses it.
type subscriptions struct {
	target Target
	log    *slog.Logger
	report func(answer, error)

	server   xds.Server
	node     *xds.Node
	stream   xdsStream
	nodeSent bool // the node was sent on this stream
	heard    bool // the stream has received a response
	silence  *time.Timer
	ticked   time.Time // the time of the last tick

	clusters, endpoints subscription

	// Some servers answer only a wildcard subscription, such as ADS servers
	// with snapshots of go-control-plane. For those, the subscriptions are to
	// all clusters and to the endpoints of all clusters.
	wildcard bool
	all      []string // the names of the assignments of all clusters
	patience time.Duration
	complete time.Time // when the cluster and its endpoints were last known

	tree *clusterTree // the clusters of the newest response; nil: none was received
	// the newest assignments from EDS, by name
	assignments map[string]*xds.Assignment
	partial     time.Time // since when some of the clusters are missing; zero: none is missing
	ignored     []string

	newest answer
	failed error // why newest could not be made
}

func (s *subscriptions) begin(t Target, log *slog.Logger, report func(answer, error)) {
	s.target, s.log, s.report = t, log, report
	s.clusters.what, s.clusters.url = "the clusters", xds.ClusterType
	s.endpoints.what, s.endpoints.url = "the endpoints", xds.AssignmentType
	s.assignments = map[string]*xds.Assignment{}
	s.patience, s.complete = xdsPatience, wallClock()
}

// follow subscribes and handles responses until the stream ends or ctx does. It
// closes the stream.
func (s *subscriptions) follow(ctx context.Context, stream xdsStream) error {
	responses := make(chan received)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	running.Go(func() { receive(ctx, stream, responses) })
	defer running.Wait()
	defer stream.Close()
	defer cancel()

	s.silence = time.NewTimer(s.patience)
	defer s.silence.Stop()
	if err := s.subscribe(stream); err != nil {
		return err
	}

	tick := time.NewTicker(dogTick)
	defer tick.Stop()
	s.ticked = wallClock()
	for {
		if err := s.await(ctx, responses, tick.C); err != nil {
			return err
		}
	}
}

// await waits for the next event of a stream and handles it. An error ends the
// stream.
func (s *subscriptions) await(ctx context.Context, responses <-chan received,
	tick <-chan time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case r := <-responses:
		if r.err != nil {
			return r.err
		}
		return s.take(r.response)
	case <-s.clusters.again:
		return s.send(&s.clusters, s.clusters.refused)
	case <-s.endpoints.again:
		return s.send(&s.endpoints, s.endpoints.refused)
	case <-s.silence.C:
		return s.silent()
	case <-tick:
	}

	now := wallClock()
	late := now.Sub(s.ticked) > frozenAfter
	s.ticked = now
	if late { // the process was frozen; the stream may be dead without an error
		return errReopen
	}
	s.remind(now)

	return nil
}

// received is the result of Recv.
type received struct {
	response xds.Response
	err      error // why the stream has ended
}

func receive(ctx context.Context, stream xdsStream, to chan<- received) {
	for {
		response, err := stream.Recv()
		select {
		case to <- received{response, err}:
		case <-ctx.Done():
			return
		}

		if err != nil {
			return
		}
	}
}

// subscribe subscribes on a new stream. Versions are kept from the stream
// before; nonces are not, because each belongs to one stream.
func (s *subscriptions) subscribe(stream xdsStream) error {
	s.stream, s.nodeSent = stream, false
	for _, sub := range []*subscription{&s.clusters, &s.endpoints} {
		sub.asked, sub.answered, sub.nonce, sub.again = false, false, "", nil
	}

	s.clusters.names = s.clusterNames()
	if err := s.send(&s.clusters, nil); err != nil {
		return err
	}
	if len(s.tree.endpoints()) == 0 {
		s.endpoints.names = nil
	}
	if len(s.endpoints.names) == 0 {
		return nil
	}

	return s.send(&s.endpoints, nil)
}

// clusterNames returns the names of the clusters to subscribe to, or nil for
// all.
func (s *subscriptions) clusterNames() []string {
	switch {
	case s.wildcard:
		return nil
	case s.tree == nil:
		return []string{s.target.Service}
	}

	return s.tree.names
}

// send sends the request of a subscription. If the stream has answered before,
// the request also accepts the newest response, or refuses it if refusal is not
// nil.
func (s *subscriptions) send(sub *subscription, refusal error) error {
	r := &xds.Request{Version: sub.version, Names: sub.names, Type: sub.url, Nonce: sub.nonce}
	if refusal != nil {
		r.Error = refusal.Error()
	}
	if !s.nodeSent {
		r.Node, s.nodeSent = s.node, true
	}

	sub.asked, sub.again = true, nil
	return s.stream.Send(r)
}

// take parses a response, and accepts or refuses it.
func (s *subscriptions) take(r xds.Response) error {
	sub, read := &s.clusters, s.takeClusters
	switch r.Type {
	case s.clusters.url:
	case s.endpoints.url:
		sub, read = &s.endpoints, s.takeEndpoints
	default:
		return &failure{"protocol", fmt.Errorf("a response is of the type %.100q, which nobody "+
			"asked for", r.Type)}
	}

	s.heard = true
	sub.nonce, sub.answered = r.Nonce, true
	if err := read(r.Resources); err != nil {
		return s.refuse(sub, err)
	}

	sub.version, sub.refusals, sub.refused = r.Version, 0, nil
	if err := s.send(sub, nil); err != nil {
		return err
	}
	if sub == &s.clusters {
		if err := s.askEndpoints(); err != nil {
			return err
		}
	}

	s.learn()
	return nil
}

// refuse tells the server what is wrong with the newest response. The resources
// of the accepted response before it stay in use. A server may answer a refusal
// with the same response at once, so further refusals are sent only after a
// pause, which grows.
func (s *subscriptions) refuse(sub *subscription, reason error) error {
	sub.refused = reason
	s.report(answer{}, &failure{"refused", fmt.Errorf("%s that the server names are refused: %w",
		sub.what, reason)})

	sub.refusals++
	if sub.refusals == 1 {
		return s.send(sub, reason)
	}

	sub.again = time.After(min(time.Second<<min(sub.refusals-2, 10), slowestXDS))
	return nil
}

// takeClusters finds the target's clusters in a response. A response holds all
// clusters of the subscription. A missing cluster does not exist, or was not
// subscribed to yet.
func (s *subscriptions) takeClusters(resources []xds.Resource) error {
	found := map[string]*xds.Cluster{}
	var all []string
	for _, r := range resources {
		b, err := r.As(s.clusters.url)
		if err != nil {
			return err
		}
		c, err := xds.ReadCluster(b)
		if err != nil {
			return err
		}

		if c.Type == xds.EDS && c.Custom == "" && c.OnStream {
			all = append(all, c.Endpoints)
		}
		found[c.Name] = c
	}

	tree, err := s.newTree(found)
	if err != nil {
		return err
	}

	slices.Sort(all)
	s.tree, s.all = tree, slices.Compact(all)
	if names := s.clusterNames(); !slices.Equal(names, s.clusters.names) {
		s.clusters.names = names
		s.silence.Reset(s.patience)
	}

	return nil
}

// takeEndpoints finds the clusters' assignments in a response. A response may
// hold only the assignments that changed.
func (s *subscriptions) takeEndpoints(resources []xds.Resource) error {
	wanted, taken := s.tree.endpoints(), map[string]*xds.Assignment{}
	for _, r := range resources {
		b, err := r.As(s.endpoints.url)
		if err != nil {
			return err
		}
		name, err := xds.AssignmentName(b)
		if err != nil {
			return err
		}
		if _, ok := slices.BinarySearch(wanted, name); !ok {
			continue
		}

		a, err := xds.ReadAssignment(b)
		if err == nil {
			err = a.Check()
		}
		if err != nil {
			return err
		}
		taken[name] = a
	}
	maps.Copy(s.assignments, taken)

	return nil
}

// askEndpoints subscribes to the assignments that the clusters name, if the
// names have changed.
func (s *subscriptions) askEndpoints() error {
	names := s.tree.endpoints()
	switch {
	case len(names) == 0:
		return nil
	case s.wildcard:
		names = s.all
	}
	if s.endpoints.asked && slices.Equal(names, s.endpoints.names) {
		return nil
	}

	var refusal error
	if s.endpoints.again != nil {
		refusal = s.endpoints.refused
	}

	s.endpoints.names = names
	s.silence.Reset(s.patience)

	return s.send(&s.endpoints, refusal)
}

// learn converts the current assignment to backends and reports them. While
// some of several clusters are missing, the backends before stay in use: the
// missing clusters may arrive at any moment, and using only the later ones
// would fail over for no reason. After xdsOverdue the known clusters are used
// alone.
func (s *subscriptions) learn() {
	known, lacking := s.parts()
	switch {
	case len(lacking) == 0:
		s.partial = time.Time{}
	case s.partial.IsZero():
		s.partial = wallClock()
	}

	if s.absent() {
		s.report(answer{}, &failure{"gone", fmt.Errorf("the server %s has no cluster %s",
			s.server.Address, s.target.Service)})
	}
	if !s.enough(known, lacking) {
		return
	}

	s.note(known)
	s.newest, s.failed = backendsOf(s.target, known)
	for _, what := range lacking {
		s.newest.refused = append(s.newest.refused, "the server names "+what)
	}
	s.tell()
}

// absent reports whether the server says that it has no such cluster.
func (s *subscriptions) absent() bool {
	return (s.tree == nil || s.tree.top == nil) && s.clusters.answered && s.clusters.refused == nil
}

// note logs the ignored parts of the clusters if they have changed, and removes
// the assignments of other clusters.
func (s *subscriptions) note(known []part) {
	var ignored []string
	kept := map[string]*xds.Assignment{}
	for _, p := range known {
		ignored = slices.Concat(ignored, p.cluster.Ignored, p.at.Ignored)
		if p.cluster.Type == xds.EDS {
			kept[p.cluster.Endpoints] = p.at
		}
	}

	if !slices.Equal(ignored, s.ignored) && len(ignored) > 0 {
		s.log.Info("discovery ignores part of a cluster", "ignored", ignored)
	}
	s.ignored, s.assignments = ignored, kept
}

// tell reports the current backends again, so that their age starts at 0. While
// a newer response is refused, the backends are marked stale, so that the
// failure stays visible.
func (s *subscriptions) tell() {
	s.patience, s.complete = xdsPatience, wallClock()
	s.newest.stale = s.refusing()
	s.report(s.newest, s.failed)
}

func (s *subscriptions) refusing() bool {
	return s.clusters.refused != nil || s.endpoints.refused != nil
}

// silent is called when a subscription had no answer for s.patience. If nothing
// is missing, that is correct: a server need not send again what the client
// has. Otherwise the next stream subscribes in the other way, to all clusters
// or to some.
func (s *subscriptions) silent() error {
	known, lacking := s.parts()
	switch {
	case s.enough(known, lacking):
		s.learn()
		return nil
	case s.refusing(), s.clusters.answered && (s.wildcard || s.absent()):
		return nil
	}

	s.wildcard, s.patience = !s.wildcard, min(2*s.patience, xdsSlowest)
	s.forgetVersions()

	return errReopen
}

// forgetVersions makes the next stream ask for everything.
func (s *subscriptions) forgetVersions() {
	s.clusters.version, s.endpoints.version = "", ""
	s.endpoints.names = nil
}

// remind runs on each tick. It reports the current backends again, so that
// their age stays low while the stream works. If something is missing for too
// long, it reports that as a failure.
func (s *subscriptions) remind(now time.Time) {
	known, lacking := s.parts()
	switch {
	case len(known) > 0 && len(lacking) == 0:
		s.tell()
	case len(known) > 0: // some are missing; learn decides whether for too long
		s.learn()
	case now.Sub(s.complete) < xdsOverdue, s.refusing(), s.absent():
	case len(lacking) > 0:
		s.report(answer{}, s.lack(lacking))
	default:
		s.report(answer{}, &failure{"overdue", fmt.Errorf("the server %s does not answer the "+
			"subscription to the cluster %s (does it know the node %s?)", s.server.Address,
			s.target.Service, s.node.ID)})
	}
}
