package config

import (
	"fmt"
	"strings"
	"time"
)

// Route holds the settings for the requests that meet its condition. The zero
// value is not useful.
type Route struct {
	Name string // in small letters; "" for the unnamed one

	Items   string `env:"LB_ROUTE"` // as written; package route reads them
	First   bool   `env:"LB_ROUTE_FIRST"`
	Service string `env:"LB_SERVICE"` // name of the service that it uses; "" for the unnamed one

	Redirect       Target        `env:"LB_REDIRECT"`
	RedirectStatus int           `env:"LB_REDIRECT_STATUS"`
	Respond        int           `env:"LB_RESPOND"` // 0: none
	RespondBody    string        `env:"LB_RESPOND_BODY"`
	RespondFile    string        `env:"LB_RESPOND_FILE"`
	RespondPage    *Page         `env:",noinit"` // of RespondFile; nil: none
	Rewrite        RewriteTarget `env:"LB_REWRITE"`

	Files         string        `env:"LB_FILES"` // "": none
	FilesIndex    string        `env:"LB_FILES_INDEX"`
	FilesFallback string        `env:"LB_FILES_FALLBACK"` // "": none
	ErrorFiles    ErrorFiles    `env:"LB_ERROR_FILE"`
	ErrorPages    map[int]*Page // of ErrorFiles

	// The rules of this name. Those of the unnamed route are applied before
	// them.
	RequestHeaders  *Secret     `env:"LB_REQUEST_HEADERS,noinit"` // HeaderRules; nil: none
	ResponseHeaders HeaderRules `env:"LB_RESPONSE_HEADERS"`

	SecurityHeaders bool `env:"LB_SECURITY_HEADERS"`

	CORS CORS

	Access Access
	Auth   Auth

	RateLimits RateLimits `env:"LB_RATE_LIMIT"`
	// the route that has RateLimits from the environment; "" for the unnamed
	// one
	RateLimitScope string

	ResponseTimeout time.Duration `env:"LB_RESPONSE_TIMEOUT"`
	RequestTimeout  time.Duration `env:"LB_REQUEST_TIMEOUT"` // 0: none
	Retry           Retry
	MaxBodyBytes    int64 `env:"LB_MAX_BODY_BYTES"` // 0: no limit

	Mirror Mirror        `env:"LB_MIRROR"`
	Hedge  time.Duration `env:"LB_HEDGE"` // 0: never

	Cache    Cache
	Compress Compress
}

// Retry holds the settings of retries.
type Retry struct {
	Attempts int       `env:"LB_RETRIES"` // retries of requests that may have been sent
	Status   StatusSet `env:"LB_RETRY_STATUS"`
	Buffer   int64     `env:"LB_RETRY_BUFFER"` // bytes of body kept for replay
}

// DefaultName is the name of the unnamed service and route in output.
const DefaultName = "default"

// Title returns the route's name, or DefaultName for the unnamed one.
func (r *Route) Title() string { return title(r.Name) }

// Title returns the service's name, or DefaultName for the unnamed one.
func (s *Service) Title() string { return title(s.Name) }

func title(name string) string {
	if name == "" {
		return DefaultName
	}

	return name
}

// Answers reports whether the route answers by itself, without a service.
func (r *Route) Answers() bool {
	return r.Redirect.Given() || r.Respond != 0 || r.Files != ""
}

// ServiceNamed returns the service with a name, or nil.
func (c *Config) ServiceNamed(name string) *Service {
	for i := range c.Services {
		if c.Services[i].Name == name {
			return &c.Services[i]
		}
	}

	return nil
}

// For returns a copy of the configuration in which Service is the given one.
func (c *Config) For(s Service) *Config {
	view := *c
	view.Service = s

	return &view
}

// ServiceTitle returns the name of the service that the route uses, or
// DefaultName for the unnamed one.
func (r *Route) ServiceTitle() string { return title(r.Service) }

// VariableOf returns the variable for a name, which may be "".
func VariableOf(base, name string) string {
	if name == "" {
		return base
	}

	return base + separator + strings.ToUpper(name)
}

// NamesServices reports whether output has to name services, because there is
// more than the unnamed one.
func (c *Config) NamesServices() bool {
	return len(c.Services) != 1 || c.Services[0].Name != ""
}

// Count returns the number of services and routes in words, or "" if there are
// no names.
func (c *Config) Count() string {
	if len(c.scoped) == 0 {
		return ""
	}

	return fmt.Sprintf(": %s, %s", counted(len(c.Services), "service"),
		counted(len(c.Routes), "route"))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}

	return fmt.Sprintf("%d %ss", n, what)
}
