package status

import (
	"cmp"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/auth"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/cache"
	"github.com/pillion-lb/pillion/proxy/history"
	"github.com/pillion-lb/pillion/proxy/limit"
	"github.com/pillion-lb/pillion/proxy/route"
)

// State is what the page and its JSON show: the process at one moment. It is
// made anew for each request of the page.
type State struct {
	Version string    `json:"version,omitempty"`
	Service string    `json:"service,omitempty"` // K_SERVICE or OTEL_SERVICE_NAME
	At      time.Time `json:"at"`
	Begun   time.Time `json:"begun,omitzero"`
	// Settings are the variables that differ from their defaults, with secrets
	// masked.
	Settings []Setting       `json:"settings,omitempty"`
	Backends []backend.State `json:"backends"`         // by name
	Sources  []Source        `json:"sources"`          // in the order of LB_BACKENDS
	Routes   []Route         `json:"routes,omitempty"` // in the order in which they are matched
	Cache    *cache.Stats    `json:"cache,omitempty"`  // nil: the cache is off
	Access   *Access         `json:"access,omitempty"` // nil: no gate is on
	Traffic  history.Traffic `json:"traffic"`
	Events   []Event         `json:"events,omitempty"` // the newest first
}

// Source is the state of a source of backends, which is an item of LB_BACKENDS.
type Source struct {
	Service  string `json:"service,omitempty"` // "" if there is only one service
	Source   string `json:"source"`
	Kind     string `json:"kind"`
	Backends int    `json:"backends"` // number of backends in the last good answer

	// Age is the time since the last good answer, in seconds. It is nil if
	// there was none yet.
	Age   *float64 `json:"age_seconds"`
	Error string   `json:"error,omitempty"` // of the last refresh; "": it succeeded
}

// label returns the source's item. With several services, the service's name is
// in front of it.
func (s Source) label() string {
	if s.Service != "" {
		return s.Service + " / " + s.Source
	}

	return s.Source
}

// Route is an item of a route, with the number of requests that matched it.
type Route struct {
	route.Row
	Requests int64 `json:"requests"`
}

// WithRoutes returns the state with the items of the routes. each calls its
// argument once for each item.
func (s State) WithRoutes(each func(func(row route.Row, requests int64))) State {
	each(func(row route.Row, requests int64) { s.Routes = append(s.Routes, Route{row, requests}) })

	return s
}

// WithTraffic returns the state with the numbers of the requests.
func (s State) WithTraffic(t history.Traffic) State {
	s.Traffic = t

	return s
}

// WithAccess returns the state with the gates that are on, keys and limits.
func (s State) WithAccess(keys []auth.State, limits *limit.States) State {
	if s.Access != nil {
		s.Access.Keys, s.Access.Limits = keys, limits
	}

	return s
}

// NewState returns the state of this moment, for a process that started at
// begun. The With methods add what else is known.
func NewState(cfg *config.Config, version string, begun time.Time, backends []backend.State,
	sources []discovery.State) State {
	s := State{
		Version: version, Service: cmp.Or(cfg.Telemetry.ServiceName, cfg.Platform.Service),
		At: time.Now(), Begun: begun, Backends: backends, Sources: []Source{},
	}

	for _, source := range sources {
		s.Sources = append(s.Sources, newSource(source, s.At))
	}

	if gates := cfg.Gates(); len(gates) > 0 {
		s.Access = &Access{Gates: gates}
	}
	for _, v := range cfg.Changed() {
		s.Settings = append(s.Settings, Setting{Name: v.Name, Value: v.Value, Line: v.Assignment()})
	}

	return s
}

func newSource(s discovery.State, now time.Time) Source {
	source := Source{Service: s.Service, Source: s.Source, Kind: string(s.Kind),
		Backends: s.Backends}
	if age, known := s.Age(now); known {
		seconds := age.Seconds()
		source.Age = &seconds
	}

	if s.Err != nil {
		source.Error = s.Err.Error()
	}

	return source
}

// Setting is a variable of the environment and its value.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Line  string `json:"-"` // in the form NAME=value
}
