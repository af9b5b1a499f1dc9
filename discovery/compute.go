package discovery

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// computePage is the maximum number of items in a page of the Compute Engine
// API.
const computePage = "500"

// computeEngine calls the Compute Engine API for the project of a target.
type computeEngine struct {
	target Target
	api    *googleAPI
	home   runService // knows the project of this process

	path string // of the project
	left int    // how many bytes the answers of this refresh may still have together
}

func (k *kinds) computeEngine(t Target) *computeEngine {
	return &computeEngine{target: t, api: k.googleAPI(), home: runService{metadata: k.metadata}}
}

// computePoll returns a source that calls lookup periodically.
func (k *kinds) computePoll(lookup func(context.Context) (answer, error)) *poll {
	return &poll{lookup: lookup, interval: k.interval, deadline: time.Minute, slowest: k.interval}
}

// begin prepares a refresh.
func (c *computeEngine) begin(ctx context.Context) error {
	project, err := c.home.known(ctx, c.target.Project, "project/project-id", isProject)
	c.path, c.left = "/compute/v1/projects/"+project, maxAnswer

	return err
}

// request returns the request for a path below the project. fields names the
// parts of the answer that are used, so that the answer has no others. (The API
// documents no ETag for lists.)
func (c *computeEngine) request(path, fields, body, place string) apiRequest {
	return apiRequest{
		api: "compute", path: c.path + path, body: body, place: place + ", zone, region or project",
		query: url.Values{"fields": {fields}}, left: &c.left,
	}
}

// list returns the request for a list, which askPages reads page by page.
func (c *computeEngine) list(path, fields, body, place string) apiRequest {
	q := c.request(path, fields, body, place)
	q.query.Set("maxResults", computePage)

	return q
}

// at returns the path of a zone or a region.
func at(location string) string {
	if isRegion(location) {
		return "/regions/" + location
	}
	return "/zones/" + location
}

// partialPoll is a source whose look-up can return both an answer and an error.
// If the API can't reach a zone, it reports the instances of the other zones,
// and also the failure.
type partialPoll struct{ *poll }

func (p partialPoll) run(ctx context.Context, report func(answer, error)) {
	p.poll.run(ctx, func(a answer, err error) {
		if err != nil && a.stale {
			report(a, nil)
		}
		report(a, err)
	})
}

func lastSegment(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
