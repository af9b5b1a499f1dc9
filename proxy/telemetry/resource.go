package telemetry

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/pillion-lb/pillion/config"
)

// resourceWait is how long the first export waits for the answers of the
// metadata server.
const resourceWait = time.Second

// newResource makes the resource from the environment, without the metadata
// server. OTEL_RESOURCE_ATTRIBUTES takes precedence over the platform's values,
// and OTEL_SERVICE_NAME over its service.name.
func newResource(ctx context.Context, cfg *config.Config, version string) (*resource.Resource,
	error) {
	name := cfg.Platform.Service
	if name == "" {
		name = "pillion"
	}

	attrs := append(platformAttributes(cfg.Platform),
		semconv.ServiceName(name),
		semconv.ServiceInstanceID(uuid.NewString()),
	)
	if version != "" {
		attrs = append(attrs, semconv.ServiceVersion(version))
	}

	for key, value := range cfg.Telemetry.Attributes {
		attrs = append(attrs, attribute.String(key, value))
	}

	if cfg.Telemetry.ServiceName != "" {
		attrs = append(attrs, semconv.ServiceName(cfg.Telemetry.ServiceName))
	}

	return resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(attrs...))
}

// platformAttributes returns the attributes that don't need the metadata
// server.
func platformAttributes(p config.Platform) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if p.CloudRun() {
		attrs = append(attrs, semconv.CloudProviderGCP, semconv.CloudPlatformGCPCloudRun,
			semconv.FaaSName(p.Service))
		if p.Revision != "" {
			attrs = append(attrs, semconv.FaaSVersion(p.Revision))
		}

		if p.ProjectID != "" {
			attrs = append(attrs, semconv.CloudAccountID(p.ProjectID))
		}
	}

	if p.Kubernetes {
		attrs = append(attrs, podAttributes()...)
	}

	return attrs
}

// podAttributes returns the values that Kubernetes gives every container: the
// host name is the pod's name, and the namespace is mounted with the service
// account.
func podAttributes() []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if pod, err := os.Hostname(); err == nil {
		attrs = append(attrs, semconv.K8SPodName(pod))
	}

	namespace, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return attrs
	}

	return known(attrs, semconv.K8SNamespaceNameKey, strings.TrimSpace(string(namespace)))
}

// lateResource is a resource that is completed after the start, because the
// metadata server must not delay the start. Spans and metrics are recorded with
// the resource of the start, and exporters replace it.
type lateResource struct {
	base    *resource.Resource
	waiting bool // the metadata server is asked
	waited  bool // the first call of await has returned
	ready   chan struct{}
	full    *resource.Resource // written before ready is closed
}

// newLateResource makes a lateResource that is base until it is completed. Only
// with waiting will it be completed.
func newLateResource(base *resource.Resource, waiting bool) *lateResource {
	return &lateResource{base: base, waiting: waiting, ready: make(chan struct{})}
}

// complete adds attributes, without replacing any, and ends the waiting. It is
// called at most once.
func (l *lateResource) complete(attrs []attribute.KeyValue) {
	if full, err := resource.Merge(resource.NewSchemaless(attrs...), l.base); err == nil &&
		len(attrs) > 0 {
		l.full = full
	}

	close(l.ready)
}

// await returns the full resource, or nil if it is not known yet. Only the
// first call waits, for a moment. One goroutine at a time may call it.
func (l *lateResource) await(ctx context.Context) *resource.Resource {
	if !l.waiting {
		return nil
	}

	if !l.waited {
		l.waited = true
		select {
		case <-l.ready:
		case <-ctx.Done():
		case <-time.After(resourceWait):
		}
	}

	return l.now()
}

// now returns the full resource if it is known, else nil. It never waits.
func (l *lateResource) now() *resource.Resource {
	select {
	case <-l.ready:
		return l.full
	default:
		return nil
	}
}
