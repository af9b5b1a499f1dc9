package backend

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// statuses reports n answers with the given status, all to requests of one
// client.
func statuses(p *Service, name string, status, n int) (last Change) {
	for range n {
		last = report(p, name, p.ResultOf(status), "192.0.2.1", time.Now())
	}
	return last
}

// fromClients reports answers with a status that so many clients get in turn,
// and returns the first change.
func fromClients(p *Service, name string, status, n, clients int) Change {
	for i := range n {
		client := fmt.Sprint("192.0.2.", i%clients)
		if c := report(p, name, p.ResultOf(status), client, time.Now()); c != Unchanged {
			return c
		}
	}
	return Unchanged
}

// fleet is so many names.
func fleet(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("b%02d", i))
	}
	return names
}

func TestEject_StatusesInARow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		setting string
		status  int
		want    Change
	}{
		{"", 500, Unchanged}, {"", 501, Unchanged}, {"", 502, Ejection}, {"", 503, Ejection}, {"", 504, Ejection},
		{"", 505, Unchanged}, {"", 507, Unchanged}, {"", 599, Unchanged},
		{"", 429, Unchanged}, {"", 404, Unchanged}, {"", 200, Unchanged},
		{"LB_EJECT_STATUS=500;501", 500, Ejection}, {"LB_EJECT_STATUS=500;501", 501, Ejection},
		{"LB_EJECT_STATUS=500;501", 503, Unchanged},
		{"LB_EJECT_STATUS=400-599", 404, Ejection}, {"LB_EJECT_STATUS=400-599", 429, Unchanged},
		{"LB_EJECT_STATUS=none", 503, Unchanged},
	} {
		synctest.Test(t, func(t *testing.T) {
			env := []string{"LB_EJECT_RATE=0"}
			if c.setting != "" {
				env = append(env, c.setting)
			}

			p := unused(t, Options{}, []string{"a", "b"}, env...)

			if got := statuses(p, "a", c.status, 4); got != Unchanged {
				t.Errorf("%s %d: four in a row: %q", c.setting, c.status, got)
			}
			if got := statuses(p, "a", c.status, 1); got != c.want {
				t.Errorf("%s %d: five in a row: %q, want %q", c.setting, c.status, got, c.want)
			}
		})
	}
}

// A server error neither makes a row longer nor ends it.
func TestEject_ServerErrorsStandBesideARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"}, "LB_EJECT_RATE=0")
		traffic(p, "a", false, 4)
		statuses(p, "a", 500, 100)
		if traffic(p, "a", false, 1) != Ejection {
			t.Error("500 ended a row of connection errors")
		}
	})
}

func TestEject_ServerErrorsOfFewClientsAreTheirs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		role    string
		clients int
		want    Change
	}{
		{"ingress", 1, Unchanged}, {"ingress", 2, Unchanged}, {"ingress", 3, Ejection}, {"ingress", 50, Ejection},
		{"egress", 1, Ejection},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := unused(t, Options{}, []string{"a", "b", "c"}, "LB_ROLE="+c.role)
			traffic(p, "b", true, 50)
			traffic(p, "c", true, 50)
			if got := fromClients(p, "a", 500, 60, c.clients); got != c.want {
				t.Errorf("role %s, %d clients: %q, want %q", c.role, c.clients, got, c.want)
			}
		})
	}
}

// What one client causes must not hide that an endpoint fails others.
func TestEject_ServerErrorsOfOneClientHideNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b", "c"}, "LB_EJECT_ERRORS=0")
		for _, name := range []string{"a", "b", "c"} {
			statuses(p, name, 500, 1000)
		}

		traffic(p, "b", true, 50)
		traffic(p, "c", true, 50)
		traffic(p, "a", true, 10)
		if statuses(p, "a", 503, 10) != Ejection {
			t.Error("half of what counts failed, among many answers of 500 to one client")
		}
	})
}

// The clients count in the window that the rate is taken of.
func TestEject_ClientsOfAnotherTimeAreNoWitnesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"})
		fromClients(p, "a", 500, 3, 3)
		time.Sleep(windowSeconds * time.Second)
		traffic(p, "b", true, 50)
		if statuses(p, "a", 500, 100) != Unchanged {
			t.Error("ejected by one client, because three had met errors ten seconds ago")
		}
	})
}

