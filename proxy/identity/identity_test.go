package identity

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/metadata"
	"github.com/pillion-lb/pillion/test/fakemetadata/server"
)

const (
	audience = "https://api-1.r.run.app"
	asked    = "instance/service-accounts/default/identity?audience=" + audience
)

// logs is what a test's logger wrote.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func onCloudRun() *config.Config {
	return &config.Config{Platform: config.Platform{Service: "web"}, Service: config.Service{Identity: "auto"}}
}

// running is a Source that runs until the test ends, and the metadata server it
// asks.
func running(t *testing.T, cfg *config.Config) (*Source, *server.Server, *logs) {
	m, l := server.New(server.Identity{}), new(logs)
	s := New(cfg, Options{Metadata: metadata.New("", server.Direct(m)), Logger: slog.New(slog.NewTextHandler(l, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s, m, l
}

// get asks for the token and checks that a token that comes has not expired.
func get(t *testing.T, s *Source) (string, error) {
	t.Helper()
	text, err := s.Token(t.Context(), audience)
	if err == nil && text != "" {
		if _, err := newToken(text, wallClock()); err != nil {
			t.Errorf("served a token that is none: %v", err)
		}
	}
	return text, err
}

func TestToken_IsFetchedOnceForAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := running(t, onCloudRun())
		m.SetFault(server.Fault{Mode: server.Slow, Delay: time.Second})
		var texts sync.Map
		var waiting sync.WaitGroup
		for range 1000 {
			waiting.Go(func() {
				text, err := s.Token(t.Context(), audience)
				if err != nil {
					t.Error(err)
				}
				texts.Store(text, true)
			})
		}
		waiting.Wait()
		n := 0
		texts.Range(func(_, _ any) bool { n++; return true })
		if n != 1 || m.Requests(asked) != 1 {
			t.Errorf("%d tokens by %d fetches", n, m.Requests(asked))
		}
	})
}

func TestToken_IsRefreshedBeforeItExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := running(t, onCloudRun())
		m.SetTokenLife(20 * time.Second)
		begin := time.Now()
		slowest := time.Duration(0)
		for time.Since(begin) < time.Minute {
			called := time.Now()
			if _, err := get(t, s); err != nil {
				t.Fatal(err)
			}
			slowest = max(slowest, time.Since(called))
			time.Sleep(100 * time.Millisecond)
		}
		if n := m.Requests(asked); n < 3 || n > 5 || slowest > 0 {
			t.Errorf("%d fetches, longest wait %v", n, slowest)
		}
	})
}

func TestToken_UnusedOnesAreNotRefreshed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := running(t, onCloudRun())
		get(t, s)
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		if n := m.Requests(asked); n > 2 || len(s.States()) != 0 {
			t.Errorf("%d fetches, %d entries kept", n, len(s.States()))
		}
		if _, err := get(t, s); err != nil {
			t.Errorf("after the long pause: %v", err)
		}
	})
}

func TestToken_OldOneIsServedUntilItExpires(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"drop", "slow 10s", "500", "404", "html", "reset"} {
		synctest.Test(t, func(t *testing.T) {
			s, m, l := running(t, onCloudRun())
			m.SetTokenLife(100 * time.Second)
			first, err := get(t, s)
			if err != nil {
				t.Fatal(err)
			}
			f, err := server.ParseFault(fault)
			if err != nil {
				t.Fatal(err)
			}
			m.SetFault(f)
			for range 98 {
				if text, err := get(t, s); err != nil || text != first {
					t.Fatalf("%s: served %q, %v", fault, text, err)
				}
				time.Sleep(time.Second)
			}
			if s := s.States(); s[0].Err == nil || ageOf(s[0]) < 98*time.Second {
				t.Errorf("%s: state %+v", fault, s)
			}
			time.Sleep(2 * time.Second)
			if text, err := get(t, s); err == nil {
				t.Errorf("%s: served %q after its end", fault, text)
			}
			if n := l.count("level=WARN"); n != 1 {
				t.Errorf("%s: %d warnings\n%s", fault, n, l)
			}
			m.SetFault(server.Fault{})
			time.Sleep(longestPause + 2*time.Second)
			if _, err := get(t, s); err != nil || l.count("had again") != 1 {
				t.Errorf("%s: after it %v\n%s", fault, err, l)
			}
		})
	}
}

