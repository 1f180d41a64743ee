package webauthn

import (
	"encoding/base64"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
)

// credProtectLevels are the words of credentialProtectionPolicy.
var credProtectLevels = []client.CredProtect{
	client.UserVerificationOptional, client.UserVerificationOptionalWithCredentialIDList, client.UserVerificationRequired,
}

// processExtensions is the client extension processing of a registration (WebAuthn
// Level 3, section 10.1; CTAP 2.3, section 12).
func (r *Creation) processExtensions(from origin) (err error) {
	x := &r.Extensions
	switch {
	case x.AppID != nil:
		return refuse("NotSupportedError", "the extension appid is for sign-ins")
	case x.PRF != nil && x.PRF.EvalByCredential != nil:
		return refuse("NotSupportedError", "prf: evalByCredential is for sign-ins")
	case x.LargeBlob != nil && (x.LargeBlob.Read != nil || x.LargeBlob.Write != nil):
		return refuse("NotSupportedError", "largeBlob: read and write are for sign-ins")
	}
	r.extensions = client.RegistrationExtensions{
		EnforceCredProtect: x.EnforceCredentialProtectionPolicy, CredBlob: x.CredBlob,
		MinPINLength: x.MinPINLength, PINComplexityPolicy: x.PINComplexityPolicy, HMACSecret: x.HMACCreateSecret,
		PRF: x.PRF.eval(), CredProps: x.CredProps, ThirdPartyPayment: x.ThirdPartyPayment, UVM: x.UVM,
	}
	if policy := x.CredentialProtectionPolicy; policy != "" {
		for _, level := range credProtectLevels {
			if policy == level.String() {
				r.extensions.CredProtect = level
			}
		}
		if r.extensions.CredProtect == 0 {
			return refuse("TypeError", "credentialProtectionPolicy %q is none of the three", policy)
		}
	}
	if l := x.LargeBlob; l != nil {
		r.extensions.LargeBlob = client.LargeBlobPreferred // also where nothing is said, or an unknown word
		if l.Support != nil && *l.Support == required {
			r.extensions.LargeBlob = client.LargeBlobRequired
		}
	}
	if x.AppIDExclude != nil {
		r.AppID, err = from.mayUseAppID(*x.AppIDExclude)
	}
	return err
}

// eval is the input of prf in a registration.
func (p *PRFInputs) eval() *client.PRF {
	if p == nil {
		return nil
	}
	return &client.PRF{Eval: p.Eval.values()}
}

func (v *PRFValues) values() *client.PRFValues {
	if v == nil {
		return nil
	}
	return &client.PRFValues{First: v.First, Second: v.Second}
}

// processExtensions is the client extension processing of a sign-in.
func (r *Request) processExtensions(from origin) (err error) {
	x := &r.Extensions
	if x.AppIDExclude != nil {
		return refuse("NotSupportedError", "the extension appidExclude is for registrations")
	}
	r.extensions = client.AssertionExtensions{CredBlob: x.GetCredBlob, ThirdPartyPayment: x.ThirdPartyPayment, UVM: x.UVM}
	if x.AppID != nil {
		if r.AppID, err = from.mayUseAppID(*x.AppID); err != nil {
			return err
		}
	}
	if err := r.processLargeBlob(); err != nil {
		return err
	}
	if salts := x.HMACGetSecret; salts != nil {
		r.extensions.HMACSecretSalts = [][]byte{salts.Salt1}
		if salts.Salt2 != nil {
			r.extensions.HMACSecretSalts = append(r.extensions.HMACSecretSalts, salts.Salt2)
		}
		for _, salt := range r.extensions.HMACSecretSalts {
			if len(salt) != 32 {
				return refuse("TypeError", "hmacGetSecret takes salts of 32 bytes, not %d", len(salt))
			}
		}
		if x.PRF != nil {
			return refuse("NotSupportedError", "prf and hmac-secret are one extension: ask for one of them")
		}
	}
	return r.processPRF()
}

// processLargeBlob follows section 10.1.5.
func (r *Request) processLargeBlob() error {
	l := r.Extensions.LargeBlob
	if l == nil {
		return nil
	}
	r.extensions.ReadLargeBlob, r.extensions.WriteLargeBlob = l.Read != nil && *l.Read, l.Write
	switch {
	case l.Support != nil:
		return refuse("NotSupportedError", "largeBlob: support is for registrations")
	case l.Read != nil && l.Write != nil:
		return refuse("NotSupportedError", "largeBlob: read and write do not go together")
	case l.Write != nil && len(r.AllowCredentials) != 1:
		return refuse("NotSupportedError", "largeBlob: write needs one credential in allowCredentials, whose blob it is")
	}
	return nil
}

