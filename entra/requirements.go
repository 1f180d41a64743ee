package entra

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// extensionHMACSecret and extensionCredProtect are what Entra asks for.
const (
	extensionHMACSecret  = string(ctap2.ExtensionHMACSecret)
	extensionCredProtect = string(ctap2.ExtensionCredProtect)
)

// requirements are what Entra needs of every key, whatever the profile. Of a model
// without a key at hand they are judged by what its maker published.
func (j *judge) requirements() {
	info := j.Key.Info
	if info == nil {
		if info = j.info; info == nil {
			j.say(RuleGetInfo, Noted, "what the key can do was not looked at: there is no key at hand, and no metadata of its getInfo")
			return
		}
	}
	j.version(info)
	j.discoverable(info)
	j.userVerification(info)
	j.algorithm(info)
	j.credProtect(info)
	j.accounts(info)
	j.pinLength(info)
	j.useful(info)
}

func hasFIDO2(info *ctap2.GetInfoResponse) bool {
	return slices.ContainsFunc(info.Versions, func(v string) bool {
		return strings.HasPrefix(v, "FIDO_2_") && v != ctap2.VersionFIDO21Pre
	})
}

func (j *judge) version(info *ctap2.GetInfoResponse) {
	versions := strings.Join(info.Versions, ", ")
	if !hasFIDO2(info) {
		j.say(RuleVersion, Refused, "neither FIDO_2_0 nor later, but %s", versions)
		return
	}
	j.say(RuleVersion, Passed, "%s", versions)
}

func (j *judge) discoverable(info *ctap2.GetInfoResponse) {
	if rk, _ := info.Option(ctap2.OptionRK); !rk {
		j.say(RuleDiscoverable, Refused, "the key stores no passkeys (no option rk)")
		return
	}
	j.say(RuleDiscoverable, Passed, "the key stores passkeys")
}

func verifiesUser(info *ctap2.GetInfoResponse) bool {
	_, uv := info.Option(ctap2.OptionUV)
	_, clientPIN := info.Option(ctap2.OptionClientPIN)
	return uv || clientPIN
}

func (j *judge) userVerification(info *ctap2.GetInfoResponse) {
	uv, _ := info.Option(ctap2.OptionUV)
	clientPIN, hasPIN := info.Option(ctap2.OptionClientPIN)
	changeFirst := info.ForcePINChange != nil && *info.ForcePINChange
	switch {
	case !verifiesUser(info):
		j.say(RuleUserVerification, Refused, "the key has neither a PIN nor a way to verify the user by itself")
	case j.Key.Info == nil:
		j.say(RuleUserVerification, Passed, "the model verifies users")
	case !uv && !clientPIN && hasPIN:
		j.say(RuleUserVerification, Warning, "the key has no PIN yet: set one")
	case !uv && !clientPIN:
		j.say(RuleUserVerification, Warning, "no finger is enrolled yet: enrol one")
	case !uv && changeFirst:
		j.say(RuleUserVerification, Warning, "the key demands a new PIN: change it")
	case uv:
		j.say(RuleUserVerification, Passed, "the key verifies the user by itself")
	default:
		j.say(RuleUserVerification, Passed, "a PIN is set")
	}
}

func (j *judge) algorithm(info *ctap2.GetInfoResponse) {
	if len(info.Algorithms) == 0 {
		j.say(RuleAlgorithm, Passed, "the key lists none, so ES256 is assumed")
		return
	}
	var all []string
	for _, p := range info.Algorithms {
		if p.Algorithm == cose.ES256 || p.Algorithm == cose.RS256 {
			j.say(RuleAlgorithm, Passed, "%v", p.Algorithm)
			return
		}
		all = append(all, p.Algorithm.String())
	}
	j.say(RuleAlgorithm, Refused, "neither ES256 nor RS256, but %s", strings.Join(all, ", "))
}

