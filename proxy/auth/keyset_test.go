package auth

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestKeySet_RotationIsSeenByOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		v := verifier(t, i, setting)
		old := i.token(t, good(nil))
		if _, why := ask(v, old); why != "" {
			t.Fatal(why)
		}
		time.Sleep(betweenFetches)
		i.rotate("two", ecKey())

		fresh := i.token(t, good(nil))
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, why := ask(v, fresh); why != "" {
					t.Errorf("a token of the new key: %q", why)
				}
			})
		}
		all.Wait()
		if n := i.fetches.Load(); n != 2 {
			t.Errorf("%d fetches", n)
		}
		// What was verified by the old keys is not remembered any more.
		if _, why := ask(v, old); why != UnknownKey {
			t.Errorf("a token of the key that is gone: %q", why)
		}
	})
}

func TestKeySet_MadeUpKeyIDsCauseFewFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		v, key := verifier(t, i, setting), ecKey()
		ask(v, i.token(t, good(nil)))
		began := time.Now()
		for n := range 10_000 {
			head := encode(fmt.Sprintf(`{"alg":"ES256","kid":"made-up-%d"}`, n))
			token := sign(t, jose.ES256, key, "x", good(nil))
			if _, why := ask(v, head+token[strings.IndexByte(token, '.'):]); why != UnknownKey {
				t.Fatal(why)
			}
			if n%100 == 0 {
				time.Sleep(500 * time.Millisecond)
			}
		}
		if n, most := i.fetches.Load(), int64(time.Since(began)/betweenFetches)+2; n > most || n < 2 {
			t.Errorf("%d fetches within %v, at most %d", n, time.Since(began), most)
		}
		// A bad signature under a known id is no reason to fetch.
		before := i.fetches.Load()
		time.Sleep(time.Minute)
		if _, why := ask(v, sign(t, jose.ES256, key, "one", good(nil))); why != Signature || i.fetches.Load() != before {
			t.Errorf("%q, %d fetches", why, i.fetches.Load()-before)
		}
	})
}

func TestKeySet_AnIssuerThatIsDownAtTheStartComesByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		i.down = true
		v := verifier(t, i, setting)
		token := i.token(t, good(nil))
		if _, why := ask(v, token); why != Unavailable || why.Status() != 503 {
			t.Fatalf("%q", why)
		}
		i.mu.Lock()
		i.down = false
		i.mu.Unlock()
		time.Sleep(31 * time.Second) // without a request
		if n := i.fetches.Load(); n != 1 {
			t.Errorf("%d fetches by itself", n)
		}
		if _, why := ask(v, token); why != "" {
			t.Errorf("%q", why)
		}
	})
}

func TestKeySet_FirstRequestsWaitFiveSecondsAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		hang := make(chan struct{})
		i.hang = hang
		v := verifier(t, i, setting)
		began := time.Now()
		_, why := ask(v, i.token(t, good(nil)))
		if took := time.Since(began); why != Unavailable || took > firstWait {
			t.Errorf("%q after %v", why, took)
		}
		time.Sleep(time.Minute)
		i.mu.Lock()
		i.hang = nil
		i.mu.Unlock()
		close(hang)
		time.Sleep(time.Minute)
		if _, why := ask(v, i.token(t, good(nil))); why != "" {
			t.Errorf("%q", why)
		}
	})
}

// The process may stand still for hours between two requests.
func TestKeySet_StaleKeysServeAtOnceAndAreFetchedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		i.control = "public, max-age=600"
		v := verifier(t, i, setting)
		ask(v, i.token(t, good(nil)))

		time.Sleep(599 * time.Second)
		ask(v, i.token(t, good(nil)))
		if n := i.fetches.Load(); n != 1 {
			t.Errorf("%d fetches of fresh keys", n)
		}
		time.Sleep(time.Hour)
		began := time.Now()
		if _, why := ask(v, i.token(t, good(nil))); why != "" || time.Since(began) != 0 {
			t.Errorf("%q after %v", why, time.Since(began))
		}
		synctest.Wait()
		if n := i.fetches.Load(); n != 2 {
			t.Errorf("%d fetches", n)
		}

		i.mu.Lock()
		i.down = true
		i.mu.Unlock()
		time.Sleep(24 * time.Hour)
		if _, why := ask(v, i.token(t, good(nil))); why != "" {
			t.Errorf("within a day: %q", why)
		}
		time.Sleep(time.Hour)
		if _, why := ask(v, i.token(t, good(nil))); why != Unavailable {
			t.Errorf("keys of yesterday: %q", why)
		}
	})
}

