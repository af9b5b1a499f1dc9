package config

import (
	"strings"
	"testing"
)

func TestAccess_MistakesAreNamed(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"LB_ALLOW_METHODS=CONNECT":           "which a proxy does not serve",
		"LB_ALLOW_METHODS=GET;trace":         "which a proxy does not serve",
		"LB_ALLOW_METHODS=GE T":              "is no method",
		"LB_ALLOW_METHODS=none":              "the word for no list is all",
		"LB_ALLOW_METHODS=;":                 "names no method",
		"LB_ALLOW_METHODS=*":                 "the word for all methods is all",
		"LB_ALLOW_METHODS=GET|POST":          "is no method",
		"LB_ALLOW_PATHS=healthz":             "does not begin with '/'",
		"LB_ALLOW_PATHS=/a*":                 "has a '*' that is not its end",
		"LB_ALLOW_PATHS=/a/*/b":              "has a '*' that is not its end",
		"LB_DENY_PATHS=/a?b=c":               "is more than a path",
		"LB_DENY_PATHS=/a//b":                "has an empty segment",
		"LB_DENY_PATHS=/a/../b":              "has an empty segment",
		"LB_DENY_PATHS=/a;/b c":              "which is escaped in a path",
		"LB_DENY_PATHS=/a//*":                "has an empty segment",
		"LB_ALLOW_FROM=10.0.0.0/33":          "neither a network nor the word private",
		"LB_ALLOW_FROM=example.com":          "neither a network nor the word private",
		"LB_ALLOW_FROM=::ffff:10.0.0.0/104":  "neither a network nor the word private",
		"LB_DENY_FROM=off;private;localhost": "neither a network nor the word private",
		"LB_ALLOW_FROM__WEB=internal":        "neither a network nor the word private",
	} {
		_, problems := load([]string{"LB_BACKENDS__WEB=http://a:1", "LB_ROUTE__WEB=/*", given}, nowhere, 0)
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v", given, problems)
		}
	}
}

func TestAccess_ARouteInheritsAndOpens(t *testing.T) {
	t.Parallel()
	c, problems := load([]string{
		"LB_BACKENDS=http://a:1", "LB_ALLOW_METHODS=get, post;get", "LB_ALLOW_PATHS=/a;/b/*;/", "LB_DENY_PATHS=/c/;/*",
		"LB_DENY_FROM=0.0.0.0/0;::1", "LB_ALLOW_FROM=Private", "LB_ROUTE__X=/x/*", "LB_SERVICE__X=default",
		"LB_ROUTE__Y=/y/*", "LB_SERVICE__Y=default", "LB_ALLOW_METHODS__Y=ALL", "LB_ALLOW_PATHS__Y=all",
		"LB_DENY_PATHS__Y=none", "LB_DENY_FROM__Y=off", "LB_ALLOW_FROM__Y=all",
	}, nowhere, 0)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, r := range c.Routes {
		a := r.Access
		if r.Name == "y" {
			if len(a.Methods)+len(a.AllowPaths)+len(a.DenyPaths)+len(a.AllowFrom)+len(a.DenyFrom) > 0 {
				t.Errorf("%+v", a)
			}
			continue
		}
		if strings.Join(a.Methods, ",") != "GET,POST" || len(a.AllowPaths) != 3 || len(a.DenyPaths) != 2 ||
			len(a.DenyFrom) != 2 ||
			len(a.AllowFrom) != len(privateNetworks()) {
			t.Errorf("%s: %+v", r.Title(), a)
		}
	}
}

// A route whose action is misspelt needs no backends.
func TestRoutes_AWrongActionIsTheOnlyProblem(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"LB_FILES=/no/such/directory", "LB_REDIRECT=example.com", "LB_RESPOND=down"} {
		_, problems := load([]string{given}, nowhere, 0)
		if len(problems) != 1 || problems[0].Variable == "LB_BACKENDS" {
			t.Errorf("%s: %v", given, problems)
		}
	}
}
