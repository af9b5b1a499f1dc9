package route

import (
	"strings"
	"testing"
)

// shop is the table of the documentation, with or without its maintenance page.
func shop(tb testing.TB, down bool) *Table {
	tb.Helper()
	rules := []Rule{
		{Name: "default", Variable: "LB_ROUTE", Text: "/*", Action: "service default"},
		{Name: "api", Variable: "LB_ROUTE__API", Text: "/api/*", Action: "service api, rewrite /*"},
		{Name: "uploads", Variable: "LB_ROUTE__UPLOADS", Text: "/api/uploads/*?method=POST|PUT", Action: "service api"},
		{Name: "shops", Variable: "LB_ROUTE__SHOPS", Text: "*.shops.example.com;big.shops.example.com/api/*",
			Action: "service shops"},
		{Name: "canary", Variable: "LB_ROUTE__CANARY", Text: "/*?share=5%;/*?cookie.canary=always;/*?header.x-canary",
			Action: "service canary"},
		{Name: "www", Variable: "LB_ROUTE__WWW", Text: "www.example.com", Action: "redirect 301 https://example.com/*"},
		{Name: "old", Variable: "LB_ROUTE__OLD", Text: "/blog/*", Action: "redirect 302 /articles/*"},
		{Name: "down", Variable: "LB_ROUTE__DOWN", Text: "/*", First: true, Action: "respond 503"},
		{Name: "testers", Variable: "LB_ROUTE__TESTERS", Text: "/*?cookie.preview=1", First: true, Action: "service default"},
	}
	if !down {
		rules = rules[:7]
	}
	table, problems := Compile(rules, ByBrowser)
	if len(problems) > 0 {
		tb.Fatal(problems)
	}

	return table
}

func TestPrint_IsTheTableInItsOrder(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := shop(t, true).Print(&b); err != nil {
		t.Fatal(err)
	}
	want := `
     host                   path            conditions            share  route    action
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
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

func TestExplain_SaysWhyNoItemBeforeTakesTheRequest(t *testing.T) {
	t.Parallel()
	q := ask(t, "POST example.com:443/api/x?a=b", "Cookie: canary=never")
	e := shop(t, false).Explain(q)
	if e.Err != nil || e.Number != 6 || e.Row.Route != "api" || len(e.Refused) != 5 {
		t.Fatalf("%+v", e)
	}
	for n, want := range []string{
		`the host "example.com" is not big.shops.example.com`,
		`the host "example.com" is not www.example.com`,
		`the host "example.com" is not *.shops.example.com`,
		`the path "/api/x" is not /api/uploads/*`,
		`the path "/api/x" is not /blog/*`,
	} {
		if got := e.Refused[n].Reason; got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestExplain_SaysTheNumberOfAShareAndTheOtherReading(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByBrowser, "canary=/*?share=5%", "off=/*?share=0%", "admin=/admin/*", "main=/*")
	e := table.Explain(&Request{Method: "GET", Path: "/", Share: "0500"})
	want := []string{
		`the path "/" is not /admin/*`,
		"the number 0500 is not in the share, from 0000 to 0499",
		"its share is 0%",
	}
	for n, w := range want {
		if len(e.Refused) != len(want) || e.Refused[n].Reason != w {
			t.Errorf("%+v", e.Refused)
		}
	}
	if e = table.Explain(&Request{Method: "GET", Path: "/x/..%2fadmin"}); e.Err != ErrAmbiguous || e.Other != "/admin" {
		t.Errorf("%v %q", e.Err, e.Other)
	}
	if e = compiled(t, ByRequest, "a=/a").Explain(&Request{Method: "GET", Path: "/b"}); e.Number != 0 ||
		len(e.Refused) != 1 {
		t.Errorf("%+v", e)
	}
}

func TestRows_MarkWhatOnlyNamesPutInOrder(t *testing.T) {
	t.Parallel()
	for want, rules := range map[string][]string{
		"==": {"a=/*?header.a", "b=/*?header.b"},
		"":   {"a=/*?query.x=1", "b=/*?query.x=2"},
	} {
		marks := ""
		for _, r := range compiled(t, ByRequest, rules...).Rows() {
			marks += r.Mark
		}
		if marks != want {
			t.Errorf("%q: marks %q, want %q", rules, marks, want)
		}
	}
	for _, rules := range [][]string{
		{"a=/*?method=GET", "b=/*?method=PUT"}, {"a=/x", "b=/y"}, {"a=/*?share=1%", "b=/*?share=1%"},
		{"a=/*?header.a;/*?header.b"}, {"!a=/*", "b=/*"}, {"a=a.com", "b=b.com"},
	} {
		for _, r := range compiled(t, ByRequest, rules...).Rows() {
			if strings.Contains(r.Mark, "=") {
				t.Errorf("%q: %+v", rules, r)
			}
		}
	}
}
