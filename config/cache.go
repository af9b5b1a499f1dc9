package config

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// Cache holds the settings of the shared cache for a route.
type Cache struct {
	Mode       CacheMode     `env:"LB_CACHE"`
	DefaultTTL time.Duration `env:"LB_CACHE_DEFAULT_TTL"` // of static types without a stated lifetime
	MaxTTL     time.Duration `env:"LB_CACHE_MAX_TTL"`
	// Heuristic is the share of Date minus Last-Modified that is the lifetime
	// of an answer without a stated one; 0 assumes none.
	Heuristic            float64       `env:"LB_CACHE_HEURISTIC"`
	StaleIfError         time.Duration `env:"LB_CACHE_STALE_IF_ERROR"`
	StaleWhileRevalidate time.Duration `env:"LB_CACHE_STALE_WHILE_REVALIDATE"`
	Collapse             time.Duration `env:"LB_CACHE_COLLAPSE"` // 0: never
	// fields that take precedence over Cache-Control
	Targets []string `env:"LB_CACHE_TARGETS"`
	// request fields that always belong to the key
	Vary []string `env:"LB_CACHE_VARY"`
	// request fields that are credentials
	Credentials []string `env:"LB_CACHE_CREDENTIALS"`
	// query parameters; "utm_*" stands for all that begin so
	IgnoreQuery []string `env:"LB_CACHE_IGNORE_QUERY"`
	Status      bool     `env:"LB_CACHE_STATUS"` // Cache-Status is said
}

// On reports whether answers are stored.
func (c *Cache) On() bool { return c.Mode == CacheOrigin || c.Mode == CacheStatic }

// CacheMode is the kind of answers that are stored.
type CacheMode string

// The modes of LB_CACHE.
const (
	CacheOff    CacheMode = "off"
	CacheOrigin CacheMode = "origin" // answers that allow it
	CacheStatic CacheMode = "static" // also files without a stated lifetime
)

const (
	mostCache    = 64 * mib // the default of LB_CACHE_SIZE, if there is memory for it
	mostAnyCache = 64 << 30
	mostObject   = 1 * mib // the default of LB_CACHE_MAX_OBJECT, if LB_CACHE_SIZE allows it
)

// mostCacheSize returns the largest LB_CACHE_SIZE for a memory limit. Stored
// answers stay in memory, so the garbage collector needs room beside them.
func mostCacheSize(limit int64) int64 {
	if limit == 0 {
		return mostAnyCache
	}
	return limit / 4
}

// defaultCacheSize returns 64 MiB, or less if there is little memory.
func defaultCacheSize(e *environment) string {
	return binary(min(mostCache, mostCacheSize(e.effectiveLimit())))
}

// defaultCacheObject returns 1 MiB, or an eighth of a small cache.
func defaultCacheObject(e *environment) string {
	size, err := e.rows["LB_CACHE_SIZE"].form.parse(e.text("LB_CACHE_SIZE"))
	n, ok := digits(size)
	if err != nil || !ok {
		return binary(mostObject)
	}
	return binary(max(1, min(mostObject, int64(n)/8)))
}

// cacheMemory returns the memory of the store.
func (c *Config) cacheMemory() int64 {
	if !c.Caches() {
		return 0
	}
	return c.Process.CacheSize
}

// Caches reports whether any route has a cache.
func (c *Config) Caches() bool {
	return slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Cache.On() })
}

// cacheFits checks the upper bounds of LB_CACHE_SIZE and LB_CACHE_MAX_OBJECT.
func (e *environment) cacheFits(c *Config) {
	p := &c.Process
	if most := mostCacheSize(e.effectiveLimit()); p.CacheSize > most {
		e.problems = append(e.problems, e.rows["LB_CACHE_SIZE"].problem(e.given["LB_CACHE_SIZE"],
			fmt.Errorf("is more than a quarter of the memory limit, which is %s", binary(most))))
	}
	if p.CacheMaxObject > p.CacheSize/8 {
		e.problems = append(e.problems, e.rows["LB_CACHE_MAX_OBJECT"].problem(
			e.given["LB_CACHE_MAX_OBJECT"],
			fmt.Errorf("is more than an eighth of LB_CACHE_SIZE, which is %s", binary(p.CacheSize/8))))
	}
}

// cacheVariables returns the rows of the shared cache.
func cacheVariables() []Variable {
	rows := []Variable{
		{
			Name: "LB_CACHE", Default: "off", Example: "origin",
			form: aliased(choice("off", "origin", "static"), map[string]string{"none": "off"}),
			Sentence: "What is stored in memory and answered without a backend. origin: answers whose own " +
				"Cache-Control, Expires or a field of LB_CACHE_TARGETS allows it. static: also scripts, " +
				"styles, fonts, images, audio, video, PDF and wasm that say nothing, for " +
				"LB_CACHE_DEFAULT_TTL. Never stored: private, no-store, Set-Cookie, and answers to requests " +
				"with Authorization, Cookie or the like that do not say public.",
		},
		{
			Name: "LB_CACHE_DEFAULT_TTL", Default: "1h", Example: "10m", form: duration(time.Second, year),
			Sentence: "How long LB_CACHE=static keeps files that say nothing.",
		},
		{
			Name: "LB_CACHE_MAX_TTL", Default: "24h", Example: "1h", form: duration(time.Second, year),
			Sentence: "Nothing is fresh for longer than this after it was stored or validated. Answers " +
				"from 400 on are fresh for 10 s at most, except 404 and 410.",
		},
		{
			Name: "LB_CACHE_HEURISTIC", Default: "off", Example: "10%", form: orNone(share(), "0"),
			Sentence: "The share of the time since Last-Modified that an answer is fresh for when it says " +
				"nothing, 24 h at most.",
		},
	}
	rows = append(rows, cacheStaleVariables()...)
	rows = append(rows, cacheKeyVariables()...)
	for i := range rows {
		rows[i].Route = true
	}
	return inSection(cacheSection, false, rows)
}

