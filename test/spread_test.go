package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/chisquare"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// picks is the number of requests of each statistical test.
const picks = 30_000

// unlikely is the p-value below which a statistical test fails.
const unlikely = 1e-6

// spread starts Pillion with one fast backend for each weight. A backend
// answers with its number.
func spread(t *testing.T, weights []float64, env ...string) (address string) {
	t.Helper()
	targets := make([]string, len(weights))
	for i, weight := range weights {
		reply := backend.Answer(http.StatusOK, fmt.Sprint(i))
		b := backend.StartRaw(t, fmt.Sprint("backend-", i), func(c *backend.Conn) {
			for {
				if _, err := c.ReadHead(); err != nil {
					return
				}
				if _, err := io.WriteString(c, reply); err != nil {
					return
				}
			}
		})
		targets[i] = b.Target(fmt.Sprintf("weight=%.0f", weight))
	}

	return pillion.Start(t, append(env, "LB_BACKENDS="+strings.Join(targets, ";"))...).Address
}

// sequence returns the backends that answered n requests, sent one after the
// other on one connection.
func sequence(t *testing.T, address string, n int) []int {
	t.Helper()
	c := wire.Dial(t, address)
	request := wire.Request("GET", "/", "")

	chosen := make([]int, n)
	for i := range chosen {
		c.Send(request)
		response, body := c.Response("GET")
		if response.StatusCode != http.StatusOK || len(body) != 1 {
			t.Fatalf("request %d: %d %q", i, response.StatusCode, body)
		}
		chosen[i] = int(body[0] - '0')
	}

	return chosen
}

// shares counts each backend; pairs counts each pair of neighbours, no pick in
// two of them.
func shares(chosen []int, n int) []int {
	counts := make([]int, n)
	for _, i := range chosen {
		counts[i]++
	}
	return counts
}

func pairs(chosen []int, n int) []int {
	counts := make([]int, n*n)
	for i := 1; i < len(chosen); i += 2 {
		counts[chosen[i-1]*n+chosen[i]]++
	}
	return counts
}

// pairWeights returns the expected frequency of each pair if picks are
// independent.
func pairWeights(weights []float64) []float64 {
	var out []float64
	for _, a := range weights {
		for _, b := range weights {
			out = append(out, a*b)
		}
	}
	return out
}

func TestSpread_PicksAreUniformAndIndependent(t *testing.T) {
	t.Parallel()
	for _, weights := range [][]float64{{1, 1}, {1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {3, 1}} {
		t.Run(strings.Trim(strings.ReplaceAll(fmt.Sprint(weights), " ", ":"), "[]"), func(t *testing.T) {
			t.Parallel()
			chosen := sequence(t, spread(t, weights), picks)
			counts := shares(chosen, len(weights))
			if p := chisquare.P(counts, weights); p < unlikely {
				t.Errorf("shares %v: p = %g", counts, p)
			}

			counts = pairs(chosen, len(weights))
			if p := chisquare.P(counts, pairWeights(weights)); p < unlikely {
				t.Errorf("pairs of consecutive picks %v: p = %g", counts, p)
			}
		})
	}
}

func TestSpread_RoundRobinIsEvenAndNotRandom(t *testing.T) {
	t.Parallel()
	weights := []float64{1, 1, 1}
	chosen := sequence(t, spread(t, weights, "LB_POLICY=round_robin"), 3000)
	counts := shares(chosen, 3)
	for _, n := range counts {
		if n != 1000 {
			t.Errorf("shares %v, want equal ones", counts)
		}
	}

	if p := chisquare.P(pairs(chosen, 3), pairWeights(weights)); p > unlikely {
		t.Errorf("pairs of a round robin pass for random: p = %g", p)
	}
}

func TestSpread_ProcessesStartedTogetherPickDifferently(t *testing.T) {
	t.Parallel()
	servers := backend.StartMany(t, 3)
	sequences := make([]string, 2)
	var both sync.WaitGroup

	for i := range sequences {
		p := pillion.Launch(t, backend.Backends(servers...))
		both.Go(func() {
			line := p.Line("the address", listening)
			client := newClient(t)
			for range 64 {
				sequences[i] += get(t, client, "http://"+line.String("address")+"/").Backend() + " "
			}
		})
	}

	both.Wait()
	if sequences[0] == sequences[1] {
		t.Errorf("both processes picked %s", sequences[0])
	}
}

func TestSpread_PoliciesByLoadPreferTheLessLoaded(t *testing.T) {
	t.Parallel()

	const held = 60
	for policy, margin := range map[string]int{"random2": 10, "least_requests": 0} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			one := heldByOne(t, policy, held)
			if one < held/2-margin || one > held/2+margin {
				t.Errorf("%d of %d unanswered requests went to one of two backends", one, held)
			}
		})
	}
}

