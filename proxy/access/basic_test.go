package access

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/config"
)

func basic(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestPasswords_OnlyTheWholePairIsRight(t *testing.T) {
	t.Parallel()
	p := NewPasswords(config.NewSecret("ann:correct horse;bob:a%3Bb%2Cc%25def"))
	for credentials, want := range map[string]string{
		basic("ann:correct horse"): "ann", basic("bob:a;b,c%def"): "bob",
		basic("ann:correct hors"): "", basic("ann:correct horse "): "", basic("bob:correct horse"): "", basic("ann"): "",
		basic(""): "", "": "", "!": "", basic("ann:correct horse") + "\n": "", basic(":"): "", basic("Ann:correct horse"): "",
		basic(strings.Repeat("x", 1000)): "",
	} {
		if got := p.User(credentials); got != want {
			t.Errorf("%q: %q, want %q", credentials, got, want)
		}
	}
	longest := strings.Repeat("x", config.MostCredentials-1)
	if p = NewPasswords(config.NewSecret("a:" + longest)); p.User(basic("a:"+longest)) != "a" {
		t.Error("the longest password is refused")
	}
	if NewPasswords(nil) != nil || NewPasswords(config.NewSecret("")) != nil {
		t.Error("no secret has users")
	}
}

func TestFailures_TenWrongPasswordsAMinute(t *testing.T) {
	t.Parallel()
	var f Failures
	now := time.Unix(1_000_000, 0)
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for range mostFailures {
		if f.Blocked(a, now) != 0 {
			t.Fatal("blocked too early")
		}
		f.Count(a, now)
	}
	now = now.Add(20 * time.Second)
	if wait := f.Blocked(b, now); wait != 40*time.Second {
		t.Errorf("an address of the same customer waits %v", wait)
	}
	if f.Blocked(netip.MustParseAddr("2001:db8:0:1::1"), now) != 0 ||
		f.Blocked(netip.MustParseAddr("192.0.2.1"), now) != 0 {
		t.Error("somebody else is blocked")
	}
	if f.Blocked(a, now.Add(40*time.Second)) != 0 || f.Blocked(a, now.Add(-time.Hour)) != 0 {
		t.Error("blocked for longer than a minute")
	}
}

// Failures from very many addresses take bounded memory, and don't lift the
// block of an address that has one.
func TestFailures_AreBounded(t *testing.T) {
	t.Parallel()
	var f Failures
	now := time.Unix(1_000_000, 0)
	guesser := netip.MustParseAddr("192.0.2.1")
	for range mostFailures {
		f.Count(guesser, now)
	}
	for n := range uint32(4 * mostClients) {
		f.Count(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), now)
	}
	if len(f.by) > mostClients || f.Blocked(guesser, now) == 0 || f.Blocked(netip.MustParseAddr("10.9.9.9"), now) == 0 {
		t.Errorf("%d are remembered, %v", len(f.by), f.Blocked(guesser, now))
	}
	now = now.Add(failureWindow)
	f.Count(netip.MustParseAddr("10.200.0.1"), now)
	if f.Blocked(netip.MustParseAddr("10.9.9.9"), now) != 0 || len(f.by) != 1 {
		t.Errorf("after a minute %d are remembered", len(f.by))
	}
}

func TestSkips_DecideByMethodAndPathAlone(t *testing.T) {
	t.Parallel()
	var list config.AuthSkips
	if err := list.EnvDecode("/healthz;/public/*;post|PUT /hooks/*;GET /up;preflight"); err != nil {
		t.Fatal(err)
	}
	s := NewSkips(list)
	for request, want := range map[string]bool{
		"GET /healthz": true, "DELETE /public/x": true, "POST /hooks/x": true, "PUT /hooks/x": true,
		"GET /hooks/x": false, "GET /": false, "GET /up": true, "HEAD /up": true, "HEAD /hooks/x": false, "POST /up": false,
		"OPTIONS /x": false, "GET /public/../x": false, "GET /public/%2e%2e/x": false, "post /hooks/x": false,
	} {
		method, path, _ := strings.Cut(request, " ")
		if s.Hold(&http.Request{Method: method, Header: http.Header{"X-Original-Url": {"/healthz"}}}, path) != want {
			t.Errorf("%s: %v", request, !want)
		}
	}
	preflight := &http.Request{Method: "OPTIONS",
		Header: http.Header{"Origin": {"https://a"}, "Access-Control-Request-Method": {"PUT"}}}
	if !s.Hold(preflight, "/x") {
		t.Error("a preflight needs a token")
	}
	preflight.Method = "GET"
	if s.Hold(preflight, "/x") {
		t.Error("what has the fields of a preflight is one")
	}
	if none := NewSkips(config.AuthSkips{}); none.Hold(preflight, "/healthz") {
		t.Error("nothing is skipped, and something is")
	}
}