func TestKeySet_ARevokedKeyEndsWithMaxAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		i.control = "max-age=300"
		v := verifier(t, i, setting)
		token := i.token(t, good(nil))
		ask(v, token)
		i.rotate("two", ecKey())
		time.Sleep(301 * time.Second)
		ask(v, token) // the keys are stale, and used once more
		synctest.Wait()
		if _, why := ask(v, token); why != UnknownKey {
			t.Errorf("%q", why)
		}
	})
}

func TestKeySet_VerifiedTokensEndByThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		i.control = "max-age=86400"
		v := verifier(t, i, setting)
		token := i.token(t, good(nil))
		for _, c := range []struct {
			after time.Duration
			want  Reason
		}{{0, ""}, {time.Hour, ""}, {59 * time.Second, ""}, {2 * time.Second, Expired}} {
			time.Sleep(c.after)
			if _, why := ask(v, token); why != c.want {
				t.Errorf("after %v: %q", c.after, why)
			}
		}
	})
}

func TestKeySet_BadSetsAreNone(t *testing.T) {
	t.Parallel()
	for what, body := range map[string]string{
		"too large":       `{"keys":[` + strings.Repeat(" ", mostBytes) + `]}`,
		"no JSON":         "<html>",
		"empty":           `{"keys":[]}`,
		"too many":        `{"keys":[` + strings.Repeat(`{"kty":"oct"},`, mostKeys) + `{}]}`,
		"only unusable":   `{"keys":[{"kty":"AKP","alg":"ML-DSA-44"},{"kty":"oct","k":"AAAA"}]}`,
		"cut in a string": `{"keys":[{"kty":"EC`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := newIssuer()
				token := i.token(t, good(nil))
				i.body = body
				v := verifier(t, i, setting)
				if _, why := ask(v, token); why != Unavailable {
					t.Errorf("%q", why)
				}
			})
		})
	}
}

// One key that is not known costs no other.
func TestKeySet_UnusableKeysAreLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		token := i.token(t, good(nil))
		i.body = strings.Replace(i.set(), `{"keys":[`,
			`{"keys":[{"kty":"AKP","kid":"pq"},{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},`+
				`{"kty":"EC","crv":"P-256","x":"!","y":"?"},7,null,`, 1)
		v := verifier(t, i, setting)
		if _, why := ask(v, token); why != "" {
			t.Errorf("%q", why)
		}
	})
}

func TestKeySet_NoRedirectToAnotherHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		i.moved = "https://evil.example/keys"
		v := verifier(t, i, setting)
		if _, why := ask(v, i.token(t, good(nil))); why != Unavailable {
			t.Errorf("%q", why)
		}
	})
}

func TestFreshness_IsWithinItsBounds(t *testing.T) {
	t.Parallel()
	for control, want := range map[string]time.Duration{
		"": leastFresh, "max-age=1": leastFresh, "public, max-age=3600": time.Hour, `Max-Age="7200"`: 2 * time.Hour,
		"max-age=99999999": mostFresh, "max-age=-1": leastFresh, "no-store": leastFresh,
		"max-age=999999999999999999999": leastFresh,
	} {
		if got := freshness([]string{control}); got != want {
			t.Errorf("%q: %v", control, got)
		}
	}
}