// processPRF follows section 10.1.4.
func (r *Request) processPRF() error {
	p := r.Extensions.PRF
	if p == nil {
		return nil
	}
	if len(p.EvalByCredential) > 0 && len(r.AllowCredentials) == 0 {
		return refuse("NotSupportedError", "prf: evalByCredential needs allowCredentials")
	}
	r.extensions.PRF = p.eval()
	for text, values := range p.EvalByCredential {
		id, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(id) == 0 || !r.Names(id) {
			return refuse("SyntaxError", "prf: %q of evalByCredential is not in allowCredentials", text)
		}
		if r.extensions.PRF.EvalByCredential == nil {
			r.extensions.PRF.EvalByCredential = map[string]client.PRFValues{}
		}
		r.extensions.PRF.EvalByCredential[string(id)] = *values.values()
	}
	return nil
}

// results are the client extension outputs of a registration. What has no client
// output in a specification has the name of the authenticator's.
func (r *Creation) results(out client.RegistrationOutputs) map[string]any {
	results := map[string]any{}
	if p := out.CredProps; p != nil {
		value := map[string]any{}
		if p.RK != nil {
			value["rk"] = *p.RK
		}
		results["credProps"] = value
	}
	if out.CredProtect != 0 {
		results[ctap2.ExtensionCredProtect] = out.CredProtect.String()
	}
	flag(results, ctap2.ExtensionCredBlob, out.CredBlob)
	if r.Extensions.HMACCreateSecret { // else it is a part of prf
		flag(results, "hmacCreateSecret", out.HMACSecret)
	}
	if p := out.PRF; p != nil {
		results["prf"] = prfResults(p.Results, map[string]any{"enabled": p.Enabled})
	}
	if out.LargeBlob != nil {
		results[ctap2.ExtensionLargeBlob] = map[string]any{"supported": *out.LargeBlob}
	}
	if out.MinPINLength != nil {
		results[ctap2.ExtensionMinPINLength] = *out.MinPINLength
	}
	flag(results, ctap2.ExtensionPINComplexityPolicy, out.PINComplexityPolicy)
	uvmResults(results, out.UVM)
	if r.AppID != "" {
		results["appidExclude"] = true
	}
	return results
}

// results are the client extension outputs of a sign-in.
func (r *Request) results(a *client.Asserted) map[string]any {
	results, out := map[string]any{}, a.Extensions
	if r.AppID != "" {
		results["appid"] = a.AppID
	}
	if out.CredBlob != nil {
		results["getCredBlob"] = Base64URL(out.CredBlob)
	}
	if secrets := out.HMACSecretOutputs; len(secrets) > 0 {
		value := map[string]any{"output1": Base64URL(secrets[0])}
		if len(secrets) > 1 {
			value["output2"] = Base64URL(secrets[1])
		}
		results["hmacGetSecret"] = value
	}
	if out.PRF != nil {
		results["prf"] = prfResults(out.PRF, map[string]any{})
	}
	if l := out.LargeBlob; l != nil {
		value := map[string]any{}
		switch {
		case r.extensions.WriteLargeBlob != nil:
			value["written"] = l.Written
		case l.Blob != nil:
			value["blob"] = Base64URL(l.Blob)
		}
		results[ctap2.ExtensionLargeBlob] = value
	}
	flag(results, ctap2.ExtensionThirdPartyPayment, out.ThirdPartyPayment)
	uvmResults(results, out.UVM)
	return results
}

func flag(results map[string]any, id string, value *bool) {
	if value != nil {
		results[id] = *value
	}
}

// prfResults adds the values to the member of that name.
func prfResults(values *client.PRFValues, member map[string]any) map[string]any {
	if values != nil {
		results := map[string]any{"first": Base64URL(values.First)}
		if values.Second != nil {
			results["second"] = Base64URL(values.Second)
		}
		member["results"] = results
	}
	return member
}

func uvmResults(results map[string]any, list []client.UVM) {
	if len(list) == 0 {
		return
	}
	var value [][3]uint
	for _, u := range list {
		value = append(value, [3]uint{u.UserVerificationMethod, u.KeyProtectionType, u.MatcherProtectionType})
	}
	results[ctap2.ExtensionUVM] = value
}
