package affinity

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
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
func affinityOf(t testing.TB, env ...string) *Signer {
	t.Helper()
	return New(configOf(t, env...).Service.Affinity, time.Now())
}

func configOf(t testing.TB, env ...string) *config.Config {
	t.Helper()
	cfg, problems := config.Load(append([]string{"LB_BACKENDS=http://unused:80", "LB_SESSION_AFFINITY=cookie"}, env...))
	for _, p := range problems {
		t.Fatal(p.String())
	}

	return cfg
}

// issue makes a cookie and returns its value, and its attributes.
func issue(t testing.TB, a *Signer, name string, issued time.Time) (string, *http.Cookie) {
	t.Helper()
	c, err := http.ParseSetCookie(a.SetCookie(a.Ring(time.Now()), name, issued.Unix(), time.Now(), false))
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
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		a := affinityOf(t, "LB_AFFINITY_SECRET="+key1)
		value, c := issue(t, a, "blue", now)
		b, state := a.Verify(a.Ring(now), value, now)
		if state != Valid || b.id != a.Ring(now).keys[0].name("blue") || b.Issued != now.Unix() || b.seen != now.Unix() ||
			b.key != 0 {
			t.Errorf("%s %+v", state, b)
		}

		if c.Name != a.cfg.CookieName || c.Path != "/" || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode ||
			c.MaxAge != 0 {
			t.Errorf("%+v", c)
		}
		if strings.Contains(value, "blue") || strings.Contains(value, base64.RawURLEncoding.EncodeToString([]byte("blue"))) {
			t.Error("the cookie tells the backend's name")
		}
	})
}

func TestAffinity_AnotherProcessUnderstands(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, env := range [][]string{{"LB_AFFINITY_SECRET=" + key1}, {"K_SERVICE=shop"}, nil} {
		value, _ := issue(t, affinityOf(t, env...), "blue", now)
		other := affinityOf(t, env...)
		if _, state := other.Verify(other.Ring(now), value, now); state != Valid {
			t.Errorf("%v: %s", env, state)
		}
	}
}

func TestAffinity_ForeignCookiesAreForged(t *testing.T) {
	t.Parallel()
	now := time.Now()

	value, _ := issue(t, affinityOf(t, "LB_AFFINITY_SECRET="+key1, "K_SERVICE=shop"), "blue", now)
	for _, env := range [][]string{
		{"LB_AFFINITY_SECRET=" + key2, "K_SERVICE=shop"}, {"LB_AFFINITY_SECRET=" + key1, "K_SERVICE=other"},
		{"K_SERVICE=shop"},
	} {
		a := affinityOf(t, env...)
		if _, state := a.Verify(a.Ring(now), value, now); state != Forged {
			t.Errorf("%v: %s", env, state)
		}
	}
}

func TestAffinity_AnyChangeIsForged(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := affinityOf(t)
	ring := a.Ring(now)
	value, _ := issue(t, a, "blue", now)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

	for i := range value {
		for _, c := range []byte(alphabet) {
			if c == value[i] {
				continue
			}
			if _, state := a.Verify(ring, value[:i]+string(c)+value[i+1:], now); state != Forged {
				t.Fatalf("byte %d as %c: %s", i, c, state)
			}
		}

		if _, state := a.Verify(ring, value[:i], now); state != Forged {
			t.Errorf("cut to %d: %s", i, state)
		}
	}

	for _, other := range []string{"", value + "A", value + "=", "\n" + value[1:], strings.Repeat("A", ValueLength),
		strings.Repeat("x", 10000)} {
		if _, state := a.Verify(ring, other, now); state != Forged {
			t.Errorf("%.60q: %s", other, state)
		}
	}
}

