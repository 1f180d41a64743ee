//go:build race

package conformance_test

// race is whether the race detector watches.
const race = true
