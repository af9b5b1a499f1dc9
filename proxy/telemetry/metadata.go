package telemetry

import (
	"context"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/pillion-lb/pillion/config"
)

const (
	// metadataTimeout bounds one question. The server is on the machine; where there is none, packets may be dropped.
	metadataTimeout = 2 * time.Second
	// metadataTries is how often the server is asked. It may refuse in the first seconds of a pod.
	metadataTries = 4
)

// machine asks the metadata server about where we run. get is metadata.GetWithContext but in tests.
type machine struct {
	platform config.Platform
	get      func(ctx context.Context, path string) (string, error)
}

func newMachine(p config.Platform) machine { return machine{p, metadata.GetWithContext} }

// known reports whether the environment promises a metadata server at all.
func (m machine) known() bool {
	return m.platform.CloudRun() || m.platform.ComputeEngine || m.platform.MetadataHost != ""
}

// describe returns the project and the resource attributes that the metadata server knows. What it does not know is
// left out. It asks again, with pauses, as long as the server does not answer.
func (m machine) describe(ctx context.Context) (project string, attrs []attribute.KeyValue) {
	pause := time.Second
	for range metadataTries {
		if project = m.ask(ctx, "project/project-id"); project != "" {
			break
		}
		if !sleep(ctx, pause) {
			return "", nil
		}
		pause *= 2
	}
	if project == "" {
		return "", nil
	}
	attrs = []attribute.KeyValue{semconv.CloudProviderGCP, semconv.CloudAccountID(project)}
	switch {
	case m.platform.CloudRun():
		return project, m.cloudRun(ctx, attrs)
	case m.platform.Kubernetes:
		return project, m.kubernetesEngine(ctx, attrs)
	}
	return project, m.computeEngine(ctx, attrs)
}

// ask returns one value, "" when there is none. A page of something in between is none.
func (m machine) ask(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	value, err := m.get(ctx, path)
	if value = strings.TrimSpace(value); err != nil || !isWord(value) {
		return ""
	}
	return value
}

// isWord reports whether a value has the form of those we ask for: ids, names, and paths like that of a zone.
func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && strings.IndexByte("-._:/", c) < 0 {
			return false
		}
	}
	return len(s) <= 256
}

func (m machine) cloudRun(ctx context.Context, attrs []attribute.KeyValue) []attribute.KeyValue {
	attrs = append(attrs, semconv.CloudPlatformGCPCloudRun)
	attrs = known(attrs, semconv.CloudRegionKey, last(m.ask(ctx, "instance/region")))
	return known(attrs, semconv.FaaSInstanceKey, m.ask(ctx, "instance/id"))
}

func (m machine) computeEngine(ctx context.Context, attrs []attribute.KeyValue) []attribute.KeyValue {
	zone := last(m.ask(ctx, "instance/zone"))
	attrs = append(attrs, semconv.CloudPlatformGCPComputeEngine)
	attrs = known(attrs, semconv.CloudAvailabilityZoneKey, zone)
	attrs = known(attrs, semconv.CloudRegionKey, region(zone))
	attrs = known(attrs, semconv.HostIDKey, m.ask(ctx, "instance/id"))
	attrs = known(attrs, semconv.HostNameKey, m.ask(ctx, "instance/name"))
	return known(attrs, semconv.HostTypeKey, last(m.ask(ctx, "instance/machine-type")))
}

func (m machine) kubernetesEngine(ctx context.Context, attrs []attribute.KeyValue) []attribute.KeyValue {
	attrs = append(attrs, semconv.CloudPlatformGCPKubernetesEngine)
	attrs = known(attrs, semconv.K8SClusterNameKey, m.ask(ctx, "instance/attributes/cluster-name"))
	attrs = known(attrs, semconv.HostIDKey, m.ask(ctx, "instance/id"))
	location := m.ask(ctx, "instance/attributes/cluster-location")
	if strings.Count(location, "-") == 1 { // a regional cluster
		return known(attrs, semconv.CloudRegionKey, location)
	}
	attrs = known(attrs, semconv.CloudAvailabilityZoneKey, location)
	return known(attrs, semconv.CloudRegionKey, region(location))
}

// known appends an attribute that has a value.
func known(attrs []attribute.KeyValue, key attribute.Key, value string) []attribute.KeyValue {
	if value == "" {
		return attrs
	}
	return append(attrs, key.String(value))
}

// last is the last element of a path like "projects/123/regions/europe-west1".
func last(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// region is the region of a zone: "europe-west1" of "europe-west1-b".
func region(zone string) string { return zone[:max(strings.LastIndexByte(zone, '-'), 0)] }
