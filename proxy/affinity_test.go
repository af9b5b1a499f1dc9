package proxy

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// affinityOf makes the affinity of an environment.
func affinityOf(t testing.TB, env ...string) *affinity {
	cfg := testConfig(t, append([]string{"LB_SESSION_AFFINITY=cookie"}, env...)...)
	return newAffinity(cfg.Service.Affinity, time.Now())
}

// issue makes a cookie and returns its value, and its attributes.
func issue(t testing.TB, a *affinity, name string, issued time.Time) (string, *http.Cookie) {
	t.Helper()
	c, err := http.ParseSetCookie(a.setCookie(a.ring(time.Now()), name, issued.Unix(), time.Now(), false))
	if err != nil {
		t.Fatal(err)
	}
	return c.Value, c
}

const (
	key1 = "0123456789abcdef"
	key2 = "fedcba9876543210"
)

func TestAffinity_RoundTrip(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := affinityOf(t, "LB_AFFINITY_SECRET="+key1)
	value, c := issue(t, a, "blue", now)
	b, state := a.verify(a.ring(now), value, now)
	if state != cookieValid || b.id != a.ring(now).keys[0].name("blue") || b.issued != now.Unix() || b.seen != now.Unix() || b.key != 0 {
		t.Errorf("%s %+v", state, b)
	}
	if c.Name != a.cfg.CookieName || c.Path != "/" || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 0 {
		t.Errorf("%+v", c)
	}
	if strings.Contains(value, "blue") || strings.Contains(value, base64.RawURLEncoding.EncodeToString([]byte("blue"))) {
		t.Error("the cookie tells the backend's name")
	}
}

func TestAffinity_AnotherProcessUnderstands(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, env := range [][]string{{"LB_AFFINITY_SECRET=" + key1}, {"K_SERVICE=shop"}, nil} {
		value, _ := issue(t, affinityOf(t, env...), "blue", now)
		other := affinityOf(t, env...)
		if _, state := other.verify(other.ring(now), value, now); state != cookieValid {
			t.Errorf("%v: %s", env, state)
		}
	}
}

func TestAffinity_ForeignCookiesAreForged(t *testing.T) {
	t.Parallel()
	now := time.Now()
	value, _ := issue(t, affinityOf(t, "LB_AFFINITY_SECRET="+key1, "K_SERVICE=shop"), "blue", now)
	for _, env := range [][]string{
		{"LB_AFFINITY_SECRET=" + key2, "K_SERVICE=shop"}, {"LB_AFFINITY_SECRET=" + key1, "K_SERVICE=other"}, {"K_SERVICE=shop"},
	} {
		a := affinityOf(t, env...)
		if _, state := a.verify(a.ring(now), value, now); state != cookieForged {
			t.Errorf("%v: %s", env, state)
		}
	}
}

func TestAffinity_AnyChangeIsForged(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := affinityOf(t)
	ring := a.ring(now)
	value, _ := issue(t, a, "blue", now)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range value {
		for _, c := range []byte(alphabet) {
			if c == value[i] {
				continue
			}
			if _, state := a.verify(ring, value[:i]+string(c)+value[i+1:], now); state != cookieForged {
				t.Fatalf("byte %d as %c: %s", i, c, state)
			}
		}
		if _, state := a.verify(ring, value[:i], now); state != cookieForged {
			t.Errorf("cut to %d: %s", i, state)
		}
	}
	for _, other := range []string{"", value + "A", value + "=", "\n" + value[1:], strings.Repeat("A", encodedLength), strings.Repeat("x", 10000)} {
		if _, state := a.verify(ring, other, now); state != cookieForged {
			t.Errorf("%.60q: %s", other, state)
		}
	}
}

func TestAffinity_Ages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		at := func(env []string, age, idle time.Duration) cookieState {
			a := affinityOf(t, env...)
			b := binding{issued: now.Add(-age).Unix(), seen: now.Add(-idle).Unix()}
			return a.age(b, now)
		}
		ttl, idle := []string{"LB_AFFINITY_TTL=1h"}, []string{"LB_AFFINITY_IDLE=10m"}
		for _, c := range []struct {
			env       []string
			age, idle time.Duration
			want      cookieState
		}{
			{nil, 1000 * time.Hour, 1000 * time.Hour, cookieValid},
			{ttl, time.Hour - time.Second, 0, cookieValid},
			{ttl, time.Hour, 0, cookieExpired},
			{idle, 1000 * time.Hour, 10*time.Minute - time.Second, cookieValid},
			{idle, 1000 * time.Hour, 10 * time.Minute, cookieIdle},
			{nil, -4 * time.Minute, -4 * time.Minute, cookieValid},
			{nil, -6 * time.Minute, 0, cookieForged},
			{nil, 0, -6 * time.Minute, cookieForged},
		} {
			if got := at(c.env, c.age, c.idle); got != c.want {
				t.Errorf("%v issued %v ago, seen %v ago: %s, not %s", c.env, c.age, c.idle, got, c.want)
			}
		}
	})
}

func TestAffinity_IsRenewedAtAnEighthOfItsIdleTime(t *testing.T) {
	t.Parallel()
	a := affinityOf(t, "LB_AFFINITY_IDLE=8m")
	now := time.Now()
	for age, want := range map[time.Duration]bool{0: false, time.Minute: false, 61 * time.Second: true} {
		if got := a.stale(binding{seen: now.Add(-age).Unix()}, now); got != want {
			t.Errorf("seen %v ago: %v", age, got)
		}
	}
}

