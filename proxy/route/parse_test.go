package route

import (
	"strings"
	"testing"
)

func TestParse_WhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	for item, want := range map[string]string{
		"api/*": "begins neither with '/' nor with a host that has a dot; write '/api/*' for a path, " +
			"'//api/*' for a host of one label",
		"https://a.com/":           "has a scheme",
		"a.com:80":                 "has a port",
		"//[::1]/":                 "has a port or an IPv6 address",
		"///x":                     "has no host behind '//'",
		"*.":                       "star that is not the first label",
		"a.*.com":                  "star that is not the first label",
		"a..com/":                  "no name",
		"exämple.com":              "xn--",
		"/a*":                      "write '/a/*', or %2A",
		"/a/*/b":                   "write '/a/*', or %2A",
		"/*.php":                   "only at the end",
		"/static/*.css":            "only at the end",
		"/a//b":                    "an empty segment",
		"a.b//*":                   "an empty segment",
		"/a//*":                    "an empty segment",
		"./*":                      "no name",
		".":                        "no name",
		"/a/../b":                  "the segment '.' or '..'",
		"/%2e/b":                   "the segment '.' or '..'",
		"/a%2fb":                   "servers read in different ways",
		"/a%5Cb":                   "servers read in different ways",
		"/a%3bb":                   "servers read in different ways",
		`/a\b`:                     "a character that a path may not have",
		"/a b":                     "a character that a path may not have",
		"/a#b":                     "a character that a path may not have",
		"/a%b":                     "no escape",
		"/*?":                      `the condition ""`,
		"/*?method":                `the condition "method"`,
		"/*?method=":               `the condition "method="`,
		"/*?method=get":            "method=GET",
		"/*?method=GET&method=PUT": "says method twice",
		"/*?header.":               `the condition "header."`,
		"/*?header.a b":            "no name",
		"/*?header.Host=a":         "a host stands before the path",
		"/*?header.cookie=a":       "one cookie is cookie.NAME",
		"/*?header.a=1&header.A=2": "says header.A twice",
		"/*?cookie.a=%1":           "no escape",
		"/*?cookie.a b":            `the condition "cookie.a b"`,
		"/*?query.=1":              `the condition "query.=1"`,
		"/*?share=5":               "without a percent sign",
		"/*?share=101%":            "more than 100%",
		"/*?share=0.001%":          "in steps of 0.01%",
		"/*?share=-1%":             "not from 0% to 100%",
		"/*?share=1.x%":            "no number",
		"/*?share=1%&share=2%":     "says share twice",
		"/*?canary=1":              `the condition "canary=1"`,
	} {
		i, err := parse(item)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want %q", item, i, err, want)
		}
	}
}

func TestParse_AnItemIsShownAsItCounts(t *testing.T) {
	t.Parallel()
	for item, want := range map[string]string{
		"/":                               "/?",
		"/*":                              "/*?",
		"/api":                            "/api?",
		"/%61pi/*":                        "/api/*?",
		"Example.COM.":                    "example.com/*?",
		"*.example.com/x/":                "*.example.com/x/?",
		"/%40a%2Ab/%2a":                   "/@a%2Ab/%2A?",
		"//payments":                      "payments/*?",
		"//payments/v1/*":                 "payments/v1/*?",
		"?cookie.a":                       "/*?cookie.a",
		"/*?share=5%":                     "/*?",
		"/*?header.x-Beta=1|2&method=GET": "/*?method=GET&header.x-beta=1|2",
		"/*?cookie.a=x%7Cy|%26%3B%2C%25":  "/*?cookie.a=x%7Cy|%26%3B%2C%25",
		"/*?header.x=":                    "/*?header.x=",
		"/*?query.a%20b=c":                "/*?query.a b=c",
	} {
		i, err := parse(item)
		if err != nil || i.condition() != want {
			t.Errorf("%q: %v, %v; want %q", item, i, err, want)
		}
	}
}

func TestParse_SharesAreInHundredthsOfAPercent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"5%": 500, "0%": 0, "100%": 10000, "0.01%": 1, "12.5%": 1250, "1.05%": 105} {
		i, err := parse("/*?share=" + text)
		if err != nil || i.share != want || i.ShareText() != text {
			t.Errorf("%s: %v, %v", text, i, err)
		}
	}
}

