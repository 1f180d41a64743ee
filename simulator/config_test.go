package simulator_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

// configure runs one subcommand with a token of its own.
func (k *key) configure(sub int, subParams any) {
	k.Helper()
	k.ok(config, k.token(2, permACFG, "").configure(sub, subParams))
}

// refusesToConfigure runs one that must end in a status.
func (k *key) refusesToConfigure(want byte, sub int, subParams any) {
	k.Helper()
	k.refuses(want, config, k.token(2, permACFG, "").configure(sub, subParams))
}

func TestConfigRefuses(t *testing.T) {
	const sub = 3
	good := func(k *key) m { return k.token(2, permACFG, testRP).configure(sub, m{1: 6}) }
	for _, c := range []struct {
		name   string
		change func(m) m
		want   byte
	}{
		{"CFG-002 subCommand missing", drop(1), missingParameter},
		{"subCommand is text", set("x", 1), unexpectedType},
		{"CFG-003 subCommand 0x7F", set(0x7f, 1), invalidSubcommand},
		{"subCommand beyond a byte", set(0x103, 1), invalidSubcommand},
		{"step 2 before 4", func(p m) m { return without(with(p, 0x7f, 1), 4) }, invalidSubcommand},
		{"CFG-004 without pinUvAuthParam", drop(4), puatRequired},
		{"without pinUvAuthParam and protocol", func(p m) m { return without(without(p, 3), 4) }, puatRequired},
		{"CFG-005 without protocol", drop(3), missingParameter},
		{"CFG-006 protocol 99", set(99, 3), invalidParameter},
		{"CFG-007 wrong pinUvAuthParam", set(make([]byte, 32), 4), pinAuthInvalid},
		{"MAC of other params", set(7, 2, 1), pinAuthInvalid},
		{"params is an array", set([]any{}, 2), unexpectedType},
		{"newMinPINLength is text", set("6", 2, 1), unexpectedType},
		{"RP IDs are bytes", set([]any{[]byte("x")}, 2, 2), unexpectedType},
		{"forceChangePin is a number", set(1, 2, 3), unexpectedType},
		{"pinComplexityPolicy is a number", set(1, 2, 4), unexpectedType},
		{"a good one, its RP ID ignored", nil, ok},
	} {
		k := manager(t, full23())
		params := good(k)
		if c.change != nil {
			params = c.change(params)
		}
		if status, _ := k.send(request(config, params)); status != c.want {
			t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
		}
		if n := k.ok(getInfo, nil)[0x0d]; (n == uint64(6)) != (c.want == ok) {
			t.Errorf("%s: minPINLength %v", c.name, n)
		}
	}
	k := manager(t, full23())
	k.refuses(pinAuthInvalid, config, k.token(2, permCM, "").configure(sub, m{1: 6})) // CFG-008
	k.refuses(pinAuthInvalid, config, k.oldToken(2).configure(sub, m{1: 6}))
}

// TestConfigCommands: what the profile does not have is no subcommand.
func TestConfigCommands(t *testing.T) {
	k := newKey(t, full23())
	list := k.ok(getInfo, nil)[0x1f]
	if got := fmt.Sprint(list); got != "[1 2 3 4 255]" {
		t.Errorf("authenticatorConfigCommands %s", got)
	}
	for sub, profile := range map[int]func(p *simulator.Profile){
		1:    withoutOptions("ep"), // CFG-014
		2:    withoutOptions("alwaysUv"),
		3:    withoutOptions("setMinPINLength"),
		4:    func(p *simulator.Profile) { p.GetInfo.LongTouchForReset = nil }, // CFG-031
		0xff: func(p *simulator.Profile) { p.GetInfo.VendorPrototypeConfigCommands = nil },
	} {
		k := newKey(t, full23(profile))
		k.refuses(invalidSubcommand, config, m{1: sub})
		if list := k.ok(getInfo, nil)[0x1f].([]any); len(list) != 4 || slices.Contains(list, any(uint64(sub))) {
			t.Errorf("subcommand %d: authenticatorConfigCommands %v", sub, list)
		}
	}
	k = newKey(t, full23(withoutOptions("authnrCfg")))
	k.refuses(invalidCommand, config, m{1: 3})
	if list, present := k.ok(getInfo, nil)[0x1f]; present {
		t.Errorf("authenticatorConfigCommands %v without authnrCfg", list)
	}
	k = newKey(t, full23(func(p *simulator.Profile) { p.GetInfo.VendorPrototypeConfigCommands = []uint64{} }))
	if list, present := k.ok(getInfo, nil)[0x15]; !present {
		t.Errorf("vendorPrototypeConfigCommands %v, want an empty list", list)
	}
}

