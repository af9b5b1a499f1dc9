package rules

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
)

func headers(t testing.TB, text string) Headers {
	t.Helper()
	var read config.HeaderRules
	if err := read.EnvDecode(text); err != nil {
		t.Fatalf("%q %v", text, err)
	}
	return NewHeaders(read)
}

func TestHeaders_ChangeAMessage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rules             string
		over, under, want http.Header
	}{
		{"X-A=1", http.Header{}, http.Header{"X-A": {"0", "9"}}, http.Header{"X-A": {"1"}}},
		{"X-A=1", http.Header{"X-A": {"0"}}, nil, http.Header{"X-A": {"1"}}},
		{"+X-A=1", http.Header{}, http.Header{"X-A": {"0"}}, http.Header{"X-A": {"0", "1"}}},
		{"+X-A=1", http.Header{"X-A": {"5"}}, http.Header{"X-A": {"0"}}, http.Header{"X-A": {"5", "1"}}},
		{"+X-A=1;+X-A=2", http.Header{}, nil, http.Header{"X-A": {"1", "2"}}},
		{"-Server", http.Header{}, http.Header{"Server": {"x"}, "X-B": {"1"}}, http.Header{"X-B": {"1"}}},
		{"-Server", http.Header{"Server": {"y"}}, http.Header{"Server": {"x"}}, http.Header{}},
		{"?X-A=1", http.Header{}, http.Header{"X-A": {"0"}}, http.Header{"X-A": {"0"}}},
		{"?X-A=1", http.Header{}, nil, http.Header{"X-A": {"1"}}},
		{"-X-A;?X-A=1", http.Header{}, http.Header{"X-A": {"0"}}, http.Header{"X-A": {"1"}}},
		{"X-A=1;-X-A", http.Header{}, nil, http.Header{}},
	} {
		headers(t, c.rules).Apply(c.over, c.under)
		got := http.Header{}
		for name, lines := range c.under {
			got[name] = lines
		}
		for name, lines := range c.over {
			got[name] = lines
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v", c.rules, got)
		}
	}
}

func TestHeaders_NamedRulesActAfterUnnamedOnes(t *testing.T) {
	t.Parallel()
	var unnamed, named config.HeaderRules
	if unnamed.EnvDecode("X-Frame-Options=DENY;X-A=1") != nil || named.EnvDecode("X-Frame-Options=SAMEORIGIN") != nil {
		t.Fatal("rules are refused")
	}
	h := http.Header{}
	NewHeaders(unnamed, named).Apply(h, nil)
	if !reflect.DeepEqual(h, http.Header{"X-Frame-Options": {"SAMEORIGIN"}, "X-A": {"1"}}) {
		t.Error(h)
	}
}

func TestHeaders_OneMessageNeverChangesTheNext(t *testing.T) {
	t.Parallel()
	rules := headers(t, "X-A=1")
	first, second := http.Header{}, http.Header{}
	rules.Apply(first, nil)
	first.Add("X-A", "2") // what a later part of the way may do
	rules.Apply(second, nil)
	if !reflect.DeepEqual(second, http.Header{"X-A": {"1"}}) {
		t.Error(second)
	}
}

func TestHeaders_CostNothingUnlessTheyAdd(t *testing.T) {
	rules, secret := headers(t, "X-A=1;-Server;?X-B=2"), NewSecretHeaders(config.NewSecret("X-A=1"))
	over, under := http.Header{"X-A": nil, "X-B": nil}, http.Header{"Server": {"x"}}
	secret.Rules()
	allocs := testing.AllocsPerRun(100, func() {
		Headers(nil).Apply(over, under)
		rules.Apply(over, under)
		secret.Rules().Apply(over, under)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestSecretHeaders_FollowTheirFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "headers")
	synctest.Test(t, func(t *testing.T) {
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second) // a file is looked at once a second
			synctest.Wait()
		}
		write("X-Key=a-first-key")
		cfg, problems := config.Load([]string{"LB_BACKENDS=http://a", "LB_STATUS_TOKEN_FILE=" + path})
		if len(problems) > 0 {
			t.Fatal(problems)
		}

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			cfg.FollowFiles(ctx, slog.New(slog.DiscardHandler))
			close(ended)
		}()
		defer func() { cancel(); <-ended }()
		rules := NewSecretHeaders(nil, config.NewSecret("X-Other=1"), cfg.Process.StatusToken)
		for _, c := range []struct{ text, want string }{
			{"X-Key=another-longer-key", "another-longer-key"},
			{"this is no rule, and nothing changes", "another-longer-key"},
			{"X-Key=the-longest-key-of-all", "the-longest-key-of-all"},
		} {
			write(c.text)
			h := http.Header{}
			rules.Rules().Apply(h, nil)
			if h.Get("X-Key") != c.want || h.Get("X-Other") != "1" {
				t.Errorf("%s: %v", c.text, h)
			}
		}
	})
}

// sent stands for the fields that every attempt sends.
type sent map[string][]string

func (s sent) Sent(name string) ([]string, bool) { lines, found := s[name]; return lines, found }
func (s sent) Send(name string, lines []string)  { s[name] = lines }

func TestHeaders_OfARequestActAfterItsGates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rules      string
		sent, want []string // of Authorization, which the client has sent too; nil is removed
	}{
		{"Authorization=of the route", nil, []string{"of the route"}},
		{"?Authorization=of the route", nil, []string{"of the route"}},
		{"+Authorization=of the route", nil, []string{"of the route"}},
		{"-Authorization", []string{"of the gate"}, nil},
		{"?Authorization=of the route", []string{"of the gate"}, []string{"of the gate"}},
		{"+Authorization=of the route", []string{"of the gate"}, []string{"of the gate", "of the route"}},
	} {
		h, s := http.Header{"Authorization": {"of the client"}}, sent{"Authorization": c.sent}
		headers(t, c.rules).ApplyRequest(h, s)
		if !reflect.DeepEqual(s["Authorization"], c.want) {
			t.Errorf("%s: %q", c.rules, s["Authorization"])
		}
	}

	h, s := http.Header{"Authorization": {"of the client"}}, sent{}
	headers(t, "?Authorization=of the route;X-Key=1").ApplyRequest(h, s)
	want := http.Header{"Authorization": {"of the client"}, "X-Key": {"1"}}
	if !reflect.DeepEqual(h, want) || len(s) > 0 {
		t.Errorf("%v, %v", h, s)
	}
}

func TestHeaders_OfARequestCountInEverySpelling(t *testing.T) {
	t.Parallel()
	h := http.Header{"X_key": {"2"}, "X.debug": {"2"}, "X_more": {"2"}, "X-User": {"2"}, "X_user": {"2"}}
	headers(t, "X-Key=1;-X-Debug;+X-More=1;-X_User").ApplyRequest(h, sent{})
	want := http.Header{"X-Key": {"1"}, "X_more": {"2"}, "X-More": {"1"}, "X-User": {"2"}}
	if !reflect.DeepEqual(h, want) {
		t.Error(h)
	}
}
