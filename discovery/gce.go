package discovery

import "strings"

// gceKind is the kind gce://. Its backends are instances of Compute Engine:
// those of an instance group, or those with certain labels.
func gceKind() kind {
	return kind{
		name:    GCE,
		schemes: []string{"gce"},
		keys:    []string{"port", "protocol", "host", "netTag", "network", labelKey},
		parse:   parseGCE,
		finish:  finishGCE,
		source:  newGCE,
	}
}

// gceForm describes the form of gce:// items in error messages.
const gceForm = "gce://GROUP.LOCATION or gce://GROUP.LOCATION.PROJECT, where LOCATION is a zone " +
	"or a region; gce://*.LOCATION or gce://* with ?label.KEY=VALUE&port=NUMBER"

// allInstances is written instead of a group. It selects instances whether they
// are in a group or not.
const allInstances = "*"

func parseGCE(p *parser, scheme, authority string, t *Target) {
	if !p.plainGroup(scheme, authority) {
		return
	}

	group, place, given := strings.Cut(authority, ".")
	switch {
	case group != allInstances && !isLabel(group):
		p.failf(gceForm, "%q is not the name of an instance group", group)
	case group != allInstances && !given:
		p.failf(gceForm, "it names no zone and no region")
	case given:
		p.setPlace(place, gceForm, t)
	}

	if group != allInstances {
		t.Group = group
	}
}

// plainGroup reports whether a text can be the name of a group. If not, it adds
// a problem.
func (p *parser) plainGroup(scheme, authority string) bool {
	if name, port, given := strings.Cut(authority, ":"); given {
		p.failf("?port=NUMBER", "its port is a key: write %s://%s?port=%s", scheme, name, port)
		return false
	}

	return p.plain(authority)
}

// setPlace parses LOCATION or LOCATION.PROJECT.
func (p *parser) setPlace(place, form string, t *Target) {
	location, project, given := strings.Cut(place, ".")
	switch {
	case !isLocation(location):
		p.failf(form, "%q is neither a zone such as europe-west1-b nor a region such as europe-west1",
			location)
	case given && !isProject(project):
		p.failf(form, "%q is neither a project's id nor its number", project)
	}

	t.Location, t.Project = location, project
}

// isLocation reports whether a word can be the name of a zone or of a region.
func isLocation(word string) bool {
	return isLabel(word) && (isRegion(word) || strings.Count(word, "-") >= 2)
}

// finishGCE adds a problem if the item does not select instances by group,
// label or tag, or if the port is missing.
func finishGCE(p *parser, t *Target) {
	switch {
	case t.Group == "" && t.Labels == "" && t.NetTag == "":
		p.failf("?label.KEY=VALUE, ?label.KEY or ?netTag=TAG", "it names neither a group nor a label")
	case t.Group == "" && !isPort(t.Port):
		p.failf("?port=NUMBER", "it names no group, so it needs a port's number: ports have names in "+
			"groups only")
	case t.Template.TLS && t.Template.SetHost == "":
		p.failf("?host=NAME", "with TLS it needs the name that the instances' certificates are for")
	}
}

// setCompute parses a key that the kinds of Compute Engine have in common.
func (p *parser) setCompute(key, value string, t *Target) {
	switch {
	case key == "port" && !isPort(value) && !isLabel(value):
		p.failf("a port from 1 to 65535, or the name of a group's port", "the port %q is not one", value)
	case key != "port" && !isLabel(value):
		p.failf("lower-case letters, digits and hyphens", "the %s %q is not one", key, value)
	}

	switch key {
	case "port":
		t.Port = value
	case "netTag":
		t.NetTag = value
	case "network":
		t.Network = value
	}
}

// computeTarget returns the item for a URL or path of the Compute Engine API,
// as the console and gcloud show it. It returns "" for any other text.
func computeTarget(item string) string {
	parts, segments := map[string]string{}, strings.Split(item, "/")
	for i := range len(segments) - 1 {
		parts[segments[i]] = segments[i+1]
	}

	scheme, group := "gce://", parts["instanceGroups"]+parts["instanceGroupManagers"]
	if neg := parts["networkEndpointGroups"]; neg != "" {
		scheme, group = "gce+neg://", neg
	}

	location := parts["zones"] + parts["regions"]
	if !isLabel(group) || !isLocation(location) {
		return ""
	}
	if project := parts["projects"]; isProject(project) {
		location += "." + project
	}

	return scheme + group + "." + location
}
