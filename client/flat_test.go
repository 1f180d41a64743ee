package client_test

import (
	"context"
	"flag"
	"io"
	"runtime"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport/hid"
)

var exchanges = flag.Int("exchanges", 100_000, "of TestFlat")

// TestFlat has one Key talk to one key for 100,000 exchanges, or for a million with
// -args -exchanges 1000000: memory and goroutines are at the end what they were after
// a tenth of them. All is on the way that a program has: reports, findings, a trace,
// prompts, errors, cancels.
func TestFlat(t *testing.T) {
	exchanges := *exchanges / ctaptest.Sample(t, 10)
	a, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	door := simulator.NewHID(a)
	defer door.Close()
	dev, err := hid.Open(t.Context(), door.Port())
	if err != nil {
		t.Fatal(err)
	}
	person := &person{pin: rightPIN, newPIN: rightPIN}
	w := trace.NewWriter(io.Discard, trace.Header{})
	key := client.New(dev, client.Options{Prompt: person.prompt(), Trace: w, Findings: func(ctap2.Finding) {}})
	defer key.Close()
	if err := key.SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := registration()
	r.Discoverable = false // the key shall not fill up
	over, cancel := context.WithCancel(t.Context())
	cancel()
	one := func(n int) error {
		switch {
		case n%2000 == 0: // 5 exchanges with the PIN
			person.asked, person.touches = nil, nil
			_, err := key.Register(t.Context(), r)
			return err
		case n%100 == 1:
			if _, err := key.PINState(over); err == nil {
				t.Fatal("no error of a context that is over")
			}
			_, err := key.PINState(t.Context())
			return err
		case n%100 == 2:
			if _, err := key.Send(t.Context(), 0x7f, nil); err == nil {
				t.Fatal("there is a command 7f")
			}
		}
		_, err := key.Send(t.Context(), ctap2.CommandGetInfo, nil)
		return err
	}
	var early runtime.MemStats
	goroutines := 0
	for n := range exchanges {
		if n == exchanges/10 {
			goroutines, early = runtime.NumGoroutine(), heap()
		}
		if err := one(n); err != nil {
			t.Fatalf("exchange %d: %v", n, err)
		}
	}
	late, now := heap(), runtime.NumGoroutine()
	t.Logf("after %d exchanges: %d KiB of heap and %d goroutines; after %d: %d KiB and %d",
		exchanges/10, early.HeapInuse>>10, goroutines, exchanges, late.HeapInuse>>10, now)
	if grown := int64(late.HeapAlloc) - int64(early.HeapAlloc); grown > 256<<10 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if now > goroutines+1 {
		t.Errorf("%d goroutines, and %d earlier", now, goroutines)
	}
}

// heap is what is in use once nothing else is.
func heap() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