// cacheStaleVariables returns the rows about stale answers and shared requests.
func cacheStaleVariables() []Variable {
	return []Variable{
		{
			Name: "LB_CACHE_STALE_IF_ERROR", Default: "60s", Example: "10m", form: duration(0, year),
			Sentence: "How long past its time an answer is used while its service fails (no answer, 500, " +
				"502, 503, 504), unless it says stale-if-error itself. Never used so: must-revalidate, " +
				"proxy-revalidate, s-maxage, no-cache.",
		},
		{
			Name: "LB_CACHE_STALE_WHILE_REVALIDATE", Default: "0s", Example: "10s", form: duration(0, year),
			Sentence: "How long past its time an answer is used while one request refreshes it, unless it " +
				"says stale-while-revalidate itself.",
		},
		{
			Name: "LB_CACHE_COLLAPSE", Default: "5s", Example: "1s",
			form: orNone(duration(0, time.Hour), "0"),
			Sentence: "How long a request waits for the head of the same answer that another request has " +
				"asked for. 0: never.",
		},
	}
}

// cacheKeyVariables returns the rows about the key of answers.
func cacheKeyVariables() []Variable {
	return []Variable{
		{
			Name: "LB_CACHE_TARGETS", Default: "Pillion-Cache-Control;CDN-Cache-Control",
			Example: "CDN-Cache-Control",
			form:    orNone(fieldNames(), ""),
			Sentence: "Response fields that count before Cache-Control and Expires, in this order (RFC " +
				"9213). The first is not passed on.",
		},
		{
			Name: "LB_CACHE_VARY", Default: "none", Example: "RSC;Next-Router-State-Tree",
			form:     orNone(fieldNames(), ""),
			Sentence: "Request fields that always tell answers apart, for apps that forget Vary.",
		},
		{
			Name: "LB_CACHE_CREDENTIALS", Default: "none", Example: "X-Session",
			form: orNone(fieldNames(), ""),
			Sentence: "More request fields that make an answer somebody's own, beside Authorization, " +
				"Cookie, X-Api-Key and those by which proxies name the user.",
		},
		{
			Name: "LB_CACHE_IGNORE_QUERY", Default: "none", Example: "utm_*;gclid;fbclid",
			form: orNone(parameterNames(), ""),
			Sentence: "Query parameters that tell no answers apart. On GET and HEAD the service does not " +
				"get them. A star ends the beginning of a name.",
		},
		{
			Name: "LB_CACHE_STATUS", Default: "on", Example: "off",
			form:     onOff(),
			Sentence: "Whether answers say in Cache-Status what the cache did (RFC 9211).",
		},
	}
}

// cacheSizeVariables returns the rows about the store of the process.
func cacheSizeVariables() []Variable {
	return inSection(cacheSection, false, []Variable{
		{
			Name: "LB_CACHE_SIZE", Shown: "64MiB, at most a quarter of the memory limit",
			derive:  defaultCacheSize,
			Example: "16MiB", form: size(256*kib, mostAnyCache),
			Sentence: "The memory of all stored answers: bodies, fields and 1 KiB each. It is never " +
				"passed.",
		},
		{
			Name: "LB_CACHE_MAX_OBJECT", Shown: "1MiB, at most an eighth of LB_CACHE_SIZE",
			derive: defaultCacheObject, Example: "256KiB", form: size(1, mostAnyCache/8),
			Sentence: "The largest body that is stored. Larger ones stream through.",
		},
	})
}

// onOff takes on and off.
func onOff() form {
	f := aliased(toggle(), map[string]string{"on": "true", "off": "false", "none": "false"})
	f.accepted = "on, off"
	return f
}

// fieldNames takes names of fields, and brings them into canonical form.
func fieldNames() form {
	return form{"a list of field names, separated by ';'", func(given string) (string, error) {
		items := split(given)
		if len(items) == 0 {
			return "", errors.New("names no field")
		}
		for i, item := range items {
			if !isToken(item) {
				return "", fmt.Errorf("has the item %q, which is no field name", clip(item))
			}
			items[i] = textproto.CanonicalMIMEHeaderKey(item)
		}
		return strings.Join(items, ","), nil
	}}
}

// parameterNames takes names of query parameters as they stand in URLs.
func parameterNames() form {
	return form{"a list of query parameters, separated by ';'", func(given string) (string, error) {
		items := split(given)
		if len(items) == 0 {
			return "", errors.New("names no parameter")
		}
		for _, item := range items {
			if strings.ContainsAny(item, "&=#? ") || strings.Contains(strings.TrimSuffix(item, "*"), "*") {
				return "", fmt.Errorf("has the item %q, which is no name of a parameter", clip(item))
			}
		}
		return strings.Join(items, ","), nil
	}}
}
