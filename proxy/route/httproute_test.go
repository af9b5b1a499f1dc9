package route

import "testing"

// What the conformance tests of the Gateway API (v1, HTTPRoute) expect of
// matching, with our items. Where the API lets the order of a list decide
// between two equal matches, the names here stand in that order.

func TestHTTPRoute_Matching(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest, "v1=/*;/*?header.version=one", "v2=/v2/*;/*?header.version=two")
	wantRoutes(t, table, map[string]string{
		"x/":                 "v1",
		"x/example":          "v1",
		"x/ | Version: one":  "v1",
		"x/v2":               "v2",
		"x/v2/example":       "v2",
		"x/ | Version: two":  "v2",
		"x/v2/":              "v2",
		"x/v2example":        "v1", // not by segments
		"x/foo/v2/example":   "v1",
		"x/ | version: none": "v1",
	})
}

func TestHTTPRoute_MatchingAcrossRoutes(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest,
		"v1=example.com/*;example.net/*;example.com/*?header.version=one;example.net/*?header.version=one",
		"v2=example.com/v2/*;example.com/*?header.version=two")
	wantRoutes(t, table, map[string]string{
		"example.com/":                       "v1",
		"example.com/example":                "v1",
		"example.net/example":                "v1",
		"example.com/example | Version: one": "v1",
		"example.com/v2":                     "v2",
		"example.net/v2":                     "v1",
		"example.com/v2/example":             "v2",
		"example.com/ | Version: two":        "v2",
	})
}

func TestHTTPRoute_PathMatchOrder(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest,
		"v1=/match;/match/prefix/*", "v2=/match/exact;/match/prefix/one/*", "v3=/match/exact/one;/match/*")
	wantRoutes(t, table, map[string]string{
		"x/match/exact/one":      "v3",
		"x/match/exact":          "v2",
		"x/match":                "v1",
		"x/match/prefix/one/any": "v2",
		"x/match/prefix/any":     "v1",
		"x/match/any":            "v3",
	})
}

func TestHTTPRoute_ExactPathMatching(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest, "v1=/one", "v2=/two")
	wantRoutes(t, table, map[string]string{
		"x/one": "v1", "x/two": "v2", "x/": "", "x/one/example": "", "x/two/": "", "x/Two": "",
	})
}

func TestHTTPRoute_HeaderMatching(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest,
		"r1=/*?header.version=one", "r2=/*?header.version=two", "r3=/*?header.version=two&header.color=orange",
		"r4=/*?header.color=blue;/*?header.color=green", "r5=/*?header.color=red|yellow")
	wantRoutes(t, table, map[string]string{
		"x/ | Version: one":                  "r1",
		"x/ | Version: two":                  "r2",
		"x/ | Version: two | Color: orange":  "r3",
		"x/ | Version: two | Color: blue":    "r2", // both hold: the first of the list
		"x/ | Color: orange":                 "",
		"x/ | Some-Other-Header: one":        "",
		"x/ | Color: blue":                   "r4",
		"x/ | Color: green":                  "r4",
		"x/ | Color: red":                    "r5",
		"x/ | Color: yellow":                 "r5",
		"x/ | Color: purple":                 "",
		"x/ | Color: purple | Color: yellow": "r5", // any of its lines
	})
}

func TestHTTPRoute_MethodMatching(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest,
		"r1=/*?method=POST", "r2=/*?method=GET", "r3=/path1/*?method=GET", "r4=/*?header.version=one&method=PUT",
		"r5=/path2/*?method=POST&header.version=two",
		"r6=/path3/*?method=PATCH;/path4/*?header.version=three&method=DELETE",
		"r7=/path5/*", "r8=/*?method=PATCH", "r9=/*?header.version=four")
	wantRoutes(t, table, map[string]string{
		"POST x/":                           "r1",
		"GET x/":                            "r2",
		"HEAD x/":                           "",
		"GET x/path1":                       "r3",
		"PUT x/ | Version: one":             "r4",
		"POST x/path2 | Version: two":       "r5",
		"PATCH x/path3":                     "r6",
		"DELETE x/path4 | Version: three":   "r6",
		"PUT x/":                            "",
		"DELETE x/path4":                    "",
		"PATCH x/path5":                     "r7", // the path before the method
		"PATCH x/ | Version: four":          "r8", // the method before the field
		"get x/":                            "",
		"DELETE x/elsewhere | Version: one": "",
	})
}

