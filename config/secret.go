package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// mask stands for a secret wherever one would be printed.
const mask = "***"

// Secret is a value that is never printed. It comes from LB_X or from the file that LB_X_FILE names; the file is read
// again when it changes. Safe for concurrent use.
type Secret struct {
	path  string             // "" when the value is fixed
	judge func(string) error // what a new value of the file must pass; nil: nothing

	mu     sync.Mutex
	value  string
	looked time.Time   // when the file was last looked at
	info   fs.FileInfo // what it was then
}

// NewSecret is a Secret of a fixed value.
func NewSecret(value string) *Secret { return &Secret{value: value} }

// newFileSecret is a Secret that follows a file. Only a file that can be read and passes judge makes one.
func newFileSecret(path string, judge func(string) error) (*Secret, error) {
	s := &Secret{path: path, judge: judge}
	if err := s.read(); err != nil {
		return nil, err
	}
	s.looked = time.Now()
	return s, nil
}

// EnvDecode takes the value of LB_X.
func (s *Secret) EnvDecode(given string) error {
	s.value = given
	return nil
}

// Value returns the secret as it is now. A file is looked at once a second at most; while it is missing, empty or not
// acceptable the last good value stays.
func (s *Secret) Value() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.path != "" && now.Sub(s.looked) >= time.Second {
		s.looked = now
		if s.changed() {
			_ = s.read() // the last good value stays
		}
	}
	return s.value
}

// Keys returns the items of a secret that is a list, as it is now.
func (s *Secret) Keys() []string { return split(s.Value()) }

func (s *Secret) changed() bool {
	info, err := os.Stat(s.path)
	if err != nil {
		return false
	}
	return !os.SameFile(info, s.info) || info.Size() != s.info.Size() || !info.ModTime().Equal(s.info.ModTime())
}

// read takes the file's content. Its state is asked before its content, so that a change in between is seen next time.
func (s *Secret) read() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return unreadable(err)
	}
	content, err := readFile(s.path)
	if err != nil {
		return err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r")
	if value == "" {
		return errors.New("names a file that is empty")
	}
	if s.judge != nil {
		if err := s.judge(value); err != nil {
			return fmt.Errorf("names a file whose content %w", err)
		}
	}
	s.value, s.info = value, info
	return nil
}

// String masks the value.
func (s *Secret) String() string {
	if s == nil {
		return ""
	}
	return mask
}

// Format masks the value for every verb of fmt, also those that look behind String.
func (s *Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue masks the value.
func (s *Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks the value.
func (s *Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
