package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzLoad gives every variable the same text, or any variable any text, and
// wants no panic, one line a problem, and no secret in anything that is
// printed.
func FuzzLoad(f *testing.F) {
	f.Add("LB_RETRIES", "many", "short")
	f.Add("LB_BAKENDS", "http://user:pass@host", "0123456789abcdef;k")
	f.Add("LB_TRUSTED_PROXIES", "10.0.0.0/8;x\n", ";")
	f.Add("LB_X\u2028__Y", "5\x00\x1b[2J", "\xff\xfe")
	f.Add("LB_ROUTE__API", "api.example.com/v1/*?method=POST", "0123456789abcdef")
	f.Add("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20eA==,x=y", "k")
	f.Add("LB_SERVICE_PORT_80_TCP", "tcp://10.0.0.1:80", "k")
	f.Fuzz(func(t *testing.T, name, value, secret string) {
		secret = "hush-" + secret
		c, problems := load([]string{name + "=" + value, "LB_AFFINITY_SECRET=" + secret, "LB_STATUS_TOKEN=" + secret,
			"LB_AFFINITY_SECRETS=" + secret, "OTEL_EXPORTER_OTLP_HEADERS=" + secret, "LB_STATUS_TOKEN_FILE=" + secret}, nowhere,
			0)
		var out strings.Builder
		if err := Report(&out, slices.Concat(problems, c.Telemetry.Warnings)); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Count(out.String(), "\n"), len(problems)+len(c.Telemetry.Warnings); got != want {
			t.Errorf("%d lines for %d problems", got, want)
		}
		if err := Explain(&out, c); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%v %+v %#v %+v", c, c, c, problems)
		if !strings.Contains(name+value, "hush-") && strings.Contains(out.String(), "hush-") {
			t.Errorf("printed a secret:\n%s", out.String())
		}
	})
}

// FuzzForms gives every variable of the table the text: what its form accepts
// must decode without a further problem.
func FuzzForms(f *testing.F) {
	for _, v := range Variables() {
		f.Add(v.Example)
		f.Add(v.Default)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var pairs []string
		for _, v := range Variables() {
			pairs = append(pairs, v.Name+"="+text)
		}
		e := newEnvironment(pairs)
		e.judge()
		judged := len(e.problems)
		if decoded[Config](e); len(e.problems) != judged {
			t.Errorf("%q passed a form and did not decode: %v", text, e.problems[judged:])
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"5", "5s", "1.5m", "-1s", "1e9h", "0", ".", "9223372036s"} {
		f.Add(seed)
	}
	form := duration(time.Nanosecond, day)
	f.Fuzz(func(t *testing.T, text string) {
		normal, err := form.parse(text)
		if err != nil {
			return
		}
		d, err := time.ParseDuration(normal)
		if err != nil || d < time.Nanosecond || d > day {
			t.Errorf("%q became %q", text, normal)
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, seed := range []string{"64KiB", "1MiB", "10", "010", "9223372036854775807GiB", "KiB", "-1B", "1 MiB"} {
		f.Add(seed)
	}
	form := size(1, mib)
	f.Fuzz(func(t *testing.T, text string) {
		normal, err := form.parse(text)
		if err != nil {
			return
		}
		if n, err := strconv.ParseInt(normal, 0, 64); err != nil || n < 1 || n > mib {
			t.Errorf("%q became %q", text, normal)
		}
	})
}

func FuzzShare(f *testing.F) {
	for _, seed := range []string{"50%", "0", "100.0%", "1e5%", "NaN%", "..%", "00012 %"} {
		f.Add(seed)
	}
	form := share()
	f.Fuzz(func(t *testing.T, text string) {
		normal, err := form.parse(text)
		if err != nil {
			return
		}
		if x, err := strconv.ParseFloat(normal, 64); err != nil || !(x >= 0 && x <= 1) {
			t.Errorf("%q became %q", text, normal)
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add("a;b, c\n;;d")
	f.Add("http://10.0.0.1:8080?name=blue&weight=3;https://api.example.com")
	f.Add("http://a:1\r\nhttp://b:2\r\n\r\n")
	f.Add(" \t;,\n;'a';\"b;c\"")
	f.Fuzz(func(t *testing.T, list string) {
		items := split(list)
		for _, item := range items {
			if item == "" || item != strings.TrimSpace(item) || strings.ContainsAny(item, ";,\n") {
				t.Errorf("item %q of %q", item, list)
			}
		}
		if again := split(strings.Join(items, ";")); !slices.Equal(again, items) {
			t.Errorf("%q became %q", items, again)
		}
	})
}

func FuzzTrust(f *testing.F) {
	for _, seed := range []string{"none", "cloudrun", "3", "10.0.0.0/8;::1", "fe80::1%eth0", "1.2.3.4/33", "/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var trust, again Trust
		if trust.EnvDecode(text) != nil {
			return
		}
		if err := again.EnvDecode(trust.Setting); err != nil || again.Hops != trust.Hops ||
			!slices.Equal(again.Prefixes, trust.Prefixes) {
			t.Errorf("%q: %+v became %+v, %v", text, trust, again, err)
		}
	})
}

func FuzzStatusSet(f *testing.F) {
	for _, seed := range []string{"200-399", "502;503", "100-599", "600", "-", "200--300"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var set StatusSet
		if set.EnvDecode(text) == nil && (set.Has(99) || set.Has(600)) {
			t.Errorf("%q holds what is no status", text)
		}
	})
}

func FuzzWithoutUserInfo(f *testing.F) {
	f.Add("http://", "host;http://x")
	f.Add("a;https://b@c,h2://", "z")
	f.Add("http://10.0.0.1:80;https://", "api.example.com?host=b;run://api")
	f.Add("redis://:", "cache.internal:6379/0")
	f.Add("HTTPS://%40", "[::1]:443#x")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.ContainsAny(after, "@") || strings.Contains(before, "hush") || strings.Contains(after, "hush") {
			return
		}
		if got := withoutUserInfo(before + "://user:hush/word@" + after); strings.Contains(got, "hush") {
			t.Errorf("got %q", got)
		}
	})
}

func FuzzMirror_WhatIsAcceptedReadsTheSameAgain(f *testing.F) {
	for _, seed := range []string{"shadow", "shadow?share=10%", "default?share=0.01%", "a_b?share=100.00%", "x?share=",
		"?share=1%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		var m, again Mirror
		if m.EnvDecode(given) != nil {
			return
		}
		if m.Share < 0 || m.Share > wholeShare {
			t.Fatalf("%q is a share of %d", given, m.Share)
		}
		if m.Given() && (again.EnvDecode(m.String()) != nil || again != m) {
			t.Errorf("%q reads as %+v, and then as %+v", given, m, again)
		}
	})
}
