package webauthn

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/metadata"
)

// A Check is one thing that a relying party looks at.
type Check struct {
	Name          string // one of the constants
	Detail        string // what was found, or why there is nothing to check
	Err           error  // why it does not hold; nil: it holds
	NotApplicable bool   // there is nothing to check here
}

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	Passed        Outcome = "pass"
	NotHeld       Outcome = "fail"
	NotApplicable Outcome = "not applicable"
)

// Outcome returns how the check ended.
func (c Check) Outcome() Outcome {
	switch {
	case c.Err != nil:
		return NotHeld
	case c.NotApplicable:
		return NotApplicable
	}
	return Passed
}

// MarshalJSON returns an object with the outcome, and with passed for whoever wants
// to know only whether something is wrong.
func (c Check) MarshalJSON() ([]byte, error) {
	v := struct {
		Name    string  `json:"name"`
		Outcome Outcome `json:"outcome"`
		Passed  bool    `json:"passed"`
		Detail  string  `json:"detail,omitempty"`
		Error   string  `json:"error,omitempty"`
	}{c.Name, c.Outcome(), c.Err == nil, c.Detail, ""}
	if c.Err != nil {
		v.Error = c.Err.Error()
	}
	return json.Marshal(v)
}

// The names of the checks, in the order in which they are made. CheckEncoding
// stands alone: of what cannot be read nothing else can be said.
const (
	CheckEncoding     = "encoding"
	CheckType         = "type"
	CheckChallenge    = "challenge"
	CheckOrigin       = "origin"
	CheckCrossOrigin  = "cross origin"
	CheckRPIDHash     = "RP ID hash"
	CheckUserPresent  = "user present"
	CheckUserVerified = "user verified"
	CheckBackup       = "backup flags"
	CheckExtensions   = "extensions"
	CheckCredentialID = "credential ID"

	// Of registrations.
	CheckAlgorithm            = "algorithm"
	CheckAAGUID               = "AAGUID"
	CheckFormat               = "format"
	CheckAttestationSignature = "attestation signature"
	CheckAttestedKey          = "attested key"
	CheckAttestedData         = "attested data"
	CheckCertificateVersion   = "certificate version"
	CheckCertificateSubject   = "certificate subject"
	CheckCertificateUnit      = "OU=Authenticator Attestation"
	CheckCertificateAAGUID    = "AAGUID extension"
	CheckBasicConstraints     = "basic constraints"
	CheckValidity             = "validity dates"
	CheckChain                = "chain"
	CheckMetadata             = "metadata entry"
	CheckAttestationType      = "attestation type"
	CheckStatus               = "status reports"

	// Of authentications.
	CheckRegistered = "saved registration"
	CheckUserHandle = "user handle"
	CheckSignature  = "signature"
	CheckCounter    = "signature counter"

	// CheckLibrary is the verdict of github.com/go-webauthn/webauthn on the whole.
	CheckLibrary = "go-webauthn"
)

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
	// TopOrigins are the pages that may have the relying party's in a frame; nil:
	// none may. CrossOrigin lets it be in one that does not say of whom.
	TopOrigins  []string
	CrossOrigin bool

	// For registrations:
	Algorithms []cose.Algorithm
	AAGUID     ctap2.AAGUID // from getInfo; zero: not known
	// Roots are trusted besides those of the metadata.
	Roots []*x509.Certificate
	// Metadata returns the entry of a model, or nil if there is none; id is an
	// AAGUID, or the identifier of the key of a certificate. Index.Entry of package
	// metadata is one; nil: there is no metadata.
	Metadata func(id string) (*metadata.Entry, error)
	// At is the time at which certificates must be valid; zero: now.
	At time.Time

	// For authentications: the registration that the credential comes from, the user
	// that has it, and the counter of the last assertion. nil and zero: not known.
	Registration *RegistrationResponse
	UserHandle   []byte
	SignCount    uint32
}

func (e Expected) at() time.Time {
	if e.At.IsZero() {
		return time.Now()
	}
	return e.At
}

// A judge collects checks.
type judge struct {
	want   Expected
	checks []Check
}

// hold adds a check that holds if err is nil.
func (j *judge) hold(name string, err error, found string, args ...any) {
	j.checks = append(j.checks, Check{Name: name, Detail: fmt.Sprintf(found, args...), Err: err})
}

// skip adds a check for which there is nothing.
func (j *judge) skip(name, why string, args ...any) {
	j.checks = append(j.checks, Check{Name: name, Detail: fmt.Sprintf(why, args...), NotApplicable: true})
}

