package simulator_test

import (
	"testing"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// TestDisputes has the answers that are seen elsewhere. What they are without a
// switch is in the tests of the commands.
func TestDisputes(t *testing.T) {
	pin := func(k *key) { k.setPIN(testPIN) }
	force := func(k *key) { k.setPIN(testPIN); k.configure(3, m{3: true}) }
	param := with(with(creation(), make([]byte, 32), 8), 2, 9)
	for _, c := range []struct {
		name    string
		dispute func(d *simulator.Disputes)
		profile func(p *simulator.Profile)
		start   func(k *key)
		command byte
		params  func(k *key) any
		want    byte
	}{
		{"unknown protocol", func(d *simulator.Disputes) { d.UnknownProtocol = ctap2.ErrPINAuthInvalid }, nil, nil,
			clientPIN, func(*key) any { return m{1: 99, 2: 2} }, pinAuthInvalid},
		{"setPIN again", func(d *simulator.Disputes) { d.SetPINAgain = ctap2.ErrNotAllowed }, nil, pin,
			clientPIN, func(k *key) any { return k.agree(2).setPINParams(padded("5678")) }, notAllowed},
		{"new PIN of 32 bytes", func(d *simulator.Disputes) { d.NewPINSize = ctap2.ErrPINPolicyViolation }, nil, nil,
			clientPIN, func(k *key) any { return k.agree(2).setPINParams(padded("5678")[:32]) }, pinPolicyViolation},
		{"retries without a PIN", func(d *simulator.Disputes) { d.RetriesWithoutPIN = ctap2.ErrPINNotSet }, nil, nil,
			clientPIN, func(*key) any { return m{2: 1} }, pinNotSet},
		{"token without a PIN", func(d *simulator.Disputes) { d.TokenWithoutPIN = ctap2.ErrPUATRequired }, nil, nil,
			clientPIN, func(k *key) any { return k.agree(2).tokenParams(testPIN) }, puatRequired},
		{"getPinToken while a change is forced", func(d *simulator.Disputes) { d.TokenWhileForced = ctap2.ErrPINPolicyViolation }, nil, force,
			clientPIN, func(k *key) any { return k.agree(2).tokenParams(testPIN) }, pinPolicyViolation},
		{"token with permissions while a change is forced", func(d *simulator.Disputes) { d.PermissionsForced = ctap2.ErrPINInvalid }, nil, force,
			clientPIN, func(k *key) any { return with(with(k.agree(2).tokenParams(testPIN), 9, 2), permCM, 9) }, pinInvalid},
		{"unknown permissions", func(d *simulator.Disputes) { d.UnknownPermissions = ctap2.ErrUnauthorizedPermission }, nil, pin,
			clientPIN, func(k *key) any { return with(with(k.agree(2).tokenParams(testPIN), 9, 2), 0x84, 9) }, unauthorizedPermission},
		{"which key", func(d *simulator.Disputes) { d.WhichKey = ctap2.ErrPINAuthInvalid }, nil, pin,
			makeCredential, func(*key) any { return with(creation(), []byte{}, 8) }, pinAuthInvalid},
		{"param on a key that is not protected", func(d *simulator.Disputes) { d.ParamUnprotected = ctap2.ErrPINNotSet }, nil, nil,
			makeCredential, func(*key) any { return param }, pinNotSet},
		{"alwaysUv without a PIN", func(d *simulator.Disputes) { d.AlwaysUVUnprotected = ctap2.ErrPINNotSet },
			withOption("alwaysUv", true), nil,
			makeCredential, func(*key) any { return creation() }, pinNotSet},
		{"alwaysUv off without a PIN", func(d *simulator.Disputes) { d.AlwaysUVOffUnprotected = ctap2.ErrPUATRequired },
			withOption("alwaysUv", true), nil,
			config, func(*key) any { return m{1: 2} }, puatRequired},
		{"unknown config subcommand", func(d *simulator.Disputes) { d.UnknownConfigCommand = ctap2.ErrInvalidParameter }, nil, nil,
			config, func(*key) any { return m{1: 0x7f} }, invalidParameter},
		{"minimum above the maximum", func(d *simulator.Disputes) { d.MinPINLengthTooLong = ctap2.ErrInvalidParameter }, nil, nil,
			config, func(*key) any { return m{1: 3, 2: m{1: 64}} }, invalidParameter},
		{"no RPs", func(d *simulator.Disputes) { d.EmptyEnumerateRPs = true }, nil, pin,
			credentialManagement, func(k *key) any { return k.token(2, permCM, "").manage(2, nil) }, ok},
		{"rp without id", func(d *simulator.Disputes) { d.MissingMember = ctap2.ErrInvalidCBOR }, nil, nil,
			makeCredential, func(*key) any { return without(creation(), 2, "id") }, invalidCBOR},
		{"user without id", func(d *simulator.Disputes) { d.MissingMember = ctap2.ErrInvalidCBOR }, nil, nil,
			makeCredential, func(*key) any { return without(creation(), 3, "id") }, invalidCBOR},
		{"descriptor without type", func(d *simulator.Disputes) { d.MissingMember = ctap2.ErrCBORUnexpectedType }, nil, nil,
			getAssertion, func(*key) any { return without(sign(testRP, []byte{1}), 3, 0, "type") }, unexpectedType},
		{"rp missing altogether", func(d *simulator.Disputes) { d.MissingMember = ctap2.ErrInvalidCBOR }, nil, nil,
			makeCredential, func(*key) any { return without(creation(), 2) }, missingParameter},
		{"user.id of 65 bytes", func(d *simulator.Disputes) { d.WrongLength = ctap2.ErrLimitExceeded }, nil, nil,
			makeCredential, func(*key) any { return with(creation(), make([]byte, 65), 3, "id") }, limitExceeded},
		{"incomplete algorithm", func(d *simulator.Disputes) { d.IncompleteAlgorithm = ctap2.ErrMissingParameter }, nil, nil,
			makeCredential, func(*key) any { return with(creation(), []any{m{"alg": -7}}, 4) }, missingParameter},
		{"rk in getAssertion", func(d *simulator.Disputes) { d.RKInGetAssertion = ctap2.ErrInvalidOption }, nil, nil,
			getAssertion, func(*key) any { return with(sign(testRP), true, 5, "rk") }, invalidOption},
		{"salts of 16 bytes", func(d *simulator.Disputes) { d.SaltLength = ctap2.ErrInvalidLength }, nil, nil,
			getAssertion, func(k *key) any {
				made := k.create(with(creation(), true, 6, "hmac-secret"))
				return withSecret(sign(testRP, made.id), k.agree(2).secretParams(make([]byte, 16)))
			}, invalidLength},
		{"no touch", func(d *simulator.Disputes) { d.TouchTimeout = ctap2.ErrUserActionTimeout }, nil,
			func(k *key) { k.touch = k.nobody },
			makeCredential, func(*key) any { return creation() }, userActionTimeout},
		{"no touch over NFC", func(d *simulator.Disputes) { d.TouchTimeoutNFC = ctap2.ErrUPRequired }, nil,
			func(k *key) { k.touch, k.overNFC = k.nobody, true },
			makeCredential, func(*key) any { return creation() }, upRequired},
		{"no touch over USB", func(d *simulator.Disputes) { d.TouchTimeoutNFC = ctap2.ErrUPRequired }, nil,
			func(k *key) { k.touch = k.nobody },
			makeCredential, func(*key) any { return creation() }, operationDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKey(t, full23(func(p *simulator.Profile) {
				if c.profile != nil {
					c.profile(p)
				}
				c.dispute(&p.Disputes)
			}))
			if c.start != nil {
				c.start(k)
			}
			status, reply := k.send(request(c.command, c.params(k)))
			if status != c.want {
				t.Errorf("status %#02x, want %#02x", status, c.want)
			}
			if status == ok && reply[5] != uint64(0) { // enumerateRPsBegin on an empty key
				t.Errorf("reply %v", reply)
			}
		})
	}
}