func TestAffinity_Ages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		at := func(env []string, age, idle time.Duration) State {
			a := affinityOf(t, env...)
			b := Binding{Issued: now.Add(-age).Unix(), seen: now.Add(-idle).Unix()}
			return a.age(b, now)
		}

		ttl, idle := []string{"LB_AFFINITY_TTL=1h"}, []string{"LB_AFFINITY_IDLE=10m"}
		for _, c := range []struct {
			env       []string
			age, idle time.Duration
			want      State
		}{
			{nil, 1000 * time.Hour, 1000 * time.Hour, Valid},
			{ttl, time.Hour - time.Second, 0, Valid},
			{ttl, time.Hour, 0, Expired},
			{idle, 1000 * time.Hour, 10*time.Minute - time.Second, Valid},
			{idle, 1000 * time.Hour, 10 * time.Minute, Idle},
			{nil, -4 * time.Minute, -4 * time.Minute, Valid},
			{nil, -6 * time.Minute, 0, Forged},
			{nil, 0, -6 * time.Minute, Forged},
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
		if got := a.NeedsRenewal(Binding{seen: now.Add(-age).Unix()}, now); got != want {
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
			synctest.Wait()
		}
		write(key1 + "\n")
		cfg := configOf(t, "LB_AFFINITY_SECRET_FILE="+path)
		ctx, end := context.WithCancel(t.Context())
		defer end()
		go cfg.FollowFiles(ctx, slog.New(slog.DiscardHandler))

		a := New(cfg.Service.Affinity, time.Now())
		old, _ := issue(t, a, "blue", time.Now())
		write(key2 + ";" + key1 + ";\n")
		now := time.Now()
		ring := a.Ring(now)
		b, state := a.Verify(ring, old, now)
		if state != Valid || b.key != 1 || !a.NeedsRenewal(b, now) || ring.keys[1].name("blue") != b.id {
			t.Errorf("%s %+v", state, b)
		}

		fresh, _ := issue(t, a, "blue", now)
		if b, state := a.Verify(ring, fresh, now); state != Valid || b.key != 0 || a.NeedsRenewal(b, now) {
			t.Errorf("%s %+v", state, b)
		}

		write(key2)
		now = time.Now()
		if _, state := a.Verify(a.Ring(now), old, now); state != Forged {
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
		if got := a.DeleteCookie(c.secure); got != a.cfg.CookieName+"=; Max-Age=0"+c.want {
			t.Error(got)
		}
	}
}

func TestAffinity_OffIsNothing(t *testing.T) {
	t.Parallel()
	if New(config.Affinity{}, time.Now()) != nil {
		t.Error("affinity without a cookie")
	}
}

func TestAffinity_VerifyAllocatesNothing(t *testing.T) {
	if racing {
		t.Skip("pools leak under the race detector")
	}

	now := time.Now()
	a := affinityOf(t, "LB_AFFINITY_SECRET="+key1+";"+key2)
	ring := a.Ring(now)
	value, _ := issue(t, a, "blue", now)
	if n := testing.AllocsPerRun(1000, func() { a.Verify(ring, value, now) }); n != 0 {
		t.Error(n)
	}
}

// What is remembered of a cookie is the cookie's alone, also of more cookies
// than there are places.
func TestAffinity_RememberedCookiesAreNobodyElses(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := affinityOf(t, "LB_AFFINITY_TTL=1h")
	ring := a.Ring(now)
	issued := make(map[string]cookieID)
	for i := range 2 * maxVerified {
		name := fmt.Sprint("backend-", i)
		value, _ := issue(t, a, name, now)
		issued[value] = ring.keys[0].name(name)
	}

	for range 2 {
		for value, id := range issued {
			if b, state := a.Verify(ring, value, now); state != Valid || b.id != id {
				t.Fatal(value, state, b)
			}
		}
	}

	for value := range issued {
		a.Verify(ring, value, now)
		for i := range value {
			other := []byte(value)
			if other[i]++; other[i] == '[' || other[i] == '{' || other[i] == ':' {
				other[i] = 'A'
			}
			if _, state := a.Verify(ring, string(other), now); state != Forged {
				t.Fatal(value, string(other), state)
			}
		}

		if _, state := a.Verify(ring, value, now.Add(a.cfg.TTL+time.Second)); state != Expired {
			t.Fatal("remembered beyond its time:", state)
		}

		break
	}
}

func BenchmarkAffinityVerify(b *testing.B) {
	now := time.Now()
	a := affinityOf(b)
	ring := a.Ring(now)
	value, _ := issue(b, a, "blue", now)
	b.ReportAllocs()
	for b.Loop() {
		if _, state := a.Verify(ring, value, now); state != Valid {
			b.Fatal(state)
		}
	}
}

func FuzzAffinity_VerifyTakesOnlyOurs(f *testing.F) {
	// else what an earlier run issued is ours, too
	a := affinityOf(f, "LB_AFFINITY_SECRET="+rand.Text())
	ring := a.Ring(time.Now())
	ours, _ := issue(f, a, "blue", time.Now())
	f.Add(ours)
	f.Add(strings.Repeat("A", ValueLength))
	f.Add(ours[1:] + ours[:1])
	f.Add(ours + "A")
	f.Add(ours[:len(ours)-1])
	f.Add(`"` + ours + `"`)
	f.Fuzz(func(t *testing.T, value string) {
		if _, state := a.Verify(ring, value, time.Now()); state != Forged && value != ours {
			t.Errorf("%q is %s", value, state)
		}
	})
}
