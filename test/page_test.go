package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pageState holds the fields of state.json that these tests use.
type pageState struct {
	Backends []struct {
		Name, State, LastError string
		Failing                bool
		Requests               uint64
		Recent                 struct{ Requests, Failures uint64 }
	}
	Traffic struct {
		Recent struct{ Requests, Failures uint64 }
	}
	Events   []struct{ Message, Details string }
	Settings []struct{ Name, Value string }
}

func stateOf(t *testing.T, p *binary.Process) (s pageState) {
	t.Helper()
	a := get(t, newClient(t), p.URL("/.lb/state.json"), "Authorization", "Bearer "+watchword)
	if err := json.Unmarshal([]byte(a.Text), &s); err != nil {
		t.Fatal(err, a.Text)
	}

	return s
}

// The page, state.json and the metrics show the same numbers, and these are the
// numbers that clients saw.
func TestPage_NumbersAgreeWithTheMetrics(t *testing.T) {
	t.Parallel()
	faulty := backend.Start(t, "faulty",
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	good := backend.Start(t, "good", nil)
	p := pillion.Start(t, "LB_STATUS_TOKEN="+watchword, "LB_EJECT_ERRORS=0", "LB_EJECT_RATE=0",
		backend.Backends(faulty, good))

	const callers, each = 8, 50
	var all sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	for range callers {
		client := newClient(t)
		all.Go(func() {
			for range each {
				if get(t, client, p.URL("/")).StatusCode == http.StatusInternalServerError {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()

	await.Until(t, "all requests are counted",
		func() bool { return stateOf(t, p).Traffic.Recent.Requests >= callers*each-2 })
	s := stateOf(t, p)
	// A slot that begins while requests meet may lose one or two.
	near := func(what string, got uint64, want int) {
		if int(got) > want || int(got) < want-2 {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	near("requests", s.Traffic.Recent.Requests, callers*each)
	near("failures", s.Traffic.Recent.Failures, failed)
	total := uint64(0)
	for _, b := range s.Backends {
		total += b.Requests
		near(b.Name, b.Recent.Requests, int(b.Requests))
		if b.Name == "faulty" {
			near("failures of faulty", b.Recent.Failures, failed)
		}
	}
	if total != callers*each {
		t.Errorf("%d attempts, want %d", total, callers*each)
	}

	text := metricsText(t, p.URL(""))
	counted := 0
	counts := regexp.MustCompile(`(?m)^http_server_request_duration_seconds_count\{[^}]*\} (\d+)$`)
	for _, m := range counts.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		counted += n
	}
	if counted != callers*each {
		t.Errorf("the metrics have %d requests", counted)
	}

	page := get(t, newClient(t), p.URL("/.lb/"), "Authorization", "Bearer "+watchword)
	for _, want := range []string{fmt.Sprint(s.Traffic.Recent.Requests, " in the last minute"),
		fmt.Sprint(s.Traffic.Recent.Failures, " in the last minute"), "All 2 backends are in use."} {
		if !strings.Contains(page.Text, want) {
			t.Errorf("no %q on the page", want)
		}
	}
}

// A backend that fails behind retries is named: on the access line, in the log,
// and on the page, with the cause.
func TestPage_SaysWhyABackendIsOut(t *testing.T) {
	t.Parallel()
	good := backend.Start(t, "good", nil)
	p := pillion.Start(t, "LB_STATUS_TOKEN="+watchword, "LB_ACCESS_LOG=on", "LB_POLICY=round_robin",
		"LB_BACKENDS=http://127.0.0.1:1?name=dead;"+good.Target())
	client := newClient(t)
	await.Until(t, "the ejection", func() bool {
		get(t, client, p.URL("/"))
		return count(p, saying("backend ejected", "dead")) > 0
	})

	const cause = "connect: connection refused"
	line := p.Line("a retried request", func(l binary.Line) bool { return l.Fields["tried"] != nil })
	if text := fmt.Sprint(line.Fields["tried"]); text != "[map[backend:dead error:"+cause+"]]" ||
		line.String("backend") != "good" {
		t.Errorf("got %v", line.Fields)
	}
	if line := p.Line("the ejection",
		saying("backend ejected", "dead")); line.String("reason") != "5 failures in a row, last: "+cause {
		t.Errorf("got %v", line.Fields)
	}
	if line := p.Line("the first failure", saying("backend failed a request", "dead")); line.String("error") != cause {
		t.Errorf("got %v", line.Fields)
	}

	page := get(t, client, p.URL("/.lb/"), "Authorization", "Bearer "+watchword).Text
	for _, want := range []string{"1 of 2 in use. dead is out.", "5 failures in a row, last: " + cause,
		"<b class=\"wait\">backend ejected</b>", "LB_POLICY=&#39;round_robin&#39;"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page:\n%s", want, page)
		}
	}
}

// The last backend is never ejected, so it stays in use although it fails.
func TestPage_IsRedWhenNothingAnswers(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_STATUS_TOKEN="+watchword, "LB_BACKENDS=http://127.0.0.1:1?name=a;http://127.0.0.1:2?name=b")
	client := newClient(t)
	await.Until(t, "both fail", func() bool {
		get(t, client, p.URL("/"))
		for _, b := range stateOf(t, p).Backends {
			if !b.Failing && b.State == "eligible" {
				return false
			}
		}
		return true
	})

	page := get(t, client, p.URL("/.lb/"), "Authorization", "Bearer "+watchword).Text
	for _, want := range []string{"503: no backend answers.", "<title>0 of 2 in use", `<td class="bad">failing</td>`,
		"connect: connection refused"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page:\n%s", want, page)
		}
	}
}

// The first line on a terminal has the address of the page.
func TestPage_ItsAddressIsInTheFirstLine(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_STATUS_TOKEN="+watchword, "LB_BACKENDS=demo://1")
	link := p.Line("the start", listening).String("status_page")
	if a := get(t, newClient(t), link, "Authorization", "Bearer "+watchword); a.StatusCode != http.StatusOK ||
		!strings.Contains(a.Text, "<h1") {
		t.Errorf("%s: %d", link, a.StatusCode)
	}
	off := pillion.Start(t, "LB_BACKENDS=demo://1")
	if got := off.Line("the start", listening).String("status_page"); got != "off: LB_STATUS_TOKEN is not set" {
		t.Errorf("got %q", got)
	}
}

func TestExplain_OfOneNameAndOfWhatChanged(t *testing.T) {
	t.Parallel()
	env := []string{"LB_BACKENDS=:8081", "LB_RETRIES=3"}
	if r := pillion.Run(t, env, "explain", "LB_RETRIES"); r.Code != 0 ||
		!strings.HasPrefix(r.Stdout, "LB_RETRIES = 3  [environment]") {
		t.Errorf("got %d %s", r.Code, r.Output())
	}
	for setting, code := range map[string]int{"LB_RETRIES=many": 78, "LB_POLICY=wrong": 0} {
		r := pillion.Run(t, []string{setting}, "explain", "LB_RETRIES")
		if r.Code != code || strings.Contains(r.Output(), "LB_POLICY") || strings.Contains(r.Output(), "LB_BACKENDS:") {
			t.Errorf("%s: exit code %d, want %d, and nothing about other settings: %s", setting, r.Code, code, r.Output())
		}
	}
	if r := pillion.Run(t, env, "explain", "--changed"); r.Code != 0 ||
		r.Stdout != "LB_BACKENDS=':8081'\nLB_RETRIES='3'\n" {
		t.Errorf("got %d %s", r.Code, r.Output())
	}
	if r := pillion.Run(t, env, "explain", "LB_RETRYS"); r.Code != 2 ||
		!strings.Contains(r.Stderr, "the nearest is LB_RETRIES") {
		t.Errorf("got %d %s", r.Code, r.Output())
	}
	for _, args := range [][]string{{"check", "--help"}, {"explain", "-h"}, {"healthcheck", "--help"},
		{"wait", "--help"}} {
		if r := pillion.Run(t, env, args...); r.Code != 0 || !strings.HasPrefix(r.Stdout, "  pillion "+args[0]) {
			t.Errorf("%v: got %d %s", args, r.Code, r.Output())
		}
	}
}
