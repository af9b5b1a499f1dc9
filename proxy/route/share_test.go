package route

import (
	"fmt"
	"math"
	"net/http"
	"testing"
)

const browsers = 100_000

// canaries is which of many browsers a table sends to a route. Their numbers
// are drawn by a table before.
func canaries(t *testing.T, table *Table, numbers []string, route string) map[int]bool {
	t.Helper()
	found := map[int]bool{}
	for n, number := range numbers {
		q := &Request{Method: "GET", Path: "/", Share: number}
		if table.route(q) == route {
			found[n] = true
		}
	}

	return found
}

// drawn gives each browser its number.
func drawn(t *testing.T, table *Table) []string {
	t.Helper()
	numbers := make([]string, browsers)
	for n := range numbers {
		q := &Request{Method: "GET", Path: "/"}
		table.route(q)
		number, fresh := q.Drawn()
		if !fresh {
			t.Fatal("no number was drawn for a browser without one")
		}
		numbers[n] = fmt.Sprintf("%04d", number)
	}

	return numbers
}

func wantShare(t *testing.T, found int, percent float64) {
	t.Helper()
	deviation := 100 * math.Sqrt(percent/100*(1-percent/100)/browsers)
	most := max(0.3, 5*deviation) // chance alone exceeds five in 2 million
	if got := 100 * float64(found) / browsers; math.Abs(got-percent) > most {
		t.Errorf("%.2f%% of the browsers, want %.2f%%", got, percent)
	}
}

func TestShares_AreKeptByBrowsersAndOnlyGrow(t *testing.T) {
	t.Parallel()
	five := compiled(t, ByBrowser, "canary=/*?share=5%", "main=/*")
	numbers := drawn(t, five)
	before := canaries(t, five, numbers, "canary")
	wantShare(t, len(before), 5)

	after := canaries(t, compiled(t, ByBrowser, "canary=/*?share=10%", "main=/*"), numbers, "canary")
	wantShare(t, len(after), 10)
	for n := range before {
		if !after[n] {
			t.Fatalf("browser %d was moved back", n)
		}
	}

	if left := canaries(t, compiled(t, ByBrowser, "canary=/*?share=0%", "main=/*"), numbers, "canary"); len(left) > 0 {
		t.Errorf("%d browsers stay at a share of 0%%", len(left))
	}
	if again := canaries(t, compiled(t, ByBrowser, "canary=/*?share=5%", "main=/*"), numbers,
		"canary"); len(again) != len(before) {
		t.Errorf("another process has %d browsers, not %d", len(again), len(before))
	}
}

func TestShares_OfOneConditionAreOnOneScale(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByBrowser, "a=/*?share=5%", "b=/*?share=20%", "c=/*?share=0.5%", "!d=/*?share=1%", "rest=/*")
	numbers := drawn(t, table)
	for route, percent := range map[string]float64{"a": 5, "b": 20, "c": 0.5, "d": 1, "rest": 73.5} {
		wantShare(t, len(canaries(t, table, numbers, route)), percent)
	}
	whole := compiled(t, ByBrowser, "a=/*?share=40%", "b=/*?share=60%")
	if got := len(canaries(t, whole, numbers, "a")) + len(canaries(t, whole, numbers, "b")); got != browsers {
		t.Errorf("shares of 100%% take %d of %d", got, browsers)
	}
}

func TestShares_ByAFieldOrACookieFollowItsValue(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"header.X-Account", "cookie.account"} {
		way, err := ParseBy(by)
		if err != nil {
			t.Fatal(err)
		}
		table := compiled(t, way, "canary=/*?share=25%", "main=/*")
		count := 0
		for n := range browsers {
			user := fmt.Sprintf("user-%d", n)
			q := &Request{Path: "/", Header: http.Header{"X-Account": {user}, "Cookie": {"a=b; account=" + user}}}
			first := table.route(q)
			q = &Request{Path: "/x", Header: http.Header{"X-Account": {user, "b"}, "Cookie": {"account=" + user}}}
			if table.route(q) != first {
				t.Fatalf("%s: user %d is not kept", by, n)
			}
			if _, fresh := q.Drawn(); fresh {
				t.Fatal("a number was drawn")
			}
			if first == "canary" {
				count++
			}
		}
		wantShare(t, count, 25)
		if got := table.route(ask(t, "x/")); got != "main" {
			t.Errorf("%s: a request without it is in %s", by, got)
		}
	}
	if hashed("user-1") != 5477 {
		t.Errorf("the number of a value has changed to %d: every browser would be moved", hashed("user-1"))
	}
}

func TestShares_ByRequestAreDrawnAnew(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest, "canary=/*?share=50%", "main=/*")
	count := 0
	for range browsers {
		if table.route(&Request{Method: "GET", Path: "/", Share: "0000"}) == "canary" {
			count++
		}
	}
	wantShare(t, count, 50)
}

// What follows "share=" in a cookie that we did not write is no number.
func TestShares_AnOddNumberIsNone(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByBrowser, "canary=/*?share=100%")
	for _, value := range []string{"", "1", "00000", "-001", "12a4", "١٢٣٤", " 123"} {
		q := &Request{Method: "GET", Path: "/", Share: value}
		table.route(q)
		if _, fresh := q.Drawn(); !fresh {
			t.Errorf("%q counts as a number", value)
		}
	}
}

// A number is drawn where a share is met, and only there.
func TestShares_NoNumberWithoutAShare(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByBrowser, "canary=/shop/*?share=5%", "main=/*")
	q := &Request{Method: "GET", Path: "/other"}
	table.route(q)
	if _, fresh := q.Drawn(); fresh {
		t.Error("a number was drawn for a path without shares")
	}
}

func TestParseBy(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"request": true, "cookie": true, "Cookie": true, "cookie.a": true, "header.X-A": true,
		"": false, "header": false, "header.": false, "cookie.": false, "query.a": false, "header.a b": false,
	} {
		if _, err := ParseBy(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