func TestToggleAlwaysUV(t *testing.T) {
	t.Run("CFG-009 with a PIN", func(t *testing.T) {
		k := manager(t, full23())
		for _, want := range []bool{true, false} {
			k.configure(2, nil)
			if k.options()["alwaysUv"] != want || k.options()["makeCredUvNotRqd"] == want {
				t.Errorf("options %v", k.options())
			}
		}
		k.configure(2, nil)
		k.PowerCycle()
		if k.options()["alwaysUv"] != true {
			t.Error("CFG-012: alwaysUv is lost")
		}
		k.refuses(puatRequired, makeCredential, creation())
		k.refuses(puatRequired, config, m{1: 2})
	})
	t.Run("CFG-010, CFG-011 without a PIN", func(t *testing.T) {
		k := newKey(t, full23())
		k.ok(config, m{1: 2})
		k.refuses(puatRequired, makeCredential, creation())
		k.refuses(puatRequired, config, m{1: 3, 2: m{1: 6}}) // only this subcommand is free
		k.ok(config, m{1: 2})
		k.create(creation())
	})
	t.Run("fixed", func(t *testing.T) {
		k := newKey(t, full23(func(p *simulator.Profile) { p.AlwaysUVFixed = true }))
		k.ok(config, m{1: 2})
		k.refuses(operationDenied, config, m{1: 2})
		k.ok(reset, nil)
		k.create(creation())
	})
	t.Run("on from the factory", func(t *testing.T) {
		k := newKey(t, full23(withOption("alwaysUv", true)))
		k.ok(config, m{1: 2})
		k.create(creation())
		k.ok(reset, nil)
		if k.options()["alwaysUv"] != true {
			t.Error("alwaysUv is off after a reset")
		}
	})
}

func TestSetMinPINLength(t *testing.T) {
	length := func(k *key) any { return k.ok(getInfo, nil)[0x0d] }
	forced := func(k *key) any { return k.ok(getInfo, nil)[0x0c] }

	k := newKey(t, full23(withoutExtensions("minPinLength", "pinComplexityPolicy")))
	k.ok(config, m{1: 3, 2: m{1: 6}}) // CFG-021
	if length(k) != uint64(6) {
		t.Errorf("CFG-015: minPINLength %v", length(k))
	}
	k.ok(config, m{1: 3})             // nothing is asked for
	k.ok(config, m{1: 3, 2: m{1: 6}}) // CFG-016
	for _, c := range []struct {
		name   string
		params m
		want   byte
	}{
		{"CFG-017 lower", m{1: 5}, pinPolicyViolation},
		{"CFG-018 above the maximum", m{1: 64}, pinPolicyViolation},
		{"CFG-018 far above it", m{1: uint64(1) << 40}, pinPolicyViolation},
		{"CFG-022 forceChangePin without a PIN", m{1: 7, 3: true}, pinNotSet},
		{"CFG-029 lower, and forceChangePin without a PIN", m{1: 5, 3: true}, pinPolicyViolation},
	} {
		k.refuses(c.want, config, m{1: 3, 2: c.params})
		if length(k) != uint64(6) || forced(k) != false {
			t.Errorf("%s: something was applied", c.name)
		}
	}
	plain := newKey(t, full23(func(p *simulator.Profile) { p.GetInfo.Extensions = nil })) // CFG-028
	plain.refuses(invalidParameter, config, m{1: 3, 2: m{1: 7, 2: []any{testRP}}})
	plain.refuses(invalidParameter, config, m{1: 3, 2: m{2: []any{}, 3: true}}) // before PIN_NOT_SET
	if length(plain) != uint64(4) {
		t.Error("CFG-028: something was applied")
	}
	k.refuses(pinPolicyViolation, clientPIN, k.agree(2).setPINParams(padded("12345")))
	k.setPIN("123456")
	if k.enterPIN("123456") != ok || forced(k) != false {
		t.Error("CFG-020: a change is forced")
	}
	p := k.agree(2)
	params := with(with(with(p.tokenParams("123456"), 9, 2), permACFG, 9), testRP, 10)
	acfg := token{2, p.decrypt(k.ok(clientPIN, params)[2].([]byte))}
	for range 2 { // without a forced change the token stays
		k.ok(config, acfg.configure(3, m{1: 6}))
	}
	k.PowerCycle()
	if length(k) != uint64(6) {
		t.Error("STA-013: minPINLength is lost")
	}

	most := uint(7)
	k = newKey(t, full23(func(p *simulator.Profile) { p.GetInfo.MaxPINLength = &most }))
	k.refuses(pinPolicyViolation, config, m{1: 3, 2: m{1: 8}})
}

