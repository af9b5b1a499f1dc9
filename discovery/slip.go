package discovery

import (
	"slices"
	"strings"
)

// anyTarget is the accepted form if an item resembles no kind of targets.
const anyTarget = "scheme://host, host:port or :port"

// slip refuses an item with a frequent mistake, or in the form of other
// programs, and tells what to write. It reports whether it refused the item.
// Other mistakes are found when the parts of the item are read.
func (p *parser) slip(item string) bool {
	scheme, rest, _ := strings.Cut(item, "://")
	bare, _, _ := strings.Cut(item, "?")

	switch {
	case strings.Contains(item, "|") && scheme != "xds":
		p.failf("a list separated by ';'", "items are separated by ';', not by '|'")
	case isKey(item):
		p.failf("?key=value&key=value",
			"it is a key of the item before: keys are joined with '&', as in ?name=a&weight=3")
	case bare == "demo":
		p.failf("demo://1 to demo://64", "write demo://3")
	case isFixedScheme(scheme) && strings.HasPrefix(rest, ":"):
		p.failf(anyTarget, "it has no host before the port: is a variable empty? A local port is "+
			"written %q", withoutKeys(rest))
	case computeTarget(bare) != "":
		p.failf(gceForm, "that is a path of Google's API: write %s", computeTarget(bare))
	case scheme == "run" && strings.Contains(rest, ".run.app"):
		p.failf("run://service.region", "that is the host of a URL: write https://%s", withoutKeys(rest))
	case scheme == "run" && isRegion(rest[:max(0, strings.IndexByte(rest, '/'))]):
		region, service, _ := strings.Cut(rest, "/")
		p.failf("run://service.region",
			"the region follows the service and a dot: write run://%s.%s", withoutKeys(service), region)
	case isDotted(scheme) && strings.Contains(strings.TrimSuffix(withoutKeys(rest), "/"), "/"):
		p.failf(scheme+"://NAME.PLACE", "a path is refused: the parts of the name are "+
			"separated by dots, the service or group first")
	default:
		return p.brokenScheme(bare) || p.noTarget(item)
	}

	return true
}

// noTarget refuses an item that stands for a target in a document, a file
// system or another program.
func (p *parser) noTarget(item string) bool {
	scheme, rest, isURL := strings.Cut(item, "://")
	name, inner, named := strings.Cut(scheme, "=")
	bare := withoutKeys(item)

	switch {
	case strings.HasPrefix(item, "<"):
		p.failf(anyTarget, "it is a placeholder or HTML: write a target in its place")
	case strings.HasPrefix(item, "//"):
		p.failf(anyTarget, "it has no scheme: write http:%s", masked(bare))
	case isURL && named:
		p.failf("?name=NAME behind a target", "a name is a key of the target: write %s?name=%s",
			masked(inner+"://"+withoutKeys(rest)), name)
	case isFixedScheme(scheme) && strings.Contains(bare, "&"):
		p.failf("?key=value&key=value", "the first key follows '?', further ones '&'")
	case !isURL && (bare[:min(1, len(bare))] == "/" || strings.HasPrefix(bare, "file:/")):
		p.pathAlone(strings.TrimPrefix(bare, "file:"))
	default:
		return false
	}

	return true
}

// pathAlone refuses an item that is the path of a file.
func (p *parser) pathAlone(path string) {
	if strings.HasSuffix(path, ".sock") {
		p.failf(anyTarget, "%s", foreign("unix"))
		return
	}
	p.failf("file:///path/to/list", "it is a path; a list in a file is written file://%s",
		masked(path))
}

// brokenScheme refuses http:/host, http//host and the like.
func (p *parser) brokenScheme(item string) bool {
	for _, scheme := range []string{"https", "http", "h2c", "h2"} {
		rest, ok := strings.CutPrefix(item, scheme)
		if !ok || strings.HasPrefix(rest, "://") && !strings.HasPrefix(rest, ":///") ||
			!strings.Contains(rest, "/") {
			continue
		}

		if host := strings.TrimLeft(rest, ":/"); host != "" &&
			strings.HasPrefix(strings.TrimPrefix(rest, ":"), "/") {
			p.failf(anyTarget,
				"%q is no scheme: write %s://%s", item[:len(item)-len(host)], scheme, host)
			return true
		}
	}

	return false
}

// foreign returns Pillion's form of a scheme of other programs, or "".
func foreign(scheme string) string {
	switch scheme {
	case "ws":
		return "WebSockets need no scheme of their own: write http://"
	case "wss":
		return "WebSockets need no scheme of their own: write https://"
	case "grpc", "grpcs", "http2":
		return "write h2c:// (in clear) or h2:// (with TLS); gRPC to http:// is recognised by itself"
	case "mig", "gce+mig", "gcp", "instancegroup", "compute":
		return "the instances of a group are written gce://GROUP.LOCATION"
	case "neg", "gce-neg", "gceneg":
		return "the endpoints of a group are written gce+neg://GROUP.LOCATION"
	case "tcp", "udp", "unix", "tls", "ssl", "fcgi":
		return "Pillion speaks HTTP over TCP only: write http:// or https://"
	case "kubernetes", "k8", "kube":
		return "the pods of a Service are written k8s://SERVICE.NAMESPACE:PORT"
	case "consul":
		return "a service of Consul is written srv://NAME.service.consul?resolver=HOST:8600"
	case "dns+http", "dns+https", "dns+h2c", "dns4", "dns6":
		return "all addresses of a name are written dns://NAME:PORT, with ?protocol=https for TLS"
	case "cloudrun", "gcr", "run.app":
		return "a service of Cloud Run is written run://SERVICE.REGION"
	case "xdstp", "ads", "eds", "cds", "istio", "envoy":
		return "a cluster of a control plane is written xds://CLUSTER?server=HOST:PORT"
	}

	return ""
}

// isRegion reports whether a word can be the name of a region: europe-west1.
func isRegion(word string) bool {
	return strings.Contains(word, "-") && isDigits(word[len(word)-1:])
}

// isKey reports whether an item looks like a key that belongs to the item
// before.
func isKey(item string) bool {
	key, _, ok := strings.Cut(item, "=")

	return ok && (isLabelKey(key) || slices.ContainsFunc(allKinds(), func(k kind) bool {
		return slices.Contains(k.keys, key)
	}))
}

// isDotted reports whether a scheme's targets are names with dots between their
// parts, which other programs separate by slashes.
func isDotted(scheme string) bool {
	switch scheme {
	case "k8s", "run", "run+list", "gce", "gce+neg":
		return true
	}

	return false
}

func isFixedScheme(scheme string) bool {
	switch scheme {
	case "http", "https", "h2c", "h2":
		return true
	}

	return false
}

func withoutKeys(rest string) string {
	rest, _, _ = strings.Cut(rest, "?")

	return rest
}
