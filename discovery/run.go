package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// tagBorder stands between a traffic tag and the service in the host names of Cloud Run.
const tagBorder = "---"

// runService finds the one backend of a run target. What the target does not say, our own region and project number,
// comes from the metadata server; no API is called and no role is needed.
type runService struct {
	target   Target
	identity string
	metadata metadataClient
}

// newRun is the source of a run target. It asks until it knows and never again: neither answer can change.
func newRun(t Target, identity string, m metadataClient) source {
	r := &runService{t, identity, m}
	return &poll{lookup: r.lookup, deadline: 2 * metadataDeadline, slowest: 30 * time.Second}
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

// known is what the target says, else what the metadata server says under path: the part after the last slash, if it
// is right in its form. A page from something else in between must not become a host name.
func (r *runService) known(ctx context.Context, given, path string, right func(string) bool) (string, error) {
	if given != "" {
		return given, nil
	}
	ctx, cancel := context.WithTimeout(ctx, metadataDeadline)
	defer cancel()
	value, _, err := r.metadata.get(ctx, path)
	if err != nil {
		return "", err
	}
	value = strings.TrimSpace(value)
	value = value[strings.LastIndexByte(value, '/')+1:]
	if !right(value) {
		return "", &failure{"unreachable", errors.New("the metadata server's answer to " + path + " is of no known form")}
	}
	return value, nil
}

// runName is the default name of a run target's backend: as written, with the tag as the host name has it.
func (t Target) runName() string {
	name := strings.Join(strings.Fields(t.Service+" "+t.Region+" "+t.Project), ".")
	if t.Tag != "" {
		name = t.Tag + tagBorder + name
	}
	return name
}

// runBackend is the backend of a run target whose region and project number are known: the deterministic URL
// https://[TAG---]SERVICE-PROJECTNUMBER.REGION.run.app, which exists only while its first label fits into DNS.
func runBackend(t Target, region, project string) (Backend, error) {
	label := t.Service + "-" + project
	if t.Tag != "" {
		label = t.Tag + tagBorder + label
	}
	if len(label) > 63 {
		return Backend{}, fmt.Errorf("the host label %q is longer than 63 characters, so Cloud Run has no URL of this form; "+
			"write the service's own URL as https://HOST", label)
	}
	b := t.Template
	b.Host = label + "." + region + ".run.app"
	b.Address = b.Host + ":443"
	b.TLS, b.Run = true, true
	return b, nil
}
