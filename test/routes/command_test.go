package routes

import (
	"slices"
	"strings"
	"testing"
)

var shop = []string{
	"LB_BACKENDS=:9000", "LB_BACKENDS__API=:9001", "LB_ROUTE__API=/api/*", "LB_REWRITE__API=/*",
	"LB_ROUTE__UPLOADS=/api/uploads/*?method=POST|PUT", "LB_SERVICE__UPLOADS=api",
	"LB_BACKENDS__SHOPS=dns://shops.internal:8080", "LB_ROUTE__SHOPS=*.shops.example.com;big.shops.example.com/api/*",
	"LB_BACKENDS__CANARY=run://shop?tag=canary", "LB_ROUTE__CANARY=/*?share=5%;/*?cookie.canary=always;/*?header.x-canary",
	"LB_SHARE_BY=cookie", "LB_ROUTE__WWW=www.example.com", "LB_REDIRECT__WWW=https://example.com/*",
	"LB_REDIRECT_STATUS__WWW=301", "LB_ROUTE__OLD=/blog/*", "LB_REDIRECT__OLD=/articles/*",
	"LB_ROUTE__DOWN=/*", "LB_ROUTE_FIRST__DOWN=true", "LB_RESPOND__DOWN=503",
	"LB_ROUTE__TESTERS=/*?cookie.preview=1", "LB_ROUTE_FIRST__TESTERS=true",
}

const table = `     host                   path            conditions            share  route    action
 1!  any                    /*              cookie.preview=1      -      testers  service default
 2!  any                    /*              -                     -      down     respond 503
 3   big.shops.example.com  /api/*          -                     -      shops    service shops
 4   www.example.com        /*              -                     -      www      redirect 301 https://example.com/*
 5   *.shops.example.com    /*              -                     -      shops    service shops
 6   any                    /api/uploads/*  method=POST|PUT       -      uploads  service api
 7   any                    /blog/*         -                     -      old      redirect 302 /articles/*
 8   any                    /api/*          -                     -      api      service api, rewrite /*
 9   any                    /*              cookie.canary=always  -      canary   service canary
10   any                    /*              header.x-canary       -      canary   service canary
11   any                    /*              -                     5%     canary   service canary
12   any                    /*              -                     -      default  service default
!  first, by LB_ROUTE_FIRST
note: route uploads goes to service api, whose own route rewrites the path; this one does not
`

