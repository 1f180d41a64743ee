package simulator_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/simulator"
)

func TestFingerPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := simulator.NewFingerPlan(simulator.NewVirtualClock(), simulator.DefaultTouchDelay)
		ask := func() simulator.Sample {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			return plan.Finger(ctx, simulator.FingerRequest{})
		}
		nobody, bad, good := simulator.Sample{Quality: simulator.SampleNoActivity},
			simulator.Sample{Finger: "thumb", Quality: simulator.SampleTooFast}, simulator.Sample{Finger: "index"}
		if got := ask(); got != nobody {
			t.Errorf("nobody's finger: %v", got)
		}
		plan.Set(&good)
		plan.Next(bad)
		start := time.Now()
		if got := ask(); got != bad || time.Since(start) != simulator.DefaultTouchDelay {
			t.Errorf("planned: %v after %v", got, time.Since(start))
		}
		if got := ask(); got != good {
			t.Errorf("usual: %v", got)
		}
		plan.Set(nil)
		late := make(chan simulator.Sample)
		go func() { late <- ask() }()
		time.Sleep(time.Second) // in the bubble
		plan.Next(good)
		if got := <-late; got != good {
			t.Errorf("for a request that waited: %v", got)
		}
	})
}

// TestFingerPlanVerifies: the finger decides whether the user is verified.
func TestFingerPlanVerifies(t *testing.T) {
	plan := simulator.NewFingerPlan(simulator.NewVirtualClock(), 0)
	plan.Set(&simulator.Sample{Finger: simulator.DefaultFinger})
	k := newKey(t, withProfile(withOption("uv", true)), func(c *simulator.Config) { c.Finger = plan.Finger })
	k.ok(makeCredential, with(creation(), true, 7, "uv"))
	plan.Next(simulator.Sample{Finger: "another's"}, simulator.Sample{Finger: "another's"}, simulator.Sample{Finger: "another's"})
	if status, _ := k.send(request(makeCredential, with(creation(), true, 7, "uv"))); status == ok {
		t.Error("another's finger was taken")
	}
}
