package webauthn_test

import (
	"encoding/json"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	server "github.com/go-webauthn/webauthn/webauthn"

	"github.com/fidokey/fidokey/webauthn"
)

// account is a user of the server.
type account struct{ credentials []server.Credential }

func (*account) WebAuthnID() []byte                         { return []byte("user handle") }
func (*account) WebAuthnName() string                       { return "alice" }
func (*account) WebAuthnDisplayName() string                { return "Alice" }
func (a *account) WebAuthnCredentials() []server.Credential { return a.credentials }

// TestServer registers and signs in at a server of others, which makes the options
// and judges the responses: no byte on the way is ours but the client's.
func TestServer(t *testing.T) {
	const page = "https://login.example.com:8443"
	s, err := server.New(&server.Config{RPID: rpID, RPDisplayName: "Example", RPOrigins: []string{page}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		profile string
		options []server.RegistrationOption
	}{
		{"as the library asks", "ctap-2.3", nil},
		{"a passkey", "ctap-2.3", []server.RegistrationOption{
			server.WithResidentKeyRequirement(protocol.ResidentKeyRequirementRequired), server.WithConveyancePreference(protocol.PreferDirectAttestation),
			func(o *protocol.PublicKeyCredentialCreationOptions) error {
				o.Extensions = protocol.AuthenticationExtensions{
					CredProps: true, PRF: &protocol.PRFInputs{}, CredentialProtectionPolicy: "userVerificationRequired", EnforceCredentialProtectionPolicy: true,
					AppIDExclude: "https://example.com/u2f.json", LargeBlob: protocol.LargeBlobInputs{Support: "required"},
					MinPinLength: true, CredBlob: []byte("blob"), HMACCreateSecret: true, UVM: true,
				}
				return nil
			},
		}},
		{"a second factor", "u2f", []server.RegistrationOption{
			server.WithAuthenticatorSelection(protocol.AuthenticatorSelection{UserVerification: protocol.VerificationDiscouraged}), server.WithConveyancePreference(protocol.PreferDirectAttestation),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, browser, user := plugIn(t, tt.profile), webauthn.Client{Origin: page}, &account{}
			sent, session, err := s.BeginRegistration(user, tt.options...)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(sent)
			if err != nil {
				t.Fatal(err)
			}
			creation, err := webauthn.ParseCreationOptions(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			made, err := browser.Create(t.Context(), key, creation)
			if err != nil {
				t.Fatal(err)
			}
			created, _ := taken(t, made, protocol.ParseCredentialCreationResponseBytes)
			credential, err := s.CreateCredential(user, *session, created)
			if err != nil {
				t.Fatalf("the server refuses the registration: %+v", err)
			}
			user.credentials = append(user.credentials, *credential)

			asked, session, err := s.BeginLogin(user, server.WithUserVerification(verificationOf(tt.profile)), func(o *protocol.PublicKeyCredentialRequestOptions) error {
				o.Extensions = protocol.AuthenticationExtensions{
					AppID: "https://example.com/u2f.json", GetCredBlob: true, UVM: true,
					PRF: &protocol.PRFInputs{Eval: protocol.PRFValues{First: []byte("one"), Second: []byte("two")}},
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if text, err = json.Marshal(asked); err != nil {
				t.Fatal(err)
			}
			request, err := webauthn.ParseRequestOptions(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			signed, err := browser.Get(t.Context(), key, request, nil)
			if err != nil {
				t.Fatal(err)
			}
			assertion, _ := taken(t, signed, protocol.ParseCredentialRequestResponseBytes)
			if _, err := s.ValidateLogin(user, *session, assertion); err != nil {
				t.Errorf("the server refuses the sign-in: %+v", err)
			}
		})
	}
}

// verificationOf is what a server can ask of a key.
func verificationOf(profile string) protocol.UserVerificationRequirement {
	if profile == "u2f" {
		return protocol.VerificationDiscouraged
	}
	return protocol.VerificationRequired
}
