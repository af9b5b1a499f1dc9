package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/discovery/metadata"
)

// runKind is the kind of a Cloud Run service by its name.
func runKind() kind {
	return kind{
		name:    Run,
		schemes: []string{"run"},
		keys:    []string{"tag", "name", "weight"},
		parse:   parseRun,
		finish:  finishRun,
		source:  func(k *kinds, t Target) source { return newRun(t, k.identity, k.metadata) },
	}
}

func parseRun(p *parser, _, authority string, t *Target) {
	const form = "run://service, run://service.region or run://service.region.project-number"
	if !p.plain(authority) {
		return
	}

	parts := strings.Split(authority, ".")
	if len(parts) > 3 {
		p.failf(form, "it has more than three parts")
		return
	}

	parts = append(parts, "", "")
	t.Service, t.Region, t.Project = parts[0], parts[1], parts[2]
	given := strings.Count(authority, ".")
	switch {
	case !isLabel(t.Service):
		p.failf(form, "%q is not the name of a Cloud Run service", t.Service)
	case given >= 1 && !isLabel(t.Region):
		p.failf(form, "%q is not a region", t.Region)
	case given >= 2 && !isProjectNumber(t.Project):
		p.failf(form, "%q is not a project number (digits, not the project's id)", t.Project)
	}
}

// finishRun sets the default name, and checks the host name that would result.
func finishRun(p *parser, t *Target) {
	if t.Template.Name == "" {
		t.Template.Name = t.runName()
	}

	if t.Project == "" {
		return
	}

	if _, err := runBackend(*t, t.Region, t.Project); err != nil {
		p.failf("https://HOST", "%v", err)
	}
}

// tagBorder is between a traffic tag and the service in host names of Cloud
// Run.
const tagBorder = "---"

// runService finds the one backend of a run target. A region or a project
// number that the target does not have comes from the metadata server. It calls
// no API and needs no role.
type runService struct {
	target   Target
	identity string
	metadata *metadata.Client
}

// newRun makes the source of a run target. It asks until it has both values,
// which can't change.
func newRun(t Target, identity string, m *metadata.Client) source {
	r := &runService{t, identity, m}
	return &poll{lookup: r.lookup, deadline: 2 * metadata.Deadline, slowest: 30 * time.Second}
}

func (r *runService) lookup(ctx context.Context) (answer, error) {
	region, err := r.known(ctx, r.target.Region, "instance/region", isLabel)
	if err != nil {
		return answer{}, err
	}

	project, err := r.known(ctx, r.target.Project, "project/numeric-project-id", isProjectNumber)
	if err != nil {
		return answer{}, err
	}

	b, err := runBackend(r.target, region, project)
	if err != nil {
		return answer{}, &failure{"too_long", err}
	}

	return answer{backends: []Backend{identified(b, r.target, r.identity)}, final: true}, nil
}

// known returns what the target names, else what the metadata server has under
// path: the part after the last slash, if it is right in its form. The answer
// of another server in between must not become a host name.
func (r *runService) known(ctx context.Context, given, path string,
	right func(string) bool) (string, error) {
	if given != "" {
		return given, nil
	}

	value, err := r.metadata.Get(ctx, path)
	if err != nil {
		return "", err
	}

	value = strings.TrimSpace(value)
	value = value[strings.LastIndexByte(value, '/')+1:]
	if !right(value) {
		return "", &failure{unreachable, errors.New("the metadata server's answer to " + path +
			" is of no known form")}
	}

	return value, nil
}

// runName returns the default name of a run target's backend: as written, with
// the tag in the form of the host name.
func (t Target) runName() string {
	name := strings.Join(strings.Fields(t.Service+" "+t.Region+" "+t.Project), ".")
	if t.Tag != "" {
		name = t.Tag + tagBorder + name
	}
	return name
}

// runBackend returns the backend of a run target, from its region and project
// number. Its URL is the deterministic one,
// https://[TAG---]SERVICE-PROJECTNUMBER.REGION.run.app, which exists only if
// its first label is short enough for DNS.
func runBackend(t Target, region, project string) (Backend, error) {
	label := t.Service + "-" + project
	if t.Tag != "" {
		label = t.Tag + tagBorder + label
	}

	if len(label) > 63 {
		return Backend{}, fmt.Errorf("the host label %q is longer than 63 characters, so Cloud "+
			"Run has no URL of this form; "+
			"write the service's own URL as https://HOST", label)
	}

	b := t.Template
	b.Host = label + "." + region + ".run.app"
	b.Address = b.Host + ":443"
	b.TLS, b.Run = true, true

	return b, nil
}