// TestForcedPINChange is CFG-019, CFG-023, CFG-024, PIN-039 and PIN-066.
func TestForcedPINChange(t *testing.T) {
	for name, force := range map[string]m{"longer PIN": {1: 5}, "forceChangePin": {3: true}} {
		t.Run(name, func(t *testing.T) {
			k := manager(t, full23())
			old := k.token(2, permACFG, "")
			k.ok(config, old.configure(3, force))
			if k.ok(getInfo, nil)[0x0c] != true {
				t.Error("forcePINChange is not true")
			}
			k.refuses(pinAuthInvalid, config, old.configure(3, m{}))
			withPermissions := func() m {
				return with(with(k.agree(2).tokenParams(testPIN), 9, 2), permCM, 9)
			}
			for range 9 { // the PIN is right, so it costs no retry
				k.refuses(pinInvalid, clientPIN, k.agree(2).tokenParams(testPIN))
				k.refuses(pinPolicyViolation, clientPIN, withPermissions())
			}
			if k.retries() != 8 {
				t.Errorf("%d retries", k.retries())
			}
			k.PowerCycle()
			if k.ok(getInfo, nil)[0x0c] != true {
				t.Error("forcePINChange is lost")
			}
			k.refuses(pinPolicyViolation, clientPIN, k.agree(2).changePINParams(testPIN, testPIN)) // PIN-039
			k.ok(clientPIN, k.agree(2).changePINParams(testPIN, "56789"))
			if k.ok(getInfo, nil)[0x0c] != false || k.enterPIN("56789") != ok {
				t.Error("CFG-024: a change is still forced")
			}
			k.ok(clientPIN, k.agree(2).changePINParams("56789", "56789")) // PIN-040
		})
	}
}

// TestForcePINChangeUnlisted: a profile need not list the member.
func TestForcePINChangeUnlisted(t *testing.T) {
	k := manager(t, full23(func(p *simulator.Profile) { p.GetInfo.ForcePINChange = nil }))
	if forced, present := k.ok(getInfo, nil)[0x0c]; present {
		t.Errorf("forcePINChange %v", forced)
	}
	k.configure(3, m{3: true})
	if forced := k.ok(getInfo, nil)[0x0c]; forced != true {
		t.Errorf("forcePINChange %v, want true", forced)
	}
}

func TestMinPINLengthRPIDs(t *testing.T) {
	ids := func(n int) []any {
		list := []any{}
		for i := range n {
			list = append(list, fmt.Sprintf("rp%d.example", i))
		}
		return list
	}
	k := manager(t, full23())
	k.configure(3, m{2: ids(8)})                              // CFG-025
	k.refusesToConfigure(keyStoreFull, 3, m{1: 8, 2: ids(9)}) // CFG-026
	if n := k.ok(getInfo, nil)[0x0d]; n != uint64(4) {
		t.Errorf("CFG-026: minPINLength %v was applied", n)
	}
	k = manager(t, full23(withoutExtensions("minPinLength"), func(p *simulator.Profile) {
		p.GetInfo.MaxRPIDsForSetMinPINLength = nil
	}))
	k.refusesToConfigure(keyStoreFull, 3, m{2: ids(1)})
	k.configure(3, m{2: ids(0)})
}

// TestTellsPINPolicyTo is CFG-027.
func TestTellsPINPolicyTo(t *testing.T) {
	k := manager(t, full23(func(p *simulator.Profile) {
		p.MinPINLengthRPIDs = []string{"factory.example"}
	}))
	want := func(ids ...string) {
		t.Helper()
		for _, id := range []string{"factory.example", "a.example", "b.example"} {
			if got := k.TellsPINPolicyTo(id); got != slices.Contains(ids, id) {
				t.Errorf("%s is told: %v", id, got)
			}
		}
	}
	want("factory.example")
	k.configure(3, m{2: []any{"a.example"}})
	want("factory.example", "a.example")
	k.configure(3, m{2: []any{"b.example"}})
	k.configure(3, m{2: []any{}}) // no change
	k.PowerCycle()
	want("factory.example", "b.example")
	k.ok(reset, nil)
	want("factory.example")
}

