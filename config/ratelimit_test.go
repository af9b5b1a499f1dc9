package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRateLimits_ReadsEveryPart(t *testing.T) {
	t.Parallel()
	var got RateLimits
	err := got.EnvDecode("50/s; 1000/h?by=claim:https://example.com/roles" +
		";5/m?path=/login|/account/*&method=get|POST&burst=2&name=login&dry=true" +
		";10/1.5s?by=header:x-api-key;1/d?by=all;7/s?by=host;8/s?by=cookie:sid;9/s?by=client&path=/a%26b")
	if err != nil {
		t.Fatal(err)
	}

	want := RateLimits{
		{Name: "limit-1", Count: 50, Period: time.Second, Burst: 50},
		{Name: "limit-2", Count: 1000, Period: time.Hour, Burst: 1000, By: LimitKey{ByClaim, "https://example.com/roles"}},
		{
			Name: "login", Count: 5, Period: time.Minute, Burst: 2, Dry: true,
			Paths: AccessPaths{"/login", "/account/*"}, Methods: []string{"GET", "POST", "HEAD"},
		},
		{Name: "limit-4", Count: 10, Period: 1500 * time.Millisecond, Burst: 10, By: LimitKey{ByHeader, "X-Api-Key"}},
		{Name: "limit-5", Count: 1, Period: day, Burst: 1, By: LimitKey{Kind: ByAll}},
		{Name: "limit-6", Count: 7, Period: time.Second, Burst: 7, By: LimitKey{Kind: ByHost}},
		{Name: "limit-7", Count: 8, Period: time.Second, Burst: 8, By: LimitKey{ByCookie, "sid"}},
		{Name: "limit-8", Count: 9, Period: time.Second, Burst: 9, Paths: AccessPaths{"/a&b"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRateLimits_RefusesWithAReason(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		";":                            "no limit",
		"50":                           "COUNT/PERIOD",
		"0/s":                          "whole number",
		"-1/s":                         "whole number",
		"many/s":                       "whole number",
		"5/w":                          "period",
		"5/1us":                        "period",
		"5/721h":                       "period",
		"5/0s":                         "period",
		"1000001/s":                    "more than 1000000 a second",
		"99999999999999999999999/s":    "more than 1000000 a second",
		"1/m?burst=0":                  "burst",
		"1/m?burst=x":                  "burst",
		"1/d?burst=400":                "year",
		"1/m?burst=999999999999999999": "year",
		"1/m?by=ip":                    "by that is none",
		"1/m?by=header":                "by that is none",
		"1/m?by=header:":               "by that is none",
		"1/m?by=header:a b":            "by that is none",
		"1/m?by=claim:":                "by that is none",
		"1/m?by=client:x":              "by that is none",
		"1/m?path=login":               "does not begin with '/'",
		"1/m?path=/a*b":                "'*'",
		"1/m?method=G T":               "method",
		"1/m?name=Login":               "name",
		"1/m?name=":                    "name",
		"1/m?dry=maybe":                "dry",
		"1/m?brust=3":                  "key",
		"1/m?burst":                    "without a value",
		"1/m?":                         "without a value",
		"1/m?burst=1&burst=2":          "twice",
		"1/m?path=/%zz":                "%25",
		"1/m?name=a;2/m?name=a":        "two limits",
		"1/m?name=limit-2;2/m":         "two limits",
		strings.Repeat("1/m;", 17):     "more than 16",
	} {
		if err := new(RateLimits).EnvDecode(given); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", given, err, want)
		}
	}
}

func TestRateLimits_ARouteThatInheritsTheListSharesIt(t *testing.T) {
	t.Parallel()
	c := accepted(t, "LB_RATE_LIMIT=5/s", "LB_BACKENDS__API=:1", "LB_ROUTE__API=/api/*",
		"LB_BACKENDS__SHOP=:1", "LB_ROUTE__SHOP=/shop/*", "LB_RATE_LIMIT__SHOP=5/s",
		"LB_BACKENDS__FREE=:1", "LB_ROUTE__FREE=/free/*", "LB_RATE_LIMIT__FREE=none")
	for _, r := range c.Routes {
		limits, scope := 1, ""
		switch r.Name {
		case "shop":
			scope = "shop"
		case "free":
			limits, scope = 0, "free"
		}
		if len(r.RateLimits) != limits || r.RateLimitScope != scope {
			t.Errorf("%s: %v of %q", r.Title(), r.RateLimits, r.RateLimitScope)
		}
	}
	if got := c.Routes[0].RateLimits; len(got) == 0 || got[0].TitleIn("") != "limit-1" ||
		got[0].TitleIn("shop") != "shop.limit-1" {
		t.Errorf("%+v", got)
	}
}

func TestRateLimits_AClaimNeedsSomebodyWhoVerifiesIt(t *testing.T) {
	t.Parallel()
	if p := refused(t, "LB_BACKENDS=:1", "LB_RATE_LIMIT=5/s?by=claim:sub"); p.Variable != "LB_RATE_LIMIT" ||
		!strings.Contains(p.Reason, "claim") {
		t.Errorf("%v", p)
	}
}

func TestStoreURL_ReadsEveryPart(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]StoreURL{
		"redis://cache":        {Address: "cache:6379"},
		"redis://[::1]:7000/3": {Address: "[::1]:7000", Database: 3},
		"rediss://u:p%40%3Bss@10.0.0.3/0?prefix=a:b": {TLS: true, Address: "10.0.0.3:6379", User: "u", Password: "p@;ss",
			Prefix: "a:b"},
		"redis://:word@h?cluster=true":          {Address: "h:6379", Password: "word", Cluster: true},
		"rediss://h?auth=google&ca=/etc/ca.pem": {TLS: true, Address: "h:6379", Google: true, CAFile: "/etc/ca.pem"},
		"rediss://h?ca=/etc/ca.pem&verify=ca":   {TLS: true, Address: "h:6379", CAFile: "/etc/ca.pem", AnyName: true},
		"rediss://h?ca=/etc/ca.pem&verify=full": {TLS: true, Address: "h:6379", CAFile: "/etc/ca.pem"},
	} {
		got, err := ParseStoreURL(given)
		if err != nil || *got != want {
			t.Errorf("%s: %+v, %v", given, got, err)
		}
	}
}

func TestStoreURL_RefusesWithoutTellingTheSecret(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"hush":                             "redis://",
		"http://hush@h":                    "redis://",
		"redis:hush":                       "no host",
		"redis://u:hush@":                  "no host",
		"redis://u:hush%zz@h":              "no URL",
		"redis://u:hush@h:0":               "port",
		"redis://u:hush@h:99999":           "port",
		"redis://u:hush@h:hush":            "no URL",
		"redis://u:hush@h/hush":            "database",
		"redis://u:hush@h/1?cluster=true":  "cluster",
		"redis://u:hush@h?hush=1":          "key",
		"redis://u:hush@h?cluster=hush":    "cluster",
		"redis://h?prefix=a&prefix=b":      "twice",
		"redis://u:hu#sh@h":                "URL",
		"redis://h?ca=/x":                  "rediss://",
		"rediss://h?ca=":                   "path",
		"rediss://h?verify=ca":             "verify=ca without ca",
		"redis://h?verify=ca":              "verify=ca without ca",
		"rediss://h?ca=/x&verify=hush":     "neither full nor ca",
		"redis://h?auth=google":            "rediss://",
		"rediss://u:hush@h?auth=google":    "auth=google",
		"rediss://h?auth=hush":             "auth",
		"redis://h?prefix={hush}":          "prefix",
		"redis://h?a;b=hush":               "query",
		"redis://u:hush@h#hush":            "fragment",
		"redis://u:hush@h/99999999999hush": "database",
	} {
		_, err := ParseStoreURL(given)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v, want %q", given, err, want)
		}
	}
}

