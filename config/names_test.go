package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// loaded is load on a machine that says nothing of itself.
func loaded(pairs ...string) (*Config, []Problem) { return load(pairs, nowhere, 0) }

// good loads what must be fine.
func good(t *testing.T, pairs ...string) *Config {
	t.Helper()
	c, problems := loaded(pairs...)
	for _, p := range problems {
		t.Fatalf("%q: %s", pairs, p)
	}

	return c
}

func TestNames_DeclareServicesAndRoutes(t *testing.T) {
	t.Parallel()
	c := good(t, "LB_BACKENDS=:9000", "LB_BACKENDS__SHOP_API=:9001", "LB_ROUTE__SHOP_API=/api/*",
		"LB_ROUTE__UPLOADS=/api/uploads/*?method=POST", "LB_SERVICE__UPLOADS=shop_api", "LB_ROUTE__UI2=/ui", "LB_ROUTE__A=/a",
		"LB_SERVICE__A=default")
	var services, routes []string
	for i := range c.Services {
		services = append(services, c.Services[i].Title())
	}
	for i := range c.Routes {
		routes = append(routes, c.Routes[i].Title()+">"+c.Routes[i].Service)
	}
	if !slices.Equal(services, []string{"default", "shop_api"}) ||
		!slices.Equal(routes, []string{"default>", "a>", "shop_api>shop_api", "ui2>", "uploads>shop_api"}) {
		t.Errorf("services %q, routes %q", services, routes)
	}
	if c.Routes[0].Items != "/*" || c.Routes[2].Items != "/api/*" ||
		!slices.Equal(c.Services[1].Backends, []string{":9001"}) {
		t.Errorf("%+v", c.Routes)
	}
}

func TestNames_InheritWhatTheyDoNotSay(t *testing.T) {
	t.Parallel()
	c := good(t, "LB_BACKENDS=:9000", "LB_BACKENDS__API=:9001", "LB_ROUTE__API=/api/*", "LB_ROUTE__UP=/up",
		"LB_SERVICE__UP=api",
		"LB_RESPONSE_TIMEOUT=5s", "LB_RESPONSE_TIMEOUT__UP=10m", "LB_POLICY=round_robin", "LB_EJECT_ERRORS=7",
		"LB_EJECT_ERRORS__API=9",
		"LB_IDENTITY=https://a.example.com", "LB_AFFINITY_COOKIE=mine", "LB_REDIRECT_STATUS=308", "LB_MAX_BODY_BYTES=1KiB",
		"LB_MAX_BODY_BYTES__UP=none")
	api := c.ServiceNamed("api")
	if api.Policy != RoundRobin || api.Eject.Errors != 9 || c.Service.Eject.Errors != 7 {
		t.Errorf("%+v", api)
	}
	if api.Identity != IdentityAuto || c.Service.Identity != "https://a.example.com" {
		t.Errorf("an audience went to another service: %q", api.Identity)
	}
	if api.Affinity.CookieName == "mine" || api.Affinity.KeyName != "/api" {
		t.Errorf("%+v", api.Affinity)
	}
	byName := map[string]Route{}
	for _, r := range c.Routes {
		byName[r.Name] = r
	}
	if byName["up"].ResponseTimeout != 10*time.Minute || byName["api"].ResponseTimeout != 5*time.Second ||
		byName["up"].MaxBodyBytes != 0 || byName["api"].MaxBodyBytes != 1024 || byName["up"].RedirectStatus != 308 {
		t.Errorf("%+v", byName)
	}
	if up := byName["up"]; up.Redirect.Given() || up.Items != "/up" {
		t.Errorf("%+v", up)
	}
}

func TestNames_TheUnnamedServiceMayBeMissing(t *testing.T) {
	t.Parallel()
	for _, pairs := range [][]string{
		{"LB_BACKENDS__A=:1", "LB_ROUTE__A=/*"},
		{"LB_BACKENDS__A=:1", "LB_ROUTE__A=/*", "GCE_METADATA_HOST=127.0.0.1:1"},
		{"LB_ROUTE__A=/*", "LB_RESPOND__A=204"},
		{"LB_RESPOND=204"},
		{"LB_REDIRECT=https://example.com/*"},
	} {
		c := good(t, pairs...)
		if c.ServiceNamed("") != nil || len(c.Routes) != 1 {
			t.Errorf("%q: %d services, %d routes", pairs, len(c.Services), len(c.Routes))
		}
	}
	c := good(t, "LB_BACKENDS__A=:1", "LB_ROUTE__A=none", "LB_SERVICE=a")
	if len(c.Routes) != 2 || c.Routes[0].Service != "a" || c.Routes[0].Name != "" {
		t.Errorf("%+v", c.Routes)
	}
}