// TestDisputedAnswers has what is not a status.
func TestDisputedAnswers(t *testing.T) {
	for _, told := range []bool{false, true} {
		k := newKey(t, full23(func(p *simulator.Profile) {
			d := &p.Disputes
			d.TellCredProtect, d.EmptyNoneStatement, d.U2FApart, d.LenientCBOR = told, told, told, told
		}))
		made := k.create(creation())
		if level, there := made.extensions["credProtect"]; there != told || told && level != uint64(1) {
			t.Errorf("%v: credProtect %v", told, level)
		}
		none := k.create(with(creation(), []any{"none"}, 11)).reply[3]
		if statement, there := none.(map[any]any); there != told || len(statement) > 0 {
			t.Errorf("%v: attStmt %v", told, none)
		}

		nameless := manager(t, full23(func(p *simulator.Profile) { p.Disputes.EmptyTemplateName = told }))
		nameless.enrollFinger("thumb")
		info := nameless.enroll(4, nil)[7].([]any)[0].(map[any]any)
		if name, there := info[uint64(2)]; there != told || told && name != "" {
			t.Errorf("%v: templateFriendlyName %v", told, name)
		}

		want := uint16(0x6985)
		if told {
			want = 0x6a80
		}
		ctap := k.create(with(creation(), testRP, 2, "id"))
		apart := authenticateData(ctap.id)
		copy(apart[32:], hashOf(testRP))
		k.u2fRefuses("credential of CTAP2", want, u2fAPDU(2, 7, apart))
		k.u2fRefuses("credential of U2F", 0x6985, u2fAPDU(2, 7, authenticateData(k.register().handle)))

		unsorted, status := []byte{clientPIN, 0xa2, 0x02, 0x01, 0x01, 0x02}, byte(invalidCBOR)
		if told {
			status = ok
		}
		if got, _ := k.send(unsorted); got != status {
			t.Errorf("%v: unsorted map: status %#02x", told, got)
		}
		if got, _ := k.send([]byte{clientPIN, 0xa2, 0x01}); got != invalidCBOR {
			t.Errorf("%v: half a map: status %#02x", told, got)
		}
	}
}

