package simulator_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

func TestSnapshot(t *testing.T) {
	k := newKey(t)
	k.setPIN(testPIN)
	k.add(testRP, "alice")
	snapshot, err := k.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k.enterPIN("0000")
	k.add("other.example", "bob")
	if err := k.Restore(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}
	if n := k.retries(); n != 8 {
		t.Errorf("%d tries", n)
	}
	if reply := k.ok(credentialManagement, k.token(2, permCM, "").manage(1, nil)); reply[1] != uint64(1) {
		t.Errorf("metadata: %v", reply)
	}
	// It is in the storage too.
	k.plugIn(k.storage)
	if reply := k.ok(credentialManagement, k.token(2, permCM, "").manage(1, nil)); reply[1] != uint64(1) {
		t.Errorf("metadata after power-off: %v", reply)
	}
	for _, broken := range [][]byte{nil, {0xa0}, snapshot[:len(snapshot)-1]} {
		if err := k.Restore(t.Context(), broken); err == nil {
			t.Errorf("restored from %d bytes", len(broken))
		}
	}
}

func TestSetProfile(t *testing.T) {
	k := newKey(t)
	c := k.create(resident(testRP, "alice"))
	for _, name := range []string{"ctap-2.0", "no-pin", "default"} {
		p, err := simulator.LoadProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.SetProfile(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if got := string(k.ok(getInfo, nil)[3].([]byte)); got != string(p.GetInfo.AAGUID[:]) || k.Profile() != p {
			t.Errorf("%s: AAGUID %x", name, got)
		}
		k.assert(sign(testRP), c)
	}
	future := simulator.DefaultProfile()
	future.GetInfo.PINUVAuthProtocols = []uint{9}
	if err := k.SetProfile(t.Context(), future); err == nil {
		t.Error("plays a protocol that it does not have")
	}
}

func TestSetProfileWaits(t *testing.T) {
	k := newKey(t)
	began, done := make(chan bool), make(chan bool)
	k.touch = func(ctx context.Context) simulator.Presence { began <- true; <-done; return simulator.PresenceTouched }
	go k.Exchange(t.Context(), []byte{selection})
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.SetProfile(ctx, simulator.DefaultProfile()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(done)
}

func TestResetWindowSwitch(t *testing.T) {
	k := newKey(t)
	k.clock.Advance(time.Hour)
	k.refuses(notAllowed, reset, nil)
	k.SetResetWindow(false)
	k.ok(reset, nil)
	k.SetResetWindow(true)
	k.refuses(notAllowed, reset, nil)
}

func TestCounters(t *testing.T) {
	k := newKey(t)
	k.ok(getInfo, nil)
	k.ok(getInfo, nil)
	k.setPIN(testPIN)
	k.touch = declined
	k.refuses(operationDenied, makeCredential, creation())
	k.send([]byte{0x42})
	k.send(nil)
	k.PowerCycle()
	k.PowerOff()
	k.PowerOn()
	got := k.Counters()
	for name, want := range map[string]uint64{"04": 2, "06.02": 1, "06.03": 1, "01": 1, "42": 1, "empty": 1, "0a": 0} {
		if got.Commands[name] != want {
			t.Errorf("command %s: %d times, want %d", name, got.Commands[name], want)
		}
	}
	if got.Statuses["01 27"] != 1 || got.Statuses["04 00"] != 2 || got.Touches["declined"] != 1 || got.PowerCycles != 2 {
		t.Errorf("%+v", got)
	}
	k.ResetCounters()
	if n := k.Counters(); len(n.Commands) != 0 || n.PowerCycles != 0 {
		t.Errorf("after the reset: %+v", n)
	}
}

// TestPowerOff: nothing answers, and what was going on has ended.
func TestPowerOff(t *testing.T) {
	k := newKey(t)
	k.touch = func(ctx context.Context) simulator.Presence {
		k.PowerOff()
		<-ctx.Done()
		return simulator.PresenceNone
	}
	if answer, err := k.Exchange(t.Context(), []byte{selection}); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("%x, %v", answer, err)
	}
	if _, err := k.Exchange(t.Context(), []byte{getInfo}); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("error %v", err)
	}
	k.PowerOn()
	k.ok(getInfo, nil)
}

// TestLockFollowsTheClock: a lock of ten seconds is over when the key says so.
func TestLockFollowsTheClock(t *testing.T) {
	faulty(t, func(k *key, h *host) {
		h.send(0x84, []byte{10})
		h.answer()
		mine := h.channel
		h.channel = []byte{0xff, 0xff, 0xff, 0xff}
		h.open()
		h.send(0x90, []byte{getInfo})
		if command, _ := h.message(); command != 0xbf || string(mine) == string(h.channel) {
			t.Errorf("locked: %#02x", command)
		}
		k.clock.Advance(10 * time.Second)
		h.exchange([]byte{getInfo})
	})
}
