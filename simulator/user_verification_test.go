package simulator_test

import (
	"context"
	"testing"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// lay puts fingers on the sensor one after the other; the last one stays.
func (k *key) lay(samples ...simulator.Sample) {
	k.finger = func(context.Context) simulator.Sample {
		s := samples[0]
		if len(samples) > 1 {
			samples = samples[1:]
		}
		return s
	}
}

var (
	rightFinger = simulator.Sample{Finger: simulator.DefaultFinger}
	wrongFinger = simulator.Sample{Finger: "wrong"}
	noFinger    = simulator.Sample{Quality: simulator.SampleNoActivity}
	badSample   = simulator.Sample{Finger: simulator.DefaultFinger, Quality: simulator.SampleTooFast}
)

// builtIn is the profile of a key that recognizes a finger from the factory on.
func builtIn(p *simulator.Profile) { withOption("uv", true)(p) }

func (k *key) uvRetries() uint64 {
	k.Helper()
	return k.ok(clientPIN, m{2: 7})[5].(uint64)
}

// tokenByUV gets a token with permissions by a finger.
func (k *key) tokenByUV(protocol, permissions int, rpID string) token {
	k.Helper()
	p := k.agree(protocol)
	return token{protocol, p.decrypt(k.ok(clientPIN, p.tokenByUVParams(permissions, rpID))[2].([]byte))}
}

func (p *platform) tokenByUVParams(permissions int, rpID string) m {
	params := m{1: p.protocol, 2: 6, 3: p.cose, 9: permissions}
	if rpID != "" {
		params[10] = rpID
	}
	return params
}

var uvTrue = []any{7, "uv"}

// TestBuiltInUV is MC-065 and GA-034: a finger verifies and is presence too.
func TestBuiltInUV(t *testing.T) {
	k := newKey(t, withProfile(builtIn))
	made := k.create(with(resident(testRP, "alice"), true, uvTrue...))
	if !made.uv || !made.up {
		t.Error("MC-065: UV or UP is clear")
	}
	got, _ := k.assert(with(sign(testRP, made.id), true, 5, "uv"), made)
	if !got.uv || !got.up {
		t.Error("GA-034: UV or UP is clear")
	}
	if len(k.prompts) != 0 || len(k.fingers) != 2 {
		t.Errorf("%d touches, %d fingers asked for, want 0 and 2", len(k.prompts), len(k.fingers))
	}
	if want := (simulator.FingerRequest{Command: makeCredential, RPID: testRP}); k.fingers[0] != want {
		t.Errorf("asked for %+v", k.fingers[0])
	}
	k.refuses(credentialExcluded, makeCredential, with(with(creation(), true, uvTrue...), descriptors(made.id), 5))
	if len(k.prompts) != 0 {
		t.Error("asked for a touch after a finger")
	}
	silent := with(with(sign(testRP, made.id), true, 5, "uv"), false, 5, "up")
	if got, _ := k.assert(silent, made); !got.uv || got.up {
		t.Error("up false with uv true: flags")
	}
	k.refuses(operationDenied, makeCredential, with(creation(), true, 7, "rk")) // protected, and the option is not given
}

// TestBuiltInUVFails has what a finger that is not recognized ends in.
func TestBuiltInUVFails(t *testing.T) {
	mc, ga := with(creation(), true, uvTrue...), with(sign(testRP), true, 5, "uv")
	for _, c := range []struct {
		name  string
		pin   bool
		noPIN bool // the key cannot have one for mc and ga
		used  int  // commands that fail before
		lay   simulator.Sample
		want  byte
		left  uint64
	}{
		{"wrong finger", false, false, 0, wrongFinger, operationDenied, 2},
		{"bad samples", false, false, 0, badSample, operationDenied, 2},
		{"11'c blocked", false, false, 1, wrongFinger, pinBlocked, 0},
		{"blocked, right finger", false, false, 2, rightFinger, pinBlocked, 0},
		{"11'b with a PIN", true, false, 0, wrongFinger, puatRequired, 2},
		{"11'b before 11'c", true, false, 1, wrongFinger, puatRequired, 0},
		{"PIN not for mc and ga", true, true, 0, wrongFinger, operationDenied, 2},
		{"PIN not for mc and ga, blocked", true, true, 1, wrongFinger, pinBlocked, 0},
		{"11'a no finger", true, false, 0, noFinger, userActionTimeout, 5},
	} {
		for command, params := range map[byte]m{makeCredential: mc, getAssertion: ga} {
			k := newKey(t, withProfile(builtIn, withOption("noMcGaPermissionsWithClientPin", c.noPIN)))
			if c.pin {
				k.setPIN(testPIN)
			}
			k.lay(wrongFinger)
			for range c.used {
				k.send(request(command, params))
			}
			k.lay(c.lay)
			if status, _ := k.send(request(command, params)); status != c.want {
				t.Errorf("%s, command %d: status %#02x, want %#02x", c.name, command, status, c.want)
			}
			if left := k.uvRetries(); left != c.left {
				t.Errorf("%s, command %d: %d retries left, want %d", c.name, command, left, c.left)
			}
		}
	}
}

func TestUVRetries(t *testing.T) {
	k := newKey(t, withProfile(builtIn, func(p *simulator.Profile) { p.UVRetries, p.UVAttempts = 7, 2 }))
	if n := k.uvRetries(); n != 7 {
		t.Errorf("PIN-007: %d retries", n)
	}
	k.lay(wrongFinger)
	k.refuses(operationDenied, getAssertion, with(sign(testRP), true, 5, "uv"))
	if n := k.uvRetries(); n != 5 || len(k.fingers) != 2 {
		t.Errorf("%d retries after %d fingers", n, len(k.fingers))
	}
	k.PowerCycle()
	if n := k.uvRetries(); n != 5 {
		t.Errorf("%d retries after a power cycle", n)
	}
	k.lay(wrongFinger, rightFinger)
	k.create(with(creation(), true, uvTrue...))
	if n := k.uvRetries(); n != 7 {
		t.Errorf("%d retries after a success", n)
	}
	k.lay(wrongFinger)
	k.refuses(operationDenied, getAssertion, with(sign(testRP), true, 5, "uv"))
	k.setPIN(testPIN)
	k.refuses(puatRequired, getAssertion, with(sign(testRP), true, 5, "uv"))
	k.enterPIN(testPIN)
	if n := k.uvRetries(); n != 7 {
		t.Errorf("%d retries after a PIN", n)
	}
}

func TestFingerTimeLimitAndCancel(t *testing.T) {
	k := newKey(t, withProfile(builtIn))
	k.finger = func(ctx context.Context) simulator.Sample {
		k.nobody(ctx)
		return rightFinger // too late
	}
	k.refuses(userActionTimeout, makeCredential, with(creation(), true, uvTrue...))
	ctx, cancel := context.WithCancel(t.Context())
	k.finger = func(context.Context) simulator.Sample { cancel(); return rightFinger }
	answer := k.ExchangeFrom(ctx, 0, request(getAssertion, with(sign(testRP), true, 5, "uv")))
	if len(answer) != 1 || answer[0] != keepaliveCancel {
		t.Errorf("answer %x, want KEEPALIVE_CANCEL", answer)
	}
}

// TestTokenUsingUV is PIN-072, PIN-073 and PIN-075.
func TestTokenUsingUV(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		k := newKey(t, withProfile(builtIn))
		made := k.create(k.tokenByUV(protocol, permMC, testRP).authorize(creation()))
		if !made.uv || len(k.prompts) != 0 { // PIN-072: the finger stands for a touch
			t.Errorf("UV %v, %d touches", made.uv, len(k.prompts))
		}
		if want := (simulator.FingerRequest{Command: clientPIN, RPID: testRP}); k.fingers[0] != want {
			t.Errorf("asked for %+v", k.fingers[0])
		}
		late := k.tokenByUV(protocol, permGA, testRP)
		quiet := late.authorizeGA(with(sign(testRP, made.id), false, 5, "up"))
		k.assert(quiet, made)
		k.clock.Advance(30 * time.Second)
		k.assert(late.authorizeGA(sign(testRP, made.id)), made)
		if len(k.prompts) != 1 {
			t.Error("presence of a token lasts longer than 30 s")
		}
		k.ok(credentialManagement, k.tokenByUV(protocol, permCM, "").manage(1, nil))

		good := k.agree(protocol).tokenByUVParams(permMC, testRP)
		k.fingers = nil
		for _, c := range []struct {
			name   string
			params m
			want   byte
		}{
			{"protocol missing", without(good, 1), missingParameter},
			{"keyAgreement missing", without(good, 3), missingParameter},
			{"PIN-075 permissions missing", without(good, 9), missingParameter},
			{"mc without rpId", without(good, 10), missingParameter},
			{"protocol 99", with(good, 99, 1), invalidParameter},
			{"permissions 0", with(good, 0, 9), invalidParameter},
			{"be", with(good, 0x08, 9), unauthorizedPermission},
			{"lbw", with(good, 0x10, 9), unauthorizedPermission},
			{"acfg", with(good, 0x20, 9), unauthorizedPermission},
			{"pcmr", with(good, 0x40, 9), unauthorizedPermission},
			{"platform key of kty 1", with(good, 1, 3, 1), invalidParameter},
		} {
			if status, _ := k.send(request(clientPIN, c.params)); status != c.want {
				t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
			}
		}
		if len(k.fingers) != 0 {
			t.Error("refused requests asked for a finger")
		}
		k.lay(noFinger)
		k.refuses(userActionTimeout, clientPIN, good)
		k.lay(wrongFinger)
		k.refuses(uvInvalid, clientPIN, good) // PIN-073: three attempts of the key's own
		if n := k.uvRetries(); n != 2 {
			t.Errorf("PIN-073: %d retries", n)
		}
		k.refuses(uvBlocked, clientPIN, good)
		k.refuses(uvBlocked, clientPIN, with(good, 1, 3, 1)) // step 7 before the key is looked at
		k.lay(rightFinger)
		k.fingers = nil
		k.refuses(uvBlocked, clientPIN, good)
		if len(k.fingers) != 0 {
			t.Error("asked for a finger while blocked")
		}
	}
}

