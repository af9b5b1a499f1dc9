package config

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// What gates may fill is taken from what clients and backends may, and in a
// small container there is less of it.
func TestGateMemory_IsTakenFromTheBudget(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range mostRateLimits {
		many = append(many, fmt.Sprintf("5/m?name=l%d", i))
	}
	routes := []string{"LB_ROUTE__A=/a", "LB_SERVICE__A=default", "LB_ROUTE__B=/b", "LB_SERVICE__B=default"}
	const table = mostLimitPlaces*LimitPlaceMemory + LimitTableMemory
	for _, c := range []struct {
		env    []string
		limit  string
		places int
		less   int64
	}{
		{nil, "1073741824", 65_536, 0},
		{[]string{"LB_RATE_LIMIT=5/m"}, "1073741824", 65_536, table},
		{[]string{"LB_RATE_LIMIT=5/m;50/h"}, "1073741824", 65_536, 2 * table},
		{append([]string{"LB_RATE_LIMIT=5/m"}, routes...), "1073741824", 65_536, table}, // they inherit it
		{append([]string{"LB_RATE_LIMIT=5/m", "LB_RATE_LIMIT__A=6/m"}, routes...), "1073741824", 65_536, 2 * table},
		{[]string{"LB_RATE_LIMIT=" + strings.Join(many, ";")}, "67108864", 16_384,
			16 * (16_384*LimitPlaceMemory + LimitTableMemory)},
		{[]string{"LB_RATE_LIMIT=" + strings.Join(many, ";")}, "16777216", 4096,
			16 * (4096*LimitPlaceMemory + LimitTableMemory)},
		{[]string{"LB_RATE_LIMIT=" + strings.Join(many, ";")}, "max", 65_536, 0},
		{[]string{"LB_BASIC_AUTH=ann:long enough"}, "1073741824", 65_536, failuresMemory},
		{append([]string{"LB_AUTH=google?audience=a;https://i.example?audience=b"}, routes...), "1073741824", 65_536,
			2 * VerifiedMemory},
		{append([]string{"LB_AUTH=google?audience=a", "LB_AUTH__B=google?audience=b"}, routes...), "1073741824", 65_536,
			2 * VerifiedMemory},
	} {
		sys := fstest.MapFS{limitFiles[0]: {Data: []byte(c.limit)}}
		plain, _ := load([]string{"LB_BACKENDS=:9"}, sys, 0)
		cfg, problems := load(append([]string{"LB_BACKENDS=:9"}, c.env...), sys, 0)
		if len(problems) > 0 || cfg.Platform.LimitPlaces != c.places {
			t.Errorf("%q in %s: %d places, %v", c.env, c.limit, cfg.Platform.LimitPlaces, problems)
		}
		given := memoryBudget(memoryLimit(sys) - c.less)
		if c.limit != "max" && cfg.Platform.MemoryBudget != given || c.less == 0 &&
			cfg.Platform.MemoryBudget != plain.Platform.MemoryBudget {
			t.Errorf("%q in %s: a budget of %d, want %d", c.env, c.limit, cfg.Platform.MemoryBudget, given)
		}
	}
}
