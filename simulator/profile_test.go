package simulator_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// withProfile has a key play the default profile with changes.
func withProfile(edits ...func(p *simulator.Profile)) func(c *simulator.Config) {
	return func(c *simulator.Config) {
		c.Profile = simulator.DefaultProfile()
		for _, edit := range edits {
			edit(c.Profile)
		}
	}
}

// full23 has a key play the profile of that name with changes.
func full23(edits ...func(p *simulator.Profile)) func(c *simulator.Config) {
	return func(c *simulator.Config) {
		c.Profile = simulator.Full23()
		for _, edit := range edits {
			edit(c.Profile)
		}
	}
}

// withoutExtensions takes extensions out of a profile.
func withoutExtensions(names ...string) func(p *simulator.Profile) {
	return func(p *simulator.Profile) {
		p.GetInfo.Extensions = slices.DeleteFunc(slices.Clone(p.GetInfo.Extensions), func(name string) bool {
			return slices.Contains(names, name)
		})
	}
}

// withOption sets an option of a profile.
func withOption(id string, value bool) func(p *simulator.Profile) {
	return func(p *simulator.Profile) {
		p.GetInfo.Options = maps.Clone(p.GetInfo.Options)
		p.GetInfo.Options[id] = value
	}
}

// withoutOptions takes options out of a profile.
func withoutOptions(ids ...string) func(p *simulator.Profile) {
	return func(p *simulator.Profile) {
		p.GetInfo.Options = maps.Clone(p.GetInfo.Options)
		for _, id := range ids {
			delete(p.GetInfo.Options, id)
		}
	}
}

// options asks for the options of getInfo.
func (k *key) options() m {
	k.Helper()
	return k.ok(getInfo, nil)[4].(m)
}

func TestProfileDecidesCommands(t *testing.T) {
	noPIN := withoutOptions("clientPin")
	noUV := withOption("uv", true)
	for _, c := range []struct {
		name    string
		profile []func(*simulator.Profile)
		command byte
		params  any
		want    byte
	}{
		{"CM-001 no credMgmt", []func(*simulator.Profile){withoutOptions("credMgmt")}, credentialManagement, m{1: 1}, invalidCommand},
		{"credMgmt false", []func(*simulator.Profile){withOption("credMgmt", false)}, credentialManagement, m{1: 1}, invalidCommand},
		{"no clientPin, no uv", []func(*simulator.Profile){noPIN}, clientPIN, m{2: 1}, invalidCommand},
		{"no clientPin: PIN retries", []func(*simulator.Profile){noPIN, noUV}, clientPIN, m{2: 1}, invalidSubcommand},
		{"no clientPin: setPIN", []func(*simulator.Profile){noPIN, noUV}, clientPIN, m{2: 3}, invalidSubcommand},
		{"no clientPin: changePIN", []func(*simulator.Profile){noPIN, noUV}, clientPIN, m{2: 4}, invalidSubcommand},
		{"no clientPin: getPinToken", []func(*simulator.Profile){noPIN, noUV}, clientPIN, m{2: 5}, invalidSubcommand},
		{"no clientPin: token by PIN", []func(*simulator.Profile){noPIN, noUV}, clientPIN, m{2: 9}, invalidSubcommand},
		{"no clientPin: UV retries", []func(*simulator.Profile){noPIN, noUV}, clientPIN, m{2: 7}, ok},
		{"no pinUvAuthToken: token by UV", []func(*simulator.Profile){withoutOptions("pinUvAuthToken"), noUV}, clientPIN, m{2: 6}, invalidSubcommand},
		{"no pinUvAuthToken: token by PIN", []func(*simulator.Profile){withoutOptions("pinUvAuthToken")}, clientPIN, m{2: 9}, invalidSubcommand},
		{"2.0: selection", []func(*simulator.Profile){func(p *simulator.Profile) { p.GetInfo.Versions = []string{"FIDO_2_0"} }}, selection, nil, invalidCommand},
	} {
		k := newKey(t, withProfile(c.profile...))
		if status, _ := k.send(request(c.command, c.params)); status != c.want {
			t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
		}
	}
}

