package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// runListKind is the kind of the Cloud Run services of a region with some
// labels.
func runListKind() kind {
	return kind{
		name:    RunList,
		schemes: []string{"run+list"},
		keys:    []string{"tag", labelKey},
		parse:   parseRunList,
		finish:  finishRunList,
		source:  newRunList,
	}
}

func parseRunList(p *parser, _, authority string, t *Target) {
	const form = "run+list://, run+list://region or run+list://region.project, and ?label.KEY=VALUE " +
		"behind it"
	if !p.plain(authority) {
		return
	}

	region, project, given := strings.Cut(authority, ".")
	switch {
	case authority != "" && !isLabel(region):
		p.failf(form, "%q is not a region", region)
	case given && !isProject(project):
		p.failf(form, "%q is neither a project's id nor its number", project)
	}

	t.Region, t.Project = region, project
}

// finishRunList requires a label, because hardly anyone means all services of a
// region.
func finishRunList(p *parser, t *Target) {
	if t.Labels == "" {
		p.failf("?label.KEY=VALUE or ?label.KEY=*", "it names no label")
	}
}

// isProject reports whether s is a project's id or its number.
func isProject(s string) bool {
	return isProjectNumber(s) || isLabel(s) && len(s) <= 30
}

// setLabel adds a required label, with a value or with any.
func (p *parser) setLabel(key, value string, t *Target) {
	if !isLabelText(key) || key == "" || value != "*" && !isLabelText(value) {
		p.failf("label.KEY=VALUE or label.KEY=*, in lower-case letters, digits, - and _",
			"the label %q is not one", key)
		return
	}

	t.Labels = strings.Trim(t.Labels+"&"+key+"="+value, "&")
}

// isLabelText reports whether s can be a key or a value of a Google Cloud
// label.
func isLabelText(s string) bool {
	return len(s) <= 63 && s == strings.ToLower(s) && (s == "" || consistsOf(s, "_-"))
}

// matches reports whether labels include those of the target.
func (t Target) matches(labels map[string]string) bool {
	for pair := range strings.SplitSeq(t.Labels, "&") {
		key, want, _ := strings.Cut(pair, "=")
		value, ok := labels[key]
		if !ok || want != "*" && value != want {
			return false
		}
	}

	return true
}

// runPage is a page of the services of a region.
type runPage struct {
	Services      []runListed
	NextPageToken string
}

// runListed is a service in the API's list, with the fields that are used.
type runListed struct {
	Name               string // projects/P/locations/R/services/S
	URI                string
	Labels             map[string]string
	DefaultURIDisabled bool
}

// runList lists the services of a region periodically. The API has no filter
// and no watch, so labels are compared here.
type runList struct {
	target   Target
	identity string
	own      string // the service of this process, which is not its own backend; "" for none
	api      *googleAPI
	home     runService // knows the region and project of this process
}

func newRunList(k *kinds, t Target) source {
	l := &runList{
		target: t, identity: k.identity, api: k.googleAPI(),
		home: runService{metadata: k.metadata},
	}
	if k.cfg.Platform.CloudRun() {
		l.own = k.cfg.Platform.Service
	}

	return &poll{
		lookup: l.lookup, interval: k.interval, deadline: time.Minute, slowest: 10 * k.interval,
	}
}

func (l *runList) lookup(ctx context.Context) (answer, error) {
	region, err := l.home.known(ctx, l.target.Region, "instance/region", isLabel)
	if err != nil {
		return answer{}, err
	}
	project, err := l.home.known(ctx, l.target.Project, "project/numeric-project-id", isProject)
	if err != nil {
		return answer{}, err
	}

	listed, err := l.list(ctx, project, region)
	if err != nil {
		return answer{}, err
	}

	home, err := l.atHome(ctx, project, region)
	if err != nil {
		return answer{}, err
	}
	listed = slices.DeleteFunc(listed, func(s runListed) bool {
		return home && strings.HasSuffix(s.Name, "/services/"+l.own)
	})

	return l.answer(listed, region)
}

// atHome reports whether this process's service is in a region of a project,
// which is given by its id or number.
func (l *runList) atHome(ctx context.Context, project, region string) (bool, error) {
	if l.own == "" {
		return false, nil
	}

	path := "project/project-id"
	if isProjectNumber(project) {
		path = "project/numeric-project-id"
	}

	ownProject, err := l.home.known(ctx, "", path, isProject)
	if err != nil || ownProject != project {
		return false, err
	}
	ownRegion, err := l.home.known(ctx, "", "instance/region", isLabel)

	return ownRegion == region, err
}

// list reads all pages. Nothing is used before the last one has come.
func (l *runList) list(ctx context.Context, project, region string) (all []runListed, err error) {
	left := maxAnswer
	q := apiRequest{
		api: "run", path: "/v2/projects/" + project + "/locations/" + region + "/services",
		query: url.Values{
			"pageSize": {"100"},
			"fields":   {"services(name,uri,labels,defaultUriDisabled),nextPageToken"},
		},
		place: "project or region", left: &left,
	}

	err = askPages(ctx, l.api, q, func(page *runPage) string {
		all = append(all, page.Services...)
		return page.NextPageToken
	})

	return all, err
}

// answer returns the services with the target's labels as backends.
func (l *runList) answer(listed []runListed, region string) (a answer, err error) {
	for _, s := range listed {
		name := s.Name[strings.LastIndexByte(s.Name, '/')+1:]
		if !l.target.matches(s.Labels) {
			continue
		}

		b, err := l.backend(s, name, region)
		if err != nil {
			a.refused = append(a.refused, fmt.Sprintf("%.80q %v", name, err))
			continue
		}
		a.backends = append(a.backends, b)
	}

	slices.SortFunc(a.backends, func(x, y Backend) int { return strings.Compare(x.Name, y.Name) })
	slices.Sort(a.refused)
	if len(a.backends) == 0 && len(a.refused) == 0 {
		return answer{}, &failure{"empty", fmt.Errorf("none of the %d services in %s has the "+
			"labels %s", len(listed), region, strings.ReplaceAll(l.target.Labels, "&", " and "))}
	}

	return a.orEmpty(l.target.Item)
}

// backend returns one service as a backend, with the name that run:// would
// give it.
func (l *runList) backend(s runListed, name, region string) (Backend, error) {
	host, ok := strings.CutPrefix(s.URI, "https://")
	switch {
	case s.DefaultURIDisabled || s.URI == "":
		return Backend{}, errors.New("has no URL of its own (the default URL is disabled)")
	case !ok || hostProblem(host) != "" || !strings.HasSuffix(host, ".run.app"):
		return Backend{}, errors.New("has a URL of no known form")
	case !isLabel(name):
		return Backend{}, errors.New("is not the name of a service")
	}

	b := l.target.Template
	b.Name = Target{Service: name, Region: region, Tag: l.target.Tag}.runName()
	if tag := l.target.Tag; tag != "" {
		host = tag + tagBorder + host
		if label, _, _ := strings.Cut(host, "."); len(label) > 63 {
			return Backend{}, errors.New("has a URL that is too long for a tag")
		}
	}

	b.Host, b.Address = host, host+":443"
	b.TLS, b.Run = true, true
	if weight, ok := s.Labels["lb-weight"]; ok {
		if b.Weight, ok = number(weight, 256); !ok {
			return Backend{}, errors.New("has a label lb-weight that is no number from 0 to 256")
		}
	}

	return identified(b, l.target, l.identity), nil
}
