package status

import (
	"cmp"
	"slices"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// State is what the page and its JSON show: one backend service at one moment. The caller fills it anew for each look.
type State struct {
	Version  string    `json:"version,omitempty"`
	Service  string    `json:"service,omitempty"` // who we are: K_SERVICE or OTEL_SERVICE_NAME
	At       time.Time `json:"at"`
	Begun    time.Time `json:"begun,omitzero"`
	Settings []Setting `json:"settings,omitempty"` // the service's settings worth a look, without secrets
	Backends []Backend `json:"backends"`           // by name
}

// shown are the settings that the page repeats.
var shown = []string{"LB_BACKENDS", "LB_POLICY", "LB_SESSION_AFFINITY", "LB_HEALTH_CHECK", "LB_RETRIES", "LB_MAX_IN_FLIGHT"}

// NewState is the state of now: of a process of that version and configuration that began at begun, with its backends.
func NewState(cfg *config.Config, version string, begun time.Time, backends []Backend) State {
	s := State{
		Version: version, Service: cmp.Or(cfg.Telemetry.ServiceName, cfg.Platform.Service),
		At: time.Now(), Begun: begun, Backends: backends,
	}
	for _, v := range cfg.Settings() {
		if slices.Contains(shown, v.Name) {
			s.Settings = append(s.Settings, Setting{Name: v.Name, Value: v.Value})
		}
	}
	return s
}

// Setting is one line of the summary of settings.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// The states of a backend. Others are shown as they are, as bad ones.
const (
	Eligible  = "eligible"
	Draining  = "draining"
	Unhealthy = "unhealthy"
	Ejected   = "ejected"
)

// Backend is one endpoint as the proxy sees it.
type Backend struct {
	Name         string    `json:"name"`
	Address      string    `json:"address"`
	Source       string    `json:"source,omitempty"` // the item of LB_BACKENDS it came from
	State        string    `json:"state"`
	Reason       string    `json:"reason,omitempty"` // why it is in that state, in words
	Since        time.Time `json:"since,omitzero"`
	Weight       int       `json:"weight"`
	InFlight     int64     `json:"inFlight"`
	Requests     uint64    `json:"requests"`
	Failures     uint64    `json:"failures"`
	Ejections    int       `json:"ejections"` // in a row
	EjectedUntil time.Time `json:"ejectedUntil,omitzero"`
	LastProbe    Probe     `json:"lastProbe,omitzero"`
}

// Probe is the last active health check of a backend; the zero value is none.
type Probe struct {
	At      time.Time `json:"at,omitzero"`
	Healthy bool      `json:"healthy"`
	Result  string    `json:"result,omitempty"` // "200", "connection refused"
}
