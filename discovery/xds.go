package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/xds"
)

// xdsKind is the kind xds://CLUSTER. Its backends are the endpoints of a
// cluster, which a control plane sends by xDS: CDS and EDS over an ADS stream.
// Pillion does not subscribe to listeners and routes (LDS, RDS), because its
// own routes decide which requests go to which service.
func xdsKind() kind {
	return kind{
		name:    XDS,
		schemes: []string{"xds"},
		keys:    []string{"server", "tls", "node", "protocol", "host"},
		parse:   parseXDS,
		finish:  finishXDS,
		source:  newXDS,
	}
}

const xdsForm = "xds://CLUSTER?server=HOST:PORT, or xds://CLUSTER and GRPC_XDS_BOOTSTRAP"

// parseXDS parses the name of a cluster. The name is not a host. Istio's names
// have the form outbound|80||app.shop.svc.cluster.local.
func parseXDS(p *parser, _, authority string, t *Target) {
	switch {
	case authority == "":
		p.failf(xdsForm, "it names no cluster")
	case strings.HasPrefix(authority, "/"):
		p.failf(xdsForm, "the cluster's name begins with a slash: write xds://%s",
			strings.TrimLeft(authority, "/"))
	case strings.ContainsAny(authority, `#\`):
		p.failf(xdsForm, "the cluster's name has a character of %q", `#\`)
	case len(authority) > 512:
		p.failf(xdsForm, "the cluster's name is longer than 512 characters")
	}

	t.Service = authority
}

// finishXDS reports options of a server as a problem if no server is given.
func finishXDS(p *parser, t *Target) {
	if t.Server == "" && (t.Secure || t.Node != "") {
		p.failf(xdsForm, "tls and node belong to a server: without ?server= the bootstrap file "+
			"says both")
	}
}

// setServer sets the server of the control plane. The addresses that a nested
// list may not use for backends are refused here too.
func (p *parser) setServer(value string, t *Target) {
	host, port, ok := p.authority(value)
	if !ok {
		return
	}

	if host == "" || port == "" {
		p.failf("?server=host:port", "the server %q has no host or no port", value)
		return
	}

	p.usable(host)
	t.Server = value
}

func (p *parser) setSecure(value string, t *Target) {
	if value != "true" && value != "false" {
		p.failf("tls=true or tls=false", "%q is neither", value)
	}

	t.Secure = value == "true"
}

// needsBootstrap reports whether the bootstrap file has to name the server,
// because the item does not.
func (t Target) needsBootstrap() bool { return t.Kind == XDS && t.Server == "" }

// bootstrapProblems returns the problems of the bootstrap file that items
// without a server need. Without such an item it reads nothing, because the
// file may be meant for another program in the container.
func bootstrapProblems(variable string, targets []Target, p config.Platform) []config.Problem {
	for _, t := range targets {
		if !t.needsBootstrap() {
			continue
		}

		_, of, err := readBootstrap(p)
		switch {
		case of == "":
			return []config.Problem{{Variable: variable, Given: masked(t.Item), Reason: fmt.Sprintf(
				"item %q names no server, and neither GRPC_XDS_BOOTSTRAP nor "+
					"GRPC_XDS_BOOTSTRAP_CONFIG is set", masked(t.Item)),
				Accepted: xdsForm, Example: variable + "='xds://app?server=istiod:15010'"}}
		case err != nil:
			return []config.Problem{{Variable: of, Reason: err.Error(),
				Accepted: "gRPC's bootstrap file: JSON with xds_servers and node",
				Example:  "GRPC_XDS_BOOTSTRAP='/etc/xds/bootstrap.json'"}}
		}
	}

	return nil
}

// readBootstrap reads the bootstrap file. As in gRPC, GRPC_XDS_BOOTSTRAP takes
// precedence over GRPC_XDS_BOOTSTRAP_CONFIG, which holds the text itself. of is
// the variable that was used, or "" if neither is set.
func readBootstrap(p config.Platform) (b *xds.Bootstrap, of string, err error) {
	text := p.XDSBootstrapConfig
	switch {
	case p.XDSBootstrap != "":
		of = "GRPC_XDS_BOOTSTRAP"
		if text, err = config.ReadFile(p.XDSBootstrap); err != nil {
			return nil, of, err
		}
	case text != "":
		of = "GRPC_XDS_BOOTSTRAP_CONFIG"
	default:
		return nil, "", errors.New("it names no server, and GRPC_XDS_BOOTSTRAP is not set")
	}

	b, err = xds.ReadBootstrap(text)
	return b, of, err
}

// usableBootstrap is readBootstrap with an error that names the variable.
func usableBootstrap(p config.Platform) (*xds.Bootstrap, error) {
	b, of, err := readBootstrap(p)
	if err != nil {
		return nil, &failure{"bootstrap", fmt.Errorf("%s %w", cmp.Or(of, "the item:"), err)}
	}

	return b, nil
}

// bootstrap returns the servers of a target's control plane and the node that
// is sent to them.
func (k *kinds) bootstrap(t Target) (b *xds.Bootstrap, err error) {
	if t.Server != "" {
		b = &xds.Bootstrap{Servers: []xds.Server{{Network: "tcp", Address: t.Server, TLS: t.Secure}}}
		b.Node.ID = t.Node
	} else if b, err = usableBootstrap(k.cfg.Platform); err != nil {
		return nil, err
	}

	b.Node.ID = cmp.Or(b.Node.ID, k.cfg.Telemetry.ServiceName, k.cfg.Platform.Service, "pillion")
	b.Node.Agent = "pillion"
	b.Node.Features = []string{"envoy.lb.does_not_support_overprovisioning",
		"xds.config.resource-in-sotw"}

	return b, nil
}

// clusterSource is the source of xds://. It opens one stream after the other.
// What is known of the cluster is kept from one stream to the next.
type clusterSource struct {
	target    Target
	log       *slog.Logger
	bootstrap func() (*xds.Bootstrap, error)
	open      func(context.Context, xds.Server) (xdsStream, error)

	subscriptions
}

// xdsStream is *xds.Stream, or a fake in tests.
type xdsStream interface {
	Send(*xds.Request) error
	Recv() (xds.Response, error)
	Close()
}

func newXDS(k *kinds, t Target) source {
	dialer := net.Dialer{Timeout: lookupDeadline, Resolver: k.resolver}
	if t.Server != "" {
		dialer.Control = t.Template.Control()
	}

	s := &clusterSource{target: t, log: k.log.With("source", t.Item),
		bootstrap: func() (*xds.Bootstrap, error) { return k.bootstrap(t) }}
	s.open = func(ctx context.Context, server xds.Server) (xdsStream, error) {
		return xds.Open(ctx, server, dialer.DialContext)
	}

	return s
}

// slowestXDS is the longest pause between two attempts to reach a server. It is
// also the longest pause before a refusal is repeated.
const slowestXDS = 30 * time.Second

func (s *clusterSource) run(ctx context.Context, report func(answer, error)) {
	s.subscriptions.begin(s.target, s.log, report)
	failures := 0
	for {
		err := s.once(ctx, failures)
		if ctx.Err() != nil {
			return
		}

		pause := jittered(followRetry)
		if s.heard {
			failures = 0
		}

		var ended *xds.Ended
		switch {
		case errors.Is(err, errReopen):
			pause = followPause
		case s.heard && errors.As(err, &ended): // normal: servers limit the age of a stream
		default:
			failures++
			report(answer{}, err)
			pause = backoff(failures, slowestXDS)
		}

		if !wait(ctx, pause) {
			return
		}
	}
}

// once opens a stream and follows it until it ends. failures is the number of
// failed streams in a row; each failure moves on to the next server.
func (s *clusterSource) once(ctx context.Context, failures int) error {
	s.heard = false
	b, err := s.bootstrap()
	if err != nil {
		return err
	}

	server := b.Servers[failures%len(b.Servers)]
	if server != s.server {
		s.forgetVersions()
	}
	s.server, s.node = server, &b.Node

	stream, err := s.open(ctx, server)
	if err != nil {
		return fmt.Errorf("opening a stream to %s: %w", server.Address, err)
	}

	if err := s.follow(ctx, stream); err != nil {
		return fmt.Errorf("the stream of %s: %w", server.Address, err)
	}

	return nil
}
