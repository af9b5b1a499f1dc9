package config

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"strings"
	"time"
)

// Defaults that depend on where we run.

func defaultListen(e *environment) string {
	if e.text("LB_ROLE") == string(Egress) {
		return "127.0.0.1:15001"
	}
	return ":" + e.text("PORT")
}

// defaultTrust believes the last hop where Google's front end is that hop for certain: in the ingress container.
func defaultTrust(e *environment) string {
	if e.cloudRun() && e.text("LB_ROLE") == string(Ingress) {
		return "cloudrun"
	}
	return "none"
}

// defaultDrainDelay is 0 where the platform stops sending before it says SIGTERM, and leaves a short drain half its time.
func defaultDrainDelay(e *environment) string {
	if e.cloudRun() {
		return "0"
	}
	end, _ := time.ParseDuration(e.text("LB_DRAIN_TIMEOUT"))
	return short(min(3*time.Second, end/2))
}

// defaultAccessLog is off where the platform writes a line for every request already.
func defaultAccessLog(e *environment) string {
	if e.cloudRun() {
		return "off"
	}
	return "on"
}

// defaultCookie differs between services, so that the cookies of nested balancers do not collide.
func defaultCookie(e *environment) string {
	sum := sha256.Sum256([]byte(e.keyName("")))
	return "__lb_" + hex.EncodeToString(sum[:4])
}

// keyName says who we are in a way that all instances and deploys of a service agree on.
func (e *environment) keyName(service string) string {
	name := e.text("K_SERVICE")
	if name == "" {
		name = e.text("OTEL_SERVICE_NAME")
	}
	return name + "/" + service
}

func (e *environment) cloudRun() bool {
	return Platform{Service: e.text("K_SERVICE"), Kubernetes: e.text("KUBERNETES_SERVICE_HOST") != ""}.CloudRun()
}

// computeEngine reports whether the machine says of itself that it is Google's. On Cloud Run and in a pod the machine
// may be one too, but its metadata is not for us.
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