// TestNoDiscoverableCredentials: the option rk may not even be mentioned.
func TestNoDiscoverableCredentials(t *testing.T) {
	k := newKey(t, withProfile(withoutOptions("rk", "credMgmt")))
	for _, rk := range []bool{true, false} {
		params := with(creation(), rk, 7, "rk")
		k.refuses(unsupportedOption, makeCredential, params)                       // MC-060
		k.refuses(unsupportedOption, makeCredential, with(params, false, 7, "up")) // before up
	}
	k.refuses(invalidOption, makeCredential, with(with(creation(), true, 7, "rk"), true, 7, "uv")) // after uv
	k.create(creation())
}

// TestMakeCredUVRequired: without makeCredUvNotRqd a key with a PIN wants it for
// every credential.
func TestMakeCredUVRequired(t *testing.T) {
	k := newKey(t, withProfile(withoutOptions("makeCredUvNotRqd")))
	k.create(creation())
	k.setPIN(testPIN)
	k.prompted()
	k.refuses(puatRequired, makeCredential, creation())                      // MC-079
	k.refuses(puatRequired, makeCredential, with(creation(), true, 7, "rk")) // MC-077
	k.refuses(puatRequired, makeCredential, with(creation(), 1, 10))         // 8 before 9
	if k.prompted() != 0 {
		t.Error("asked for a touch")
	}
	if made := k.create(k.token(2, permMC, testRP).authorize(creation())); !made.uv {
		t.Error("UV is not set")
	}
}

// TestNoMcGaPermissions: the PIN is not for makeCredential and getAssertion.
func TestNoMcGaPermissions(t *testing.T) {
	k := newKey(t, withProfile(withOption("noMcGaPermissionsWithClientPin", true)))
	made := k.create(creation())
	k.setPIN(testPIN)
	good := with(with(with(k.agree(2).tokenParams(testPIN), 9, 2), permMC, 9), testRP, 10)
	k.refuses(unauthorizedPermission, clientPIN, good) // PIN-065
	k.refuses(unauthorizedPermission, clientPIN, with(good, permGA, 9))
	k.refuses(operationDenied, makeCredential, with(creation(), true, 7, "rk"))
	k.token(2, permCM, "")
	old := k.oldToken(2)
	k.refuses(pinAuthInvalid, makeCredential, old.authorize(creation()))
	k.refuses(pinAuthInvalid, getAssertion, old.authorizeGA(sign(testRP, made.id)))
}

// TestPermissionsOfProfile: what the key does not have, no token is for.
func TestPermissionsOfProfile(t *testing.T) {
	all := withOption("largeBlobs", true)
	for _, c := range []struct {
		name            string
		profile         func(p *simulator.Profile)
		permission      int
		byPIN, byFinger byte
	}{
		{"cm", all, permCM, ok, ok},
		{"be", all, permBE, ok, ok},
		{"lbw", all, 0x10, ok, ok},
		{"acfg", all, permACFG, ok, ok},
		{"pcmr", all, permPCMR, ok, ok},
		{"no credMgmt", withoutOptions("credMgmt"), permCM, unauthorizedPermission, unauthorizedPermission},
		{"PIN-062 no bioEnroll", withoutOptions("bioEnroll", "uvBioEnroll"), permBE, unauthorizedPermission, 0},
		{"no uvBioEnroll", withoutOptions("uvBioEnroll"), permBE, ok, unauthorizedPermission},
		{"PIN-063 no largeBlobs", withoutOptions("largeBlobs"), 0x10, unauthorizedPermission, unauthorizedPermission},
		{"PIN-064 no authnrCfg", withoutOptions("authnrCfg", "uvAcfg"), permACFG, unauthorizedPermission, unauthorizedPermission},
		{"no uvAcfg", withOption("uvAcfg", false), permACFG, ok, unauthorizedPermission},
		{"no perCredMgmtRO", withoutOptions("perCredMgmtRO"), permPCMR, unauthorizedPermission, unauthorizedPermission},
	} {
		k := manager(t, full23(c.profile))
		params := with(with(k.agree(2).tokenParams(testPIN), 9, 2), c.permission, 9)
		if status, _ := k.send(request(clientPIN, params)); status != c.byPIN {
			t.Errorf("%s by PIN: status %#02x, want %#02x", c.name, status, c.byPIN)
		}
		if _, present := k.options()["bioEnroll"]; !present {
			continue // no finger can be enrolled
		}
		k.enrollFinger(simulator.DefaultFinger)
		status, _ := k.send(request(clientPIN, k.agree(2).tokenByUVParams(c.permission, "")))
		if status != c.byFinger {
			t.Errorf("%s by finger: status %#02x, want %#02x", c.name, status, c.byFinger)
		}
	}
}

