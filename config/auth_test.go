package config

import (
	"slices"
	"strings"
	"testing"
)

func TestAuth_MistakesAreNamed(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"LB_AUTH=gogle":                                   "the nearest is google",
		"LB_AUTH=google":                                  "whose tokens?",
		"LB_AUTH=https://issuer.example/":                 "whose tokens?",
		"LB_AUTH=http://issuer.example/?audience=a":       "over http anybody on the way",
		"LB_AUTH=ftp://issuer.example/?audience=a":        "is no https URL",
		"LB_AUTH=https://u:p@issuer.example/?audience=a":  "is no URL of a host",
		"LB_AUTH=iap":                                     "found by itself on Cloud Run only",
		"LB_AUTH=firebase":                                "GOOGLE_CLOUD_PROJECT is not set",
		"LB_AUTH=google?audience=a&aud=b":                 "has the key \"aud\"",
		"LB_AUTH=google?audience":                         "without a value",
		"LB_AUTH=google?audience=a&project=b":             "has the key \"project\"",
		"LB_AUTH=google?audience=a&email=boss":            "is no address",
		"LB_AUTH=google?audience=a&header=X|Y":            "several values of header",
		"LB_AUTH=google?audience=a&audience=b":            "audience twice; several values of it are joined by '|'",
		"LB_AUTH=google?audience=a&email=a@b&email=c@d":   "has the key email twice",
		"LB_AUTH=google?audience=a&header=X&header=Y":     "has the key header twice",
		"LB_AUTH=google?audience=a&cookie=X&cookie=X":     "has the key cookie twice",
		"LB_AUTH=google?audience=a&header=X&cookie=Y":     "has both header and cookie",
		"LB_AUTH=google?audience=a&cookie=Y&header=X":     "has both header and cookie",
		"LB_AUTH=google?audience=a&jwks=/a&jwks=/b":       "has the key jwks twice",
		"LB_AUTH=firebase?project=a&project=b":            "has the key project twice",
		"LB_AUTH=google?audience=a&jwks=http://h.example": "over http anybody",
		"LB_AUTH=;":                                     "names no provider",
		"LB_AUTH_SKIP=/x":                               "neither LB_AUTH nor LB_BASIC_AUTH is",
		"LB_AUTH_FORWARD=sub:X-User":                    "neither LB_AUTH nor LB_BASIC_AUTH is",
		"LB_AUTH_SKIP=x":                                "does not begin with '/'",
		"LB_AUTH_SKIP=G T /x":                           "does not begin with '/'",
		"LB_AUTH_FORWARD=sub":                           "which is not claim:Field",
		"LB_AUTH_FORWARD=sub:Cookie":                    "which is not for claims",
		"LB_AUTH_FORWARD=sub:Host":                      "which is not for claims",
		"LB_AUTH_FORWARD=sub:X-Forwarded-For":           "which is not for claims",
		"LB_AUTH_FORWARD=sub:X_User":                    "which is not for claims",
		"LB_AUTH_FORWARD=a:A;b:a":                       "names A twice",
		"LB_BASIC_AUTH=ann":                             "is not user:password",
		"LB_BASIC_AUTH=ann:${PASSWORD}":                 "which nothing has replaced",
		"LB_BASIC_AUTH=ann:$(PASSWORD)":                 "which nothing has replaced",
		"LB_BASIC_AUTH=ann:short":                       "less than 8 characters",
		"LB_BASIC_AUTH=ann:$2y$10$abcdefghijk":          "looks like a hash",
		"LB_BASIC_AUTH=ann:{SHA}abcdefghijk":            "looks like a hash",
		"LB_BASIC_AUTH=ann:long enough;ann:long enough": "for the second time",
		"LB_BASIC_AUTH=:long enough":                    "has no name",
		"LB_BASIC_AUTH=a:" + strings.Repeat("x", 500):   "has more than 500 bytes",
	} {
		_, problems := load([]string{"LB_BACKENDS=http://a:1", given}, nowhere, 0)
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v", given, problems)
		}
		if strings.Contains(given, "BASIC") && len(problems) > 0 && strings.Contains(problems[0].String(), "ann") &&
			!strings.Contains(problems[0].String(), "'ann:") && strings.Contains(problems[0].String(), "short") {
			t.Errorf("a password is shown: %s", problems[0])
		}
	}
	for _, env := range [][]string{
		{"LB_AUTH=google?audience=a", "LB_ROLE=egress"},
		{"LB_AUTH=google?audience=a", "LB_REQUEST_HEADERS=X-Forwarded-User=me"},
		{"LB_AUTH=google?audience=a", "LB_AUTH_FORWARD=sub:X-Id", "LB_REQUEST_HEADERS=-X-Id"},
	} {
		if _, problems := load(append(env, "LB_BACKENDS=http://a:1"), nowhere, 0); len(problems) != 1 {
			t.Errorf("%v: %v", env, problems)
		}
	}
}

