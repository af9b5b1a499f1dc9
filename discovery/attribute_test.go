package discovery

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/pillion-lb/pillion/discovery/metadata"
	"github.com/pillion-lb/pillion/test/fakemetadata/server"
)

const listOf = "instance/attributes/list"

// next is the newest publication after d.
func next(sets <-chan Set, d time.Duration) (set Set, n int) {
	time.Sleep(d)
	synctest.Wait()
	for len(sets) > 0 {
		set = <-sets
		n++
	}
	return set, n
}

// following is a metadata server whose attribute has a value that was
// published.
func following(t *testing.T) (*server.Server, <-chan Set, *syncBuffer) {
	s, opts, logs := metadataOf(t, server.Identity{})
	s.Set(listOf, "http://a")
	sets := run(t, auto(), opts, "metadata://"+listOf)
	next(sets, time.Second)
	return s, sets, logs
}

func TestAttribute_ChangeIsFollowedWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, opts, _ := metadataOf(t, server.Identity{})
		s.Set(listOf, "http://a;https://b?name=b&weight=2")
		sets := run(t, auto(), opts, "metadata://"+listOf)
		set, _ := next(sets, time.Second)
		if !set.Complete || names(set.Backends) != "a b" || set.Backends[0].Source != "metadata://"+listOf {
			t.Fatalf("published %+v", set)
		}
		time.Sleep(5 * time.Minute)
		for _, value := range []string{"c", "d", "e"} {
			s.Set(listOf, "http://"+value)
			if set, n := next(sets, time.Second); n != 1 || names(set.Backends) != value {
				t.Errorf("after a change to %s: %d publications, %+v", value, n, set)
			}
		}
		if n := s.Requests(listOf); n > 30 {
			t.Errorf("%d questions in five minutes", n)
		}
	})
}

func TestAttribute_BadValueIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, sets, logs := following(t)
		for i, bad := range []string{"http://b;ftp://c;gce://d", "demo://3", "metadata://instance/attributes/x",
			"http://169.254.169.254", " ; "} {
			s.Set(listOf, bad)
			if set, n := next(sets, 3*time.Minute); n != 0 {
				t.Errorf("%q: published %+v", bad, set)
			}
			if n := strings.Count(logs.String(), "level=WARN"); n != i+1 {
				t.Errorf("%q: %d warnings\n%s", bad, n, logs)
			}
		}
		if !strings.Contains(logs.String(), `item 2 \"ftp://c\"`) || strings.Contains(logs.String(), "gce://") {
			t.Errorf("the first bad item is not named:\n%s", logs)
		}
		s.Set(listOf, "http://b")
		if set, _ := next(sets, time.Second); names(set.Backends) != "b" {
			t.Errorf("after the bad values: %+v", set)
		}
		if !strings.Contains(logs.String(), "works again") {
			t.Errorf("the recovery is not told:\n%s", logs)
		}
	})
}

func TestAttribute_DeletionKeepsTheLastGoodSetAndRecreationIsFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, sets, logs := following(t)
		s.Delete(listOf)
		if set, n := next(sets, 10*time.Minute); n != 0 {
			t.Errorf("after the deletion: %+v", set)
		}
		if strings.Count(logs.String(), "level=WARN") != 1 || !strings.Contains(logs.String(), "not defined") {
			t.Errorf("logged\n%s", logs)
		}
		s.Set(listOf, "http://b")
		if set, _ := next(sets, 2*time.Second); names(set.Backends) != "b" {
			t.Errorf("after the re-creation: %+v", set)
		}
	})
}

func TestAttribute_EveryFaultKeepsTheLastGoodSet(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"drop", "slow 3s", "500", "404", "html", "reset"} {
		synctest.Test(t, func(t *testing.T) {
			s, sets, logs := following(t)
			f, err := server.ParseFault(fault)
			if err != nil {
				t.Fatal(err)
			}
			s.SetFault(f)
			if set, n := next(sets, 5*time.Minute); n != 0 {
				t.Errorf("%s: published %+v", fault, set)
			}
			if n := strings.Count(logs.String(), "level=WARN"); n != 1 {
				t.Errorf("%s: %d warnings\n%s", fault, n, logs)
			}
			s.Set(listOf, "http://b")
			s.SetFault(server.Fault{})
			if set, _ := next(sets, 30*time.Second); names(set.Backends) != "b" {
				t.Errorf("%s: after it %+v", fault, set)
			}
		})
	}
}

