package config

import (
	"io/fs"
	"strconv"
	"strings"
)

// limitFiles are the files with a container's memory limit, below /sys, for
// versions 2 and 1 of control groups.
var limitFiles = []string{"fs/cgroup/memory.max", "fs/cgroup/memory/memory.limit_in_bytes"}

// memoryLimit returns the limit for the garbage collector without GOMEMLIMIT:
// the container's limit less a tenth, which is for the kernel, in whole KiB. It
// is 0 without a limit. Version 1 then has a number that no machine can reach.
func memoryLimit(sys fs.FS) int64 {
	for _, name := range limitFiles {
		raw, err := fs.ReadFile(sys, name)
		if err != nil {
			continue
		}

		limit, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
		if err != nil || limit <= 0 || limit > 1<<50 {
			return 0
		}

		return limit / 10 * 9 / kib * kib
	}

	return 0
}

// defaultMemoryLimit returns this limit in the form of GOMEMLIMIT.
func defaultMemoryLimit(e *environment) string {
	if e.memoryLimit == 0 {
		return ""
	}
	return binary(e.memoryLimit)
}

// runtimeLimit returns the number of bytes of a given GOMEMLIMIT; 0 is no
// limit.
func runtimeLimit(given string) int64 {
	shift := uint(0)
	if number, is := strings.CutSuffix(given, "TiB"); is {
		given, shift = number, 40
	} else if number, unit, err := unit(given); err == nil {
		given, shift = number, unit
	}

	n, err := strconv.ParseInt(given, 10, 64)
	if err != nil || n <= 0 || n > 1<<50>>shift {
		return 0
	}

	return n << shift
}

// effectiveLimit returns the smaller one of the container's limit and
// GOMEMLIMIT; 0 is no limit.
func (e *environment) effectiveLimit() int64 {
	given := runtimeLimit(e.given["GOMEMLIMIT"])
	if given == 0 || e.memoryLimit != 0 && e.memoryLimit < given {
		return e.memoryLimit
	}
	return given
}

// ownMemory is the memory of the process itself: its data, the runtime,
// backends, telemetry.
const ownMemory = 10 * mib

// memoryBudget returns the part of a memory limit that clients and backends may
// use. The rest is for the process itself, and for the garbage between two
// collections.
func memoryBudget(limit int64) int64 {
	return max(limit-ownMemory, limit/4) / 2
}

// connectionMemory is the memory that the budget counts for an idle client
// connection. Most of it is that of the kernel and of the goroutine.
const connectionMemory = 12 * kib

// defaultMaxConnections returns the number of idle connections that there is
// memory for, but at most three fifths of the descriptors, because the rest is
// for connections to backends. If requests need memory, idle connections are
// closed long before this number is reached.
func defaultMaxConnections(e *environment) string {
	most := int64(0)
	if limit := e.effectiveLimit(); limit > 0 {
		most = max(1, memoryBudget(limit)/connectionMemory)
	}

	if own := int64(e.descriptors) / 5 * 3; own > 0 && (most == 0 || own < most) {
		most = own
	}

	if most == 0 || most > maxConnections {
		return "none"
	}

	return strconv.FormatInt(most, 10)
}