func TestAffinity_RenewalDoesNotProlongTheWholeLife(t *testing.T) {
	t.Parallel()
	a := affinityOf(t, "LB_AFFINITY_TTL=1h", "LB_AFFINITY_IDLE=10m")
	_, c := issue(t, a, "blue", time.Now().Add(-45*time.Minute))
	if c.MaxAge < 15*60-1 || c.MaxAge > 15*60 {
		t.Error(c.MaxAge)
	}
}

func TestAffinity_KeysRotate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		write := func(keys string) {
			if err := os.WriteFile(path, []byte(keys), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		write(key1 + "\n")
		a := affinityOf(t, "LB_AFFINITY_SECRET_FILE="+path)
		old, _ := issue(t, a, "blue", time.Now())
		write(key2 + ";" + key1 + ";\n")
		now := time.Now()
		ring := a.ring(now)
		b, state := a.verify(ring, old, now)
		if state != cookieValid || b.key != 1 || !a.stale(b, now) || ring.keys[1].name("blue") != b.id {
			t.Errorf("%s %+v", state, b)
		}
		fresh, _ := issue(t, a, "blue", now)
		if b, state := a.verify(ring, fresh, now); state != cookieValid || b.key != 0 || a.stale(b, now) {
			t.Errorf("%s %+v", state, b)
		}
		write(key2)
		now = time.Now()
		if _, state := a.verify(a.ring(now), old, now); state != cookieForged {
			t.Error("a key that was taken out still verifies")
		}
	})
}

func TestAffinity_Attributes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		same   string
		secure bool
		want   string
	}{
		{"lax", false, "; Path=/; HttpOnly; SameSite=Lax"},
		{"lax", true, "; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"strict", true, "; Path=/; HttpOnly; Secure; SameSite=Strict"},
		{"none", false, "; Path=/; HttpOnly; Secure; SameSite=None; Partitioned"},
	} {
		a := affinityOf(t, "LB_AFFINITY_SAMESITE="+c.same)
		if got := string(a.attributes(nil, c.secure)); got != c.want {
			t.Errorf("%s: %s", c.same, got)
		}
		if got := a.deleteCookie(c.secure); got != a.cfg.CookieName+"=; Max-Age=0"+c.want {
			t.Error(got)
		}
	}
}

func TestAffinity_OffIsNothing(t *testing.T) {
	t.Parallel()
	if newAffinity(config.Affinity{}, time.Now()) != nil {
		t.Error("affinity without a cookie")
	}
}

func TestAffinity_VerifyAllocatesNothing(t *testing.T) {
	if racing {
		t.Skip("pools leak under the race detector")
	}
	now := time.Now()
	a := affinityOf(t, "LB_AFFINITY_SECRET="+key1+";"+key2)
	ring := a.ring(now)
	value, _ := issue(t, a, "blue", now)
	if n := testing.AllocsPerRun(1000, func() { a.verify(ring, value, now) }); n != 0 {
		t.Error(n)
	}
}

// What is remembered of a cookie is the cookie's alone, also of more cookies than there are places.
func TestAffinity_RememberedCookiesAreNobodyElses(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := affinityOf(t, "LB_AFFINITY_TTL=1h")
	ring := a.ring(now)
	issued := make(map[string]cookieID)
	for i := range 2 * recentCookies {
		name := fmt.Sprint("backend-", i)
		value, _ := issue(t, a, name, now)
		issued[value] = ring.keys[0].name(name)
	}
	for range 2 {
		for value, id := range issued {
			if b, state := a.verify(ring, value, now); state != cookieValid || b.id != id {
				t.Fatal(value, state, b)
			}
		}
	}
	for value := range issued {
		a.verify(ring, value, now)
		for i := range value {
			other := []byte(value)
			if other[i]++; other[i] == '[' || other[i] == '{' || other[i] == ':' {
				other[i] = 'A'
			}
			if _, state := a.verify(ring, string(other), now); state != cookieForged {
				t.Fatal(value, string(other), state)
			}
		}
		if _, state := a.verify(ring, value, now.Add(a.cfg.TTL+time.Second)); state != cookieExpired {
			t.Fatal("remembered beyond its time:", state)
		}
		break
	}
}

func BenchmarkAffinityVerify(b *testing.B) {
	now := time.Now()
	a := affinityOf(b)
	ring := a.ring(now)
	value, _ := issue(b, a, "blue", now)
	b.ReportAllocs()
	for b.Loop() {
		if _, state := a.verify(ring, value, now); state != cookieValid {
			b.Fatal(state)
		}
	}
}

func FuzzAffinity_VerifyTakesOnlyOurs(f *testing.F) {
	a := affinityOf(f, "LB_AFFINITY_SECRET="+rand.Text()) // else what an earlier run issued is ours, too
	ring := a.ring(time.Now())
	ours, _ := issue(f, a, "blue", time.Now())
	f.Add(ours)
	f.Add(strings.Repeat("A", encodedLength))
	f.Fuzz(func(t *testing.T, value string) {
		if _, state := a.verify(ring, value, time.Now()); state != cookieForged && value != ours {
			t.Errorf("%q is %s", value, state)
		}
	})
}
