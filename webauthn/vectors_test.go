package webauthn_test

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/webauthn"
)

// all are the algorithms that a relying party may ask for.
var all = []cose.Algorithm{cose.ES256, cose.ES384, cose.ES512, cose.RS256, cose.PS256, cose.EdDSA, cose.Ed25519}

// A known registration, and what its relying party wanted.
type known struct {
	name     string
	response *webauthn.RegistrationResponse
	want     webauthn.Expected
}

func certificate(t testing.TB, der []byte) *x509.Certificate {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func response(object, clientDataJSON, id []byte) *webauthn.RegistrationResponse {
	return &webauthn.RegistrationResponse{
		ID: id, RawID: id, Type: "public-key", ClientExtensionResults: map[string]any{},
		Response: webauthn.AttestationResponse{AttestationObject: object, ClientDataJSON: clientDataJSON},
	}
}

// ours are the vectors of files of their own: of each attestation format.
func ours(t testing.TB) (list []known) {
	type object struct{ AttestationObject ctaptest.Hex }
	for _, file := range []string{"attestation-packed", "attestation-none", "attestation-tpm", "attestation-android-key", "attestation-apple", "u2f"} {
		var v struct {
			object
			CredentialID, RootCertDer ctaptest.Hex
			ClientDataJSON            string
			Basic, Self, SelfEd25519  object
			AsCtap2                   object
		}
		ctaptest.Vectors(t, file, &v)
		var packed struct{ RootCertDer ctaptest.Hex }
		ctaptest.Vectors(t, "attestation-packed", &packed)
		for name, o := range map[string]object{"": v.object, " chain": v.Basic, " self": v.Self, " Ed25519": v.SelfEd25519, " as CTAP2": v.AsCtap2} {
			if o.AttestationObject == nil {
				continue
			}
			r := response(o.AttestationObject, clientData(), nil)
			credential, _, err := r.Credential()
			if err != nil {
				t.Fatal(file, name, err)
			}
			r.ID, r.RawID = credential.ID, credential.ID
			want := expected()
			want.Algorithms = all
			if !bytes.Contains(o.AttestationObject, aaguid[:]) {
				want.AAGUID = [16]byte{}
			}
			if file != "u2f" { // whose certificate is its own
				want.Roots = []*x509.Certificate{certificate(t, packed.RootCertDer)}
			}
			list = append(list, known{strings.TrimPrefix(file, "attestation-") + name, r, want})
		}
	}
	slices.SortFunc(list, func(a, b known) int { return strings.Compare(a.name, b.name) })
	return list
}

// ceremony is one of the specification's pairs.
type ceremony struct {
	Name         string
	Registration struct {
		Challenge, CredentialID, ClientDataJSON, AttestationObject ctaptest.Hex
	}
	Authentication struct {
		Challenge, AuthenticatorData, ClientDataJSON, Signature ctaptest.Hex
	}
}

func specification(t testing.TB) (list []known, ceremonies map[string]ceremony) {
	var v struct {
		RPID, Origin, TopOrigin string
		AttestationRoot         ctaptest.Hex
		Vectors                 []ceremony
	}
	ctaptest.Vectors(t, "webauthn-level3", &v)
	ceremonies = map[string]ceremony{}
	for _, c := range v.Vectors {
		list = append(list, known{
			c.Name, response(c.Registration.AttestationObject, c.Registration.ClientDataJSON, c.Registration.CredentialID),
			webauthn.Expected{
				Challenge: c.Registration.Challenge, Origin: v.Origin, RPID: v.RPID, Algorithms: all,
				TopOrigins: []string{v.TopOrigin}, Roots: []*x509.Certificate{certificate(t, v.AttestationRoot)},
			},
		})
		ceremonies[c.Name] = c
	}
	return list, ceremonies
}

// refused are the vectors of the specification that are more of a pattern than a
// device: what they lack a relying party has to refuse.
var refused = map[string]string{
	"tpm-es256":         webauthn.CheckCertificateSubject, // the manufacturer is id:00000000
	"android-key-es256": webauthn.CheckAttestedData,       // the authorization lists are empty
	"packed-ed448":      webauthn.CheckAlgorithm,          // Ed448 is not implemented
}

func TestAttestationVectors(t *testing.T) {
	for _, k := range ours(t) {
		t.Run(k.name, func(t *testing.T) {
			checks := webauthn.CheckRegistration(k.response, k.want)
			agree(t, checks)
			if err := webauthn.Failed(checks); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSpecificationVectors(t *testing.T) {
	registrations, ceremonies := specification(t)
	if len(registrations) != 15 {
		t.Fatalf("%d vectors", len(registrations))
	}
	for _, k := range registrations {
		t.Run(k.name, func(t *testing.T) {
			checks := webauthn.CheckRegistration(k.response, k.want)
			agree(t, checks)
			if check := refused[k.name]; check != "" {
				if got := failing(checks); !slices.Contains(got, check) || !slices.Contains(got, webauthn.CheckLibrary) {
					t.Errorf("fails at %q", got)
				}
			} else if err := webauthn.Failed(checks); err != nil {
				t.Error(err)
			}
			a, want := ceremonies[k.name].Authentication, k.want
			want.Challenge, want.Registration = a.Challenge, k.response
			if err := webauthn.Failed(webauthn.CheckAuthentication(assertionOf(ceremonies[k.name], k), want)); (err != nil) != (k.name == "packed-ed448") {
				t.Error("authentication:", err)
			}
		})
	}
}

// assertionOf is the sign-in that goes with a registration.
func assertionOf(c ceremony, k known) *webauthn.AuthenticationResponse {
	a := c.Authentication
	return &webauthn.AuthenticationResponse{
		ID: k.response.ID, RawID: k.response.RawID, Type: "public-key", ClientExtensionResults: map[string]any{},
		Response: webauthn.AssertionResponse{
			AuthenticatorData: webauthn.Base64URL(a.AuthenticatorData), ClientDataJSON: webauthn.Base64URL(a.ClientDataJSON), Signature: webauthn.Base64URL(a.Signature),
		},
	}
}