func TestCommand_RoutesPrintsTheTableForAnyOrderOfVariables(t *testing.T) {
	t.Parallel()
	env := slices.Clone(shop)
	for range 2 {
		if r := pillion.Run(t, env, "routes"); r.Code != 0 || r.Stdout != table {
			t.Errorf("exit code %d, want 0 and the table:\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		slices.Reverse(env)
	}
	if r := pillion.Run(t, shop, "check"); r.Code != 0 ||
		!strings.HasPrefix(r.Stdout, "the environment is fine: 4 services, 9 routes\n") {
		t.Errorf("check: exit code %d, want 0 with 4 services and 9 routes: %s", r.Code, r.Output())
	}
}

func TestCommand_RoutesNotesWhatOtherProgramsMeanByAPath(t *testing.T) {
	t.Parallel()
	text := pillion.Run(t, []string{"LB_BACKENDS=:9000", "LB_ROUTE__API=/api/", "LB_SERVICE__API=default",
		"LB_ROUTE__OLD=/old/*", "LB_SERVICE__OLD=default", "LB_REWRITE__OLD=/",
		"LB_ROUTE__NEW=/new/*;/*?query.new", "LB_SERVICE__NEW=default", "LB_REWRITE__NEW=/*"}, "routes").Stdout
	for _, want := range []string{
		"note: route api takes the path /api/ alone; '/api/*' takes all below it\n",
		"note: route old sends all paths below /old/ as '/'; to strip the prefix alone, its rewrite is '/*'\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Count(text, "note:") != 2 {
		t.Error(text)
	}
}

func TestCommand_RoutesExplainsARequest(t *testing.T) {
	t.Parallel()
	env := slices.DeleteFunc(slices.Clone(shop), func(s string) bool { return strings.Contains(s, "__DOWN") })
	for request, want := range map[string]string{
		"GET https://example.com/api/x?y Cookie:canary=always": "taken by item 7 of route api: /api/*\n  service api, " +
			"rewrite /*\n  path for the service: /x\n",
		"GET https://www.example.com/a?b":          "Location: https://example.com/a?b\n",
		"GET http://example.com/ Cookie:preview=1": "taken by item 1 of route testers: /*?cookie.preview=1\n",
		"PUT http://example.com/api/uploads/1": "taken by item 5 of route uploads: " +
			"/api/uploads/*?method=POST|PUT\n",
		"GET http://example.com/x/..%2fapi": `answered with 400: the path can be read in two ways, as ` +
			`written and as "/api"` + "\n",
		"GET http://example.com/": `not by item 3 of route www, www.example.com/*: the host ` +
			`"example.com" is not www.example.com` + "\n",
		"POST /x X-Canary:": "route canary: /*?header.x-canary\n",
	} {
		r := pillion.Run(t, env, append([]string{"routes"}, strings.Fields(request)...)...)
		if r.Code != 0 || !strings.Contains(r.Stdout, want) {
			t.Errorf("%s: exit code %d, want 0 and %q:\n%s", request, r.Code, want, r.Output())
		}
	}
	for _, args := range [][]string{{"routes", "GET"}, {"routes", "GET", "x"}, {"routes", "GET", "/", "nofield"}} {
		if r := pillion.Run(t, env, args...); r.Code == 0 || !strings.Contains(r.Stderr, "METHOD URL") {
			t.Errorf("%q: exit code %d, want another than 0, and the usage: %s", args, r.Code, r.Output())
		}
	}
}

// One run reports every mistake in the environment, in the order of the
// variables.
func TestCommand_EveryMistakeIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	env := []string{
		"LB_BACKENDS=:9000", "LB_BACKENDS__API=:9001", "LB_ROUTE__API=api/*", "LB_HEALTH_CHECK__APY=/up",
		"LB_HELTH_CHECK__API=/up", "LB_LISTEN__API=:1", "LB_ROUTE__UPLOADS=/u/*", "LB_SERVICE__UPLOADS=api",
		"LB_HEALTH_CHECK__UPLOADS=/up", "LB_BACKENDS__api=:1", "LB_BACKENDS__A__B=:1", "LB_BACKENDS__LONELY=:1",
		"LB_ROUTE__X=/x/*", "LB_SERVICE__X=ap", "LB_REDIRECT__X=/y", "LB_ROUTE__SAME=/u/*", "LB_RESPOND__SAME=204",
		"LB_ROUTE__S1=/s/*?share=60%", "LB_ROUTE__S2=/s/*?share=50%", "LB_ROUTE__OLD=/blog/*;/news",
		"LB_REDIRECT__OLD=/articles/*", "LB_AFFINITY_SECRET__API_FILE=/x", "LB_HTTPS_REDIRECT=true",
		"LB_ROUTE__A_SERVICE_HOST=/x", "LB_BACKENDS__BAD=ftp://x", "LB_ROUTE__BAD=none",
	}
	want := []string{
		`LB_ROUTE__API: "api/*" begins neither with '/' nor with a host that has a dot; write '/api/*' for a path, ` +
			`'//api/*' for a host of one label`,
		"LB_HEALTH_CHECK__APY: no service or route is called apy (neither LB_BACKENDS__APY nor LB_ROUTE__APY is set); the " +
			"nearest is LB_HEALTH_CHECK__API",
		"LB_HELTH_CHECK__API: is not a variable of Pillion; the nearest is LB_HEALTH_CHECK__API",
		"LB_LISTEN__API: LB_LISTEN belongs to the process and has no form for a name",
		"LB_HEALTH_CHECK__UPLOADS: uploads is a route without backends of its own (it uses service api); this describes a " +
			"service",
		"LB_BACKENDS__api: names are written in capitals: LB_BACKENDS__API",
		"LB_BACKENDS__A__B: a name has no '__'",
		"LB_BACKENDS__LONELY: no route leads to service lonely: set LB_ROUTE__LONELY (LB_ROUTE__LONELY='none' if only " +
			"others refer to it)",
		`LB_SERVICE__X: "ap" is no service; the nearest is api`,
		"LB_REDIRECT__X: route x has two actions",
		`LB_ROUTE__UPLOADS: "/u/*" is already said by LB_ROUTE__SAME`,
		"shares of '/s/*' add up to 110%",
		"LB_REDIRECT__OLD: ends in '*', but the item '/news' of LB_ROUTE__OLD is one exact path: there is no rest",
		"LB_AFFINITY_SECRET__API_FILE: no service is called api_file; the secret's file is LB_AFFINITY_SECRET_FILE__API",
		"LB_HTTPS_REDIRECT: would redirect for ever",
		"LB_ROUTE__A_SERVICE_HOST: ends like the variables that Kubernetes makes",
		"LB_BACKENDS__BAD: item 1",
	}
	r := pillion.Run(t, env, "check")
	lines := r.Lines()
	if r.Code != 78 || len(lines) != len(want) {
		t.Errorf("exit code %d with %d lines, want 78 with %d:\n%s", r.Code, len(lines), len(want), r.Output())
	}
	for _, w := range want {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, w) }) {
			t.Errorf("no line contains %q", w)
		}
	}
	if r := pillion.Run(t, env); r.Code != 78 || len(r.Lines()) != len(want) {
		t.Errorf("a start: exit code %d with %d lines, want 78 with %d", r.Code, len(r.Lines()), len(want))
	}
}
