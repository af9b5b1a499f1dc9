package backend

import (
	"testing"
	"testing/synctest"
	"time"
)

// traffic reports outcomes of endpoints, as attempts that begin now do.
func traffic(p *Service, name string, ok bool, n int) (last Change) {
	result := Succeeded
	if !ok {
		result = Broken
	}
	for range n {
		last = report(p, name, result, "192.0.2.1", time.Now())
	}

	return last
}

// report reports one outcome of an attempt that began at the given time and
// ends now.
func report(s *Service, name string, r Result, client string, began time.Time) Change {
	return s.report(s.endpoints[name], &Outcome{Result: r, Client: client, Began: began, Ended: time.Now()})
}

// unused is a proxy whose endpoints are never asked anything.
func unused(t *testing.T, o Options, names []string, env ...string) *Service {
	p := testService(t, o, func(string) upstreamFunc { return nil }, env...)
	p.Update(named(names...))
	return p
}

// eligibleNames are those that a new session may go to now, trials included.
func eligibleNames(p *Service) (names []string) {
	for _, e := range p.current(time.Now()).pick.entries {
		names = append(names, e.ep.Name)
	}
	return names
}

func TestEject_FailuresInARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBook)
		p := unused(t, Options{Logger: log.Logger()}, []string{"a", "b", "c"})
		traffic(p, "a", false, 4)
		traffic(p, "a", true, 1)
		if traffic(p, "a", false, 4) != "" {
			t.Fatal("four in a row and a success between them")
		}

		if traffic(p, "a", false, 1) != Ejection {
			t.Fatal("five in a row")
		}

		st := serviceState(t, p, "a")
		left := time.Until(st.EjectedUntil)
		if st.State != "ejected" || left < 9*time.Second || left > 10*time.Second || st.Failures != 9 || st.Ejections != 1 {
			t.Errorf("%v %+v", left, st)
		}

		if traffic(p, "a", false, 20) != "" || log.Count("backend ejected") != 1 {
			t.Error("an ejection is said once")
		}
		if got := eligibleNames(p); len(got) != 2 {
			t.Error(got)
		}
	})
}

func TestEject_LastOneInUseStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, names := range [][]string{{"a"}, {"a", "b"}, {"a", "b", "c"}} {
			p := unused(t, Options{}, names)
			for _, name := range names {
				traffic(p, name, false, 50)
			}
			if got := eligibleNames(p); len(got) != 1 || got[0] != names[len(names)-1] {
				t.Errorf("of %v %v are in use", names, got)
			}
		}
	})
}

// An endpoint that is unhealthy by its probes, or gets no new sessions, can't
// stand in for the last one.
func TestEject_UnhealthyAndDrainingAreNotLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := testService(t, Options{}, func(string) upstreamFunc { return nil }, "LB_HEALTH_CHECK=tcp")
		set := named("a", "b", "c")
		set[1].Weight = 0
		p.Update(set)
		now := time.Now()
		p.judge(p.endpoints["c"], false, "timeout", now, now)
		traffic(p, "a", false, 50)
		if st := serviceState(t, p, "a"); st.State != "eligible" || st.Ejections != 0 {
			t.Error("the only one of use was ejected")
		}
	})
}

func TestEject_RateNeedsSamplesAndBetterOthers(t *testing.T) {
	t.Parallel()
	half := func(p *Service, name string, n int) (last Change) {
		for range n {
			traffic(p, name, true, 1)
			if h := traffic(p, name, false, 1); h != "" {
				last = h
			}
		}
		return last
	}
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b", "c"})
		traffic(p, "b", true, 50)
		traffic(p, "c", true, 50)
		if half(p, "a", 9) != "" {
			t.Error("ejected by 18 samples")
		}

		if half(p, "a", 1) != Ejection {
			t.Error("not ejected by 20 samples of which half failed")
		}

		all := unused(t, Options{}, []string{"a", "b", "c"})
		for range 40 {
			if half(all, "a", 1)+half(all, "b", 1)+half(all, "c", 1) != "" {
				t.Fatal("all are equally bad, and one was ejected")
			}
		}

		two := unused(t, Options{}, []string{"a", "b"})
		traffic(two, "b", true, 50)
		if half(two, "a", 10) != Ejection {
			t.Error("of two the bad one stays")
		}

		both := unused(t, Options{}, []string{"a", "b", "c"})
		traffic(both, "c", true, 20)
		for range 20 {
			for _, name := range []string{"a", "b"} {
				if serviceState(t, both, name).State == "eligible" {
					half(both, name, 1)
				}
			}
		}

		if a, b := serviceState(t, both, "a").State, serviceState(t, both, "b").State; a != "ejected" || b != "ejected" {
			t.Errorf("two of three fail half of the time, and are %s and %s", a, b)
		}
	})
}

