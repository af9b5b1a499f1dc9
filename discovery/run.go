package discovery

import (
	"fmt"
	"strings"
)

// tagBorder stands between a traffic tag and the service in the host names of Cloud Run.
const tagBorder = "---"

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
	service := t.Service + "-" + project
	label := service
	if t.Tag != "" {
		label = t.Tag + tagBorder + service
	}
	if len(label) > 63 {
		return Backend{}, fmt.Errorf("the host label %q is longer than 63 characters, so Cloud Run has no URL of this form for it; write the service's own URL as https://HOST", label)
	}
	b := t.Template
	b.Host = label + "." + region + ".run.app"
	b.Address = b.Host + ":443"
	b.TLS, b.Run = true, true
	return b, nil
}
