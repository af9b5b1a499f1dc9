package affinity

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// gaesa is what Cloud Run sends, with a value of the usual length.
func gaesa(value string, now time.Time) string {
	return "GAESA=" + value + "; expires=" + now.Add(30*24*time.Hour).UTC().Format(http.TimeFormat) + "; path=/"
}

// carry is the carrier after a backend has set some lines, and the attributes
// of its Set-Cookie.
func carry(
	t *testing.T, a *Signer, name string, had Carried, now time.Time, names []string, lines ...string,
) (Carried, *http.Cookie) {
	t.Helper()
	rest, set := TakeBackendCookies(lines, names, now)
	if len(rest)+len(set) != len(lines) {
		t.Fatalf("%q: %q stay and %v are taken", lines, rest, set)
	}
	line, ok := a.Carry(a.Ring(now), name, had, set, now, true)
	if !ok || line == "" {
		return Carried{}, nil
	}
	c, err := http.ParseSetCookie(line)
	if err != nil {
		t.Fatal(line, err)
	}
	got, _ := ReadCarrier(c.Value)
	return got, c
}

func TestCarrier_HoldsWhatABackendSetsForThatBackendAlone(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := affinityOf(t)
	names := []string{"GAESA", "ARRAffinity"}
	azure := `ARRAffinity="x&y%z";Path=/;HttpOnly;Secure;Domain=shop.azurewebsites.net`
	c, sent := carry(t, a, "blue", Carried{}, now, names, gaesa("v-1_2", now), "own=1; Path=/", azure)
	if sent.Name != a.cfg.CookieName+"_b" || sent.Domain != "" || sent.Path != "/" || !sent.HttpOnly || !sent.Secure ||
		sent.SameSite != http.SameSiteLaxMode || sent.MaxAge < 30*24*3600-2 || sent.MaxAge > 30*24*3600 {
		t.Errorf("sent %+v", sent)
	}
	if !c.Of(a.Ring(now), "blue") || c.Of(a.Ring(now), "green") {
		t.Error("the carrier does not know whose it is")
	}
	if line := c.AppendTo("a=1", names); line != `a=1; ARRAffinity="x&y%z"; GAESA=v-1_2` {
		t.Error(line)
	}
	if line := c.AppendTo("", []string{"GAESA"}); line != "GAESA=v-1_2" {
		t.Error(line)
	}
}

func TestCarrier_IsSentOnlyWhenItSaysSomethingNew(t *testing.T) {
	t.Parallel()
	names := []string{"GAESA", "B"}
	now := time.Now()
	a := affinityOf(t)
	first, _ := carry(t, a, "blue", Carried{}, now, names, gaesa("1", now))
	for _, c := range []struct {
		what, name string
		later      time.Duration
		lines      []string
		want       string // "": nothing is sent, "-": it is deleted, else its pairs
	}{
		{"the same again", "blue", time.Minute, []string{gaesa("1", now)}, ""},
		{"another value", "blue", time.Minute, []string{gaesa("2", now)}, "GAESA=2"},
		{"another backend", "green", time.Minute, []string{gaesa("1", now)}, "GAESA=1"},
		{"after half its life", "blue", 16 * 24 * time.Hour, []string{gaesa("1", now.Add(16*24*time.Hour))}, "GAESA=1"},
		{"one more", "blue", time.Minute, []string{"B=3"}, "B=3&GAESA=1"},
		{"two of one name", "blue", time.Minute, []string{"GAESA=5", "GAESA=6"}, "GAESA=6"},
		{"deleted", "blue", time.Minute, []string{"GAESA=; Max-Age=0"}, "-"},
		{"expired", "blue", time.Minute, []string{"GAESA=x; expires=Thu, 01 Jan 1970 00:00:00 GMT"}, "-"},
		{"another backend deletes its own", "green", time.Minute, []string{"GAESA=; Max-Age=0"}, ""},
	} {
		got, sent := carry(t, a, c.name, first, now.Add(c.later), names, c.lines...)
		switch {
		case c.want == "" && sent != nil, c.want == "-" && (sent == nil || sent.MaxAge >= 0 || sent.Value != ""),
			c.want != "" && c.want != "-" && got.pairs != c.want:
			t.Errorf("%s: sent %v", c.what, sent)
		}
	}
}

func TestCarrier_LastsNoLongerThanItsSession(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := affinityOf(t, "LB_AFFINITY_TTL=1h")
	for line, want := range map[string]int{gaesa("1", now): 3600, "GAESA=1": 3600, "GAESA=1; Max-Age=60": 60} {
		if _, sent := carry(t, a, "blue", Carried{}, now, []string{"GAESA"}, line); sent.MaxAge != want {
			t.Errorf("%s: %d", line, sent.MaxAge)
		}
	}
	if _, sent := carry(t, affinityOf(t), "blue", Carried{}, now, []string{"GAESA"}, "GAESA=1"); sent.MaxAge != 0 {
		t.Errorf("a cookie of the browser's session: %d", sent.MaxAge)
	}
}