func TestVerified_IsBounded(t *testing.T) {
	t.Parallel()
	token := func(text ...any) *presented {
		p := new(presented)
		p.become("e" + fmt.Sprint(text...))
		return p
	}
	var v verified
	for n := range 10 * mostVerified {
		v.put(token(n), User("x"))
	}
	if n := len(v.young) + len(v.old); n > 2*mostVerified {
		t.Errorf("%d are remembered", n)
	}
	// What is used stays.
	first := token("first")
	v.put(first, User("x"))
	for n := range 10 * mostVerified {
		v.put(token("other", n), User("x"))
		if v.get(first) == nil {
			t.Fatal("a token in use was forgotten")
		}
	}
	// Issuers decide how long claims are.
	for n := range 10 * mostVerified {
		v.put(token("long", n), User(strings.Repeat("x", longestClaim)))
		if most := mostSaid/longestClaim + 1; len(v.young) > most {
			t.Fatalf("%d long ones are remembered, %d at most", len(v.young), most)
		}
	}
}

// Two tokens that meet in one place are not taken for each other.
func TestVerified_AnIndexIsNoProof(t *testing.T) {
	t.Parallel()
	var v verified
	one, other := &presented{text: "eone", index: 7}, &presented{text: "eother", index: 7}
	v.put(one, User("ann"))
	if v.get(one) == nil || v.get(other) != nil {
		t.Error("a token was taken for another one")
	}
	v.put(other, User("bob"))
	if v.get(one) != nil || v.get(other).Claim("sub") != "bob" {
		t.Error("after the other one came")
	}
}

// A token that none of many providers accepts is read once.
func TestVerify_ATokenIsReadOnce(t *testing.T) {
	i := newIssuer()
	var list []string
	for n := range 8 {
		list = append(list, fmt.Sprintf("%s?audience=app-%d", issuerURL, n))
	}
	one, many := verifier(t, i, list[0]), verifier(t, i, strings.Join(list, ";"))
	h := map[string][]string{"Authorization": {"Bearer " + i.token(t, good(map[string]any{"aud": "nobody"}))}}
	now := time.Now()
	count := func(v *Verifier) float64 {
		if _, why := v.Verify(t.Context(), h, now); why != Audience {
			t.Fatalf("%q", why)
		}
		return testing.AllocsPerRun(20, func() { v.Verify(t.Context(), h, now) })
	}
	if a, b := count(one), count(many); b > a+8*4 || a < 20 {
		t.Errorf("%v allocations for one provider, %v for eight", a, b)
	}
}

func BenchmarkVerify_Known(b *testing.B) {
	i := newIssuer()
	v := verifier(b, i, setting)
	token := i.token(b, good(map[string]any{"name": strings.Repeat("x", 300)}))
	if _, why := ask(v, token); why != "" {
		b.Fatal(why)
	}
	h := map[string][]string{"Authorization": {"Bearer " + token}}
	now, ctx := time.Now(), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if who, _ := v.Verify(ctx, h, now); who == nil {
			b.Fatal("not known")
		}
	}
}

func BenchmarkVerify_Junk(b *testing.B) {
	v := verifier(b, newIssuer(), setting)
	for name, token := range map[string]string{
		"form": strings.Repeat("a", 800), "head": "eyJhbGciOiJub25lIn0." + strings.Repeat("a", 800) + ".AAAA",
		"dots": strings.Repeat(".", 8000),
	} {
		b.Run(name, func(b *testing.B) {
			h := map[string][]string{"Authorization": {"Bearer " + token}}
			now, ctx := time.Now(), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				v.Verify(ctx, h, now)
			}
		})
	}
}

func TestVerify_AKnownTokenAllocatesNothing(t *testing.T) {
	i := newIssuer()
	v := verifier(t, i, setting)
	h := map[string][]string{"Authorization": {"Bearer " + i.token(t, good(nil))}}
	now := time.Now()
	if _, why := v.Verify(t.Context(), h, now); why != "" {
		t.Fatal(why)
	}
	if n := testing.AllocsPerRun(100, func() { v.Verify(t.Context(), h, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