func TestField_Values(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest, "there=/1?header.x-beta", "empty=/2?header.x-beta=", "words=/3?header.x-beta=1|2",
		"cookie=/4?cookie.canary=always", "any=/5?cookie.canary", "query=/6?query.a+b=c%26d", "no=/7?query.a=")
	wantRoutes(t, table, map[string]string{
		"x/1 | X-Beta: 0":             "there",
		"x/1":                         "",
		"x/2 | X-Beta: ":              "empty",
		"x/2 | X-Beta: 1":             "",
		"x/3 | X-Beta: 2":             "words",
		"x/3 | X-Beta: 3 | X-Beta: 1": "words",
		"x/3 | X-Beta: 12":            "",
		"x/4 | Cookie: canary=always": "cookie",
		"x/4 | Cookie: a=b; canary=never;canary=always": "cookie",
		"x/4 | Cookie: a=b | Cookie: canary=always ":    "cookie",
		"x/4 | Cookie: xcanary=always":                  "",
		"x/4 | Cookie: canary=alwaysnot":                "",
		"x/5 | Cookie: canary=":                         "any",
		"x/5 | Cookie: canary":                          "",
		"x/6?a%2Bb=c%26d":                               "query",
		"x/6?a+b=c%26d":                                 "",
		"x/7?a":                                         "no",
		"x/7?a=":                                        "no",
		"x/7?a=1":                                       "",
		"x/7":                                           "",
	})
}

func TestCompile_TheSameItemTwiceIsAnError(t *testing.T) {
	t.Parallel()
	for want, rules := range map[string][]string{
		"LB_ROUTE__B: \"/x/*\" is already said by LB_ROUTE__A": {"a=/x/*", "b=/x/*"},
		"LB_ROUTE__B: \"/x/*?method=GET\" is already said by LB_ROUTE__A": {"a=/%78/*?method=GET",
			"b=/x/*?method=GET"},
		"LB_ROUTE__A: \"/x\" is said twice":                                        {"a=/x;/x"},
		"LB_ROUTE__A: \"/*?share=2%\" is said twice":                               {"a=/*?share=1%;/*?share=2%"},
		"LB_ROUTE__B: \"/*?share=60%\" is too much: shares of '/*' add up to 110%": {"a=/*?share=50%", "b=/*?share=60%"},
	} {
		_, problems := Compile(rulesOf(rules...), ByRequest)
		if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), want) {
			t.Errorf("%q: got %v, want %s", rules, problems, want)
		}
	}
	compiled(t, ByRequest, "a=/x/*", "b=/x", "c=/x/*?method=GET", "d=a.com/x/*", "e=/*?share=50%", "f=/*?share=50%",
		"g=/*", "h=none")
}

func TestCompile_EveryProblemIsToldAtOnce(t *testing.T) {
	t.Parallel()
	_, problems := Compile(rulesOf("a=api;/x*;/good", "b=/*?share=1", "c=/good"), ByRequest)
	if len(problems) != 4 {
		t.Errorf("%v", problems)
	}
}

func FuzzParse_WhatIsAcceptedReadsTheSameAgain(f *testing.F) {
	for _, seed := range []string{"/*", "a.b/c/*?method=GET&header.x=1|2&share=5%", "//x?cookie.a=%25", "*.a.b",
		"/%61?query.a%26=c", "?share=0.5%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		i, err := parse(text)
		if err != nil {
			return
		}
		again, err := parse("/" + strings.TrimPrefix(i.PathText(), "/"))
		if err != nil || again.path != i.path || again.below != i.below {
			t.Errorf("%q: path %q does not read as itself: %v", text, i.PathText(), err)
		}
		compare(i, i)
		_ = i.condition() + i.ShareText()
	})
}

func TestCompile_ATargetWithARestNeedsAPrefix(t *testing.T) {
	t.Parallel()
	rules := rulesOf("old=/blog/*;/news")
	rules[0].Rest = "LB_REDIRECT__OLD"
	_, problems := Compile(rules, ByRequest)
	want := "LB_REDIRECT__OLD: ends in '*', but the item '/news' of LB_ROUTE__OLD is one exact path: there is no rest"
	if len(problems) != 1 || problems[0].String() != want {
		t.Errorf("%v", problems)
	}
}
