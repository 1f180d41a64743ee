package simulator_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
)

// TestCostStaysFlat: what a getAssertion costs, and each step of an
// enumeration, does not grow with the number of credentials of the RP. It counts
// allocations, which follow every copy of a list.
func TestCostStaysFlat(t *testing.T) {
	few, many := costWith(t, 100), costWith(t, 2_000)
	for step, allocations := range few {
		if many[step] > allocations*1.5 {
			t.Errorf("%s: %.0f allocations with 100 credentials, %.0f with 2000", step, allocations, many[step])
		}
	}
}

// costWith returns the allocations of each step on a key with n credentials of
// one RP, and n of others.
func costWith(t *testing.T, n uint) map[string]float64 {
	k := newKey(t, withRoomFor(3*n))
	for i := range n {
		k.ok(makeCredential, resident(testRP, fmt.Sprint("user ", i)))
		k.ok(makeCredential, resident(fmt.Sprint(i, ".example"), "alice"))
	}
	cost := map[string]float64{}
	measure := func(step string, msg []byte) {
		cost[step] = testing.AllocsPerRun(10, func() {
			if status, _ := k.send(msg); status != ok {
				t.Fatalf("%s: status %#02x", step, status)
			}
		})
	}
	measure("getAssertion", request(getAssertion, sign(testRP)))
	measure("getNextAssertion", []byte{getNextAssertion})
	measure("getAssertion of another RP", request(getAssertion, sign("7.example")))
	measure("makeCredential", request(makeCredential, resident(testRP, "user 7")))
	return cost
}

// TestThousandKeys: a thousand keys in one process, each with a door of its own
// and a credential, take at most a mebibyte each.
func TestThousandKeys(t *testing.T) {
	const keys, limit = 1000, 1 << 20 // bytes for each
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ids := map[string]bool{}
	for range keys {
		a, err := simulator.New(simulator.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		dev, err := hid.Open(t.Context(), simulator.NewHID(a).Port())
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		answer, err := dev.Exchange(t.Context(), request(makeCredential, resident(testRP, "alice")))
		if err != nil || answer[0] != ok {
			t.Fatalf("%x, %v", answer, err)
		}
		ids[string(answer)] = true
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := (after.HeapAlloc - before.HeapAlloc) / keys; used > limit {
		t.Errorf("%d bytes for each key, at most %d", used, limit)
	}
	if len(ids) != keys {
		t.Errorf("%d different credentials of %d keys", len(ids), keys)
	}
}

// BenchmarkManyCredentials is what TestCostStaysFlat counts, in time.
func BenchmarkManyCredentials(b *testing.B) {
	for _, n := range []uint{1_000, 100_000} {
		a := crowded(b, n)
		for name, msg := range map[string][]byte{
			"getAssertion":               request(getAssertion, sign(testRP)),
			"getAssertion of another RP": request(getAssertion, sign("7.example")),
		} {
			b.Run(fmt.Sprintf("%s, %d credentials", name, n), func(b *testing.B) {
				for b.Loop() {
					if answer, err := a.Exchange(b.Context(), msg); err != nil || answer[0] != ok {
						b.Fatalf("%x, %v", answer, err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("getNextAssertion, %d credentials", n), func(b *testing.B) {
			left := 0
			for b.Loop() {
				msg := []byte{getNextAssertion}
				if left == 0 {
					msg, left = request(getAssertion, sign(testRP)), int(n/2)
				}
				left--
				if answer, err := a.Exchange(b.Context(), msg); err != nil || answer[0] != ok {
					b.Fatalf("%x, %v", answer, err)
				}
			}
		})
	}
}

// crowded returns a key with n credentials: half of one RP, half of others.
func crowded(b *testing.B, n uint) *simulator.Authenticator {
	profile := simulator.DefaultProfile()
	profile.GetInfo.RemainingDiscoverableCredentials = new(n + 1)
	a, err := simulator.New(simulator.Config{Profile: profile})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { a.Close() })
	start := time.Now()
	for i := range n / 2 {
		for _, msg := range [][]byte{
			request(makeCredential, resident(testRP, fmt.Sprint("user ", i))),
			request(makeCredential, resident(fmt.Sprint(i, ".example"), "alice")),
		} {
			if answer, err := a.Exchange(b.Context(), msg); err != nil || answer[0] != ok {
				b.Fatalf("%x, %v", answer, err)
			}
		}
	}
	b.Logf("%d credentials made in %v", n, time.Since(start))
	return a
}