// heldByOne sends requests to two backends that answer none of them, and
// returns how many one of the two got.
func heldByOne(t *testing.T, policy string, held int) int {
	t.Helper()

	release := make(chan struct{})
	arrived := new(await.Values[string])
	var servers []*backend.Server

	for _, name := range []string{"one", "two"} {
		servers = append(servers, backend.Start(t, name, func(http.ResponseWriter, *http.Request) {
			arrived.Add(name)
			<-release
		}))
	}

	p := pillion.Start(t, backend.Backends(servers...), "LB_POLICY="+policy)
	client := newClient(t)

	var open sync.WaitGroup

	for i := range held {
		open.Go(func() { get(t, client, p.URL("/")) })
		if !arrived.Wait(await.Limit, nil, func(all []string) bool { return len(all) > i }) {
			t.Errorf("request %d did not arrive", i)
			break
		}
	}

	close(release)
	open.Wait()

	return strings.Count(strings.Join(arrived.All(), " "), "one")
}

func TestSpread_WeightZeroGetsNoNewSession(t *testing.T) {
	t.Parallel()
	servers := backend.StartMany(t, 3)
	p := pillion.Start(t, "LB_BACKENDS="+servers[0].Target()+";"+
		servers[1].Target("weight=0")+";"+servers[2].Target("weight=2"))
	client := newClient(t)
	for range 300 {
		wantStatus(t, get(t, client, p.URL("/")), http.StatusOK)
	}

	if n := servers[1].Hits(); n != 0 {
		t.Errorf("the backend of weight 0 got %d requests", n)
	}
	if servers[0].Hits() == 0 || servers[2].Hits() == 0 {
		t.Errorf("the others got %d and %d requests", servers[0].Hits(), servers[2].Hits())
	}
}

func TestSpread_ListsMayBeWrittenInEveryAcceptedWay(t *testing.T) {
	t.Parallel()
	servers := backend.StartMany(t, 3)
	a, b, c := servers[0].Address, servers[1].Address, servers[2].Address

	port := func(address string) string { return address[strings.LastIndex(address, ":"):] }
	for name, list := range map[string]string{
		"ports":       port(a) + ";" + port(b) + ";" + port(c),
		"no scheme":   a + ";" + b + ";" + c,
		"commas":      "http://" + a + ",http://" + b + ", http://" + c,
		"lines":       a + "\n" + b + "\n" + c + "\n",
		"empty items": ";; " + a + " ;" + b + " ; ; " + c + ";",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, "LB_BACKENDS="+list)
			client := newClient(t)
			seen := map[string]bool{}
			for range 100 {
				seen[get(t, client, p.URL("/")).Backend()] = true
			}

			if len(seen) != 3 || seen[""] {
				t.Errorf("answers from %v, want all three backends", seen)
			}
		})
	}
}

func TestSpread_DemoBackendsNeedNothing(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_BACKENDS=demo://3")
	client := newClient(t)
	bodies := map[string]bool{}
	for range 60 {
		a := get(t, client, p.URL("/"))
		wantStatus(t, a, http.StatusOK)
		bodies[a.Text] = true
	}

	if len(bodies) < 3 {
		t.Errorf("%d different answers from three demo backends", len(bodies))
	}
}
