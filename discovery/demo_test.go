package discovery

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

// run starts the discovery of items and returns its publications. It ends with
// the test.
func run(t *testing.T, cfg *config.Config, opts Options, items ...string) <-chan Set {
	t.Helper()
	targets, problems := Parse(items)
	if problems != nil {
		t.Fatal(problems)
	}
	return start(t, New(cfg, targets, opts))
}

func start(t *testing.T, d *Discovery) <-chan Set {
	sets := make(chan Set, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.Run(ctx, func(s Set) { sets <- s }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return sets
}

func ask(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

func TestDemo_BackendsAnswerWithTheirNames(t *testing.T) {
	t.Parallel()
	set := <-run(t, &config.Config{}, Options{}, "demo://3")
	if len(set.Backends) != 3 || !set.Complete {
		t.Fatalf("published %+v", set)
	}
	for i, b := range set.Backends {
		want := []string{"demo-1", "demo-2", "demo-3"}[i]
		code, body := ask(t, "POST", "http://"+b.Address+"/x?y=%41", "hello", "X-Request-Id", "r1")
		for _, part := range []string{want + "\n", "POST /x?y=%41\n", "X-Request-Id: r1\n", "\nhello"} {
			if code != 200 || b.Name != want || !strings.Contains(body, part) {
				t.Errorf("%s answered %d %q, without %q", b.Name, code, body, part)
			}
		}
	}
}

func TestDemo_JSONAndStatusOnRequest(t *testing.T) {
	t.Parallel()
	set := <-run(t, &config.Config{}, Options{}, "demo://1")
	url := "http://" + set.Backends[0].Address
	code, body := ask(t, "GET", url+"/status/503", "", "Accept", "application/json", "X-Forwarded-For", "192.0.2.1")
	var e echoed
	if err := json.Unmarshal([]byte(body), &e); err != nil || code != 503 || e.Backend != "demo-1" ||
		e.Headers["X-Forwarded-For"] != "192.0.2.1" {
		t.Errorf("got %d %q, %v", code, body, err)
	}
	if code, _ := ask(t, "GET", url+"/status/999", ""); code != 200 {
		t.Errorf("an impossible status gives %d", code)
	}
	if code, _ := ask(t, "GET", url+"/delay/1ms", ""); code != 200 {
		t.Errorf("a delay gives %d", code)
	}
}

func TestDemo_ServersEndWithDiscovery(t *testing.T) {
	t.Parallel()
	targets, _ := Parse([]string{"demo://2"})
	ctx, cancel := context.WithCancel(context.Background())
	var set Set
	if err := New(&config.Config{}, targets, Options{}).Run(ctx, func(s Set) { set = s; cancel() }); err != nil {
		t.Fatal(err)
	}
	for _, b := range set.Backends {
		if c, err := net.Dial("tcp", b.Address); err == nil {
			c.Close()
			t.Errorf("%s still listens after Run returned", b.Name)
		}
	}
}