func TestNames_SecretsComeFromFilesToo(t *testing.T) {
	t.Parallel()
	all, own, rules := filepath.Join(t.TempDir(), "all"), filepath.Join(t.TempDir(), "own"),
		filepath.Join(t.TempDir(), "rules")
	write(t, all, "sixteen-bytes-long-1")
	write(t, own, "sixteen-bytes-long-2")
	write(t, rules, "X-Key=hush")
	c := good(t, "LB_BACKENDS__A=:1", "LB_ROUTE__A=/a", "LB_BACKENDS__B=:1", "LB_ROUTE__B=/b",
		"LB_AFFINITY_SECRET_FILE="+all, "LB_AFFINITY_SECRET_FILE__B="+own, "LB_REQUEST_HEADERS_FILE__B="+rules)
	if a := c.ServiceNamed("a").Affinity.Secret; a.Value() != "sixteen-bytes-long-1" {
		t.Errorf("a: %q", a.Value())
	}
	if b := c.ServiceNamed("b").Affinity.Secret; b.Value() != "sixteen-bytes-long-2" {
		t.Errorf("b: %q", b.Value())
	}
	if c.Routes[0].RequestHeaders != nil || c.Routes[1].RequestHeaders.Value() != "X-Key=hush" {
		t.Errorf("%+v", c.Routes)
	}
}

func TestNames_SharesAreDrawnByCookieWhereSessionsAre(t *testing.T) {
	t.Parallel()
	for want, pairs := range map[string][]string{
		"request":   {},
		"cookie":    {"LB_SESSION_AFFINITY__A=cookie"},
		"header.X":  {"LB_SESSION_AFFINITY=cookie", "LB_SHARE_BY=header.X"},
		"cookie.id": {"LB_SHARE_BY=cookie.id"},
	} {
		c := good(t, append(pairs, "LB_BACKENDS__A=:1", "LB_ROUTE__A=/a")...)
		if c.Process.ShareBy != want || !strings.HasPrefix(c.Process.ShareCookie, "__lbs_") {
			t.Errorf("%q: by %q, cookie %q", pairs, c.Process.ShareBy, c.Process.ShareCookie)
		}
	}
}

// mistakes are the mistakes of names, with what is said of each. All of them
// stand in one environment.
var mistakes = []struct{ pair, said string }{
	{"LB_HEALTH_CHECK__APY=/up",
		"no service or route is called apy (neither LB_BACKENDS__APY nor LB_ROUTE__APY is set); the nearest is " +
			"LB_HEALTH_CHECK__API"},
	{"LB_HELTH_CHECK__API=/up", "is not a variable of Pillion; the nearest is LB_HEALTH_CHECK__API"},
	{"LB_LISTEN__API=:1", "LB_LISTEN belongs to the process and has no form for a name"},
	{"LB_HEALTH_CHECK__UPLOADS=/up",
		"uploads is a route without backends of its own (it uses service api); this describes a service"},
	{"LB_BACKENDS__api=:1", "names are written in capitals: LB_BACKENDS__API"},
	{"LB_BACKENDS__A__B=:1", "a name has no '__'"},
	{"LB_BACKENDS__LONELY=:1",
		"no route leads to service lonely: set LB_ROUTE__LONELY (LB_ROUTE__LONELY='none' if only others refer to it)"},
	{"LB_SERVICE__NEAR=ap", `"ap" is no service; the nearest is api`},
	{"LB_REDIRECT__BOTH=/x", "route both has two actions: LB_SERVICE__BOTH and LB_REDIRECT__BOTH"},
	{"LB_AFFINITY_SECRET__API_FILE=/x",
		"no service is called api_file; the secret's file is LB_AFFINITY_SECRET_FILE__API"},
	{"LB_ROUTE__A_SERVICE_HOST=/x", "can't be told from one"},
	{"LB_ROUTE__A_PORT=/x", "can't be told from one"},
	{"LB_ROUTE__BRAND_NAME=/a/b", "can't be told from one"},
	{"LB_ROUTE__DEFAULT=/x", "default is how the unnamed service is called; its variable is LB_ROUTE"},
	{"LB_ROUTE__0X=/x", "a name is written in capitals, digits and single underscores"},
	{"LB_RETRIES__API=many", `"many" is not a whole number`},
	{"LB_REWRITE__UPLOADS=api", "does not begin with '/'"},
	{"LB_RESPOND_BODY__UPLOADS=x", ""},
	{"LB_CORS_CREDENTIALS__CORS=true", "browsers accept no such answer"},
	{"LB_HTTPS_REDIRECT=true", "would redirect for ever"},
	{"LB_REQUEST_HEADERS__API=Host=hush", "which LB_HOST_HEADER decides about"},
	{"LB_SHARE_BY=dice", "nothing that a share can be drawn by"},
	{"LB_ROUTE__EMPTY=none", "is none, but empty has no backends that others could use"},
}

