package simulator_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/fidokey/fidokey/ctap2"
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

// TestResetTransports: a reset comes over a transport that is for it.
func TestResetTransports(t *testing.T) {
	for _, c := range []struct {
		name    string
		list    []string
		dispute ctap2.Status
		nfc     bool
		want    byte
	}{
		{"not said", nil, 0, true, ok},
		{"listed", []string{"usb", "nfc"}, 0, true, ok},
		{"NFC-029", []string{"usb"}, 0, true, operationDenied},
		{"USB not listed", []string{"nfc"}, 0, false, operationDenied},
		{"seen elsewhere", []string{"usb"}, ctap2.ErrNotAllowed, true, notAllowed},
	} {
		k := newKey(t, full23(func(p *simulator.Profile) {
			p.GetInfo.TransportsForReset = c.list
			p.Disputes.ResetTransport = c.dispute
		}))
		k.setPIN(testPIN)
		k.overNFC = c.nfc
		status, _ := k.send([]byte{reset})
		if status != c.want || (len(k.prompts) == 1) != (c.want == ok) {
			t.Errorf("%s: status %#02x, want %#02x; %d touches", c.name, status, c.want, len(k.prompts))
		}
		if k.options()["clientPin"] != (c.want != ok) {
			t.Errorf("%s: PIN", c.name)
		}
		if k.clock.Advance(11 * time.Second); c.want == operationDenied {
			k.refuses(operationDenied, reset, nil) // before the time limit
		}
	}
}

// TestLongTouchForReset is RST-014, RST-015, CFG-031 and CFG-033.
func TestLongTouchForReset(t *testing.T) {
	k := newKey(t, full23())
	k.ok(reset, nil)
	if k.prompts[0].Long {
		t.Error("a long touch is asked for")
	}
	for range 2 {
		k.ok(config, m{1: 4}) // CFG-031
	}
	if k.ok(getInfo, nil)[0x18] != true {
		t.Error("CFG-031: longTouchForReset is not true")
	}
	k.setPIN(testPIN)
	k.prompted()
	k.refuses(operationDenied, reset, nil) // RST-014
	if !k.prompts[0].Long || k.options()["clientPin"] != true {
		t.Error("RST-014: a long touch is not asked for, or data is lost")
	}
	k.touch = func(context.Context) simulator.Presence { return simulator.PresenceLongTouch }
	k.ok(selection, nil) // it does for any touch
	k.ok(reset, nil)     // RST-015
	if k.ok(getInfo, nil)[0x18] != false {
		t.Error("CFG-033: longTouchForReset after reset")
	}
	on := true
	k = newKey(t, full23(func(p *simulator.Profile) { p.GetInfo.LongTouchForReset = &on }))
	k.refuses(operationDenied, reset, nil)
}

// TestResetFirst is RST-004 on a key that wants reset to come first.
func TestResetFirst(t *testing.T) {
	k := newKey(t, full23(func(p *simulator.Profile) { p.ResetFirst = true }))
	k.ok(getInfo, nil)
	k.ok(reset, nil)
	k.refuses(notAllowed, reset, nil)
	k.PowerCycle()
	k.send([]byte{getNextAssertion})
	k.refuses(notAllowed, reset, nil)
	k.PowerCycle()
	k.ok(reset, nil)
}

func TestResetAnytime(t *testing.T) {
	k := newKey(t, full23(func(p *simulator.Profile) { p.ResetAnytime = true }))
	k.clock.Advance(time.Hour)
	k.ok(reset, nil)
}

// TestResetToFactory is RST-010 and RST-013.
func TestResetToFactory(t *testing.T) {
	k := newKey(t, full23())
	before := k.ok(getInfo, nil)
	k.setPIN(testPIN)
	k.enrollFinger("thumb")
	k.token(2, permPCMR, "")
	k.add(testRP, "alice")
	k.lay(wrongFinger)
	k.refuses(puatRequired, makeCredential, with(creation(), true, uvTrue...))
	acfg := k.token(2, permACFG, "")
	k.ok(config, acfg.configure(1, nil))
	k.ok(config, acfg.configure(2, nil))
	k.ok(config, acfg.configure(4, nil))
	k.ok(config, acfg.configure(3, m{1: 8, 2: []any{testRP}, 3: true, 4: true}))
	k.touch = func(context.Context) simulator.Presence { return simulator.PresenceLongTouch }
	k.ok(reset, nil)
	if after := k.ok(getInfo, nil); !reflect.DeepEqual(after, before) {
		t.Errorf("RST-010:\n got %v\nwant %v", after, before)
	}
	if k.uvRetries() != 5 || k.retries() != 8 || k.TellsPINPolicyTo(testRP) {
		t.Error("RST-010: retries or RP list")
	}
}