// ageOf is the age of a token, -1 without one.
func ageOf(s State) time.Duration {
	if age, known := s.Age(time.Now()); known {
		return age
	}
	return -1
}

func TestToken_WithoutOneFetchesAreFewAndRequestsFailAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, m, l := running(t, onCloudRun())
		m.SetFault(server.Fault{Mode: server.HTML})
		slow := 0
		for range 60_000 {
			called := time.Now()
			if text, err := s.Token(t.Context(), audience); err == nil {
				t.Fatalf("served %q", text)
			}
			if time.Since(called) > 0 {
				slow++
			}
			time.Sleep(time.Millisecond)
		}
		if n := m.Requests(asked); n > 12 || slow > 12 {
			t.Errorf("%d fetches and %d waits in a minute", n, slow)
		}
		if n := l.count("level=WARN"); n != 1 {
			t.Errorf("%d warnings\n%s", n, l)
		}
	})
}

func TestRejected_ForcesAtMostOneRefreshAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := running(t, onCloudRun())
		first, _ := get(t, s)
		storm := func(d time.Duration) int {
			before := m.Requests(asked)
			for range d / (10 * time.Millisecond) {
				for range 10 {
					s.Rejected(audience)
				}
				time.Sleep(10 * time.Millisecond)
			}
			return m.Requests(asked) - before
		}
		if n := storm(59 * time.Second); n != 0 {
			t.Errorf("%d refreshes of a young token", n)
		}
		if n := storm(10 * time.Second); n != 1 {
			t.Errorf("%d refreshes of an old token", n)
		}
		if second, _ := get(t, s); second == first {
			t.Error("the refreshed token is not served")
		}
		if n := storm(5 * time.Minute); n > 5 {
			t.Errorf("%d refreshes in five minutes", n)
		}
		s.Rejected("https://unknown")
	})
}

func TestRejected_FailedRefreshKeepsTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := running(t, onCloudRun())
		first, _ := get(t, s)
		m.SetFault(server.Fault{Mode: server.HTML})
		time.Sleep(2 * time.Minute)
		for range 50 {
			s.Rejected(audience)
			time.Sleep(time.Second)
		}
		if text, err := get(t, s); text != first || m.Requests(asked) != 2 {
			t.Errorf("served %q, %v after %d fetches", text, err, m.Requests(asked))
		}
	})
}

func TestExpect_FetchesBeforeTheFirstRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := running(t, onCloudRun())
		s.Expect(audience, "")
		synctest.Wait()
		m.SetFault(server.Fault{Mode: server.Drop})
		s.Expect(audience)
		if text, err := get(t, s); text == "" || err != nil || m.Requests(asked) != 1 {
			t.Errorf("got %q, %v", text, err)
		}
	})
}

func TestToken_WaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// and nobody runs it
		s := New(onCloudRun(), Options{Metadata: metadata.New("", server.Direct(server.New(server.Identity{})))})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Token(ctx, audience); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		if _, err := s.Token(t.Context(), audience); err == nil {
			t.Error("the wait ended with no error")
		}
	})
}

