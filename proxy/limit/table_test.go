package limit

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/pillion-lb/pillion/config"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// number is the n-th of many addresses.
func number(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24+uint32(n))
	return netip.AddrFrom4(b)
}

func TestTable_AFloodOfAddressesFreesNobodyAndTurnsNobodyAway(t *testing.T) {
	t.Parallel()
	const flood = 1_000_000
	l := limitOf(t, "5/m")
	greedy, calm := ClientKey(addr("192.0.2.1")), ClientKey(addr("192.0.2.2"))
	for range 6 {
		l.Take(greedy, began, new(Wait)) // has used up its burst
	}
	l.Take(calm, began, new(Wait))

	greedyPassed := 0
	for i := range flood {
		now := began.Add(time.Duration(i) * 10 * time.Microsecond) // 10 s in all
		l.Take(ClientKey(number(i)), now, new(Wait))
		if i%1000 == 0 && l.Take(greedy, now, new(Wait)) == 0 {
			greedyPassed++
		}
		if i%250_000 == 0 && l.Take(calm, now, new(Wait)) != 0 {
			t.Errorf("the calm client was refused after %v", now.Sub(began))
		}
	}
	if greedyPassed != 0 {
		t.Errorf("the flood freed the greedy client %d times", greedyPassed)
	}
}

// Clients that come while the table is full of others are served as long as
// these others use little each.
func TestTable_NewClientsAreServedWhileTheTableIsFull(t *testing.T) {
	t.Parallel()
	l := limitOf(t, "50/h")
	for i := range 70_000 {
		l.Take(ClientKey(number(i)), began, new(Wait))
	}
	for i := range 1000 {
		if early := l.Take(ClientKey(number(1_000_000+i)), began.Add(time.Second), new(Wait)); early != 0 {
			t.Fatalf("new client %d is %v too early", i, early)
		}
	}
}

func TestTable_WhoIsCountedInTheSpillIsLimited(t *testing.T) {
	t.Parallel()
	l := limitOf(t, "5/h")
	for i := range 300_000 { // every set is full
		l.Take(ClientKey(number(i)), began, new(Wait))
	}
	passed := 0
	for i := range 100 {
		now := began.Add(time.Duration(i) * time.Second)
		if l.Take(ClientKey(addr("192.0.2.1")), now, new(Wait)) == 0 {
			passed++
		}
	}
	if passed > 5 {
		t.Errorf("%d requests passed", passed)
	}
}

// A client that was counted in the spill gets a place when one is free. What it
// has used goes with it.
func TestTable_ThePlaceThatComesFreeFreesNobody(t *testing.T) {
	t.Parallel()
	tab, r := newTable(65_536), rate{int64(time.Second), int64(10 * time.Second)}
	at := began.UnixNano()
	const set = 7 * shards // all these hashes are of one set
	for i := range uint64(placesOfSet) {
		tab.take(r, set|i<<48, at)
	}
	greedy := uint64(set | 99<<48)
	for range 10 {
		if tab.take(r, greedy, at) != 0 {
			t.Fatal("the burst is refused")
		}
	}

	at += int64(time.Second) + 1 // the others' places are free
	passed := 0
	for range 10 {
		if tab.take(r, greedy, at) == 0 {
			passed++
		}
	}
	if passed != 1 {
		t.Errorf("%d requests passed, want 1: a second has gone by", passed)
	}
}

// What a table takes is what the memory budget was told.
func TestTable_HasTheSizeThatTheBudgetCounts(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(table{}); n > config.LimitTableMemory {
		t.Errorf("%d bytes beside the places", n)
	}
	if n := unsafe.Sizeof(place{}); n != config.LimitPlaceMemory {
		t.Errorf("%d bytes a place", n)
	}
	for _, places := range []int{4096, 65_536} {
		if known, room := newTable(places).known(rate{1, 1}, 1); known != 0 || room != places {
			t.Errorf("a table of %d: %d of %d", places, known, room)
		}
	}
}

// A table of any size does what a large one does.
func TestTable_ASmallOneFreesNobodyEither(t *testing.T) {
	t.Parallel()
	l := limitOf(t, "5/h")
	l.table = newTable(4096)
	greedy := ClientKey(addr("192.0.2.1"))
	for range 5 {
		l.Take(greedy, began, new(Wait))
	}
	for i := range 50_000 {
		now := began.Add(time.Duration(i) * time.Millisecond)
		l.Take(ClientKey(number(i)), now, new(Wait))
		if i%100 == 0 && l.Take(greedy, now, new(Wait)) == 0 {
			t.Fatalf("the flood freed the greedy client after %d", i)
		}
	}
	state := l.State(began.Add(50 * time.Second))
	if state.Known < 4000 || state.Known > 4096 || state.Room != 4096 || state.By != "client" || state.Name != "limit-1" {
		t.Errorf("%+v", state)
	}
}

func TestLimit_ADecisionAllocatesNothing(t *testing.T) {
	l := limitOf(t, "50/s")
	keys := []Key{ClientKey(addr("2001:db8::1")), TextKey(config.ByHeader, "abc"), EveryoneKey()}
	now := began
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		for _, k := range keys {
			l.Take(k, now, new(Wait))
		}
	}); n != 0 {
		t.Errorf("%f allocations", n)
	}
}

func TestKey_AnIPv6NetworkIsOneClient(t *testing.T) {
	t.Parallel()
	l := limitOf(t, "1/h")
	for _, pair := range []struct {
		one, other string
		same       bool
	}{
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		one, other := ClientKey(addr(pair.one)), ClientKey(addr(pair.other))
		if got := one.hash(l.seed) == other.hash(l.seed) && one == other &&
			string(one.append(nil)) == string(other.append(nil)); got != pair.same {
			t.Errorf("%+v: the same %v", pair, got)
		}
	}
}

func TestKey_KindsDoNotMeet(t *testing.T) {
	t.Parallel()
	l, seen := limitOf(t, "1/h"), map[uint64]bool{}
	for _, k := range []Key{
		ClientKey(netip.Addr{}), EveryoneKey(), TextKey(config.ByHost, ""), TextKey(config.ByHeader, ""),
		TextKey(config.ByCookie, ""), TextKey(config.ByClaim, ""), TextKey(config.ByClaim, "a"), ClientKey(addr("::")),
	} {
		if h := k.hash(l.seed); seen[h] {
			t.Errorf("%+v meets another", k)
		} else {
			seen[h] = true
		}
	}
}

func TestInFlight_CountsEachClientByItself(t *testing.T) {
	t.Parallel()
	f := NewInFlight(2)
	a, b := ClientKey(addr("192.0.2.1")), ClientKey(addr("192.0.2.2"))
	want := func(client Key, enters ...bool) {
		t.Helper()
		for i, may := range enters {
			if f.Enter(client) != may {
				t.Fatalf("request %d: may enter %v", i, !may)
			}
		}
	}
	want(a, true, true, false)
	want(b, true)
	f.Leave(a)
	want(a, true, false)
	f.Leave(a)
	f.Leave(a)
	f.Leave(b)
	for i := range f.shards {
		if n := len(f.shards[i].clients); n != 0 {
			t.Errorf("%d clients are left", n)
		}
	}
}
