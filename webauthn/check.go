package webauthn

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// A Check is one thing that a relying party looks at.
type Check struct {
	Name   string
	Detail string // what was found
	Err    error  // why it does not hold; nil: it holds
}

// Failed returns the errors of the checks that do not hold, or nil.
func Failed(checks []Check) error {
	var errs []error
	for _, c := range checks {
		if c.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.Name, c.Err))
		}
	}
	return errors.Join(errs...)
}

// Expected is what the relying party asked for.
type Expected struct {
	Challenge    []byte
	Origin       string
	RPID         string
	UserVerified bool // user verification was required

	// For registrations:
	Algorithms []cose.Algorithm
	AAGUID     ctap2.AAGUID // from getInfo

	// For authentications: the registration that the credential comes from.
	Registration *RegistrationResponse
}

// CheckRegistration judges a registration (WebAuthn Level 3, section 7.1). The
// signature of the attestation statement is checked, not who stands behind it.
func CheckRegistration(r *RegistrationResponse, want Expected) []Check {
	parsed, err := parse(r, protocol.ParseCredentialCreationResponseBytes)
	if err != nil {
		return []Check{{Name: "encoding", Err: err}}
	}
	credential, data, err := r.Credential()
	if err != nil {
		return []Check{{Name: "encoding", Err: err}}
	}
	checks := []Check{
		checkClientData(parsed.Response.CollectedClientData, protocol.CreateCeremony, want),
		checkRPIDHash(data, want),
		checkUserPresent(data),
		checkUserVerified(data, want),
		{
			Name:   "credential ID",
			Detail: fmt.Sprintf("%d bytes", len(credential.ID)),
			Err:    failIf(!bytes.Equal(r.RawID, credential.ID) || !bytes.Equal(r.ID, credential.ID), "id and rawId differ from the one that the key signed"),
		},
		{
			Name:   "algorithm",
			Detail: credential.PublicKey.Algorithm.String(),
			Err:    failIf(!slices.Contains(want.Algorithms, credential.PublicKey.Algorithm), "was not asked for"),
		},
		checkAAGUID(credential.AAGUID, want.AAGUID),
	}
	return append(checks, checkAttestation(parsed, r.Response.ClientDataJSON))
}

// CheckAuthentication judges an assertion (WebAuthn Level 3, section 7.2) with
// the public key of the registration in want.
func CheckAuthentication(r *AuthenticationResponse, want Expected) []Check {
	parsed, err := parse(r, protocol.ParseCredentialRequestResponseBytes)
	if err != nil {
		return []Check{{Name: "encoding", Err: err}}
	}
	data, err := ctap2.ParseAuthenticatorData(r.Response.AuthenticatorData)
	if err != nil {
		return []Check{{Name: "encoding", Err: err}}
	}
	checks := []Check{
		checkClientData(parsed.Response.CollectedClientData, protocol.AssertCeremony, want),
		checkRPIDHash(data, want),
		checkUserPresent(data),
		checkUserVerified(data, want),
	}
	if want.Registration == nil {
		return checks
	}
	credential, registered, err := want.Registration.Credential()
	if err != nil {
		return append(checks, Check{Name: "saved registration", Err: err})
	}
	checks = append(checks, Check{
		Name:   "credential ID",
		Detail: fmt.Sprintf("%d bytes", len(r.RawID)),
		Err:    failIf(!bytes.Equal(r.RawID, credential.ID), "is not the one that was registered"),
	})
	if data.SignCount != 0 || registered.SignCount != 0 {
		checks = append(checks, Check{
			Name:   "signature counter",
			Detail: fmt.Sprintf("%d, at registration %d", data.SignCount, registered.SignCount),
			Err:    failIf(data.SignCount <= registered.SignCount, "did not rise: the key may have been copied"),
		})
	}
	return append(checks, checkSignature(parsed, credential, want))
}

