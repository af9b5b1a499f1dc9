package config

import (
	"log/slog"
	"strings"
)

// Secret is a value that is never printed. It comes from LB_X or from the file that LB_X_FILE names; the file is read
// again when it changes. Safe for concurrent use.
type Secret struct {
	value string
	path  string
}

// NewSecret is a Secret of a fixed value.
func NewSecret(value string) *Secret { return &Secret{value: value} }

// Value returns the secret as it is now.
func (s *Secret) Value() string { return s.value }

// Keys returns the items of a secret that is a list, as it is now.
func (s *Secret) Keys() []string { return strings.Split(s.value, ";") }

// String masks the value, for every verb of fmt.
func (s *Secret) String() string { return "***" }

// GoString masks the value.
func (s *Secret) GoString() string { return "***" }

// LogValue masks the value.
func (s *Secret) LogValue() slog.Value { return slog.StringValue("***") }