func TestToken_HotPathAllocatesNothing(t *testing.T) {
	s, _, _ := running(t, onCloudRun())
	if _, err := get(t, s); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() { s.Token(ctx, audience) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func writeToken(t *testing.T, path, aud string, life time.Duration, serial int) {
	t.Helper()
	text := server.Token(aud, "a@b", time.Now(), life, serial) + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFile_IsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		writeToken(t, path, audience, time.Hour, 1)
		cfg, problems := config.Load([]string{"LB_BACKENDS=demo://1", "LB_IDENTITY_TOKEN_FILE=" + path})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go cfg.FollowFiles(ctx, slog.New(slog.DiscardHandler))
		s, m, _ := running(t, cfg)
		first, err := get(t, s)
		if err != nil {
			t.Fatal(err)
		}
		writeToken(t, path, audience, time.Hour, 2)
		time.Sleep(2*fileInterval + time.Second)
		get(t, s)
		time.Sleep(2*fileInterval + time.Second)
		if second, err := get(t, s); err != nil || second == first {
			t.Errorf("the changed file is not read: %v", err)
		}
		if _, err := s.Token(t.Context(), "https://other"); err == nil {
			t.Error("the token went to another audience")
		}
		if m.Requests(asked) != 0 {
			t.Error("the metadata server was asked")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := get(t, s); err != nil {
			t.Errorf("the removed file ends a valid token: %v", err)
		}
		time.Sleep(time.Hour)
		if _, err := get(t, s); err == nil || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("without a file and after its end: %v", err)
		}
	})
}

func jwt(claims string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(`{"alg":"RS256"}`)) + "." + e([]byte(claims)) + "." + e([]byte("signature"))
}

func TestNewToken_TakesOnlyTokens(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	for claims, want := range map[string]time.Duration{
		`{"exp":1100,"aud":"a"}`:     80 * time.Second,
		`{"exp":1100.9,"aud":["a"]}`: 80 * time.Second,
		`{"exp":1000,"aud":"a"}`:     -1,
		`{"exp":1001,"aud":"a"}`:     -1,
		`{"aud":"a"}`:                -1,
		`{"exp":"soon"}`:             -1,
		`{"exp":-5}`:                 -1,
		`{"exp":1e300}`:              -1,
		`{"exp":1100,"aud":{}}`:      -1,
		`[]`:                         -1,
		`{`:                          -1,
	} {
		tok, err := newToken(jwt(claims)+"\n", now)
		if (err != nil) != (want < 0) || err == nil && tok.refresh.Sub(now) != want {
			t.Errorf("%s: %+v, %v", claims, tok, err)
		}
	}
	good := jwt(`{"exp":1100}`)
	for _, text := range []string{"", "a.b.c", "<html>", good + ".x", good[:len(good)-1] + "\r\n" + good[len(good)-1:],
		good + "=", strings.Replace(good, ".", "..", 1)} {
		if _, err := newToken(text, now); err == nil {
			t.Errorf("took %q", text)
		}
	}
}

func FuzzNewToken(f *testing.F) {
	f.Add(jwt(`{"exp":1100,"aud":["a"]}`))
	f.Add("a.b.c")
	f.Add(jwt(`{"iss":"https://accounts.google.com","aud":"https://api-1.europe-west1.run.app","azp":"1","email":` +
		`"lb@p.iam.gserviceaccount.com","email_verified":true,"exp":1700003600,"iat":1700000000,"sub":"1"}`))
	f.Add(jwt(`{"exp":1e400,"aud":[]}`))
	f.Add(jwt(`{"exp":"1100","aud":{"a":1}}`))
	f.Add(jwt(`{"exp":1100,"exp":1,"aud":["a","b",1]}`) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		now := time.Unix(1000, 0)
		tok, err := newToken(text, now)
		if err != nil {
			return
		}
		if strings.Trim(tok.text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
			t.Errorf("a token of odd characters: %q", tok.text)
		}
		if !tok.valid(now) || tok.refresh.Before(now) || tok.refresh.After(tok.expires) {
			t.Errorf("odd dates: %+v", tok)
		}
	})
}

func BenchmarkToken(b *testing.B) {
	s := New(onCloudRun(), Options{Metadata: metadata.New("", server.Direct(server.New(server.Identity{})))})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.Run(ctx)
	if _, err := s.Token(ctx, audience); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Token(ctx, audience)
	}
}