func hasExtension(info *ctap2.GetInfoResponse, name string) bool {
	return slices.Contains(info.Extensions, name)
}

func (j *judge) credProtect(info *ctap2.GetInfoResponse) {
	if !hasExtension(info, extensionCredProtect) {
		j.say(RuleCredProtect, Noted, "the key has no credProtect; Entra asks for its lowest level, and does without")
		return
	}
	j.say(RuleCredProtect, Passed, "Entra asks for its lowest level")
}

// accounts is about room for another account of the same RP ID.
func (j *judge) accounts(info *ctap2.GetInfoResponse) {
	left := info.RemainingDiscoverableCredentials
	switch {
	case left == nil || j.Key.Info == nil:
		j.say(RuleAccounts, Noted, "how many more passkeys the key has room for is not known")
	case *left == 0:
		j.say(RuleAccounts, Refused, "the key is full: it has no room for another passkey")
	case *left == 1:
		j.say(RuleAccounts, Warning, "the key has room for one more passkey only")
	default:
		j.say(RuleAccounts, Passed, "the key has room for %d more passkeys", *left)
	}
}

func (j *judge) pinLength(info *ctap2.GetInfoResponse) {
	if _, hasPIN := info.Option(ctap2.OptionClientPIN); !hasPIN {
		return
	}
	detail := fmt.Sprintf("at least %d characters; Entra publishes no figure", info.MinPINCodePoints())
	if info.ForcePINChange != nil && *info.ForcePINChange {
		detail += "; the PIN must be changed first"
	}
	j.say(RulePINLength, Noted, "%s", detail)
}

// useful is what Entra does not need, and an administrator may.
func (j *judge) useful(info *ctap2.GetInfoResponse) {
	for _, u := range []struct {
		rule    string
		options []string
	}{
		{RuleManagement, []string{ctap2.OptionCredMgmt, ctap2.OptionCredMgmtPreview, ctap2.OptionBioEnroll, ctap2.OptionUVMgmtPreview}},
		{RuleProvisioning, []string{ctap2.OptionAuthnrCfg, ctap2.OptionSetMinPINLength, ctap2.OptionAlwaysUV, ctap2.OptionEP}},
	} {
		var has []string
		for _, o := range u.options {
			if _, ok := info.Option(o); ok {
				has = append(has, o)
			}
		}
		detail := "none of " + strings.Join(u.options, ", ")
		if has != nil {
			detail = strings.Join(has, ", ")
		}
		j.say(u.rule, Noted, "not needed; the key has %s", detail)
	}
}

// notEnforced are the rules where attestation is not enforced.
func (j *judge) notEnforced() {
	j.offlineUnlock()
	const longest = 32 // characters of the name of a format
	a := j.Key.Attestation
	switch {
	case a == nil:
		j.say(RuleAttestation, Passed, "not enforced")
	case len(a.Format) > longest:
		j.say(RuleAttestation, Refused, "the name of its format has %d characters, and %d are allowed", len(a.Format), longest)
	case a.Format != formatPacked && a.Format != formatNone:
		j.say(RuleAttestation, Warning, "not enforced; but of the format %q, and keys that an administrator registers must have packed or none", a.Format)
	default:
		j.say(RuleAttestation, Passed, "not enforced; the format is %s", a.Format)
	}
}

// offlineUnlock is what hmac-secret is good for where it is not required.
func (j *judge) offlineUnlock() {
	switch info := j.best(); {
	case info == nil:
	case !hasExtension(info, extensionHMACSecret):
		j.say(RuleHMACSecret, Warning, "the key has no hmac-secret: Windows cannot be unlocked with it offline")
	default:
		j.say(RuleHMACSecret, Passed, "the key has it")
	}
}

// best is the getInfo of the key, or else of its model.
func (j *judge) best() *ctap2.GetInfoResponse {
	if j.Key.Info != nil {
		return j.Key.Info
	}
	return j.info
}
