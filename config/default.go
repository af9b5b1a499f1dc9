package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net"
	"strings"
	"time"
)

// Defaults that depend on the platform.

func defaultListen(e *environment) string {
	if e.text("LB_ROLE") == string(Egress) {
		return "127.0.0.1:15001"
	}
	return ":" + e.text("PORT")
}

// defaultTrust trusts Cloud Run's front end in the ingress container, because
// it is certainly the last hop there.
func defaultTrust(e *environment) string {
	if e.cloudRun() && e.text("LB_ROLE") == string(Ingress) {
		return "cloudrun"
	}
	return "none"
}

// defaultDrainDelay returns 0 if the platform stops sending requests before
// SIGTERM. It is at most half of LB_DRAIN_TIMEOUT.
func defaultDrainDelay(e *environment) string {
	if e.cloudRun() {
		return "0"
	}

	end, _ := time.ParseDuration(e.text("LB_DRAIN_TIMEOUT"))
	return short(min(3*time.Second, end/2))
}

// defaultAccessLog returns off if the platform logs every request itself.
func defaultAccessLog(e *environment) string {
	if e.cloudRun() {
		return "off"
	}
	return "on"
}

// defaultCookie returns a name that differs between services, so that the
// cookies of nested balancers don't collide.
func defaultCookie(e *environment) string {
	sum := sha256.Sum256([]byte(e.keyName(strings.ToLower(e.name))))
	return "__lb_" + hex.EncodeToString(sum[:4])
}

// keyName returns a name of the service that is the same in all its instances
// and deployments.
func (e *environment) keyName(service string) string {
	name := e.text("K_SERVICE")
	if name == "" {
		name = e.text("OTEL_SERVICE_NAME")
	}
	return name + "/" + service
}

// kubernetesAPI returns the address of the cluster's API server, or "" outside
// of a pod.
func (e *environment) kubernetesAPI() string {
	host := e.given["KUBERNETES_SERVICE_HOST"]
	if host == "" {
		return ""
	}
	return net.JoinHostPort(host, cmp.Or(e.given["KUBERNETES_SERVICE_PORT"], "443"))
}

func (e *environment) cloudRun() bool {
	return Platform{Service: e.text("K_SERVICE"),
		Kubernetes: e.text("KUBERNETES_SERVICE_HOST") != ""}.CloudRun()
}

// computeEngine reports whether the machine is a VM of Compute Engine. On Cloud
// Run and in a pod it is false, because the metadata there does not describe
// the container.
func computeEngine(sys fs.FS, p Platform) bool {
	if p.Service != "" || p.Kubernetes {
		return false
	}

	product, err := fs.ReadFile(sys, "class/dmi/id/product_name")
	if err != nil {
		return false
	}

	name := strings.TrimSpace(string(product))
	return name == "Google" || name == "Google Compute Engine"
}