func TestEject_OldSamplesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"}, "LB_EJECT_ERRORS=0")
		traffic(p, "a", false, 19)
		time.Sleep(11 * time.Second)
		if traffic(p, "a", false, 1) != "" {
			t.Error("ejected by samples of eleven seconds ago")
		}
	})
}

func TestEject_Off(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"}, "LB_EJECT_ERRORS=0", "LB_EJECT_RATE=0")
		if traffic(p, "a", false, 100) != "" {
			t.Error("ejected")
		}
	})
}

func TestEject_MaxCountsEndpointsButAllowsOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b", "c"}, "LB_EJECT_MAX=10%")
		statuses(p, "a", 503, 5)
		statuses(p, "b", 503, 5)
		if got := eligibleNames(p); len(got) != 2 {
			t.Errorf("10%% of three leaves %v", got)
		}
	})
}

func TestEject_TimeGrowsToItsCap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"})
		traffic(p, "a", false, 5)
		for n := 1; n <= 40; n++ {
			st := serviceState(t, p, "a")
			want := min(time.Duration(n)*10*time.Second, 300*time.Second)
			if left := time.Until(st.EjectedUntil); st.Ejections != n || left > want || left < want*9/10 {
				t.Fatalf("ejection %d lasts %v", st.Ejections, left)
			}

			time.Sleep(time.Until(st.EjectedUntil))
			if traffic(p, "a", false, 1) != Ejection {
				t.Fatal("a failed trial ends nothing")
			}
		}
	})
}

func TestEject_GoodConductIsRewarded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"})
		again := func() int {
			traffic(p, "a", false, 5)
			time.Sleep(time.Until(serviceState(t, p, "a").EjectedUntil))
			if traffic(p, "a", true, 1) != Readmission {
				t.Fatal("a good trial readmits")
			}

			return serviceState(t, p, "a").Ejections
		}
		if n := again(); n != 1 {
			t.Error(n)
		}

		if n := again(); n != 2 {
			t.Errorf("at once again: %d", n)
		}

		time.Sleep(15 * time.Second)
		if n := again(); n != 2 {
			t.Errorf("after 15 s: %d", n)
		}

		time.Sleep(time.Hour)
		if n := again(); n != 1 {
			t.Errorf("after an hour: %d", n)
		}
	})
}

func TestEject_TrialIsOneRequestAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"})
		traffic(p, "a", false, 5)
		if got := eligibleNames(p); len(got) != 1 {
			t.Fatal(got)
		}

		time.Sleep(time.Until(serviceState(t, p, "a").EjectedUntil))
		s := p
		snap, trials := s.current(time.Now()), 0
		for range 1000 {
			if e := snap.pick.choose(nil); e.ep.Name == "a" {
				trials++
			}
		}

		if trials != 1 {
			t.Fatalf("%d requests are the trial", trials)
		}
		if snap.pick.choose([]*Endpoint{s.endpoints["b"]}) != nil {
			t.Error("a retry went to an endpoint on trial")
		}

		s.endTrial(s.endpoints["a"], true)
		if e := snap.pick.choose([]*Endpoint{s.endpoints["b"]}); e == nil || e.ep.Name != "a" {
			t.Error("the next trial is refused")
		}
	})
}

// What began before an ejection, or before a readmission, tells of another
// time.
func TestEject_OutcomesOfAnotherTimeCountForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"})
		before := time.Now()
		time.Sleep(time.Second)
		traffic(p, "a", false, 5)
		time.Sleep(time.Second)
		if report(p, "a", Succeeded, "", before) != "" {
			t.Error("readmitted by an answer to a request from before the ejection")
		}

		during := time.Now()
		time.Sleep(time.Second)
		if traffic(p, "a", true, 1) != Readmission {
			t.Error("not readmitted by an answer to a request that had nowhere else to go")
		}

		time.Sleep(time.Second)
		traffic(p, "a", true, 1)
		for range 20 {
			if report(p, "a", Broken, "", during) != "" {
				t.Fatal("ejected by requests from before the readmission")
			}
		}
	})
}

// A request may be sent to an endpoint while the failure that ejects it is
// being judged: its answer is no trial's.
func TestEject_WhoWasSentBeforeItWasKnownReadmitsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"})
		s := p
		traffic(p, "a", false, 4)
		failed := time.Now()
		time.Sleep(time.Millisecond)
		meanwhile := time.Now()
		time.Sleep(time.Millisecond)
		if s.report(s.endpoints["a"], &Outcome{Result: Broken, Began: failed, Ended: failed}) != Ejection {
			t.Fatal("not ejected")
		}

		if report(p, "a", Succeeded, "", meanwhile) != "" {
			t.Error("readmitted by an answer to a request that was sent before the ejection was known")
		}
	})
}

func TestEject_AllBadGetTheirTrialsSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b", "c"}, "LB_EJECT_TIME=300s")
		for _, name := range []string{"a", "b", "c"} {
			traffic(p, name, false, 5)
		}

		time.Sleep(time.Second)
		if got := eligibleNames(p); len(got) != 3 {
			t.Fatalf("after a second only %v may be tried", got)
		}
		if traffic(p, "a", true, 1) != Readmission {
			t.Error("the first good answer ends the outage")
		}

		if got := traffic(p, "c", false, 1); got != Ejection {
			t.Errorf("the last one can go now that another is back: %q", got)
		}
	})
}

func TestEject_VanishedAndReplacedAreNoConcern(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"})
		old := p.endpoints["a"]
		p.Update(named("b", "c"))
		for range 10 {
			if p.report(old, &Outcome{Result: Broken, Began: time.Now(), Ended: time.Now()}) != "" {
				t.Fatal("a vanished endpoint was ejected")
			}
		}

		traffic(p, "b", false, 5)
		p.Update(named("b", "c", "d"))
		if serviceState(t, p, "b").State != "ejected" {
			t.Error("an ejection was lost by a publication")
		}

		moved := named("b", "c")
		moved[0].Address = "127.0.0.1:2"
		p.Update(moved)
		if serviceState(t, p, "b").State != "eligible" {
			t.Error("another server inherited an ejection")
		}
	})
}

func TestPanic_AllAreUsedAndItIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBook)
		p := unused(t, Options{Logger: log.Logger()}, []string{"a", "b"}, "LB_HEALTH_CHECK=tcp")
		judge := func(name string, ok bool) {
			now := time.Now()
			p.judge(p.endpoints[name], ok, "timeout", now, now)
		}
		judge("a", false)
		if p.current(time.Now()).panic {
			t.Error("one of two is enough")
		}

		judge("b", false)
		if !p.current(time.Now()).panic || len(eligibleNames(p)) != 2 {
			t.Error("none is eligible, so all are used")
		}
		if st := serviceState(t, p, "a"); st.State != "unhealthy" ||
			st.Reason != "probe: timeout; used all the same, too few backends are left" {
			t.Errorf("%+v", st)
		}

		judge("b", true)
		judge("b", true)
		if p.current(time.Now()).panic || len(eligibleNames(p)) != 1 {
			t.Error("one is back")
		}

		if log.Count("using all of them") != 1 || log.Count("usable again") != 1 {
			t.Error("a panic is said once, and its end once")
		}
	})
}

func TestPanic_Threshold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b", "c", "d"}, "LB_HEALTH_CHECK=tcp", "LB_PANIC_THRESHOLD=50%")
		for i, name := range []string{"a", "b"} {
			now := time.Now()
			p.judge(p.endpoints[name], false, "timeout", now, now)
			if got := p.current(now).panic; got != (i == 1) {
				t.Errorf("with %d of 4 unhealthy panic is %v", i+1, got)
			}
		}
	})
}

func TestSlowStart_RampsUpWhatIsNewOrReadmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"}, "LB_SLOW_START=100s")
		weight := func(name string) float64 {
			snap := p.current(time.Now())
			return float64(snap.find(name).weight) / float64(snap.find("b").weight)
		}
		if w := weight("a"); w != 1 {
			t.Errorf("those of the first publication are simply there: %v", w)
		}

		p.Update(named("a", "b", "c"))
		for _, at := range []struct {
			after time.Duration
			low   float64
		}{{0, 0.1}, {25 * time.Second, 0.2}, {25 * time.Second, 0.5}, {51 * time.Second, 1}} {
			time.Sleep(at.after)
			if w := weight("c"); w < at.low || w > at.low+0.1 {
				t.Errorf("after %v more: %v", at.after, w)
			}
		}

		traffic(p, "a", false, 5)
		time.Sleep(time.Until(serviceState(t, p, "a").EjectedUntil))
		traffic(p, "a", true, 1)
		if w := weight("a"); w > 0.15 {
			t.Errorf("readmitted with %v", w)
		}
	})
}

func TestSlowStart_OffKeepsTheFastPath(t *testing.T) {
	t.Parallel()
	p := unused(t, Options{}, []string{"a", "b", "c"})
	p.Update(named("a", "b", "c", "d"))
	if pick := p.current(time.Now()).pick; pick.bounds != nil {
		t.Error("equal weights are drawn by weight")
	}
}

func TestPriority_SparesServeOnlyWhenNobodyElseCan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := testService(t, Options{}, func(string) upstreamFunc { return nil }, "LB_HEALTH_CHECK=tcp")
		set := named("a", "b", "spare")
		set[2].Priority = 1
		p.Update(set)
		if got := eligibleNames(p); len(got) != 2 || !p.current(time.Now()).find("spare").spare {
			t.Error(got)
		}

		for _, name := range []string{"a", "b"} {
			now := time.Now()
			p.judge(p.endpoints[name], false, "timeout", now, now)
		}

		if got := eligibleNames(p); len(got) != 1 || got[0] != "spare" || p.current(time.Now()).find("spare").spare {
			t.Error(got)
		}
	})
}