func TestCarrier_WhatIsNoCookieStaysWhereItIs(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, line := range []string{"GAESA=a\x01b", "GAESA=a b,c", "GAESAX=1", "gaesa=1", "GAESA", "other=GAESA=1"} {
		lines := []string{"a=1", line}
		if rest, set := TakeBackendCookies(lines, []string{"GAESA"}, now); len(set) > 0 || &rest[0] != &lines[0] {
			t.Errorf("%q: %v are taken", line, set)
		}
	}

	long, set := TakeBackendCookies([]string{"GAESA=" + strings.Repeat("x", maxCarrier)}, []string{"GAESA"}, now)
	a := affinityOf(t)
	if line, ok := a.Carry(a.Ring(now), "blue", Carried{}, set, now, false); ok || line != "" || len(long) != 0 {
		t.Errorf("more than fits: %q, %v", line, ok)
	}
}

func TestCarrier_SurvivesARotationOfKeys(t *testing.T) {
	t.Parallel()
	now := time.Now()
	old := affinityOf(t, "LB_AFFINITY_SECRET="+key1)
	c, _ := carry(t, old, "blue", Carried{}, now, []string{"GAESA"}, "GAESA=1")
	rotated := affinityOf(t, "LB_AFFINITY_SECRET="+key2+";"+key1)
	if !c.Of(rotated.Ring(now), "blue") {
		t.Error("the carrier of the old key is nobody's")
	}
}

// A client may write anything into a carrier. What a backend is shown of it are
// cookies with the listed names only, none of which can end early.
func FuzzReadCarrier(f *testing.F) {
	f.Add("AAAAAAAAAAA.1.GAESA=1")
	f.Add("AAAAAAAAAAA.1.GAESA=1%26%25%22&x=y&GAESA=;a=b")
	f.Add("..=&=")
	f.Add("0\r\r\r0000000.0.0")
	names := []string{"GAESA", "B"}
	f.Fuzz(func(t *testing.T, value string) {
		c, ok := ReadCarrier(value)
		if !ok {
			return
		}
		for pair := range strings.SplitSeq(c.AppendTo("", names), "; ") {
			name, v, _ := strings.Cut(pair, "=")
			if pair != "" && (!slices.Contains(names, name) || strings.ContainsAny(v, "; ,\r\n\x00")) {
				t.Fatalf("%q shows %q", value, pair)
			}
		}
	})
}

func FuzzTakeBackendCookies(f *testing.F) {
	f.Add("GAESA=1; expires=Sat, 30 Jan 2027 10:00:00 GMT; path=/", "a=1")
	f.Add("GAESA=\"&%\"; Max-Age=5", "GAESA")
	f.Add("GAESA=CpYBMDA1Y2I0; expires=Sat, 30-Jan-2027 10:00:00 GMT; path=/",
		"AWSALB=x; Expires=0; Path=/; SameSite=None")
	f.Add("JSESSIONID=A1B2.node1; Path=/app; HttpOnly; Secure", "GAESA=; Max-Age=0")
	f.Add("__Host-a=1; Domain=.example.com;;; Path", " GAESA = 1 ; max-age = -1")
	a := affinityOf(f)
	f.Fuzz(func(t *testing.T, one, two string) {
		now := time.Now()
		lines := []string{one, two}
		rest, set := TakeBackendCookies(lines, []string{"GAESA"}, now)
		if len(rest)+len(set) != 2 {
			t.Fatalf("%q: %q stay, %v are taken", lines, rest, set)
		}
		line, ok := a.Carry(a.Ring(now), "blue", Carried{}, set, now, false)
		if !ok || line == "" {
			return
		}
		sent, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		c, ok := ReadCarrier(sent.Value)
		want := "GAESA=" + set[len(set)-1].Value
		if got := c.AppendTo("", []string{"GAESA"}); !ok || got != want {
			t.Fatalf("%q: carried %q, shown %q", lines, want, got)
		}
	})
}

// A client can write hundreds of pairs into a carrier. The line is not copied
// for each.
func TestCarrier_ManyPairsCostNoMoreThanTheirBytes(t *testing.T) {
	c, line := Carried{pairs: strings.Repeat("GAESA=&", 280) + "GAESA=a"}, "a="+strings.Repeat("x", 54_000)
	took := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = c.AppendTo(line, []string{"GAESA"})
		}
	})
	if most := int64(6 * len(line)); took.AllocedBytesPerOp() > most {
		t.Errorf("%d bytes for a line of %d", took.AllocedBytesPerOp(), len(line))
	}
}
