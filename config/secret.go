package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// mask is printed instead of a secret.
const mask = "***"

// Secret is a value that is never printed. It comes from LB_X or from the file
// that LB_X_FILE names, which is followed. Safe for concurrent use.
type Secret struct {
	value string            // of LB_X
	file  *Followed[string] // of LB_X_FILE; nil for a fixed value
}

// NewSecret returns a Secret with a fixed value.
func NewSecret(value string) *Secret { return &Secret{value: value} }

// newFileSecret returns a Secret that follows a file. It fails if the file
// can't be read or does not pass judge.
func newFileSecret(variable, path string, judge func(string) error) (*Secret, error) {
	file, err := Follow(variable, func(contents []string) (*string, error) {
		value := withoutLineBreak(contents[0])
		if value == "" {
			return nil, errors.New("names a file that is empty")
		}

		if err := judge(value); err != nil {
			return nil, fmt.Errorf("names a file whose content %w", err)
		}

		return &value, nil
	}, path)
	if err != nil {
		return nil, err
	}

	return &Secret{file: file}, nil
}

// EnvDecode sets the value of LB_X.
func (s *Secret) EnvDecode(given string) error {
	s.value = given
	return nil
}

// Value returns the current secret.
func (s *Secret) Value() string {
	if value := s.file.Load(); value != nil {
		return *value
	}
	return s.value
}

// Keys returns the current items of a secret that is a list.
func (s *Secret) Keys() []string { return split(s.Value()) }

// withoutLineBreak removes the line break at the end of a secret, which echo
// and editors add.
func withoutLineBreak(secret string) string {
	return strings.TrimSuffix(strings.TrimSuffix(secret, "\n"), "\r")
}

// String masks the value.
func (s *Secret) String() string {
	if s == nil {
		return ""
	}
	return mask
}

// Format masks the value for every verb of fmt, including those that bypass
// String.
func (s *Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue masks the value.
func (s *Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks the value.
func (s *Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