// TestPreferredPlatformUVAttempts: the platform does the retries.
func TestPreferredPlatformUVAttempts(t *testing.T) {
	for preferred, fingers := range map[uint]int{1: 3, 3: 1} {
		k := newKey(t, withProfile(builtIn, func(p *simulator.Profile) {
			p.GetInfo.PreferredPlatformUVAttempts = &preferred
		}))
		k.lay(wrongFinger)
		k.refuses(uvInvalid, clientPIN, k.agree(2).tokenByUVParams(permMC, testRP))
		if len(k.fingers) != fingers {
			t.Errorf("preferredPlatformUvAttempts %d: %d fingers, want %d", preferred, len(k.fingers), fingers)
		}
	}
}

func TestUVCountSinceLastPINEntry(t *testing.T) {
	k := newKey(t, withProfile(builtIn, func(p *simulator.Profile) { p.GetInfo.UVCountSinceLastPINEntry = new(uint) }))
	want := func(n uint64) {
		t.Helper()
		if got := k.ok(getInfo, nil)[0x17]; got != n {
			t.Errorf("INF-039: %v, want %d", got, n)
		}
	}
	want(0)
	k.create(with(creation(), true, uvTrue...))
	k.tokenByUV(2, permMC, testRP)
	want(2)
	k.setPIN(testPIN)
	want(0)
	k.tokenByUV(2, permMC, testRP)
	k.enterPIN("0000")
	want(1)
	k.enterPIN(testPIN)
	want(0)
}

