package config

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// RateLimit is one item of LB_RATE_LIMIT.
type RateLimit struct {
	Name   string // never empty, and different for each item of a list
	Count  int
	Period time.Duration
	Burst  int
	By     LimitKey

	Paths   AccessPaths // nil: all
	Methods []string    // in capitals; nil: all
	Dry     bool        // it counts, but refuses nothing
}

// LimitKind is a kind of keys that limits count by.
type LimitKind uint8

// The kinds of keys.
const (
	ByClient LimitKind = iota // an IPv4 address, or an IPv6 network of /64
	ByAll                     // all requests together
	ByHost                    // the host that the client asked for
	ByHeader
	ByCookie
	ByClaim // of a verified token
)

// LimitKey is the key by which a limit counts requests, such as the client's
// address or a field.
type LimitKey struct {
	Kind LimitKind
	Name string // of the field in canonical form, of the cookie, of the claim
}

// String returns the key as LB_RATE_LIMIT has it.
func (k LimitKey) String() string {
	switch k.Kind {
	case ByAll:
		return "all"
	case ByHost:
		return "host"
	case ByHeader:
		return "header:" + k.Name
	case ByCookie:
		return "cookie:" + k.Name
	case ByClaim:
		return "claim:" + k.Name
	}

	return "client"
}

// The bounds of a limit.
const (
	mostRateLimits = 16 // in one list, because each has a table
	mostRate       = 1_000_000
	shortestPeriod = time.Millisecond
	longestPeriod  = 30 * day
)

// RateLimits are the limits of a route.
type RateLimits []RateLimit

const rateLimitsForm = "a list of COUNT/PERIOD with or without " +
	"?by=client|all|host|header:NAME|cookie:NAME|claim:NAME&burst=N&path=/x&method=POST&name=NAME" +
	"&dry=true, separated by ';'"

// EnvDecode reads a list of limits.
func (l *RateLimits) EnvDecode(given string) error {
	*l = nil
	names := map[string]bool{}
	for i, item := range split(given) {
		limit, err := parseRateLimit(item)
		if err != nil {
			return fmt.Errorf("has the item %q, which %w", clip(item), err)
		}
		if limit.Name == "" {
			limit.Name = fmt.Sprintf("limit-%d", i+1)
		}
		if names[limit.Name] {
			return fmt.Errorf("has two limits of the name %s", limit.Name)
		}
		names[limit.Name] = true
		*l = append(*l, limit)
	}

	switch {
	case len(*l) == 0 && given != "":
		return errors.New("holds no limit")
	case len(*l) > mostRateLimits:
		return fmt.Errorf("has more than %d limits", mostRateLimits)
	}

	return nil
}

// parseRateLimit reads COUNT/PERIOD?KEY=VALUE&….
func parseRateLimit(item string) (l RateLimit, err error) {
	often, keys, more := strings.Cut(item, "?")
	count, period, found := strings.Cut(often, "/")
	if !found {
		return l, errors.New("is not COUNT/PERIOD, such as 50/s")
	}
	var ok bool
	if l.Count, ok = digits(strings.TrimSpace(count)); !ok || l.Count < 1 {
		return l, errors.New("does not begin with a whole number from 1 on")
	}
	if l.Period, err = parsePeriod(strings.TrimSpace(period)); err != nil {
		return l, err
	}
	l.Burst = l.Count
	if more {
		if err := l.parseKeys(keys); err != nil {
			return l, err
		}
	}

	// In floats, because products of large numbers overflow an integer.
	cost := float64(l.Period) / float64(l.Count)
	switch {
	case cost < float64(time.Second)/mostRate:
		return l, fmt.Errorf("is more than %d a second", mostRate)
	case cost*float64(l.Burst) > float64(year):
		return l, errors.New("has a burst that takes more than a year to come back")
	}

	return l, nil
}

// parsePeriod reads s, m, h, d or a duration.
func parsePeriod(text string) (time.Duration, error) {
	switch strings.ToLower(text) {
	case "s":
		return time.Second, nil
	case "m":
		return time.Minute, nil
	case "h":
		return time.Hour, nil
	case "d":
		return day, nil
	}

	if period, _, found := strings.Cut(text, "&"); found {
		return 0, fmt.Errorf("has keys behind '&', and the first one follows '?': %s?…", clip(period))
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("has a period that is none of s, m, h, d and no duration")
	}
	if d < shortestPeriod || d > longestPeriod {
		return 0, fmt.Errorf("has a period that is not from %s to %s",
			short(shortestPeriod), short(longestPeriod))
	}

	return d, nil
}