// TestSeriesGoesOn: other commands, other channels and a long pause between.
func TestSeriesGoesOn(t *testing.T) {
	k := manager(t, full23(func(p *simulator.Profile) { p.Disputes.SeriesGoesOn, p.Disputes.EnumerationLast = true, true }))
	for _, rpID := range []string{testRP, "b.example", "c.example"} {
		k.add(rpID, "alice")
	}
	k.add(testRP, "bob")
	persistent := k.token(2, permPCMR, "")
	k.ok(credentialManagement, persistent.manage(2, nil))
	k.ok(getInfo, nil)
	k.clock.Advance(31 * time.Second)
	k.ok(credentialManagement, m{1: 3})
	if answer := k.ExchangeFrom(t.Context(), 7, request(credentialManagement, m{1: 3})); answer[0] != ok {
		t.Errorf("next RP on another channel: status %#02x", answer[0])
	}
	k.refuses(notAllowed, credentialManagement, m{1: 3}) // it has an end

	k.ok(getAssertion, sign(testRP))
	k.ok(getInfo, nil)
	k.clock.Advance(31 * time.Second)
	k.refuses(notAllowed, getNextAssertion, nil) // this limit is no matter of taste
	k.ok(getAssertion, sign(testRP))
	k.add(testRP, "bob")
	k.refuses(notAllowed, getNextAssertion, nil) // bob's old credential is gone
	k.ok(getAssertion, sign(testRP))
	id := k.manage(4, m{1: hashOf("b.example")})[7]
	k.manage(6, m{2: id})
	k.refuses(notAllowed, getNextAssertion, nil)

	k = manager(t, full23(func(p *simulator.Profile) { p.Disputes.EnumerationLast = true }))
	k.add(testRP, "alice")
	k.add("b.example", "alice")
	k.ok(credentialManagement, k.token(2, permPCMR, "").manage(2, nil))
	k.ok(getInfo, nil)
	k.refuses(notAllowed, credentialManagement, m{1: 3})
}
