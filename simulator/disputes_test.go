package simulator_test

import (
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// TestDisputes has the answers that are seen elsewhere. What they are without a
// switch is in the tests of the commands.
func TestDisputes(t *testing.T) {
	pin := func(k *key) { k.setPIN(testPIN) }
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
		{"token without a PIN", func(d *simulator.Disputes) { d.TokenWithoutPIN = ctap2.ErrPUATRequired }, nil, nil,
			clientPIN, func(k *key) any { return k.agree(2).tokenParams(testPIN) }, puatRequired},
		{"unknown permissions", func(d *simulator.Disputes) { d.UnknownPermissions = ctap2.ErrUnauthorizedPermission }, nil, pin,
			clientPIN, func(k *key) any { return with(with(k.agree(2).tokenParams(testPIN), 9, 2), 0x84, 9) }, unauthorizedPermission},
		{"which key", func(d *simulator.Disputes) { d.WhichKey = ctap2.ErrPINAuthInvalid }, nil, pin,
			makeCredential, func(*key) any { return with(creation(), []byte{}, 8) }, pinAuthInvalid},
		{"param on a key that is not protected", func(d *simulator.Disputes) { d.ParamUnprotected = ctap2.ErrPINNotSet }, nil, nil,
			makeCredential, func(*key) any { return param }, pinNotSet},
		{"alwaysUv without a PIN", func(d *simulator.Disputes) { d.AlwaysUVUnprotected = ctap2.ErrPINNotSet },
			withOption("alwaysUv", true), nil,
			makeCredential, func(*key) any { return creation() }, pinNotSet},
		{"incomplete algorithm", func(d *simulator.Disputes) { d.IncompleteAlgorithm = ctap2.ErrMissingParameter }, nil, nil,
			makeCredential, func(*key) any { return with(creation(), []any{m{"alg": -7}}, 4) }, missingParameter},
		{"rk in getAssertion", func(d *simulator.Disputes) { d.RKInGetAssertion = ctap2.ErrInvalidOption }, nil, nil,
			getAssertion, func(*key) any { return with(sign(testRP), true, 5, "rk") }, invalidOption},
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
			k := newKey(t, withProfile(func(p *simulator.Profile) {
				if c.profile != nil {
					c.profile(p)
				}
				c.dispute(&p.Disputes)
			}))
			if c.start != nil {
				c.start(k)
			}
			k.refuses(c.want, c.command, c.params(k))
		})
	}
}
