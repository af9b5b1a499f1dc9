package access

import (
	"encoding/base64"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

func bearer(token string) string { return "Authorization: Bearer " + token }

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestAuth_OnlyValidTokensPass(t *testing.T) {
	t.Parallel()
	app, i := startEcho(t), newIssuer(t)
	p := pillion.Start(t, backend.Backends(app), i.setting(), "LB_AUTH_SKIP=/healthz;preflight",
		"LB_ROUTE__HOOKS=/hooks/*",
		"LB_SERVICE__HOOKS=default", "LB_AUTH__HOOKS=none")
	good := i.token(t, "ann", nil)
	other := newIssuer(t)
	signed := good[:strings.LastIndexByte(good, '.')]
	for _, c := range []struct {
		what, request string
		fields        []string
		status        int
		challenge     string
	}{
		{"no token", "GET /", nil, 401, "Bearer"},
		{"a good token", "GET /", []string{bearer(good)}, 200, ""},
		{"two Authorization lines", "GET /", []string{bearer(good), bearer(good)}, 401, `Bearer error="invalid_token"`},
		{"another issuer's", "GET /", []string{bearer(other.token(t, "ann", nil))}, 401, `Bearer error="invalid_token"`},
		{"no exp", "GET /", []string{bearer(i.token(t, "ann", map[string]any{"exp": nil}))}, 401,
			`Bearer error="invalid_token"`},
		{"a signature of two bytes", "GET /", []string{bearer(signed + ".AAA")}, 401, `Bearer error="invalid_token"`},
		{"a removed signature", "GET /", []string{bearer(signed + ".SIGNATURE_REMOVED_BY_GOOGLE")}, 401,
			`Bearer error="invalid_token"`},
		{"10,000 dots", "GET /", []string{bearer(strings.Repeat(".", 10_000))}, 401, `Bearer error="invalid_token"`},
		{"in the query", "GET /?access_token=" + good, nil, 401, "Bearer"},
		{"a skipped path", "GET /healthz", nil, 200, ""},
		{"not quite the skipped path", "GET /healthz;/../x", nil, 401, "Bearer"},
		{"not quite the skipped path either", "GET /x/%2e%2e/healthz", nil, 401, "Bearer"},
		{"a preflight", "OPTIONS /", []string{"Origin: https://a.example", "Access-Control-Request-Method: PUT"}, 200, ""},
		{"an open route", "GET /hooks/x", nil, 200, ""},
	} {
		a := raw(t, p, c.request, c.fields...)
		if a.StatusCode != c.status || a.Header.Get("Www-Authenticate") != c.challenge ||
			strings.Contains(a.text, "ann") && c.status != 200 {
			t.Errorf("%s: status %d, challenge %q, want %d and %q:\n%s", c.what, a.StatusCode,
				a.Header.Get("Www-Authenticate"), c.status, c.challenge, a.text)
		}
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
	if strings.Contains(p.Printed(), good[:40]) || strings.Contains(p.Printed(), "ann@example.com") {
		t.Error("the log has a token or a user")
	}
	p.Line("the hint about removed signatures", func(l binary.Line) bool {
		return strings.Contains(l.String("message"), "X-Serverless-Authorization")
	})
}

func TestAuth_AnIssuerThatStartsLaterIsUsed(t *testing.T) {
	t.Parallel()
	address := backend.Closed(t)
	app := startEcho(t)
	p := pillion.Start(t, backend.Backends(app), "LB_AUTH=http://"+address+"/?audience=app",
		"OTEL_METRICS_EXPORTER=prometheus",
		"LB_STATUS_TOKEN=0123456789abcdef")
	other := newIssuer(t).token(t, "ann", nil)
	if a := raw(t, p, "GET /", bearer(other)); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Fatalf("status %d, want 503 and Retry-After: %v", a.StatusCode, a.Header)
	}
	p.Line("the reason for the missing keys", func(l binary.Line) bool {
		return l.String("message") == "keys for tokens cannot be fetched" && strings.Contains(l.String("error"), address)
	})

	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	token := newIssuerOn(t, l).token(t, "ann", nil)
	await.Until(t, "the issuer's tokens are accepted", func() bool {
		return raw(t, p, "GET /", bearer(token)).StatusCode == 200
	})

	metrics := raw(t, p, "GET /.lb/metrics", bearer("0123456789abcdef")).text
	for _, want := range []string{`lb_auth_keys_age_seconds\{.*lb_auth_provider="http://` + address,
		`lb_auth_fetches_total\{.*lb_auth_result="failed".*\} [1-9]`,
		`lb_auth_fetches_total\{.*lb_auth_result="ok".*\} 1`} {
		if !regexp.MustCompile(want).MatchString(metrics) {
			t.Errorf("no %s among the metrics:\n%s", want, metrics)
		}
	}
}

// Pillion verifies passwords and removes them from requests, also on paths that
// need none. After ten wrong ones it refuses passwords of that client, but
// still accepts tokens.
func TestAuth_PasswordsAreNotForwarded(t *testing.T) {
	t.Parallel()
	app, i := startEcho(t), newIssuer(t)
	p := pillion.Start(t, backend.Backends(app), i.setting(), "LB_BASIC_AUTH=ann:correct horse", "LB_AUTH_SKIP=/open")
	a := raw(t, p, "GET /")
	if lines := a.Header["Www-Authenticate"]; a.StatusCode != 401 ||
		!slices.Equal(lines, []string{`Basic realm="restricted", charset="UTF-8"`, "Bearer"}) {
		t.Errorf("without credentials: status %d, challenges %q, want 401, Basic and Bearer", a.StatusCode, lines)
	}
	if a := raw(t, p, "GET /", basic("ann", "correct horse")); a.StatusCode != 200 || a.saw("Authorization") != nil ||
		!slices.Equal(a.saw("X-Forwarded-User"), []string{"ann"}) {
		t.Errorf("a good password: status %d, want 200, the user and no Authorization:\n%s", a.StatusCode, a.text)
	}
	if a := raw(t, p, "GET /open", basic("ann", "correct horse")); a.StatusCode != 200 || a.saw("Authorization") != nil ||
		a.saw("X-Forwarded-User") != nil {
		t.Errorf("a skipped path: status %d, want 200, no user and no Authorization:\n%s", a.StatusCode, a.text)
	}
	if a := raw(t, p, "GET /", bearer(i.token(t, "bob", nil))); a.StatusCode != 200 || len(a.saw("Authorization")) != 1 {
		t.Errorf("a good token: status %d, want 200 and Authorization:\n%s", a.StatusCode, a.text)
	}
	for range 10 {
		if a := raw(t, p, "GET /", basic("ann", "wrong horse")); a.StatusCode != 401 {
			t.Errorf("a wrong password: status %d, want 401", a.StatusCode)
		}
	}
	if a := raw(t, p, "GET /", basic("ann", "correct horse")); a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
		t.Errorf("after ten wrong passwords: status %d, want 429 and Retry-After: %v", a.StatusCode, a.Header)
	}
	if a := raw(t, p, "GET /", bearer(i.token(t, "bob", nil))); a.StatusCode != 200 {
		t.Errorf("a token after ten wrong passwords: status %d, want 200", a.StatusCode)
	}
}