func TestStorePrefix_KeepsDeploymentsApart(t *testing.T) {
	t.Parallel()
	const store = "LB_RATE_LIMIT_STORE=redis://h"
	for want, environ := range map[string][]string{
		"pillion:":      {store},
		"pillion:shop:": {store, "K_SERVICE=shop"},
		"pillion:api:":  {store, "OTEL_SERVICE_NAME=api"},
		"mine:":         {store + "?prefix=mine:", "K_SERVICE=shop"},
	} {
		if got := accepted(t, append(environ, "LB_BACKENDS=:1")...).StorePrefix(); got != want {
			t.Errorf("%v: %q, want %q", environ, got, want)
		}
	}
}

// FuzzRateLimits wants every limit that is accepted to be within the bounds
// that the arithmetic of package limit relies on.
func FuzzRateLimits(f *testing.F) {
	for _, seed := range []string{"50/s;1000/h?by=claim:sub;5/m?path=/login&method=POST", "1/720h?burst=12", "1000000/s",
		"1/1ms?burst=9223372036854775807"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var list RateLimits
		if list.EnvDecode(text) != nil {
			return
		}
		for _, l := range list {
			cost := (int64(l.Period) + int64(l.Count) - 1) / int64(l.Count)
			if l.Name == "" || l.Count < 1 || l.Burst < 1 || cost < 1000 || cost > int64(longestPeriod) ||
				int64(l.Burst) > int64(2*year)/cost {
				t.Errorf("%q became %+v", text, l)
			}
		}
	})
}

func FuzzStoreURL(f *testing.F) {
	for _, seed := range []string{"rediss://u:p@h:6379/0?ca=/x&cluster=true", "redis://[::1%25eth0]:1",
		"redis://h?auth=google", "redis:///0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStoreURL(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 200 {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if s.Address == "" || s.Database < 0 || s.Google && !s.TLS {
			t.Errorf("%q became %+v", text, s)
		}
	})
}
