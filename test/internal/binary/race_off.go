//go:build !race

package binary

// Race reports whether the test and the built program run under the race
// detector.
const Race = false