// An answer for one user is never sent to another, unless the app has marked it
// as public.
func TestAuth_TheCacheKeepsUsersApart(t *testing.T) {
	t.Parallel()
	app, i := newRecorder(t, "app"), newIssuer(t)
	p := pillion.Start(t, backend.Backends(app.Server), i.setting()+"&header=X-Token", "LB_BASIC_AUTH=ann:correct horse",
		"LB_CACHE=origin")
	as := func(user string) string { return "X-Token: " + i.token(t, user, nil) }
	for _, c := range []struct {
		path, credential string
		status, hits     int
	}{
		{"/mine", as("ann"), 200, 1}, {"/mine", as("bob"), 200, 2}, {"/mine", basic("ann", "correct horse"), 200, 3},
		{"/mine", basic("ann", "correct horse"), 200, 4}, {"/public", as("ann"), 200, 5}, {"/public", as("bob"), 200, 5},
		{"/public", "X-None: x", 401, 5}, {"/public", basic("ann", "correct horse"), 200, 5},
	} {
		a := raw(t, p, "GET "+c.path, c.credential)
		if a.StatusCode != c.status || app.Hits() != c.hits {
			t.Errorf("%s of %.12s: status %d after %d requests to the app, want %d after %d", c.path, c.credential,
				a.StatusCode, app.Hits(), c.status, c.hits)
		}
	}
}

func TestAuth_ANewKeyIsFoundByOneFetch(t *testing.T) {
	t.Parallel()
	app, i := startEcho(t), newIssuer(t)
	p := pillion.Start(t, backend.Backends(app), i.setting())
	if a := raw(t, p, "GET /", bearer(i.token(t, "ann", nil))); a.StatusCode != 200 {
		t.Fatalf("before the new key: status %d, want 200", a.StatusCode)
	}

	i.rotate(t, "k2")
	token := i.token(t, "ann", nil)
	await.Until(t, "the new key is known", func() bool { return raw(t, p, "GET /", bearer(token)).StatusCode == 200 })
	if n := i.fetches.Load(); n != 2 {
		t.Errorf("the keys were fetched %d times, want 2", n)
	}
}

// A limit by a claim counts only verified tokens. A forged token uses up
// nothing of the limit of its alleged user.
func TestAuth_LimitsCountByVerifiedClaims(t *testing.T) {
	t.Parallel()
	app, i := startEcho(t), newIssuer(t)
	p := pillion.Start(t, backend.Backends(app), i.setting(), "LB_RATE_LIMIT=2/h?by=claim:sub", "LB_AUTH_FORWARD=none")
	forged := newIssuer(t).token(t, "bob", nil)
	for n, c := range []struct {
		token  string
		status int
	}{
		{i.token(t, "ann", nil), 200}, {i.token(t, "ann", nil), 200}, {i.token(t, "ann", map[string]any{"jti": "1"}), 429},
		{forged, 401}, {forged, 401}, {forged, 401}, {i.token(t, "bob", nil), 200},
	} {
		if a := raw(t, p, "GET /", bearer(c.token)); a.StatusCode != c.status {
			t.Errorf("request %d: status %d, want %d", n, a.StatusCode, c.status)
		}
	}
}