// support are the right variables that the mistakes need around them.
var support = []string{
	"LB_BACKENDS=:9000", "LB_BACKENDS__API=:9001", "LB_ROUTE__API=/api/*", "LB_ROUTE__UPLOADS=/u/*",
	"LB_SERVICE__UPLOADS=api", "LB_ROUTE__NEAR=/n", "LB_ROUTE__BOTH=/b", "LB_SERVICE__BOTH=api", "LB_ROUTE__CORS=/c",
	"LB_CORS_ORIGINS__CORS=*",
}

func TestNames_EveryMistakeIsToldAtOnceInTheOrderOfTheTable(t *testing.T) {
	t.Parallel()
	pairs := slices.Clone(support)
	for _, m := range mistakes {
		pairs = append(pairs, m.pair)
	}
	_, problems := loaded(pairs...)
	if len(problems) != len(mistakes) {
		t.Errorf("%d problems, want %d", len(problems), len(mistakes))
	}
	for _, m := range mistakes {
		name, _, _ := strings.Cut(m.pair, "=")
		if m.said == "" {
			name, m.said = "LB_RESPOND__UPLOADS", "is not set but LB_RESPOND_BODY__UPLOADS is"
		}
		if !slices.ContainsFunc(problems, func(p Problem) bool {
			return p.Variable == name && strings.Contains(p.Reason, m.said)
		}) {
			t.Errorf("%s: nobody says %q", m.pair, m.said)
		}
	}
	for _, p := range problems {
		if strings.Contains(p.String(), "hush") {
			t.Errorf("a secret is shown: %s", p)
		}
	}
	slices.Reverse(pairs)
	_, again := loaded(pairs...)
	for i := range problems {
		if problems[i] != again[i] {
			t.Errorf("the order of the environment matters: %s, then %s", problems[i], again[i])
		}
	}
}

func TestNames_NoMistakeHidesAnother(t *testing.T) {
	t.Parallel()
	for _, m := range mistakes {
		_, problems := loaded(append(slices.Clone(support), m.pair)...)
		if len(problems) != 1 {
			t.Errorf("%s alone: %v", m.pair, problems)
		}
	}
}

func TestNames_LinksOfKubernetesAreNoNames(t *testing.T) {
	t.Parallel()
	c := good(t, "LB_BACKENDS=:9000", "LB_BACKENDS__A_SERVICE_HOST=10.0.0.1", "LB_BACKENDS__A_SERVICE_PORT=80",
		"LB_BACKENDS__A_SERVICE_PORT_HTTP=80",
		"LB_BACKENDS__A_PORT=tcp://10.0.0.1:80", "LB_BACKENDS__A_PORT_80_TCP=tcp://10.0.0.1:80",
		"LB_BACKENDS__A_PORT_80_TCP_PROTO=tcp",
		"LB_BACKENDS__A_PORT_80_TCP_PORT=80", "LB_BACKENDS__A_PORT_80_TCP_ADDR=10.0.0.1")
	if len(c.Services) != 1 {
		t.Errorf("%d services", len(c.Services))
	}
}

func TestExplain_SaysWhatANameHasAndInherits(t *testing.T) {
	t.Parallel()
	c := good(t, "LB_BACKENDS__API=:9001", "LB_ROUTE__API=/api/*", "LB_RETRIES=3", "LB_POLICY__API=random2",
		"LB_REQUEST_HEADERS__API=X-Key=hush;-X-B", "LB_RESPONSE_HEADERS=Server=hush", "LB_ROUTE__R=/r", "LB_SERVICE__R=api")
	var b strings.Builder
	if err := Explain(&b, c); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n# Service and route api\n\nLB_BACKENDS__API = :9001  [environment]\n",
		"\nLB_RETRIES__API = 3  [inherited from LB_RETRIES]\n",
		"\nLB_POLICY__API = random2  [environment]\n",
		"\nLB_REQUEST_HEADERS__API = X-Key=***;-X-B  [environment]\n",
		"\nLB_RESPONSE_HEADERS = Server=***  [environment]\n",
		"\n# Route r\n\nLB_ROUTE__R = /r  [environment]\nLB_SERVICE__R = api  [environment]\nLB_RETRIES__R = 3  " +
			"[inherited from LB_RETRIES]\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "hush") {
		t.Error("a value of a header rule is shown")
	}
}
