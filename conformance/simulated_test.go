package conformance_test

import (
	"testing"
	"testing/synctest"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/conformance/simulated"
	"github.com/fidokey/fidokey/simulator"
)

// newSimulated returns a new key of a profile and the bench that it is on.
func newSimulated(t *testing.T, own *simulator.Profile) (*conformance.Bench, *simulated.Key) {
	t.Helper()
	bench, key, err := simulated.New(own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { key.Close() })
	return bench, key
}

// inBubble runs a test with virtual time.
func inBubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }
