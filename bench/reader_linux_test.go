//go:build cgo && pcsc

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/internal/pcsctest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/nfc"
)

// TestReader has a simulated card on a virtual reader of PC/SC: the key is found there,
// loses its power, and runs a case over it.
func TestReader(t *testing.T) {
	if why := pcsctest.Missing(); why != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	service, err := pcsctest.Start("bench one")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Close() })
	t.Setenv("PCSCLITE_CSOCK_NAME", service.Socket)
	profile, err := simulator.LoadProfile("nfc-card")
	if err != nil {
		t.Fatal(err)
	}
	clock := simulator.NewVirtualClock()
	plan := simulator.NewTouchPlan(clock, simulator.Touch{Action: simulator.TouchKey})
	key, err := simulator.New(simulator.Config{Clock: clock, Presence: plan.Presence, Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- simulator.ServeVPCD(ctx, key, simulator.DoorConfig{Address: fmt.Sprintf("127.0.0.1:%d", service.Readers[0].Port)})
	}()
	t.Cleanup(func() { cancel(); <-ended; key.Close() })
	if _, err := nfc.WaitForCard(t.Context(), service.Readers[0].Name); err != nil {
		t.Fatal(err)
	}

	aaguid := profile.GetInfo.AAGUID
	b := newBench(t, Options{},
		fmt.Sprintf("  card:\n    match: {device: reader, aaguid: %v}\n    reader: {name: BENCH ONE}\n", aaguid),
		"  still:\n    match: {device: reader}\n    reader: {name: bench one, field: {driver: none}}\n",
		"  nowhere:\n    match: {device: reader}\n    reader: {name: another}\n")
	p := place(t, b, "card")
	found, err := p.Find(t.Context())
	if err != nil || found.Info.AAGUID != aaguid {
		t.Fatalf("%+v, %v", found, err)
	}
	before := key.Counters().PowerCycles
	if _, err := p.PowerCycle(t.Context()); err != nil {
		t.Error(err)
	}
	if n := key.Counters().PowerCycles - before; n == 0 {
		t.Error("its power was not cut")
	}
	run, err := p.Run(t.Context(), judge(t, p), cases("NFC-002", "INF-001"))
	if err != nil {
		t.Fatal(err)
	}
	for id, o := range outcomes(run) {
		if o != conformance.Pass {
			t.Errorf("%s: %v: %v", id, o, run.Results)
		}
	}
	if _, err := place(t, b, "still").PowerCycle(t.Context()); !errors.Is(err, ErrNoDriver) {
		t.Errorf("a field that nobody switches: %v", err)
	}
	if _, err := place(t, b, "nowhere").Find(t.Context()); !errors.Is(err, nfc.ErrNoReader) {
		t.Error(err)
	}
}
