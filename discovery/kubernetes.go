package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// kubernetesKind is the kind of a Service whose pods are the backends, by the
// cluster's EndpointSlices. Unlike DNS, they report changes at once, ports by
// name, and pods that still serve while they terminate.
func kubernetesKind() kind {
	return kind{
		name:    Kubernetes,
		schemes: []string{"k8s"},
		keys:    []string{"protocol", "host"},
		parse:   parseKubernetes,
		source:  newEndpointSlices,
	}
}

func parseKubernetes(p *parser, _, authority string, t *Target) {
	const form = "k8s://service, k8s://service.namespace, each with :port or :port-name behind it"
	if !p.plain(authority) {
		return
	}

	name, port, given := strings.Cut(authority, ":")
	service, namespace, deep := strings.Cut(name, ".")
	switch {
	case !isLabel(service):
		p.failf(form, "%q is not the name of a Service", service)
	case strings.Contains(namespace, "."):
		p.failf(form, "%q is not a namespace; leave out what follows it in DNS names", namespace)
	case deep && (labelProblem(namespace) != "" || strings.Contains(namespace, "_")):
		p.failf(form, "%q is not a namespace", namespace)
	case given && !isPort(port) && !isLabel(port):
		p.failf(form, "%q is neither a port from 1 to 65535 nor the name of one", port)
	}

	t.Service, t.Namespace, t.Port = service, namespace, port
}

const (
	// listLimit bounds one page of a list, and the head of a watch's answer.
	listLimit = 15 * time.Second

	// watchLife is how long the API server is asked to keep a watch, which it
	// then ends. A watch that lasts longer by watchGrace is dead.
	watchLife  = 2 * time.Minute
	watchGrace = 30 * time.Second

	// pageSize is the number of slices in a page of a list.
	pageSize = "500"
)

// endpointSlices follows the EndpointSlices of one Service: it lists all of
// them, and then watches the changes.
type endpointSlices struct {
	target   Target
	identity string
	api      *apiServer
	report   func(answer, error)

	namespace string
	slices    map[string]endpointSlice // by name
	version   string                   // the version of slices; "" before a list
	left      int                      // bytes that a watch may bring before the next list
	blind     bool                     // the last watch failed
}

func newEndpointSlices(k *kinds, t Target) source {
	return &endpointSlices{target: t, identity: k.identity, api: k.apiServer()}
}

func (s *endpointSlices) run(ctx context.Context, report func(answer, error)) {
	s.report = report
	failures := 0
	for {
		began := wallClock()
		err := s.follow(ctx)
		if ctx.Err() != nil {
			return
		}

		pause := followPause
		if wallClock().Sub(began) < followRetry { // a pause, in case the server ends watches at once
			pause = followRetry
		}
		if !s.blind {
			failures = 0
		}
		if err != nil {
			failures++
			s.version, s.blind = "", true
			report(answer{}, err)
			pause = backoff(failures, 30*time.Second)
		}

		if !wait(ctx, pause) {
			return
		}
	}
}

// follow lists if it has to, and watches until the watch ends. It returns an
// error if the API server can't be reached or refuses.
func (s *endpointSlices) follow(ctx context.Context) error {
	if s.version == "" {
		if err := s.list(ctx); err != nil {
			return err
		}
		s.tell()
	}

	err := s.watch(ctx)
	if isGone(err) { // the server does not have the changes since the version any more
		s.version, err = "", nil
	}

	return err
}

// list reads all slices, page by page. Nothing is used before the last page has
// come.
func (s *endpointSlices) list(ctx context.Context) error {
	if err := s.locate(); err != nil {
		return err
	}

	s.left = maxAnswer
	found, next := map[string]endpointSlice{}, ""
	for range maxPages {
		page, err := s.page(ctx, next)
		if err != nil {
			return s.explained(err, "list")
		}

		for _, item := range page.Items {
			found[item.Metadata.Name] = item
		}
		if next = page.Metadata.Continue; next == "" {
			s.slices, s.version = found, page.Metadata.ResourceVersion
			return nil
		}
	}

	return &failure{"pages", fmt.Errorf("the list of EndpointSlices has more than %d pages", maxPages)}
}

func (s *endpointSlices) page(ctx context.Context, next string) (page slicePage, err error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	query := url.Values{"limit": {pageSize}}
	if next != "" {
		query.Set("continue", next)
	}

	resp, err := s.ask(ctx, query)
	if err != nil {
		return page, err
	}
	defer resp.Body.Close()

	return page, readJSON(resp.Body, &s.left, &page)
}

// locate sets the namespace: the target's, else that of this pod.
func (s *endpointSlices) locate() (err error) {
	if s.namespace = s.target.Namespace; s.namespace == "" {
		s.namespace, err = s.api.account("namespace")
	}
	if err == nil && labelProblem(s.namespace) != "" {
		return &failure{"account", fmt.Errorf("the service account's namespace %q is none",
			s.namespace)}
	}

	return err
}

// ask requests the Service's slices.
func (s *endpointSlices) ask(ctx context.Context, query url.Values) (*http.Response, error) {
	query.Set("labelSelector", "kubernetes.io/service-name="+s.target.Service)
	return s.api.get(ctx, "/apis/discovery.k8s.io/v1/namespaces/"+s.namespace+"/endpointslices",
		query)
}

// explained adds the remedy to a refusal.
func (s *endpointSlices) explained(err error, verb string) error {
	var refused *apiError
	if !errors.As(err, &refused) || isGone(err) {
		return err
	}

	switch refused.code {
	case http.StatusForbidden:
		return &failure{"forbidden", fmt.Errorf("the service account may not %s endpointslices "+
			"in the namespace %s; it needs a Role with the verbs list and watch on endpointslices "+
			"of the API group discovery.k8s.io, and a RoleBinding: %w", verb, s.namespace, err)}
	case http.StatusUnauthorized:
		return &failure{"unauthorized", fmt.Errorf("the API server does not take the service "+
			"account's token: %w", err)}
	}

	return &failure{fmt.Sprint("status ", refused.code), err}
}

// tell reports the backends of the slices.
func (s *endpointSlices) tell() {
	a, err := s.answer()
	if err == nil {
		a.stale = s.blind
	}

	s.report(a, err)
}

// answer returns the backends of all slices together.
func (s *endpointSlices) answer() (answer, error) {
	if len(s.slices) == 0 {
		return answer{}, &failure{"empty", fmt.Errorf("the Service %s in the namespace %s has no "+
			"EndpointSlices (is there such a Service, with a selector?)", s.target.Service,
			s.namespace)}
	}

	m := podMerge{target: s.target, pods: map[string]pod{}}
	for _, slice := range sorted(maps.Values(s.slices)) {
		m.add(slice)
	}

	template := s.target.Template
	template.Host = s.target.Service + "." + s.namespace + ".svc"
	a, err := m.answer(template)
	for i := range a.backends {
		a.backends[i] = identified(a.backends[i], s.target, s.identity)
	}

	return a, err
}