func TestAuth_ProvidersAreReadWhole(t *testing.T) {
	t.Parallel()
	c, problems := load([]string{
		"LB_BACKENDS=http://a:1",
		"LB_AUTH=https://t.example/?audience=https://api.example.com|b%7Cc" +
			"&claim.https://example.com/roles=admin|ops&header=x-token;" +
			"google?audience=a&claim.g=a&claim.g=b;" +
			"IAP?audience=/projects/1;firebase?cookie=__session&project=p;http://127.0.0.1:9/?audience=a",
		"LB_AUTH_SKIP=/a;POST /b/*;Preflight", "LB_BASIC_AUTH=ann:long enough", "LB_ROUTE__OPEN=/open/*",
		"LB_SERVICE__OPEN=default", "LB_AUTH__OPEN=none", "LB_BASIC_AUTH__OPEN=none", "LB_AUTH_SKIP__OPEN=none",
		"LB_ROUTE__SAME=/same/*", "LB_SERVICE__SAME=default", "LB_AUTH_FORWARD__SAME=https://example.com/roles:X-Roles",
	}, nowhere, 0)
	if len(problems) > 0 {
		t.Fatal(problems)
	}

	a := c.Routes[0].Auth
	p := a.Providers
	if g := p[1]; len(g.Claims) != 2 || g.Claims[1].Values[0] != "b" {
		t.Errorf("a claim of which two values are needed: %+v", g)
	}
	p = slices.Delete(slices.Clone(p), 1, 2)
	if len(p) != 4 || p[0].Kind != OIDC || p[0].Issuer != "https://t.example/" || !slices.Equal(p[0].Audiences,
		[]string{"https://api.example.com", "b|c"}) ||
		len(p[0].Claims) != 1 || p[0].Claims[0].Name != "https://example.com/roles" || p[0].Header != "X-Token" {
		t.Errorf("%+v", p)
	}
	if p[1].Kind != IAP || p[1].Header != "X-Goog-Iap-Jwt-Assertion" || p[2].Cookie != "__session" || p[2].Project != "p" {
		t.Errorf("%+v", p)
	}
	if len(a.Skip.Paths) != 2 || a.Skip.Paths[1].Method != "POST" || !a.Skip.Preflight || !a.On() ||
		!slices.Equal(a.Forward, DefaultForwards()) {
		t.Errorf("%+v", a)
	}
	open, same := c.routeNamed("open").Auth, c.routeNamed("same").Auth
	if open.On() || !same.On() || same.Forward[0] != (Forward{"https://example.com/roles", "X-Roles"}) {
		t.Errorf("%+v %+v", open, same)
	}
	if names := c.IdentityFields(); !slices.Equal(names, []string{"X-Forwarded-User", "X-Forwarded-Email", "X-Roles"}) ||
		!c.IAP() {
		t.Errorf("%v", names)
	}
}