// parse hands a response over to the library, as the JSON that goes to a relying
// party.
func parse[T any](response any, read func([]byte) (T, error)) (T, error) {
	text, err := json.Marshal(response)
	if err != nil {
		var zero T
		return zero, err
	}
	parsed, err := read(text)
	return parsed, explain(err)
}

func checkClientData(c protocol.CollectedClientData, ceremony protocol.CeremonyType, want Expected) Check {
	challenge := base64.RawURLEncoding.EncodeToString(want.Challenge)
	err := c.Verify(challenge, ceremony, []string{want.Origin}, nil, nil, protocol.TopOriginDefaultVerificationMode, false)
	return Check{Name: "client data", Detail: c.Origin, Err: explain(err)}
}

func checkRPIDHash(data *ctap2.AuthenticatorData, want Expected) Check {
	return Check{
		Name:   "RP ID hash",
		Detail: want.RPID,
		Err:    failIf(data.RPIDHash != sha256.Sum256([]byte(want.RPID)), "is the hash of another RP ID"),
	}
}

func checkUserPresent(data *ctap2.AuthenticatorData) Check {
	return Check{Name: "user present", Detail: "flag UP", Err: failIf(data.Flags&ctap2.FlagUP == 0, "flag UP is not set")}
}

func checkUserVerified(data *ctap2.AuthenticatorData, want Expected) Check {
	c := Check{Name: "user verified", Detail: "flag UV"}
	if data.Flags&ctap2.FlagUV == 0 {
		c.Detail = "no, and not required"
		c.Err = failIf(want.UserVerified, "flag UV is not set")
	}
	return c
}

// checkAAGUID compares with getInfo. Keys may leave the AAGUID out, with zeroes,
// where nothing attests it.
func checkAAGUID(got, want ctap2.AAGUID) Check {
	c := Check{Name: "AAGUID", Detail: got.String()}
	if got == (ctap2.AAGUID{}) {
		c.Detail = "all zero: the key does not name its model here"
		return c
	}
	c.Err = failIf(got != want, fmt.Sprintf("getInfo says %v", want))
	return c
}

func checkAttestation(parsed *protocol.ParsedCredentialCreationData, clientDataJSON []byte) Check {
	object := &parsed.Response.AttestationObject
	err := object.VerifyAttestation(Hash(clientDataJSON), nil, protocol.AttestationPolicy{}, protocol.SignaturePolicy{})
	c := Check{Name: "attestation", Detail: object.Format, Err: explain(err)}
	if err != nil {
		return c
	}
	switch {
	case object.Format == string(protocol.AttestationFormatNone):
		c.Detail = "none: nothing says which model this is"
	case object.AttStatement["x5c"] == nil:
		c.Detail += ", signed with the credential's own key (self attestation): nothing proves the model"
	default:
		c.Detail += ", signed with the maker's key; the certificate chain is not judged"
	}
	return c
}

func checkSignature(parsed *protocol.ParsedCredentialAssertionData, credential *ctap2.AttestedCredential, want Expected) Check {
	c := Check{Name: "signature", Detail: credential.PublicKey.Algorithm.String()}
	publicKey, err := ctapcbor.Marshal(credential.PublicKey)
	if err != nil {
		c.Err = err
		return c
	}
	challenge := base64.RawURLEncoding.EncodeToString(want.Challenge)
	c.Err = explain(parsed.Verify(challenge, want.RPID, "", []string{want.Origin}, nil, nil,
		protocol.TopOriginDefaultVerificationMode, false, want.UserVerified, true, publicKey, protocol.SignaturePolicy{}))
	return c
}

func failIf(bad bool, why string) error {
	if bad {
		return errors.New(why)
	}
	return nil
}

// explain brings out what the library keeps apart from its error text.
func explain(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) && e.DevInfo != "" {
		return fmt.Errorf("%s: %s", e.Details, e.DevInfo)
	}
	return err
}