func TestPINComplexityPolicy(t *testing.T) {
	policy := func(k *key) any { return k.ok(getInfo, nil)[0x1b] }
	k := manager(t, full23())
	k.configure(3, m{4: true}) // CFG-030
	if policy(k) != true {
		t.Errorf("CFG-030: pinComplexityPolicy %v", policy(k))
	}
	k.configure(3, m{4: false})
	if policy(k) != true {
		t.Error("CFG-030: turned off again")
	}
	k.refuses(pinPolicyViolation, clientPIN, k.agree(2).changePINParams(testPIN, "7777")) // PIN-041
	k.ok(clientPIN, k.agree(2).changePINParams(testPIN, "7172"))
	k.ok(reset, nil)
	if policy(k) != false {
		t.Error("CFG-033: pinComplexityPolicy after reset")
	}

	k = manager(t, full23(func(p *simulator.Profile) { p.GetInfo.PINComplexityPolicy = nil }))
	k.configure(3, m{4: true})
	if policy(k) != nil {
		t.Error("a policy that the key does not have is on")
	}
	k.ok(clientPIN, k.agree(2).changePINParams(testPIN, "7777"))
}

func TestVendorPrototype(t *testing.T) {
	k := manager(t, full23(func(p *simulator.Profile) { p.GetInfo.VendorPrototypeConfigCommands = []uint64{7, 1 << 60} }))
	k.configure(0xff, m{1: 7})
	k.configure(0xff, m{1: uint64(1) << 60, 2: "more"})
	k.refusesToConfigure(invalidSubcommand, 0xff, m{1: 8}) // CFG-032
	k.refusesToConfigure(missingParameter, 0xff, m{2: 7})
	k.refusesToConfigure(missingParameter, 0xff, nil)
	k.refusesToConfigure(unexpectedType, 0xff, m{1: "x"})
}

// TestEnterpriseAttestation is CFG-013, MC-084 to MC-089 and RST-011.
func TestEnterpriseAttestation(t *testing.T) {
	ask := func(value any, rpID string) m { return with(with(creation(), value, 10), rpID, 2, "id") }
	const listed, other = "enterprise.example", testRP
	for _, c := range []struct {
		name    string
		able    simulator.EnterpriseAttestation
		granted []string // value and RP ID
	}{
		{"both", simulator.EnterpriseAttestation{RPIDs: []string{listed}, PlatformManaged: true},
			[]string{"1 " + listed, "2 " + listed, "2 " + other}},
		{"vendor's list only", simulator.EnterpriseAttestation{RPIDs: []string{listed}},
			[]string{"1 " + listed, "2 " + listed}},
		{"platform only", simulator.EnterpriseAttestation{PlatformManaged: true},
			[]string{"2 " + listed, "2 " + other}},
	} {
		k := newKey(t, full23(func(p *simulator.Profile) { p.EnterpriseAttestation = c.able }))
		k.refuses(invalidParameter, makeCredential, ask(1, listed)) // MC-084
		k.refuses(invalidParameter, makeCredential, ask(3, listed)) // 9a before 9b
		for range 2 {
			k.ok(config, m{1: 1, 2: m{1: "ignored"}}) // CFG-013
			if k.options()["ep"] != true {
				t.Error("CFG-013: ep is not true")
			}
		}
		for _, value := range []int{0, 3} {
			k.refuses(invalidOption, makeCredential, ask(value, listed)) // MC-085
		}
		k.refuses(unexpectedType, makeCredential, ask("1", listed)) // MC-086
		for _, rpID := range []string{listed, other} {
			for value := 1; value <= 2; value++ {
				granted := slices.Contains(c.granted, fmt.Sprint(value, " ", rpID))
				reply := k.ok(makeCredential, ask(value, rpID))
				if epAtt, present := reply[4]; present != granted || granted && epAtt != true {
					t.Errorf("%s: value %d, %s: epAtt %v", c.name, value, rpID, epAtt)
				}
				reply = k.ok(makeCredential, with(ask(value, rpID), []any{"none"}, 11))
				if _, present := reply[4]; present {
					t.Errorf("%s: epAtt without attestation", c.name)
				}
			}
		}
		k.ok(reset, nil)
		if k.options()["ep"] != false {
			t.Error("RST-011: ep after reset")
		}
	}
}