// set reads the value of one key.
func (l *RateLimit) set(key, value string) (err error) {
	var ok bool
	switch key {
	case "by":
		l.By, err = parseLimitKey(value)
		return err
	case "burst":
		if l.Burst, ok = digits(value); !ok || l.Burst < 1 {
			return errors.New("has a burst that is no whole number from 1 on")
		}
	case "path":
		return l.setPaths(value)
	case "method":
		return l.setMethods(value)
	case "name":
		if value == "" || len(value) > 64 ||
			strings.Trim(value, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return errors.New("has a name that is not of small letters, digits, '-' and '_'")
		}
		l.Name = value
	case "dry":
		l.Dry = strings.EqualFold(value, "true")
		if !l.Dry && !strings.EqualFold(value, "false") {
			return errors.New("has a dry that is neither true nor false")
		}
	default:
		return fmt.Errorf("has the key %q, which is none of by, burst, path, method, name, dry",
			clip(key))
	}

	return nil
}

func (l *RateLimit) setPaths(value string) error {
	for _, item := range strings.Split(value, "|") {
		path, err := accessPath(item)
		if err != nil {
			return fmt.Errorf("has the path %q, which %w", clip(item), err)
		}
		l.Paths = append(l.Paths, path)
	}

	return nil
}

func (l *RateLimit) setMethods(value string) error {
	l.Methods = strings.Split(strings.ToUpper(value), "|")
	for _, m := range l.Methods {
		if !isMethod(m) {
			return fmt.Errorf("has the method %q, which is none", clip(m))
		}
	}
	if slices.Contains(l.Methods, http.MethodGet) {
		l.Methods = append(l.Methods, http.MethodHead) // it causes the same work
	}

	return nil
}

// parseKeys reads KEY=VALUE&KEY=VALUE.
func (l *RateLimit) parseKeys(text string) error {
	seen := map[string]bool{}
	for _, pair := range strings.Split(text, "&") {
		key, value, found := strings.Cut(pair, "=")
		switch {
		case seen[key]:
			return fmt.Errorf("has the key %q twice", clip(key))
		case !found:
			return fmt.Errorf("has the key %q without a value", clip(key))
		}
		seen[key] = true

		value, err := url.PathUnescape(value)
		if err != nil {
			return errors.New("has a '%' that is not followed by two digits (a '%' is written %25)")
		}
		if err := l.set(key, value); err != nil {
			return err
		}
	}

	return nil
}

// parseLimitKey reads what a limit counts by.
func parseLimitKey(text string) (k LimitKey, err error) {
	word, name, named := strings.Cut(text, ":")
	switch {
	case !named && word == "client":
		return LimitKey{Kind: ByClient}, nil
	case !named && word == "all":
		return LimitKey{Kind: ByAll}, nil
	case !named && word == "host":
		return LimitKey{Kind: ByHost}, nil
	case named && word == "header" && isToken(name):
		return LimitKey{ByHeader, http.CanonicalHeaderKey(name)}, nil
	case named && word == "cookie" && isToken(name):
		return LimitKey{ByCookie, name}, nil
	case named && word == "claim" && name != "":
		return LimitKey{ByClaim, name}, nil
	}

	return k, errors.New("has a by that is none of client, all, host, header:NAME, cookie:NAME, " +
		"claim:NAME")
}

// rateLimits is the form of a list of limits.
func rateLimits() form {
	return form{rateLimitsForm, func(given string) (string, error) {
		return given, new(RateLimits).EnvDecode(given)
	}}
}

