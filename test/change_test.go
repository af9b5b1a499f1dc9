package test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/attribute"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// list returns a value of the attribute that names the servers.
func list(servers ...*backend.Server) string {
	return strings.TrimPrefix(backend.Backends(servers...), "LB_BACKENDS=")
}

// Clients with sessions make requests over both versions of HTTP, while
// backends are added and removed a hundred times. No request may fail. With
// -race, the program runs under the race detector too, which must report
// nothing.
func TestChange_BackendsComeAndGoUnderLoad(t *testing.T) {
	t.Parallel()
	servers := backend.StartMany(t, 7)
	lists := attribute.Start(t, "lb-backends", list(servers...))
	p := pillion.Start(t, affine, "GCE_METADATA_HOST="+lists.Host)
	stop := make(chan struct{})
	var workers sync.WaitGroup

	failures, served := new(await.Values[string]), new(tally)
	for i := range 12 {
		client := newClient(t)
		if i%3 == 2 {
			client = newH2CClient(t)
		}
		workers.Go(func() { browse(client, p.URL("/"), i%2 == 0, stop, failures, served) })
	}

	for i := range 100 {
		n := served.Of("")
		lists.Set(list(servers[i%7], servers[(i+1)%7], servers[(i+3)%7]))
		await.Until(t, "twenty more requests are served", func() bool { return served.Of("") >= n+20 || failures.Len() > 0 })
	}

	close(stop)
	workers.Wait()
	if all := failures.All(); len(all) > 0 {
		t.Errorf("%d requests failed, the first: %s", len(all), all[0])
	}
}

// browse sends GETs until stop is closed. Every third has no cookie, so that
// new sessions begin all the time.
func browse(c *http.Client, url string, post bool, stop <-chan struct{}, failures *await.Values[string],
	served *tally) {
	cookie := ""
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}

		method, body := http.MethodGet, ""
		if post {
			method, body = http.MethodPost, fmt.Sprint(i)
		}

		r, _ := http.NewRequest(method, url, strings.NewReader(body))
		if cookie != "" && i%3 != 0 {
			r.Header.Set("Cookie", cookie)
		}

		a, err := exchange(c, r)
		if err != nil || a.StatusCode != http.StatusOK {
			failures.Add(fmt.Sprint(method, " ", err, " ", a.Response))
			return
		}

		served.Add("")
		if set := issued(a); set != nil {
			cookie = set.Name + "=" + set.Value
		}
	}
}

func TestChange_TrafficFollowsTheAttribute(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 3)
	lists := attribute.Start(t, "lb-backends", list(s[0], s[1]))
	p := pillion.Start(t, affine, "GCE_METADATA_HOST="+lists.Host)
	client := newClient(t)
	kept := sessionOn(t, client, p.URL("/"), "two")
	lists.Set(list(s[1], s[2]))
	await.Until(t, "the new backend is used", func() bool { return get(t, client, p.URL("/")).Backend() == "three" })
	hits := s[0].Hits()
	for range 50 {
		wantStatus(t, get(t, client, p.URL("/")), http.StatusOK)
	}

	if s[0].Hits() != hits {
		t.Error("the backend that left still gets requests")
	}

	wantKept(t, client, p.URL("/"), kept, 20)
}

func TestChange_ABadValueIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 3)
	lists := attribute.Start(t, "lb-backends", list(s[0]))
	p := pillion.Start(t, "GCE_METADATA_HOST="+lists.Host)
	client := newClient(t)
	wantStatus(t, get(t, client, p.URL("/")), http.StatusOK)
	lists.Set(list(s[1]) + ";ftp://nonsense.example")
	await.Until(t, "the log names the bad item", func() bool { return strings.Contains(p.Printed(), "nonsense.example") })
	if a := get(t, client, p.URL("/")); a.Backend() != "one" {
		t.Errorf("after a bad value: %d from %q", a.StatusCode, a.Backend())
	}

	lists.Set(list(s[2]))
	await.Until(t, "the next good value is used", func() bool { return get(t, client, p.URL("/")).Backend() == "three" })
}
