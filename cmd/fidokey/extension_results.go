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

// results are the outputs of extensions in words; JSON has those of package
// webauthn.
type results struct{ lines [][2]string }

func (r *results) line(name, words string, args ...any) {
	r.lines = append(r.lines, [2]string{name, fmt.Sprintf(words, args...)})
}

// flag takes an output that is there and true or false.
func (r *results) flag(value *bool, name, yes, no string) {
	switch {
	case value == nil:
	case *value:
		r.line(name, "%s", yes)
	default:
		r.line(name, "%s", no)
	}
}

func (r *results) print(w *printer) {
	for _, line := range r.lines {
		w.line(line[0], "%s", line[1])
	}
}

// ofRegistration are the outputs of a new credential.
func ofRegistration(asked *webauthn.Creation, out client.RegistrationOutputs) *results {
	r := &results{}
	if p := out.CredProps; p != nil {
		words := "not known"
		if p.RK != nil {
			words = yesOrNo(*p.RK)
		}
		r.line("Discoverable", "%s", words)
	}
	if out.CredProtect != 0 {
		r.line("Protection", "%d, %v", out.CredProtect, out.CredProtect)
	}
	r.flag(out.CredBlob, "Credential blob", "stored", "not stored")
	if asked.Extensions.HMACCreateSecret { // else it is a part of prf
		r.flag(out.HMACSecret, "hmac-secret", "prepared", "not prepared")
	}
	if p := out.PRF; p != nil {
		r.prf(p.Results)
		r.flag(&p.Enabled, "prf", "enabled", "not enabled")
	}
	r.flag(out.LargeBlob, "Room for a large blob", "yes", "no")
	if out.MinPINLength != nil {
		r.line("Minimum PIN length", "%d", *out.MinPINLength)
	}
	r.flag(out.PINComplexityPolicy, "Rules for PINs", "in force", "none")
	r.uvm(out.UVM)
	if asked.AppID != "" {
		r.line("AppID", "%s has no credential on this key that is excluded", asked.AppID)
	}
	r.others(out.Others)
	return r
}

// ofAssertion are the outputs of a sign-in. blobFile is where the large blob is
// saved.
func ofAssertion(a *client.Asserted, appID, blobFile string) *results {
	r, out := &results{}, a.Extensions
	if appID != "" {
		r.line("Signed for", "%s", map[bool]string{true: "the AppID " + appID, false: "the RP ID"}[a.AppID])
	}
	if out.CredBlob != nil {
		words := "none is stored"
		if len(out.CredBlob) > 0 {
			words = webauthn.Base64URL(out.CredBlob).String()
		}
		r.line("Credential blob", "%s", words)
	}
	for i, secret := range out.HMACSecretOutputs {
		r.line(fmt.Sprintf("Secret %d", i+1), "%v", webauthn.Base64URL(secret))
	}
	r.prf(out.PRF)
	if out.LargeBlob != nil {
		r.largeBlob(out.LargeBlob, blobFile)
	}
	r.flag(out.ThirdPartyPayment, "Third-party payment", "allowed", "not allowed")
	r.uvm(out.UVM)
	r.others(out.Others)
	return r
}

func (r *results) prf(values *client.PRFValues) {
	if values == nil {
		return
	}
	r.line("prf 1", "%v", webauthn.Base64URL(values.First))
	if values.Second != nil {
		r.line("prf 2", "%v", webauthn.Base64URL(values.Second))
	}
}

func (r *results) largeBlob(l *client.LargeBlobResult, file string) {
	const name = "Large blob"
	switch {
	case l.Err != nil: // it becomes the error of the command
		r.line(name, "%v", l.Err)
	case l.Written:
		r.line(name, "written")
	case l.Blob == nil:
		r.line(name, "none is stored")
	case file == "":
		r.line(name, "%d bytes; --large-blob-read saves them", len(l.Blob))
	default:
		r.line(name, "%d bytes, saved in %s", len(l.Blob), file)
	}
}

func (r *results) uvm(list []client.UVM) {
	if len(list) == 0 {
		return
	}
	var words []string
	for _, u := range list {
		words = append(words, fmt.Sprintf("method %#x, key protection %#x, matcher protection %#x", u.UserVerificationMethod, u.KeyProtectionType, u.MatcherProtectionType))
	}
	r.line("User verified by", "%s", strings.Join(words, "; "))
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
