package cache

import (
	"net/http"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// freshness is how long a stored answer may be used, and how (RFC 9111 section
// 4.2). All times are compared with the clock at use, because a platform that
// stops the CPU stops timers too.
type freshness struct {
	born     time.Time // when the answer's age was 0
	stored   time.Time // when it came or was validated
	lifetime time.Duration
	most     time.Duration // the longest time from stored on that it is fresh (LB_CACHE_MAX_TTL)
	ifError  time.Duration // how long past its lifetime it is used while the service fails
	refresh  time.Duration // how long past its lifetime it is used while one request refreshes it
}

// age returns the answer's age (RFC 9111 section 4.2.3).
func (f *freshness) age(now time.Time) time.Duration { return max(0, now.Sub(f.born)) }

// left returns how much longer the answer is fresh. If it is stale, the result
// is negative.
func (f *freshness) left(now time.Time) time.Duration {
	return min(f.lifetime-f.age(now), f.most-now.Sub(f.stored))
}

// mostHeuristic bounds a lifetime that the answer does not state.
const mostHeuristic = 24 * time.Hour

// errorLifetime bounds the lifetime of errors, so that a client that provokes
// an error can't make it last.
const errorLifetime = 10 * time.Second

// answer holds what the cache needs from the head of an answer to decide
// whether to store it.
type answer struct {
	directives
	freshness
	targeted bool     // a field of LB_CACHE_TARGETS decides
	explicit bool     // its lifetime is stated
	inferred bool     // its lifetime is assumed
	vary     []string // the fields that it was chosen by
}

// readAnswer reads the head of an answer. asked and came are the times of the
// request and of the head.
func (l *Lookup) readAnswer(resp *http.Response, asked, came time.Time) (a answer) {
	h, rules := resp.Header, l.Rules
	for _, name := range rules.Targets {
		if lines := h[name]; len(lines) > 0 && !a.targeted {
			a.directives, a.targeted = parseTargeted(lines)
		}
	}
	if !a.targeted {
		a.directives = parseControl(h["Cache-Control"])
	}

	date, ok := l.Cache.dates.of(h["Date"], came)
	if !ok {
		date = came
	}
	apparent := max(0, came.Truncate(time.Second).Sub(date))
	corrected := ageOf(h["Age"]) + max(0, came.Sub(asked))
	a.born, a.stored = came.Add(-max(apparent, corrected)), came

	a.setLifetime(resp, rules, date)
	a.most = rules.MaxTTL
	if s := resp.StatusCode; s >= 400 && s != http.StatusNotFound && s != http.StatusGone {
		a.most = min(a.most, errorLifetime)
	}
	a.setStale(rules)

	return a
}

// setLifetime finds the lifetime (RFC 9111 section 4.2.1), which is never
// negative.
func (a *answer) setLifetime(resp *http.Response, rules *config.Cache, date time.Time) {
	h := resp.Header
	expires := h["Expires"]
	switch {
	case a.sMaxAge.said:
		a.lifetime, a.explicit = a.sMaxAge.Duration, true
	case a.maxAge.said:
		a.lifetime, a.explicit = a.maxAge.Duration, true
	case len(expires) > 0 && !a.targeted:
		a.explicit = true
		if at, ok := dateOf(expires, a.stored); ok {
			a.lifetime = max(0, at.Sub(date))
		}
	case a.noCache:
	case rules.Heuristic > 0 &&
		(a.public || understood(resp.StatusCode) && heuristic(resp.StatusCode)):
		if modified, ok := dateOf(h["Last-Modified"], a.stored); ok && modified.Before(date) {
			share := time.Duration(rules.Heuristic * float64(date.Sub(modified)))
			a.lifetime, a.inferred = min(share, mostHeuristic), true
		}
	}
}

// assume gives a static answer without a lifetime that of LB_CACHE_DEFAULT_TTL.
func (a *answer) assume(resp *http.Response, rules *config.Cache) {
	h := resp.Header
	silent := !a.targeted && len(h["Cache-Control"]) == 0 && len(h["Expires"]) == 0
	if rules.Mode != config.CacheStatic || !silent || resp.StatusCode != http.StatusOK ||
		!staticType(h) {
		return
	}
	a.lifetime, a.inferred = rules.DefaultTTL, true
}

// setStale finds how long the answer may be used while it is stale (RFC 9111
// section 4.2.4, RFC 5861).
func (a *answer) setStale(rules *config.Cache) {
	if a.mustRevalidate || a.noCache || a.sMaxAge.said {
		return
	}
	a.ifError, a.freshness.refresh = rules.StaleIfError, rules.StaleWhileRevalidate
	if a.staleIfError.said {
		a.ifError = a.staleIfError.Duration
	}
	if a.staleRevalidate.said {
		a.freshness.refresh = a.staleRevalidate.Duration
	}
}

// heuristic reports whether an answer with a status may be stored without a
// stated lifetime (RFC 9110 section 15.1).
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood reports whether this cache implements what a status demands of a
// cache. Of those in RFC 9110, only 206 and 304 demand anything.
func understood(status int) bool {
	return http.StatusText(status) != "" && status != 206 && status != 304
}

// staticType reports whether the media type is that of a file rather than of a
// page.
func staticType(h http.Header) bool {
	if len(h["Content-Type"]) != 1 {
		return false
	}
	media, _, _ := strings.Cut(h["Content-Type"][0], ";")
	media = strings.ToLower(strings.Trim(media, " \t"))
	switch media {
	case "text/css", "text/javascript", "application/javascript", "application/x-javascript",
		"application/pdf", "application/wasm", "application/vnd.ms-fontobject",
		"application/font-woff", "application/font-woff2":
		return true
	}
	kind, _, _ := strings.Cut(media, "/")
	switch kind {
	case "image", "audio", "video", "font":
		return true
	}
	return false
}