// CheckRegistration judges a registration (WebAuthn Level 3, section 7.1).
func CheckRegistration(r *RegistrationResponse, want Expected) []Check {
	checks, _ := judgeRegistration(r, want)
	return checks
}

func judgeRegistration(r *RegistrationResponse, want Expected) ([]Check, *Attestation) {
	credential, data, err := r.Credential()
	if err != nil {
		return []Check{{Name: CheckEncoding, Err: err}}, nil
	}
	parsed, err := parse(r, protocol.ParseCredentialCreationResponseBytes)
	if err != nil {
		return []Check{{Name: CheckEncoding, Err: err}}, nil
	}
	j := &judge{want: want}
	j.clientData(parsed.Response.CollectedClientData, protocol.CreateCeremony)
	j.authenticatorData(data)
	j.hold(CheckCredentialID, failIf(!bytes.Equal(r.RawID, credential.ID) || !bytes.Equal(r.ID, credential.ID), "id and rawId differ from the one that the key signed"),
		"%d bytes", len(credential.ID))
	j.hold(CheckAlgorithm, failIf(!slices.Contains(want.Algorithms, credential.PublicKey.Algorithm), "was not asked for"),
		"%v", credential.PublicKey.Algorithm)
	j.aaguid(credential.AAGUID)
	a := newAttested(r, parsed, credential, data, want)
	verdict := judgeByLibrary(parsed, a, want)
	j.attestation(a, verdict)
	j.library(verdict, a)
	return j.checks, a.describe()
}

// CheckAuthentication judges an assertion (WebAuthn Level 3, section 7.2) with
// the public key of the registration in want. Without one nothing can be said of
// its signature.
func CheckAuthentication(r *AuthenticationResponse, want Expected) []Check {
	data, err := ctap2.ParseAuthenticatorData(r.Response.AuthenticatorData)
	if err != nil {
		return []Check{{Name: CheckEncoding, Err: err}}
	}
	parsed, err := parse(r, protocol.ParseCredentialRequestResponseBytes)
	if err != nil {
		return []Check{{Name: CheckEncoding, Err: err}}
	}
	j := &judge{want: want}
	j.clientData(parsed.Response.CollectedClientData, protocol.AssertCeremony)
	j.authenticatorData(data)
	j.userHandle(r.Response.UserHandle)
	if want.Registration == nil {
		const why = "there is no registration to compare with"
		for _, name := range []string{CheckCredentialID, CheckSignature, CheckCounter, CheckLibrary} {
			j.skip(name, why)
		}
		return j.checks
	}
	credential, registered, err := want.Registration.Credential()
	if err != nil {
		j.hold(CheckRegistered, err, "")
		return j.checks
	}
	j.hold(CheckCredentialID, failIf(!bytes.Equal(r.RawID, credential.ID), "is not the one that was registered"), "%d bytes", len(r.RawID))
	j.signature(CheckSignature, credential.PublicKey, append(slices.Clone(r.Response.AuthenticatorData), Hash(r.Response.ClientDataJSON)...), r.Response.Signature)
	if registered.Flags&ctap2.FlagBE != data.Flags&ctap2.FlagBE {
		j.replace(CheckBackup, errors.New("flag BE is not as it was at registration"))
	}
	j.counter(data.SignCount, max(registered.SignCount, want.SignCount))
	j.hold(CheckLibrary, judgeAssertionByLibrary(parsed, credential, want), "agrees")
	return j.checks
}

