package simulator_test

import (
	"context"
	"testing"
	"time"

	"github.com/fidokey/fidokey/simulator"
)

func TestReset(t *testing.T) {
	k := newKey(t)
	listed, stored := k.create(creation()), k.create(resident(testRP, "alice"))
	k.setPIN(testPIN)
	k.enterPIN("0000")
	old := k.token(2, permMC, testRP)
	k.prompted()
	k.ok(reset, nil) // RST-001, RST-004
	if k.prompted() != 1 {
		t.Error("RST-001: no touch asked for")
	}
	for _, params := range []m{sign(testRP), sign(testRP, listed.id, stored.id)} {
		k.refuses(noCredentials, getAssertion, params) // RST-006
	}
	info := k.ok(getInfo, nil)
	if info[4].(m)["clientPin"] != false || info[20] != uint64(100) || k.retries() != 8 {
		t.Errorf("RST-007: info %v", info)
	}
	k.setPIN(testPIN)
	k.refuses(pinAuthInvalid, makeCredential, old.authorize(creation())) // RST-008
	k.token(2, permMC, testRP)
	k.refuses(pinAuthInvalid, makeCredential, old.authorize(creation()))
	if made := k.create(creation()); made.count <= stored.count {
		t.Error("counter went back")
	}
}

func TestResetEndsLatchAndSeries(t *testing.T) {
	k, _ := threeUsers(t)
	k.setPIN(testPIN)
	for range 3 {
		k.enterPIN("0000")
	}
	k.ok(getAssertion, sign(testRP))
	k.ok(reset, nil)
	k.refuses(notAllowed, getNextAssertion, nil)
	k.setPIN(testPIN)
	if status := k.enterPIN(testPIN); status != ok {
		t.Errorf("PIN after reset: status %#02x", status)
	}
}

func TestResetRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		pause time.Duration
		touch func(k *key) func(context.Context) simulator.Presence
		want  byte
	}{
		{"at the last moment", 10 * time.Second, nil, ok},
		{"RST-002 after 10 s", 10*time.Second + 1, nil, notAllowed},
		{"RST-003 no touch", 0, func(k *key) func(context.Context) simulator.Presence { return k.nobody }, userActionTimeout},
		{"declined", 0, func(*key) func(context.Context) simulator.Presence { return declined }, operationDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKey(t)
			made := k.create(resident(testRP, "alice"))
			k.clock.Advance(time.Hour)
			k.PowerCycle()
			k.clock.Advance(c.pause)
			if c.touch != nil {
				k.touch = c.touch(k)
			}
			k.prompted()
			k.refuses(c.want, reset, nil)
			if c.want == notAllowed && k.prompted() != 0 {
				t.Error("asked for a touch")
			}
			k.touch = nil
			if c.want != ok {
				k.assert(sign(testRP), made) // data kept
			}
		})
	}
}

func TestSelection(t *testing.T) {
	k := newKey(t)
	if reply := k.ok(selection, nil); reply != nil || k.prompted() != 1 {
		t.Error("RST-017")
	}
	k.create(creation())
	if k.prompted() != 1 {
		t.Error("RST-020: touch of the selection counted")
	}
	k.touch = k.nobody
	k.refuses(userActionTimeout, selection, nil) // RST-018
	k.touch = declined
	k.refuses(operationDenied, selection, nil) // RST-019
}
