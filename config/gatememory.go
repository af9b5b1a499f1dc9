package config

import "strings"

const (
	// mostLimitPlaces and leastLimitPlaces bound how many keys the table of a
	// limit has room for. Both are powers of two.
	mostLimitPlaces  = 1 << 16
	leastLimitPlaces = 1 << 12
	// LimitPlaceMemory is the memory of a key in the table of a limit, in
	// bytes. LimitTableMemory is the memory of the table without its keys.
	LimitPlaceMemory = 16
	LimitTableMemory = 144 * kib

	// VerifiedMemory bounds the memory for a provider's verified tokens, in
	// bytes.
	VerifiedMemory = 2 * mib
	// failuresMemory is the memory for the table of clients that sent wrong
	// passwords, in bytes.
	failuresMemory = 2 * mib
)

// limitTables returns the number of tables for all limits. Routes that inherit
// a list of limits share its tables.
func (c *Config) limitTables() (n int) {
	counted := map[string]bool{}
	for i := range c.Routes {
		if r := &c.Routes[i]; !counted[r.RateLimitScope] && len(r.RateLimits) > 0 {
			counted[r.RateLimitScope] = true
			n += len(r.RateLimits)
		}
	}

	return n
}

// limitPlaces returns how many keys each table has room for. All tables
// together take at most an eighth of the memory limit.
func (c *Config) limitPlaces(limit int64) int {
	places, tables := mostLimitPlaces, int64(c.limitTables())
	for limit > 0 && places > leastLimitPlaces && tables*int64(places)*LimitPlaceMemory > limit/8 {
		places /= 2
	}

	return places
}

// gateMemory returns the memory that is reserved for gates, in bytes. It is not
// available to clients and backends.
func (c *Config) gateMemory() int64 {
	table := int64(c.Platform.LimitPlaces)*LimitPlaceMemory + LimitTableMemory
	memory := int64(c.limitTables()) * table
	basic, counted := false, map[string]bool{}
	for i := range c.Routes {
		a := &c.Routes[i].Auth
		basic = basic || a.Basic != nil && a.Basic.Value() != ""
		var list []string
		for j := range a.Providers {
			list = append(list, a.Providers[j].Text)
		}
		if text := strings.Join(list, ";"); !counted[text] {
			counted[text] = true
			memory += int64(len(list)) * VerifiedMemory
		}
	}
	if basic {
		memory += failuresMemory
	}

	return memory
}
