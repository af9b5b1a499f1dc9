package files

import (
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// noTime is the time before which a modification time is ignored. Tools that
// build reproducible images give all files one time at the beginning of 1970 or
// 1980, so two versions of a file would have the same.
var noTime = time.Date(1980, time.January, 3, 0, 0, 0, 0, time.UTC)

// validators identify a version of a file (RFC 9110 section 8.8).
type validators struct {
	etag     string    // strong, with its quotes; "" is none
	modified time.Time // in whole seconds; zero is none
}

// validatorsOf returns the validators of a file. The entity tag is made only of
// values that all instances of an image have in common, so that each instance
// recognises the tags of the others.
func validatorsOf(state fs.FileInfo, now time.Time) validators {
	t := state.ModTime()
	if t.Before(noTime) {
		return validators{}
	}

	const hexadecimal = 16
	v := validators{etag: `"` + strconv.FormatInt(t.UnixNano(), hexadecimal) + "-" +
		strconv.FormatInt(state.Size(), hexadecimal) + `"`}
	if !t.After(now) {
		v.modified = t.UTC().Truncate(time.Second)
	}
	return v
}

// say adds the validators to an answer's fields.
func (v validators) say(h http.Header) {
	if v.etag != "" {
		h["Etag"] = []string{v.etag}
	}
	if !v.modified.IsZero() {
		h["Last-Modified"] = []string{v.modified.Format(http.TimeFormat)}
	}
}

// verdict is the result of a request's conditions.
type verdict uint8

const (
	fulfilled verdict = iota
	notModified
	preconditionFailed
)

// judge evaluates the conditions of a GET or HEAD request, in the order of RFC
// 9110 section 13.2.2.
func (v validators) judge(r *http.Request) verdict {
	if match := r.Header["If-Match"]; len(match) > 0 {
		if !v.matches(match, strong) {
			return preconditionFailed
		}
	} else if t, ok := date(r.Header["If-Unmodified-Since"]); ok && v.modified.After(t) {
		return preconditionFailed
	}

	if match := r.Header["If-None-Match"]; len(match) > 0 {
		if v.matches(match, weak) {
			return notModified
		}
		return fulfilled
	}
	t, ok := date(r.Header["If-Modified-Since"])
	if ok && !v.modified.IsZero() && !v.modified.After(t) {
		return notModified
	}
	return fulfilled
}

// comparison is a way to compare entity tags (RFC 9110 section 8.8.3.2).
type comparison uint8

const (
	strong comparison = iota
	weak
)

// matches reports whether a list of entity tags contains the file's, or is "*".
func (v validators) matches(lines []string, how comparison) bool {
	list := strings.Join(lines, ",")
	if wire.TrimBlanks(list) == "*" {
		return true
	}
	for list != "" {
		var tag string
		if tag, list = nextTag(list); tag == "" {
			continue
		}
		opaque, isWeak := strings.CutPrefix(tag, "W/")
		if opaque == v.etag && (how == weak || !isWeak) {
			return true
		}
	}
	return false
}

// nextTag cuts the next entity tag off a list. It returns "" if there is none.
// A tag may contain a comma.
func nextTag(list string) (tag, rest string) {
	list = strings.TrimLeft(list, " \t,")
	quote := strings.IndexByte(list, '"')
	if quote < 0 || quote != 0 && !(quote == 2 && list[:2] == "W/") {
		if comma := strings.IndexByte(list, ','); comma >= 0 {
			return "", list[comma+1:]
		}
		return "", ""
	}
	end := strings.IndexByte(list[quote+1:], '"')
	if end < 0 {
		return "", ""
	}
	end += quote + 2
	return list[:end], list[end:]
}

// rangeHolds reports whether the version that the client has parts of is the
// current one, by If-Range (RFC 9110 section 13.1.5).
func (v validators) rangeHolds(ifRange []string) bool {
	switch {
	case len(ifRange) == 0:
		return true
	case len(ifRange) > 1:
		return false
	case strings.HasSuffix(ifRange[0], `"`):
		return v.etag != "" && ifRange[0] == v.etag
	}
	t, ok := date(ifRange)
	return ok && !v.modified.IsZero() && t.Equal(v.modified)
}

// date reads a field with one date.
func date(lines []string) (time.Time, bool) {
	if len(lines) != 1 {
		return time.Time{}, false
	}
	t, err := http.ParseTime(lines[0])
	return t, err == nil
}