func TestHTTPRoute_QueryParamMatching(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest,
		"r1=/*?query.animal=whale", "r2=/*?query.animal=dolphin",
		"r3=/*?query.animal=dolphin&query.color=blue;/*?query.ANIMAL=Whale",
		"r4=/path1/*?query.animal=whale", "r5=/*?header.version=one&query.animal=whale",
		"r6=/path2/*?header.version=two&query.animal=whale",
		"r7=/path3/*?query.animal=shark;/path4/*?header.version=three&query.animal=kraken",
		"r8=/path5/*", "r9=/*?query.animal=hydra", "s1=/*?header.version=four")
	wantRoutes(t, table, map[string]string{
		"x/?animal=whale":                           "r1",
		"x/?animal=dolphin":                         "r2",
		"x/?animal=dolphin&color=blue":              "r3",
		"x/?ANIMAL=Whale":                           "r3",
		"x/?animal=whale&otherparam=irrelevant":     "r1",
		"x/?animal=dolphin&color=yellow":            "r2",
		"x/?color=blue":                             "",
		"x/?animal=dog":                             "",
		"x/?animal=whaledolphin":                    "",
		"x/":                                        "",
		"x/path1?animal=whale":                      "r4",
		"x/?animal=whale | Version: one":            "r5",
		"x/path2?animal=whale | Version: two":       "r6",
		"x/path3?animal=shark":                      "r7",
		"x/path4?animal=kraken | Version: three":    "r7",
		"x/?animal=shark":                           "",
		"x/path4?animal=kraken":                     "",
		"x/path5?animal=hydra":                      "r8",
		"x/?animal=hydra | Version: four":           "s1", // the field before the parameter
		"x/?animal=dog&animal=whale":                "",   // the first of several
		"x/?%61nimal=%77hale":                       "r1",
		"x/?animal=whale%20":                        "",
		"x/?other&animal=dolphin&animal=whale&&b=c": "r2",
	})
}

// Without the listeners of Kubernetes, an item's host is the intersection.
func TestHTTPRoute_HostnameIntersection(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest,
		"s1=very.specific.com/s1/*",
		"s2=foo.wildcard.io/s2/*;bar.wildcard.io/s2/*;foo.bar.wildcard.io/s2/*",
		"s3=very.specific.com/s3/*",
		"s4=*.anotherwildcard.io/s4/*",
		"all=first.com;sub.first.com;second.com;sub.second.com")
	wantRoutes(t, table, map[string]string{
		"very.specific.com/s1":                        "s1",
		"very.specific.com:1234/s1":                   "s1",
		"VERY.Specific.com./s1":                       "s1",
		"non.matching.com/s1":                         "",
		"foo.nonmatchingwildcard.io/s1":               "",
		"foo.wildcard.io/s1":                          "",
		"very.specific.com/non-matching-prefix":       "",
		"foo.wildcard.io/s2":                          "s2",
		"bar.wildcard.io/s2":                          "s2",
		"foo.bar.wildcard.io/s2":                      "s2",
		"non.matching.com/s2":                         "",
		"wildcard.io/s2":                              "",
		"very.specific.com/s2":                        "",
		"foo.wildcard.io/non-matching-prefix":         "",
		"very.specific.com/s3":                        "s3",
		"non.matching.com/s3":                         "",
		"foo.specific.com/s3":                         "",
		"foo.wildcard.io/s3":                          "",
		"foo.anotherwildcard.io/s4":                   "s4",
		"bar.anotherwildcard.io/s4":                   "s4",
		"foo.bar.anotherwildcard.io:80/s4":            "s4",
		"anotherwildcard.io/s4":                       "",
		"foo.wildcard.io/s4":                          "",
		"very.specific.com/s4":                        "",
		"foo.anotherwildcard.io/non-matching-prefix":  "",
		"specific.but.wrong.com/s5":                   "",
		"wildcard.io/s5":                              "",
		"first.com/":                                  "all",
		"sub.first.com/":                              "all",
		"second.com/":                                 "all",
		"sub.second.com/":                             "all",
		"third.com/":                                  "",
		"sub.third.com/":                              "",
		"deep.sub.second.com/":                        "",
		"[::1]:80/":                                   "",
		".anotherwildcard.io/s4":                      "",
		"xanotherwildcard.io/s4":                      "",
		"a.b.c.d.e.f.g.h.i.j.anotherwildcard.io/s4/x": "s4",
	})
}

// An exact host comes before a wildcard, the longer wildcard before the
// shorter, and any host before none, however short their paths are.
func TestHTTPRoute_HostsComeBeforePaths(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest, "exact=a.b.com", "near=*.b.com/x/*", "far=*.com/x/y/*", "any=/x/y/z",
		"api=a.b.com/api/*")
	wantRoutes(t, table, map[string]string{
		"a.b.com/x/y/z": "exact",
		"a.b.com/api":   "api",
		"c.b.com/x/y/z": "near",
		"c.b.com/x":     "near",
		"c.com/x/y/z":   "far",
		"c.org/x/y/z":   "any",
		"c.b.com/":      "",
	})
}
