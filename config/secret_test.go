package config

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

const key = "0123456789abcdef"

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSecret_FromAFileLosesOneTrailingNewline(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{key: key, key + "\n": key, key + "\r\n": key, key + "\n\n": key + "\n",
		" " + key: " " + key} {
		path := filepath.Join(t.TempDir(), "token")
		write(t, path, content)
		if got := accepted(t, "LB_STATUS_TOKEN_FILE="+path).Process.StatusToken.Value(); got != want {
			t.Errorf("%q: got %q", content, got)
		}
	}
}

func TestSecret_BothOrAnUnusableFileIsAProblemOfTheFileVariable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, short, empty := filepath.Join(dir, "good"), filepath.Join(dir, "short"), filepath.Join(dir, "empty")
	write(t, good, key)
	write(t, short, "hush")
	write(t, empty, "\n")
	for reason, pairs := range map[string][]string{
		"is given together with LB_AFFINITY_SECRET": {"LB_AFFINITY_SECRET=" + key, "LB_AFFINITY_SECRET_FILE=" + good},
		"names a file whose content is too short":   {"LB_AFFINITY_SECRET_FILE=" + short},
		"names a file that is empty":                {"LB_AFFINITY_SECRET_FILE=" + empty},
		"names a file that does not exist":          {"LB_AFFINITY_SECRET_FILE=" + filepath.Join(dir, "missing")},
		"names something that is not a file":        {"LB_AFFINITY_SECRET_FILE=" + dir},
		`"***" names a file that does not exist`:    {"LB_AFFINITY_SECRET_FILE=hush-the-secret-itself-by-mistake"},
	} {
		p := refused(t, pairs...)
		if p.Variable != "LB_AFFINITY_SECRET_FILE" || !strings.Contains(p.Reason, reason) ||
			strings.Contains(p.String()+p.Given, "hush") {
			t.Errorf("%q: got %q", pairs, p)
		}
	}
}

func TestSecret_FromTheEnvironmentLosesWhatItLosesFromAFile(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		key: key, " " + key + " ": " " + key + " ", key + "\n": key, key + "\r\n": key, key + "\n\n": key + "\n", key +
			"\r": key,
	} {
		path := filepath.Join(t.TempDir(), "token")
		write(t, path, content)
		for _, pair := range []string{"LB_STATUS_TOKEN=" + content, "LB_STATUS_TOKEN_FILE=" + path} {
			if got := accepted(t, pair).Process.StatusToken.Value(); got != want {
				t.Errorf("%q: got %q, want %q", pair, got, want)
			}
		}
	}
	c := accepted(t, "LB_AFFINITY_SECRET="+key+"\r\n;second-"+key+"\n\n")
	if got := c.Service.Affinity.Secret.Keys(); !slices.Equal(got, []string{key, "second-" + key}) {
		t.Errorf("keys: got %q", got)
	}
}

func TestSecret_OnlyALineBreakIsUnset(t *testing.T) {
	t.Parallel()
	if c := accepted(t, "LB_STATUS_TOKEN=\n"); c.Process.StatusToken != nil {
		t.Errorf("got %q", c.Process.StatusToken.Value())
	}
}

func TestSecret_AProblemMasksWhatWasGiven(t *testing.T) {
	t.Parallel()
	if p := refused(t, "LB_STATUS_TOKEN=hush"); p.Given != mask || strings.Contains(p.String(), "hush") {
		t.Errorf("got %q, given %q", p, p.Given)
	}
}

func TestSecret_KeysFollowTheListRules(t *testing.T) {
	t.Parallel()
	s := NewSecret(" a ;b,c\n;\n d")
	if got := s.Keys(); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("got %q", got)
	}
}

func TestSecret_AChangedFileIsReadAgainWithinASecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		write(t, path, key)
		c := accepted(t, "LB_STATUS_TOKEN_FILE="+path)
		s := c.Process.StatusToken
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { c.FollowFiles(ctx, slog.New(slog.DiscardHandler)); close(ended) }()
		defer func() { cancel(); <-ended }()
		steps := []struct{ content, want string }{
			{"another-" + key, "another-" + key},
			{"short", "another-" + key}, // what would not have been accepted at start is not now
			{"third-" + key, "third-" + key},
			{"", "third-" + key},
		}
		for _, step := range steps {
			before := s.Value()
			write(t, path, step.content)
			if got := s.Value(); got != before {
				t.Errorf("looking at the secret looked at the file: %q", got)
			}
			later()
			if got := s.Value(); got != step.want {
				t.Errorf("%q: got %q, want %q", step.content, got, step.want)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		later()
		if got := s.Value(); got != "third-"+key {
			t.Errorf("a removed file: got %q", got)
		}
	})
}

func TestSecret_IsNeverPrinted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	write(t, path, key)
	c := accepted(t, "LB_STATUS_TOKEN="+key, "LB_AFFINITY_SECRET_FILE="+path)
	var log, out strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", c.Process.StatusToken, "config", c, "service", c.Service)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", c.Process.StatusToken, "config", c)
	marshalled, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := Explain(&out, c); err != nil {
		t.Fatal(err)
	}
	texts := []string{log.String(), out.String(), string(marshalled)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, c), fmt.Sprintf(verb, c.Process),
			fmt.Sprintf(verb, c.Service.Affinity.Secret))
	}
	for _, text := range texts {
		if strings.Contains(text, key) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", key)) ||
			strings.Contains(text, fmt.Sprint([]byte(key))) {
			t.Errorf("printed: %s", text)
		}
	}
}
