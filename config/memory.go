package config

import (
	"io/fs"
	"strconv"
	"strings"
)

// limitFiles hold a container's memory limit, below /sys: in version 2 of control groups and in version 1.
var limitFiles = []string{"fs/cgroup/memory.max", "fs/cgroup/memory/memory.limit_in_bytes"}

// memoryLimit is what the garbage collector should keep to where GOMEMLIMIT does not say it: the container's limit
// without a tenth, which is the kernel's share, in whole KiB. It is 0 where there is no limit, or none that a machine
// could reach, which is how version 1 says so.
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

// defaultMemoryLimit writes it as GOMEMLIMIT is written.
func defaultMemoryLimit(e *environment) string {
	if e.memoryLimit == 0 {
		return ""
	}
	return binary(e.memoryLimit)
}