// TestAlwaysUV is row 6 of makeCredential and row 5 of getAssertion.
func TestAlwaysUV(t *testing.T) {
	always := withOption("alwaysUv", true)
	noMcGa := withOption("noMcGaPermissionsWithClientPin", true)
	for _, c := range []struct {
		name    string
		profile []func(*simulator.Profile)
		pin     bool
		want    byte
		finger  bool
	}{
		{"CFG-010, GA-045 not protected", nil, false, puatRequired, false},
		{"6a PIN not for mc and ga", []func(*simulator.Profile){noMcGa}, false, operationDenied, false},
		{"6b no PIN to be had", []func(*simulator.Profile){withoutOptions("clientPin")}, false, operationDenied, false},
		{"6d PIN set", nil, true, puatRequired, false},
		{"6d PIN not for mc and ga", []func(*simulator.Profile){noMcGa}, true, operationDenied, false},
		{"6c built-in", []func(*simulator.Profile){builtIn}, false, ok, true},
		{"6c built-in and PIN", []func(*simulator.Profile){builtIn}, true, ok, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKey(t, withProfile(append(c.profile, func(p *simulator.Profile) { p.Name = "made before" })...))
			made := k.create(with(creation(), c.finger, uvTrue...))
			if c.pin {
				k.setPIN(testPIN)
			}
			storage := k.storage
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			k.plugIn(storage, withProfile(append(c.profile, always)...))
			k.prompts, k.fingers = nil, nil
			for _, rk := range []bool{false, true} {
				status, _ := k.send(request(makeCredential, with(creation(), rk, 7, "rk")))
				if status != c.want {
					t.Errorf("makeCredential, rk %v: status %#02x, want %#02x", rk, status, c.want)
				}
			}
			if status, _ := k.send(request(getAssertion, sign(testRP, made.id))); status != c.want {
				t.Errorf("getAssertion: status %#02x, want %#02x", status, c.want)
			}
			if (len(k.fingers) == 3) != c.finger || len(k.prompts) != 0 {
				t.Errorf("%d fingers and %d touches asked for", len(k.fingers), len(k.prompts))
			}
			got, _ := k.assert(with(sign(testRP, made.id), false, 5, "up"), made) // GA-046
			if got.up || got.uv {
				t.Error("GA-046: flags of a silent assertion")
			}
			if k.options()["makeCredUvNotRqd"] != false { // INF-014
				t.Error("INF-014: makeCredUvNotRqd is not false")
			}
		})
	}
	t.Run("with a token", func(t *testing.T) {
		k := newKey(t, withProfile(always))
		k.setPIN(testPIN)
		made := k.create(k.token(2, permMC, testRP).authorize(creation()))
		k.assert(k.token(2, permGA, testRP).authorizeGA(sign(testRP, made.id)), made)
		k.refuses(pinAuthInvalid, makeCredential, k.token(2, permGA, testRP).authorize(creation()))
	})
	t.Run("a param does not help a key that is not protected", func(t *testing.T) {
		k := newKey(t, withProfile(always))
		k.refuses(puatRequired, makeCredential, with(with(creation(), make([]byte, 32), 8), 2, 9))
		k.refuses(puatRequired, getAssertion, with(with(sign(testRP), make([]byte, 32), 6), 2, 7))
		k = newKey(t, withProfile(always, withoutOptions("clientPin")))
		k.refuses(operationDenied, makeCredential, with(with(creation(), make([]byte, 32), 8), 2, 9))
	})
}

// TestU2FUnderAlwaysUV is INF-015.
func TestU2FUnderAlwaysUV(t *testing.T) {
	u2f := func(p *simulator.Profile) { p.GetInfo.Versions = append(p.GetInfo.Versions, ctap2.VersionU2F) }
	always := withOption("alwaysUv", true)
	for name, c := range map[string]struct {
		profile []func(*simulator.Profile)
		listed  bool
	}{
		"off":               {[]func(*simulator.Profile){u2f}, true},
		"on":                {[]func(*simulator.Profile){u2f, always}, false},
		"on, with built-in": {[]func(*simulator.Profile){u2f, always, builtIn}, true},
	} {
		k := newKey(t, withProfile(c.profile...))
		if n := len(k.ok(getInfo, nil)[1].([]any)); (n == 3) != c.listed {
			t.Errorf("alwaysUv %s: %d versions", name, n)
		}
	}
}
