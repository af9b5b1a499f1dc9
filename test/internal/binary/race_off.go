//go:build !race

package binary

// Race says that the test runs under the race detector, and the built program with it.
const Race = false
