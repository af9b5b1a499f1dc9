package access

import (
	"net/http"
	"slices"
	"strings"
)

// Methods are the allowed methods.
type Methods struct {
	list  []string
	allow string
}

// NewMethods makes the methods of a list. GET includes HEAD.
func NewMethods(list []string) *Methods {
	m := &Methods{list: slices.Clone(list)}
	if at := slices.Index(m.list, http.MethodGet); at >= 0 && !m.Allow(http.MethodHead) {
		m.list = slices.Insert(m.list, at+1, http.MethodHead)
	}
	m.allow = strings.Join(m.list, ", ")

	return m
}

// Allow reports whether a method is allowed.
func (m *Methods) Allow(method string) bool { return slices.Contains(m.list, method) }

// Field returns the value of the Allow field of a 405 (RFC 9110 section
// 15.5.6).
func (m *Methods) Field() string { return m.allow }
