package conformance_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/conformance/simulated"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
)

// In a test of one's own, a key that is plugged in and that may be reset.
func ExampleTestDevice() {
	var t *testing.T // of func TestMyKey(t *testing.T)
	conformance.TestDevice(t, &conformance.Bench{
		Port:       func() (hid.Port, error) { return hid.OpenPath("", "/dev/hidraw3") },
		PowerCycle: func(ctx context.Context) error { return fmt.Errorf("switch the port of the hub off and on") },
		Release:    true,
	})
}

func ExampleRun() {
	bench, key, err := simulated.New(simulator.DefaultProfile())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer key.Close()
	filter := conformance.Filter{IDs: []string{"INF-00[1-3]"}}
	match, err := filter.Match()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range conformance.Run(context.Background(), bench, conformance.Selection{Match: match}) {
		fmt.Println(r.ID(), r.Outcome)
	}
	// Output:
	// INF-001 pass
	// INF-002 pass
	// INF-003 pass
}