func TestEject_AfterABusyMinuteWithinThreeSeconds(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 10, 100, 5000} {
		synctest.Test(t, func(t *testing.T) {
			p := unused(t, Options{}, []string{"a", "b", "c"}, "LB_EJECT_ERRORS=0")
			for range 60 {
				for _, name := range []string{"a", "b", "c"} {
					traffic(p, name, true, before)
				}
				time.Sleep(time.Second)
			}

			began, got := time.Now(), Unchanged
			for got == Unchanged && time.Since(began) < 10*time.Second {
				traffic(p, "b", true, 2)
				traffic(p, "c", true, 2)
				traffic(p, "a", true, 1)
				got = statuses(p, "a", 503, 1)
				time.Sleep(20 * time.Millisecond)
			}

			if took := time.Since(began); got != Ejection || took > 3*time.Second {
				t.Errorf("after %d requests a second: %q after %v", before, got, took)
			}
		})
	}
}

func TestEject_TheLongWindowSeesFewRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"}, "LB_EJECT_ERRORS=0")
		for second := range 4 { // five outcomes a second are never twenty in two seconds
			traffic(p, "b", true, 5)
			traffic(p, "a", true, 2)
			want := Unchanged
			if second == 3 {
				want = Ejection
			}

			if got := statuses(p, "a", 503, 2); got != Unchanged {
				t.Fatalf("in second %d: %q", second, got)
			}
			if got := statuses(p, "a", 503, 1); got != want {
				t.Fatalf("in second %d: %q, want %q", second, got, want)
			}

			time.Sleep(time.Second)
		}
	})
}

func TestEject_StatusesLeaveHalfInUse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		endpoints int
		setting   string
		left      int
	}{
		{1, "", 1}, {2, "", 1}, {3, "", 2}, {4, "", 2}, {5, "", 3}, {10, "", 5},
		{10, "LB_EJECT_MAX=100%", 1}, {10, "LB_EJECT_MAX=70%", 3}, {100, "LB_EJECT_MAX=29%", 71},
		{10, "LB_EJECT_MAX=1%", 9}, {10, "LB_EJECT_MAX=0%", 10},
	} {
		synctest.Test(t, func(t *testing.T) {
			names := fleet(c.endpoints)
			var env []string
			if c.setting != "" {
				env = append(env, c.setting)
			}

			p := unused(t, Options{}, names, env...)

			for _, name := range names {
				statuses(p, name, 503, 50)
			}
			if got := len(eligibleNames(p)); got != c.left {
				t.Errorf("%d endpoints, %s: %d are left, want %d", c.endpoints, c.setting, got, c.left)
			}

			for _, name := range names {
				traffic(p, name, false, 50)
			}
			if got := len(eligibleNames(p)); got != 1 {
				t.Errorf("%d endpoints, %s: when all are dead %d are left", c.endpoints, c.setting, got)
			}
		})
	}
}

// A row that is only in part of broken answers is an ejection by status.
func TestEject_AMixedRowIsLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, fleet(4), "LB_EJECT_RATE=0")
		statuses(p, "b00", 503, 5)
		statuses(p, "b01", 503, 5)

		statuses(p, "b02", 503, 10)
		if got := traffic(p, "b02", false, 4); got != Unchanged {
			t.Error("four connection errors eject beyond LB_EJECT_MAX")
		}

		if got := traffic(p, "b02", false, 1); got != Ejection {
			t.Error("five connection errors don't eject")
		}
	})
}

// Endpoints that are ejected because they don't answer do not count against the
// one endpoint that may be ejected by its statuses.
func TestEject_OneByStatusBesideTheDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, fleet(6))
		for _, name := range fleet(3) {
			traffic(p, name, false, 5)
		}
		if statuses(p, "b03", 503, 5) != Ejection {
			t.Error("not one endpoint may be ejected by status")
		}

		if statuses(p, "b04", 503, 5) != Unchanged {
			t.Error("a second one may, when fewer than half are left")
		}
	})
}

func TestEject_WhoStaysInUseIsSaidOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBook)
		p := unused(t, Options{Logger: log.Logger()}, []string{"a", "b"})
		statuses(p, "a", 503, 5)
		statuses(p, "b", 503, 500)
		if n := log.Count("fails but stays in use"); n != 1 {
			t.Errorf("said %d times", n)
		}

		time.Sleep(11 * time.Second)
		statuses(p, "b", 503, 5)
		if n := log.Count("fails but stays in use"); n != 2 {
			t.Errorf("later said %d times", n)
		}
	})
}

func TestEject_TrialByStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		eject  func(p *Service) Change
		status int
		want   Change
	}{
		{"dead, then 503", func(p *Service) Change { return traffic(p, "a", false, 5) }, 503, Ejection},
		{"dead, then 500", func(p *Service) Change { return traffic(p, "a", false, 5) }, 500, Readmission},
		{"503, then 500", func(p *Service) Change { return statuses(p, "a", 503, 5) }, 500, Readmission},
		{"503, then 404", func(p *Service) Change { return statuses(p, "a", 503, 5) }, 404, Readmission},
		{"503, then 429", func(p *Service) Change { return statuses(p, "a", 503, 5) }, 429, Readmission},
		{"500 for many, then 500", func(p *Service) Change { return fromClients(p, "a", 500, 20, 5) }, 500, Unchanged},
		{"500 for many, then 503", func(p *Service) Change { return fromClients(p, "a", 500, 20, 5) }, 503, Ejection},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := unused(t, Options{}, []string{"a", "b", "c"})
			traffic(p, "b", true, 50)
			if c.eject(p) != Ejection {
				t.Fatal(c.what, "not ejected")
			}

			time.Sleep(time.Until(serviceState(t, p, "a").EjectedUntil))
			if got := statuses(p, "a", c.status, 1); got != c.want {
				t.Errorf("%s: %q, want %q", c.what, got, c.want)
			}
		})
	}
}

// An endpoint that server errors ejected is tried by one request a second, and
// stays out when several clients have met its errors again.
func TestEject_TrialByServerErrorsNeedsSeveralClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b"})
		traffic(p, "b", true, 50)
		if fromClients(p, "a", 500, 20, 5) != Ejection {
			t.Fatal("not ejected")
		}

		time.Sleep(time.Until(serviceState(t, p, "a").EjectedUntil))
		for i := range 3 {
			want := Unchanged
			if i == 2 {
				want = Ejection
			}

			client := fmt.Sprint("198.51.100.", i)
			if got := report(p, "a", ServerError, client, time.Now()); got != want {
				t.Fatalf("trial %d: %q, want %q", i+1, got, want)
			}
			if got := len(eligibleNames(p)); got != 1 {
				t.Fatalf("after trial %d another one is open at once", i+1)
			}

			if want == Unchanged {
				time.Sleep(nearTrial)
			}
		}

		if n := serviceState(t, p, "a").Ejections; n != 2 {
			t.Errorf("%d ejections", n)
		}
	})
}

// A trial that fails by status keeps an endpoint out only within LB_EJECT_MAX.
func TestEject_TrialsByStatusLeaveHalfInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, fleet(4))
		for _, name := range fleet(3) {
			traffic(p, name, false, 5)
		}

		time.Sleep(10 * time.Second)
		for _, name := range fleet(3) {
			statuses(p, name, 503, 1)
		}
		if got := eligibleNames(p); len(got) != 2 {
			t.Errorf("%v are in use, want half of four", got)
		}
	})
}

// While nothing in use is any better, trials come every second, and do not make
// the next ejection longer.
func TestEject_AnOutageOfAllMakesNoEjectionLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := unused(t, Options{}, []string{"a", "b", "c"})
		for range 60 {
			for _, name := range []string{"a", "b", "c"} {
				traffic(p, name, false, 5)
			}
			time.Sleep(time.Second)
		}

		for _, st := range p.States() {
			if left := time.Until(st.EjectedUntil); st.Ejections > 2 || left > 20*time.Second {
				t.Errorf("%s: %d ejections, %v left", st.Name, st.Ejections, left)
			}
		}
	})
}
