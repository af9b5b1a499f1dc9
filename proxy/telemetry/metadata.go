package telemetry

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/metadata"
)

// Pauses between two questions about one value. The server may refuse
// connections in the first seconds of a pod, or be late by minutes.
const (
	firstMetadataPause   = time.Second
	longestMetadataPause = 30 * time.Second
)

// detailTries is how often an optional value is asked for, after the server has
// answered once.
const detailTries = 4

// machine asks the metadata server where this process runs.
type machine struct {
	platform config.Platform
	server   interface {
		Get(ctx context.Context, path string) (string, error)
	}
}

// known reports whether the environment should have a metadata server.
func (m machine) known() bool {
	return m.platform.CloudRun() || m.platform.ComputeEngine || m.platform.MetadataHost != ""
}

// project returns the Google Cloud project. It asks until there is an answer,
// and returns "" if the server has none or if ctx ends.
func (m machine) project(ctx context.Context) string {
	return m.await(ctx, "project/project-id", math.MaxInt)
}

// describe returns the resource attributes of a machine in that project. Values
// that the metadata server does not have are left out.
func (m machine) describe(ctx context.Context, project string) []attribute.KeyValue {
	attrs := []attribute.KeyValue{semconv.CloudProviderGCP, semconv.CloudAccountID(project)}
	switch {
	case m.platform.CloudRun():
		return m.cloudRun(ctx, attrs)
	case m.platform.Kubernetes:
		return m.kubernetesEngine(ctx, attrs)
	}

	return m.computeEngine(ctx, attrs)
}

// ask returns an optional value, or "" if there is none.
func (m machine) ask(ctx context.Context, path string) string {
	return m.await(ctx, path, detailTries)
}

// await asks for a value until the server answers, at most tries times. It
// returns "" if there is none.
func (m machine) await(ctx context.Context, path string, tries int) string {
	pause := firstMetadataPause
	for {
		value, err := m.server.Get(ctx, path)
		value = strings.TrimSpace(value)
		switch {
		case errors.Is(err, metadata.ErrUndefined):
			return ""
		case err == nil && isWord(value): // not a page of another server
			return value
		}

		if tries--; tries == 0 || !sleep(ctx, pause) {
			return ""
		}

		pause = min(2*pause, longestMetadataPause)
	}
}

// isWord reports whether a value has the form of an id, a name, or a path such
// as that of a zone.
func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && strings.IndexByte("-._:/", c) < 0 {
			return false
		}
	}

	return s != "" && len(s) <= 256
}

func (m machine) cloudRun(ctx context.Context, attrs []attribute.KeyValue) []attribute.KeyValue {
	attrs = append(attrs, semconv.CloudPlatformGCPCloudRun)
	attrs = known(attrs, semconv.CloudRegionKey, last(m.ask(ctx, "instance/region")))
	return known(attrs, semconv.FaaSInstanceKey, m.ask(ctx, "instance/id"))
}

func (m machine) computeEngine(ctx context.Context,
	attrs []attribute.KeyValue) []attribute.KeyValue {
	zone := last(m.ask(ctx, "instance/zone"))
	attrs = append(attrs, semconv.CloudPlatformGCPComputeEngine)
	attrs = known(attrs, semconv.CloudAvailabilityZoneKey, zone)
	attrs = known(attrs, semconv.CloudRegionKey, region(zone))
	attrs = known(attrs, semconv.HostIDKey, m.ask(ctx, "instance/id"))
	attrs = known(attrs, semconv.HostNameKey, m.ask(ctx, "instance/name"))
	return known(attrs, semconv.HostTypeKey, last(m.ask(ctx, "instance/machine-type")))
}

func (m machine) kubernetesEngine(ctx context.Context,
	attrs []attribute.KeyValue) []attribute.KeyValue {
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

// last returns the last element of a path such as
// "projects/123/regions/europe-west1".
func last(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// region returns the region of a zone: "europe-west1" for "europe-west1-b".
func region(zone string) string { return zone[:max(strings.LastIndexByte(zone, '-'), 0)] }
