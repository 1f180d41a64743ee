package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

// The members of clientExtensionResults that are secrets, in part or whole.
const (
	resultPRF           = "prf"
	resultHMACGetSecret = "hmacGetSecret"
)

// results collects the outputs of extensions, for JSON and for people.
type results struct {
	json  map[string]any // clientExtensionResults (WebAuthn Level 3, section 10)
	lines [][2]string
}

// add takes one output; words are what people see of it.
func (r *results) add(id string, value any, name, words string, args ...any) {
	r.set(id, value)
	r.line(name, words, args...)
}

func (r *results) set(id string, value any) {
	if r.json == nil {
		r.json = map[string]any{}
	}
	r.json[id] = value
}

func (r *results) line(name, words string, args ...any) {
	r.lines = append(r.lines, [2]string{name, fmt.Sprintf(words, args...)})
}

// flag takes an output that is there and true or false.
func (r *results) flag(id string, value *bool, name, yes, no string) {
	if value == nil {
		return
	}
	words := no
	if *value {
		words = yes
	}
	r.add(id, *value, name, "%s", words)
}

func (r *results) print(w *printer) {
	for _, line := range r.lines {
		w.line(line[0], "%s", line[1])
	}
}

// clientExtensionResults is never nil: the member is an object.
func (r *results) clientExtensionResults() map[string]any {
	if r.json == nil {
		return map[string]any{}
	}
	return r.json
}

// ofRegistration are the outputs of a new credential. What has no client output
// in a specification has the name of the authenticator's.
func ofRegistration(asked client.RegistrationExtensions, out client.RegistrationOutputs, appIDExclude string) *results {
	r := &results{}
	if p := out.CredProps; p != nil {
		value, words := map[string]any{}, "not known"
		if p.RK != nil {
			value["rk"], words = *p.RK, yesOrNo(*p.RK)
		}
		r.add("credProps", value, "Discoverable", "%s", words)
	}
	if out.CredProtect != 0 {
		r.add(ctap2.ExtensionCredProtect, out.CredProtect.String(), "Protection", "%d, %v", out.CredProtect, out.CredProtect)
	}
	r.flag(ctap2.ExtensionCredBlob, out.CredBlob, "Credential blob", "stored", "not stored")
	if asked.HMACSecret { // else it is a part of prf
		r.flag("hmacCreateSecret", out.HMACSecret, "hmac-secret", "prepared", "not prepared")
	}
	if p := out.PRF; p != nil {
		r.prf(p.Results, map[string]any{"enabled": p.Enabled})
		r.line("prf", "%s", map[bool]string{true: "enabled", false: "not enabled"}[p.Enabled])
	}
	if out.LargeBlob != nil {
		r.add(ctap2.ExtensionLargeBlob, map[string]any{"supported": *out.LargeBlob}, "Room for a large blob", "%s", yesOrNo(*out.LargeBlob))
	}
	if out.MinPINLength != nil {
		r.add(ctap2.ExtensionMinPINLength, *out.MinPINLength, "Minimum PIN length", "%d", *out.MinPINLength)
	}
	r.flag(ctap2.ExtensionPINComplexityPolicy, out.PINComplexityPolicy, "Rules for PINs", "in force", "none")
	r.uvm(out.UVM)
	if appIDExclude != "" {
		r.add("appidExclude", true, "AppID", "%s has no credential on this key that is excluded", appIDExclude)
	}
	r.others(out.Others)
	return r
}

// ofAssertion are the outputs of a sign-in. blobFile is where the large blob is
// saved.
func ofAssertion(a *client.Asserted, appID, blobFile string) *results {
	r, out := &results{}, a.Extensions
	if appID != "" {
		r.add("appid", a.AppID, "Signed for", "%s", map[bool]string{true: "the AppID " + appID, false: "the RP ID"}[a.AppID])
	}
	if out.CredBlob != nil {
		words := "none is stored"
		if len(out.CredBlob) > 0 {
			words = webauthn.Base64URL(out.CredBlob).String()
		}
		r.add("getCredBlob", webauthn.Base64URL(out.CredBlob), "Credential blob", "%s", words)
	}
	if secrets := out.HMACSecretOutputs; len(secrets) > 0 {
		value := map[string]any{}
		for i, secret := range secrets {
			value[fmt.Sprintf("output%d", i+1)] = webauthn.Base64URL(secret)
			r.line(fmt.Sprintf("Secret %d", i+1), "%v", webauthn.Base64URL(secret))
		}
		r.set(resultHMACGetSecret, value)
	}
	if out.PRF != nil {
		r.prf(out.PRF, map[string]any{})
	}
	if out.LargeBlob != nil {
		r.largeBlob(out.LargeBlob, blobFile)
	}
	r.flag(ctap2.ExtensionThirdPartyPayment, out.ThirdPartyPayment, "Third-party payment", "allowed", "not allowed")
	r.uvm(out.UVM)
	r.others(out.Others)
	return r
}

// prf adds the values to value, which is the member of that name.
func (r *results) prf(values *client.PRFValues, value map[string]any) {
	if values != nil {
		results := map[string]any{"first": webauthn.Base64URL(values.First)}
		r.line("prf 1", "%v", webauthn.Base64URL(values.First))
		if values.Second != nil {
			results["second"] = webauthn.Base64URL(values.Second)
			r.line("prf 2", "%v", webauthn.Base64URL(values.Second))
		}
		value["results"] = results
	}
	r.set(resultPRF, value)
}

func (r *results) largeBlob(l *client.LargeBlobResult, file string) {
	const id, name = ctap2.ExtensionLargeBlob, "Large blob"
	switch {
	case l.Err != nil: // it becomes the error of the command
		r.add(id, map[string]any{}, name, "%v", l.Err)
	case l.Written:
		r.add(id, map[string]any{"written": true}, name, "written")
	case l.Blob == nil:
		r.add(id, map[string]any{}, name, "none is stored")
	default:
		r.add(id, map[string]any{"blob": webauthn.Base64URL(l.Blob)}, name, "%d bytes, saved in %s", len(l.Blob), file)
	}
}

func (r *results) uvm(list []client.UVM) {
	if len(list) == 0 {
		return
	}
	var value [][3]uint
	var words []string
	for _, u := range list {
		value = append(value, [3]uint{u.UserVerificationMethod, u.KeyProtectionType, u.MatcherProtectionType})
		words = append(words, fmt.Sprintf("method %#x, key protection %#x, matcher protection %#x", u.UserVerificationMethod, u.KeyProtectionType, u.MatcherProtectionType))
	}
	r.add(ctap2.ExtensionUVM, value, "User verified by", "%s", strings.Join(words, "; "))
}

// others passes on what is not known here, for people only: relying parties have
// it in the authenticator data.
func (r *results) others(others ctap2.Extensions) {
	for _, id := range slices.Sorted(maps.Keys(others)) {
		r.line("Extension "+id, "%v", jsonValue(others[id]))
	}
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