func TestAttribute_WithoutBackendsInstanceGoesBeforeProject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, opts, logs := metadataOf(t, server.Identity{})
		sets := start(t, New(auto(), nil, opts))
		if _, n := next(sets, 10*time.Second); n != 0 || strings.Count(logs.String(), "level=WARN") != 1 {
			t.Errorf("%d publications without attributes; logged\n%s", n, logs)
		}
		s.Set("project/attributes/lb-backends", "http://project")
		if set, _ := next(sets, 2*time.Second); names(set.Backends) != "project" || !set.Complete {
			t.Errorf("project's: %+v", set)
		}
		s.Set("instance/attributes/lb-backends", "http://instance")
		if set, _ := next(sets, 2*time.Second); names(set.Backends) != "instance" {
			t.Errorf("instance's: %+v", set)
		}
		s.Set("project/attributes/lb-backends", "http://project2")
		if set, n := next(sets, 2*time.Second); n != 0 {
			t.Errorf("project's counts beside instance's: %+v", set)
		}
		s.Delete("instance/attributes/lb-backends")
		if set, _ := next(sets, 2*time.Second); names(set.Backends) != "project2" {
			t.Errorf("project's again: %+v", set)
		}
	})
}

func TestAttribute_NewListTakesOverOnlyWhenItIsComplete(t *testing.T) {
	t.Parallel()
	log, _ := logged()
	sources := map[string]scripted{"dns://a:80": nil, "dns://b:80": nil, "dns://c:80": nil}
	synctest.Test(t, func(t *testing.T) {
		for item := range sources {
			sources[item] = make(scripted)
		}
		s := server.New(server.Identity{})
		s.Set(listOf, "dns://a:80")
		sets := new(published)
		l := newList([]Target{parseOne(t, "metadata://"+listOf)}, log, func(target Target) source {
			n := newAttribute(&kinds{log: log, metadata: metadata.New("", server.Direct(s))}, target).(*nested)
			n.sourceOf = func(inner Target) source {
				if scripted, ok := sources[inner.Item]; ok {
					return scripted
				}
				return static{inner.Template}
			}
			return n
		}, nil, sets.add)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); l.run(ctx) }()
		defer func() { cancel(); <-done }()
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := sets.all(); got != want {
				t.Errorf("published %s\n    want %s", got, want)
			}
		}
		time.Sleep(time.Second)
		sources["dns://a:80"].found("a1")
		expect("a1 true")
		s.Set(listOf, "dns://b:80;dns://a:80") // a is known already, b is not
		time.Sleep(2 * time.Second)
		expect("a1 true")
		sources["dns://b:80"].found("b1")
		expect("a1 true; a1,b1 true")
		s.Set(listOf, "dns://c:80;http://d") // c never answers
		time.Sleep(4 * time.Second)
		expect("a1 true; a1,b1 true")
		time.Sleep(4 * time.Second)
		expect("a1 true; a1,b1 true; d true")
		s.Delete(listOf)
		time.Sleep(2 * time.Second)
		sources["dns://c:80"].found("c1") // the last good value's own sources stay alive
		expect("a1 true; a1,b1 true; d true; c1,d true")
		states := l.states()
		if states[0].Err == nil {
			t.Error("their answer hides that the attribute is gone")
		}
		if len(states) != 3 || states[1].Source != "metadata://"+listOf+" dns://c:80" || states[1].Backends != 1 {
			t.Errorf("states %+v", states)
		}
	})
}

func TestAttribute_ServerThatDoesNotWaitIsNotHammered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		opts := Options{Metadata: metadata.New("",
			server.Direct(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked++
				w.Header().Set("ETag", "same")
				w.Write([]byte("http://a"))
			})))}
		sets := run(t, auto(), opts, "metadata://"+listOf)
		if set, n := next(sets, time.Minute); n != 1 || names(set.Backends) != "a" {
			t.Errorf("%d publications, %+v", n, set)
		}
		if asked < 30 || asked > 62 {
			t.Errorf("asked %d times in a minute", asked)
		}
	})
}

// The same over real connections and real time, for what a handler called
// directly cannot show.
func TestAttribute_OverTheNetwork(t *testing.T) {
	t.Parallel()
	dns, resolver := newDNSServer(t)
	dns.set("app.test.", "10.0.0.1")
	s := server.New(server.Identity{})
	s.Set(listOf, "dns://app.test.:80")
	hs := httptest.NewServer(s)
	defer hs.Close()
	client := metadata.New(hs.Listener.Addr().String(), nil)
	sets := run(t, auto(), Options{Metadata: client, Resolver: resolver}, "metadata://"+listOf)
	if set := <-sets; names(set.Backends) != "10.0.0.1:80" {
		t.Fatalf("published %+v", set)
	}
	dns.with(func() { dns.code["app.test."] = dnsmessage.RCodeServerFailure })
	changed := time.Now()
	s.Set(listOf, "dns://app.test.:80;http://b") // app.test fails now: its last good answer is inherited
	if set := <-sets; names(set.Backends) != "10.0.0.1:80 b" {
		t.Fatalf("published %+v", set)
	}
	if took := time.Since(changed); took > time.Second {
		t.Errorf("followed after %v", took)
	}
}