// replace makes a check that held fail.
func (j *judge) replace(name string, err error) {
	for i, c := range j.checks {
		if c.Name == name && c.Err == nil {
			j.checks[i].Err = err
		}
	}
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

// clientData judges what the browser vouches for.
func (j *judge) clientData(c protocol.CollectedClientData, ceremony protocol.CeremonyType) {
	j.hold(CheckType, failIf(c.Type != ceremony, fmt.Sprintf("must be %s", ceremony)), "%s", c.Type)
	challenge := base64.RawURLEncoding.EncodeToString(j.want.Challenge)
	j.hold(CheckChallenge, failIf(c.Challenge != challenge, "is not the one that was sent: the answer is to another request"),
		"%d bytes", len(j.want.Challenge))
	j.hold(CheckOrigin, failIf(!protocol.IsOriginInHaystack(c.Origin, []string{j.want.Origin}), "must be "+j.want.Origin), "%s", c.Origin)
	j.crossOrigin(c)
}

func (j *judge) crossOrigin(c protocol.CollectedClientData) {
	switch {
	case !c.CrossOrigin && c.TopOrigin != "":
		j.hold(CheckCrossOrigin, errors.New("topOrigin without crossOrigin"), "topOrigin %s", c.TopOrigin)
	case !c.CrossOrigin:
		j.hold(CheckCrossOrigin, nil, "the page was not in a frame of another origin")
	case !j.want.mayCross():
		j.hold(CheckCrossOrigin, errors.New("that was not allowed"), "the page was in a frame of another origin")
	case c.TopOrigin != "":
		j.hold(CheckCrossOrigin, failIf(!protocol.IsOriginInHaystack(c.TopOrigin, j.want.TopOrigins), "that origin was not allowed"),
			"the page was in a frame of %s", c.TopOrigin)
	default:
		j.hold(CheckCrossOrigin, nil, "the page was in a frame of another origin, which was allowed")
	}
}

func (e Expected) mayCross() bool { return e.CrossOrigin || len(e.TopOrigins) > 0 }

// authenticatorData judges what the key says of itself in both ceremonies.
func (j *judge) authenticatorData(data *ctap2.AuthenticatorData) {
	j.hold(CheckRPIDHash, failIf(data.RPIDHash != sha256.Sum256([]byte(j.want.RPID)), "is the hash of another RP ID"), "%s", j.want.RPID)
	j.hold(CheckUserPresent, failIf(data.Flags&ctap2.FlagUP == 0, "flag UP is not set"), "flag UP")
	if data.Flags&ctap2.FlagUV != 0 {
		j.hold(CheckUserVerified, nil, "flag UV")
	} else {
		j.hold(CheckUserVerified, failIf(j.want.UserVerified, "flag UV is not set"), "no, and not required")
	}
	j.backup(data.Flags)
	if len(data.Extensions) == 0 {
		j.skip(CheckExtensions, "the key answered to none")
		return
	}
	j.hold(CheckExtensions, nil, "the key answered to %s", strings.Join(slices.Sorted(maps.Keys(data.Extensions)), ", "))
}

func (j *judge) backup(flags ctap2.Flags) {
	switch eligible, backedUp := flags&ctap2.FlagBE != 0, flags&ctap2.FlagBS != 0; {
	case backedUp && !eligible:
		j.hold(CheckBackup, errors.New("backed up (BS), though the credential may not be (BE)"), "BS without BE")
	case backedUp:
		j.hold(CheckBackup, nil, "BE and BS: the credential is synchronized or backed up")
	case eligible:
		j.hold(CheckBackup, nil, "BE: the credential may leave the device, and has not")
	default:
		j.hold(CheckBackup, nil, "neither BE nor BS: the credential is bound to the device")
	}
}

// aaguid compares with getInfo. Keys may leave the AAGUID out, with zeroes, where
// nothing attests it.
func (j *judge) aaguid(got ctap2.AAGUID) {
	var none ctap2.AAGUID
	switch {
	case got == none:
		j.hold(CheckAAGUID, nil, "all zero: the key does not name its model here")
	case j.want.AAGUID == none:
		j.skip(CheckAAGUID, "%v; what getInfo says is not known here", got)
	default:
		j.hold(CheckAAGUID, failIf(got != j.want.AAGUID, fmt.Sprintf("getInfo says %v", j.want.AAGUID)), "%v", got)
	}
}

// signature verifies one with a key. What package cose does not know is left to
// the library.
func (j *judge) signature(name string, key cose.Key, message, sig []byte) {
	err := key.Verify(message, sig)
	switch {
	case errors.Is(err, cose.ErrUnsupportedKey):
		j.skip(name, "%v is for go-webauthn to judge", key.Algorithm)
	case err != nil:
		j.hold(name, errors.New("does not verify: what was signed was changed, or signed with another key"), "%v", key.Algorithm)
	default:
		j.hold(name, nil, "%v", key.Algorithm)
	}
}

// userHandle compares it with the user's. Only a key that chose the credential itself
// has to give one.
func (j *judge) userHandle(got []byte) {
	switch {
	case len(got) == 0:
		j.skip(CheckUserHandle, "the key gave none")
	case j.want.UserHandle == nil:
		j.skip(CheckUserHandle, "%d bytes; the user's is not known here", len(got))
	default:
		j.hold(CheckUserHandle, failIf(!bytes.Equal(got, j.want.UserHandle), "is another user's"), "%d bytes", len(got))
	}
}

func (j *judge) counter(now, before uint32) {
	if now == 0 && before == 0 {
		j.skip(CheckCounter, "the key does not count")
		return
	}
	j.hold(CheckCounter, failIf(now <= before, "did not rise: the key may have been copied"), "%d, before %d", now, before)
}

func failIf(bad bool, why string) error {
	if bad {
		return errors.New(why)
	}
	return nil
}