// TestWhichKeyNeedsTokens: where there can be no token, an empty pinUvAuthParam
// is a mistake and not a question.
func TestWhichKeyNeedsTokens(t *testing.T) {
	ask := with(creation(), []byte{}, 8)
	for _, missing := range []string{"clientPin", "pinUvAuthToken"} {
		k := newKey(t, withProfile(withoutOptions(missing)))
		k.refuses(pinNotSet, makeCredential, ask)
	}
	k := newKey(t, withProfile(withoutOptions("clientPin", "pinUvAuthToken")))
	k.refuses(missingParameter, makeCredential, ask)
	if k.prompted() != 0 {
		t.Error("asked for a touch")
	}
}

// TestUnknownPermissions is PIN-061: they are dropped, and the others count.
func TestUnknownPermissions(t *testing.T) {
	k := manager(t, full23())
	k.create(k.token(2, permMC|0x80, testRP).authorize(creation()))
	k = manager(t, full23(func(p *simulator.Profile) { p.Disputes.UnknownPermissions = ctap2.ErrUnauthorizedPermission }))
	k.create(k.token(2, permMC, testRP).authorize(creation()))
}

// TestPINTokenOf20: without permissions a token does for everything until the
// power goes, and a touch does not use it up.
func TestPINTokenOf20(t *testing.T) {
	k := newKey(t, withProfile(withoutOptions("pinUvAuthToken")))
	k.setPIN(testPIN)
	old := k.oldToken(1)
	made := k.create(old.authorize(creation()))
	k.create(old.authorize(resident("other.example", "bob")))
	k.clock.Advance(time.Hour)
	k.assert(old.authorizeGA(sign(testRP, made.id)), made)
	k.ok(credentialManagement, old.manage(1, nil))
	k.PowerCycle()
	k.refuses(pinAuthInvalid, makeCredential, old.authorize(creation()))
}

func TestMaxPINLength(t *testing.T) {
	most := uint(8)
	k := newKey(t, withProfile(func(p *simulator.Profile) { p.GetInfo.MaxPINLength = &most }))
	k.refuses(pinPolicyViolation, clientPIN, k.agree(2).setPINParams(padded("12345678\u20ac"))) // PIN-025
	k.setPIN("1234567\u20ac")
	k.refuses(pinPolicyViolation, clientPIN, k.agree(2).changePINParams("1234567\u20ac", "123456789"))
}

func TestPINComplexity(t *testing.T) {
	enforced := true
	for pin, want := range map[string]byte{
		"1111": pinPolicyViolation, "1234": pinPolicyViolation, "dcba": pinPolicyViolation,
		"\u20ac\u20ac\u20ac\u20ac": pinPolicyViolation,
		"1235":                     ok, "1112": ok, "1357": ok,
	} {
		k := newKey(t, withProfile(func(p *simulator.Profile) { p.GetInfo.PINComplexityPolicy = &enforced }))
		if status, _ := k.send(request(clientPIN, k.agree(2).setPINParams(padded(pin)))); status != want {
			t.Errorf("PIN-041: %q: status %#02x, want %#02x", pin, status, want)
		}
	}
}