// rateLimitVariables returns the rows about rate limits.
func rateLimitVariables() []Variable {
	return inSection(accessSection, false, []Variable{
		{Name: "LB_SECURITY_HEADERS", Route: true, Default: "off", Example: "on", form: onOff(),
			Sentence: "on says X-Content-Type-Options: nosniff, X-Frame-Options: SAMEORIGIN, " +
				"Referrer-Policy: strict-origin-when-cross-origin and, over HTTPS, " +
				"Strict-Transport-Security: max-age=31536000, each where the app does not say it " +
				"itself, and removes X-Powered-By. LB_RESPONSE_HEADERS acts after it."},
		{Name: "LB_CLIENT_IN_FLIGHT", Default: "none", Example: "100",
			form: orNone(count(1, 1_000_000), "0"),
			Sentence: "Requests that one client may have in progress, tunnels included; more get " +
				"429. A client is an IPv4 address, or a /64 of IPv6, as LB_TRUSTED_PROXIES " +
				"settles it."},
		{Name: "LB_RATE_LIMIT", Route: true, Default: "none",
			Example: "50/s;5/m?path=/login&method=POST&name=login", form: orNone(rateLimits(), ""),
			Sentence: "How many requests may come in a time; more get 429 with Retry-After, and " +
				"none is delayed. The period is s, m, h, d or a duration. Every limit that holds " +
				"for a request is asked. by is what is counted by: client (the default; an IPv4 " +
				"address, or a /64 of IPv6), all, host, header:NAME, cookie:NAME or claim:NAME; " +
				"a request without the field, the cookie or the claim counts by its client. " +
				"burst is how many may come at once, by default COUNT. path takes a path in " +
				"every spelling, as in LB_DENY_PATHS; path and method take several, joined by " +
				"'|'. dry=true counts and shows, but refuses nothing. Routes that inherit a " +
				"limit count together. Of 65,536 keys of a limit, fewer in a small container, " +
				"each counts for itself; keys beyond that share counts. Each instance counts for " +
				"itself: with N instances the " +
				"total is up to N times the limit, unless there is LB_RATE_LIMIT_STORE."},
		{Name: "LB_RATE_LIMIT_STORE", Secret: true,
			Example: "rediss://user:password@10.0.0.3:6379/0", form: storeURL(),
			Sentence: "The server of Redis (6 or later) or Valkey in which all instances count " +
				"together. cluster=true for a cluster, ca for certificates of its own, " +
				"verify=ca where these name no host and their authority is the server's alone " +
				"(Memorystore), auth=google for the service account's access token as the password " +
				"(Memorystore with IAM), prefix for what keys begin with: by default pillion and " +
				"K_SERVICE or OTEL_SERVICE_NAME. While it does not answer, each instance counts " +
				"for itself; no request fails because of it."},
		{Name: "LB_RATE_LIMIT_TIMEOUT", Default: "50ms", Example: "20ms",
			form: duration(time.Millisecond, time.Second),
			Sentence: "How long a request waits for LB_RATE_LIMIT_STORE. Then the instance counts " +
				"for itself; after three times in a row the store is left alone for 1 s, doubling " +
				"to 30 s."},
	})
}

// rateLimitScopes notes from which route each route has its list of limits.
// Routes that inherit a list share it.
func (e *environment) rateLimitScopes(c *Config) {
	for i := range c.Routes {
		r := &c.Routes[i]
		if _, own := e.good[VariableOf("LB_RATE_LIMIT", r.Name)]; own {
			r.RateLimitScope = r.Name
		}
	}
}

// Claims returns the claims that limits count by.
func (l RateLimits) Claims() (names []string) {
	for i := range l {
		if l[i].By.Kind == ByClaim {
			names = append(names, l[i].By.Name)
		}
	}

	return names
}

// validateLimits requires authentication for limits that count by claims.
func (e *environment) validateLimits(c *Config) {
	var list RateLimits
	if list.EnvDecode(e.good[e.full("LB_RATE_LIMIT")]) != nil {
		return
	}
	verified := func(r Route) bool {
		name := strings.ToLower(e.name)
		return r.Auth.On() && (r.RateLimitScope == name || r.Name == name)
	}
	if len(list.Claims()) > 0 && !slices.ContainsFunc(c.Routes, verified) {
		e.fault("LB_RATE_LIMIT", "counts by a claim, but nothing verifies who is asking")
	}
}

// TitleIn returns the name of a limit in a list of all limits. route is "" for
// the unnamed route.
func (l *RateLimit) TitleIn(route string) string {
	if route == "" {
		return l.Name
	}

	return route + "." + l.Name
}
