package affinity

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestCookie_IsCutOutAndOthersKeepTheirBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, rest, found string }{
		{"lb=1", "", "1"},
		{"lb=1; a=2", "a=2", "1"},
		{"a=2; lb=1", "a=2", "1"},
		{"a=2; lb=1; b=3", "a=2; b=3", "1"},
		{"a=2;lb=1;b=3", "a=2; b=3", "1"},
		{"a=2; b=\"x y\";  c", "a=2; b=\"x y\";  c", ""},
		{"lb=1; lb=2", "", "1|2"},
		{"a=0; lb=1; b=3; lb=2; c=4", "a=0; b=3; c=4", "1|2"},
		{"xlb=1; lbx=2; LB=3; lb", "xlb=1; lbx=2; LB=3; lb", ""},
		{"a=lb=1; lb=", "a=lb=1", ""},
		{`lb="1"`, "", "1"},
		{"  lb=1  ", "", "1"},
		{"a=1,lb=2", "a=1,lb=2", ""},
		{"a=1; lb =2; b=3", "a=1; b=3", "2"},
		{"a=1 ; lb=2 ; b=3 ", "a=1; b=3 ", "2"},
	} {
		rest, found := TakeCookie([]string{c.in}, "lb", nil)
		if got := strings.Join(rest, "|"); got != c.rest {
			t.Errorf("%q leaves %q, not %q", c.in, got, c.rest)
		}
		if got := strings.Join(found, "|"); got != c.found {
			t.Errorf("%q has %q, not %q", c.in, got, c.found)
		}
	}
}

func TestCookie_SeveralFields(t *testing.T) {
	t.Parallel()
	rest, found := TakeCookie([]string{"a=1", "lb=2", "b=3; lb=4"}, "lb", nil)
	if !slices.Equal(rest, []string{"a=1", "b=3"}) || !slices.Equal(found, []string{"2", "4"}) {
		t.Errorf("%q %q", rest, found)
	}
}

func ourPair(pair string) bool {
	name, _, ok := strings.Cut(pair, "=")
	return ok && strings.TrimRight(name, " \t") == "lb"
}

func FuzzCookie_NothingOfOursIsLeftAndNothingOfOthersLost(f *testing.F) {
	f.Add("a=1; lb=2; b=3")
	f.Add(";; lb=;lb=\" ; =lb=;")
	f.Add("lb=AbC-_123; _ga=GA1.1.1234567890.1700000000; session=eyJhbGciOiJIUzI1NiJ9.e30.x; lb=2")
	f.Add("lb2=1;xlb=2; lb =3;\tlb=4 ; LB=5")
	f.Add("a=\"x; lb=1\"; lb; =; lb==;")
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Skip("comes in by neither HTTP version")
		}

		var others, left []string
		for pair := range strings.SplitSeq(line, ";") {
			if pair = strings.Trim(pair, " \t"); pair != "" && !ourPair(pair) {
				others = append(others, pair)
			}
		}

		rest, _ := TakeCookie([]string{line}, "lb", nil)
		for _, line := range rest {
			for pair := range strings.SplitSeq(line, ";") {
				if pair = strings.Trim(pair, " \t"); pair != "" {
					left = append(left, pair)
				}
			}
		}

		if !slices.Equal(left, others) {
			t.Errorf("%q became %q", line, rest)
		}

		for _, c := range (&http.Request{Header: http.Header{"Cookie": rest}}).Cookies() {
			if c.Name == "lb" && c.Value != "" {
				t.Errorf("%q still holds ours: %q", line, rest)
			}
		}
	})
}

func TestCookie_AtMostFourAreJudged(t *testing.T) {
	t.Parallel()
	rest, found := TakeCookie([]string{strings.Repeat("lb=1; ", 100) + "a=2", "lb=3"}, "lb", nil)
	if len(found) != maxSessionCookies || len(rest) != 1 || rest[0] != "a=2" {
		t.Errorf("%d are judged, %q stays", len(found), rest)
	}
}
