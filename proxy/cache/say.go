package cache

import (
	"strconv"
	"strings"
	"time"
)

// AppendStatus appends this cache's member of Cache-Status (RFC 9211). It does
// not contain the key.
func (l *Lookup) AppendStatus(to []byte) []byte {
	to = append(to, "pillion"...)
	if l.Forward == "" {
		to = append(to, "; hit; ttl="...)
		to = strconv.AppendInt(to, wholeSeconds(l.TTL), 10)
	} else {
		to = append(to, "; fwd="...)
		to = append(to, l.Forward...)
		if l.Status != 0 {
			to = append(to, "; fwd-status="...)
			to = strconv.AppendInt(to, int64(l.Status), 10)
		}
		if l.Stored {
			to = append(to, "; stored"...)
		}
		if l.Shared {
			to = append(to, "; collapsed"...)
		}
	}
	if l.Detail != "" {
		to = append(to, "; detail="...)
		to = append(to, l.Detail...)
	}
	return to
}

// wholeSeconds rounds down, so that a stale answer is not shown as fresh.
func wholeSeconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d < 0 && d%time.Second != 0 {
		n--
	}
	return n
}

// AgeSeconds returns the value of Age for an answer from memory.
func (l *Lookup) AgeSeconds() string { return decimal(int64(l.Age / time.Second)) }

// normalURL converts a URL that a person wrote to the store's form.
func normalURL(url string) []byte {
	scheme, rest, found := strings.Cut(url, "://")
	if !found {
		return []byte(url)
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	target := withoutFragment(rest[end:])
	if target == "" || target[0] == '?' {
		target = "/" + target
	}
	return appendURL(nil, strings.ToLower(scheme), rest[:end], target)
}
