package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

type verifyOptions struct {
	registration     string // file
	challenge        string
	origin, rpID     string
	appID            string
	userVerification userVerification

	verificationGiven bool
}

func newVerifyCmd(e *env) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Judge a saved registration or assertion as a relying party would",
		Long: `Judge a saved registration or assertion as a relying party would, without a key.

FILE is what 'fidokey register' or 'fidokey authenticate' saved or printed with
--json, or any RegistrationResponseJSON or AuthenticationResponseJSON of WebAuthn;
'-' is standard input. An assertion needs the registration that its credential
comes from: --registration.

What is not given by a flag, nor by the request that our own files have, is taken
from the response itself; the answer says so, for then it proves nothing. The
signature of an attestation statement is checked, not who stands behind it.`,
		Example: `  fidokey verify alice.json --rp example.com --origin https://example.com
  fidokey verify signed.json --registration alice.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.verificationGiven = cmd.Flags().Changed("user-verification")
			return runVerify(e, &o, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.registration, "registration", "", "the saved registration of the credential that signed an assertion")
	flags.StringVar(&o.challenge, "challenge", "", "the challenge that was sent, in hexadecimal or base64")
	flags.StringVar(&o.origin, "origin", "", "the origin that the client data must name")
	flags.StringVar(&o.rpID, "rp", "", "the RP ID that the key must have answered for")
	flags.StringVar(&o.appID, "app-id", "", "the U2F AppID that an assertion may be for instead")
	flags.Var(&o.userVerification, "user-verification", "required, preferred or discouraged")
	return cmd
}

// verifyReport is the answer of "verify".
type verifyReport struct {
	Type         string             `json:"type"` // registration or assertion
	CredentialID webauthn.Base64URL `json:"credentialId"`
	Verified     bool               `json:"verified"`
	Request      request            `json:"request"`
	// Assumed names what was compared with itself.
	Assumed []string  `json:"assumed"`
	Checks  judgement `json:"checks"`
}

func (r *verifyReport) print(w *printer) {
	verdict := "checks out"
	if !r.Verified {
		verdict = "does not check out"
	}
	w.printf("The %s %s.", r.Type, verdict)
	w.printf("")
	w.line("Credential ID", "%v", r.CredentialID)
	w.line("RP ID", "%s", r.Request.RPID)
	w.line("Origin", "%s", r.Request.Origin)
	if len(r.Assumed) > 0 {
		w.line("Not proven", "%s: taken from the response itself", strings.Join(r.Assumed, ", "))
	}
	r.Checks.print(w)
}

func runVerify(e *env, o *verifyOptions, file string) error {
	text, err := e.readFile(file)
	if err != nil {
		return err
	}
	saved, err := parseSaved(resultOf(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	r := &verifyReport{Type: "registration", Assumed: []string{}}
	if saved.assertions != nil {
		r.Type = "assertion"
		err = o.assertion(r, saved)
	} else {
		err = o.ofRegistration(r, saved)
	}
	if err != nil {
		return err
	}
	failed := r.Checks.failed(r.Type)
	r.Verified = failed == nil
	return errors.Join(e.say(nil, r), failed)
}

// ofRegistration judges a registration.
func (o *verifyOptions) ofRegistration(r *verifyReport, saved *savedResponse) error {
	if o.registration != "" || o.appID != "" {
		return usageError{errors.New("this is a registration: --registration and --app-id are for assertions")}
	}
	credential, data, err := saved.registration.Credential()
	if err != nil {
		return err
	}
	r.CredentialID = saved.registration.RawID
	if err := o.request(r, saved.Request, saved.registration.Response.ClientDataJSON, data); err != nil {
		return err
	}
	expected := r.Request.expected()
	expected.Algorithms, expected.AAGUID = []cose.Algorithm{credential.PublicKey.Algorithm}, credential.AAGUID
	r.Assumed = append(r.Assumed, "algorithm", "AAGUID")
	r.Checks = webauthn.CheckRegistration(saved.registration, expected)
	return nil
}

// assertion judges an assertion with the public key of its registration.
func (o *verifyOptions) assertion(r *verifyReport, saved *savedResponse) error {
	if o.registration == "" {
		return usageError{errors.New("this is an assertion, which is signed with the key of a registration: give that with --registration FILE")}
	}
	registration, err := loadRegistration(o.registration)
	if err != nil {
		return err
	}
	response := saved.of(registration)
	data, err := ctap2.ParseAuthenticatorData(response.Response.AuthenticatorData)
	if err != nil {
		return err
	}
	r.CredentialID = response.RawID
	if err := o.request(r, saved.Request, response.Response.ClientDataJSON, data); err != nil {
		return err
	}
	expected := r.Request.expectedOfAssertion()
	expected.Registration = registration
	r.Checks = webauthn.CheckAuthentication(response, expected)
	return nil
}

// request finds what was asked for: by the flags, by the file's request, or, for
// want of better, by the response.
func (o *verifyOptions) request(r *verifyReport, saved *request, clientDataJSON []byte, data *ctap2.AuthenticatorData) error {
	if saved != nil {
		r.Request = *saved
	}
	var said struct {
		Challenge webauthn.Base64URL
		Origin    string
	}
	if err := json.Unmarshal(clientDataJSON, &said); err != nil {
		return verifyError{fmt.Errorf("the client data are no JSON: %w", err)}
	}
	if o.challenge != "" {
		given := readings(o.challenge)
		if given == nil {
			return usageError{fmt.Errorf("--challenge %q is neither hexadecimal nor base64", o.challenge)}
		}
		r.Request.Challenge = likeliest(given, said.Challenge)
	}
	if o.origin != "" {
		r.Request.Origin = o.origin
	}
	if o.rpID != "" {
		r.Request.RPID = o.rpID
	}
	if o.verificationGiven {
		r.Request.UserVerification = o.userVerification
	}
	if o.appID != "" && data.RPIDHash == sha256.Sum256([]byte(o.appID)) {
		r.Request.AppID = o.appID
	}
	if len(r.Request.Challenge) == 0 {
		r.Request.Challenge, r.Assumed = said.Challenge, append(r.Assumed, "challenge")
	}
	if r.Request.Origin == "" {
		r.Request.Origin, r.Assumed = said.Origin, append(r.Assumed, "origin")
	}
	if r.Request.RPID == "" {
		r.Request.RPID, r.Assumed = rpIDOf(r.Request.Origin, data.RPIDHash), append(r.Assumed, "RP ID")
	}
	return nil
}

// likeliest returns the reading that is the wanted one, if any is: a text may be
// both hexadecimal and base64.
func likeliest(readings [][]byte, wanted []byte) []byte {
	for _, b := range readings {
		if string(b) == string(wanted) {
			return b
		}
	}
	return readings[0]
}

// rpIDOf returns the RP ID with a hash that an origin may use: its host, or what
// is left of that without the first labels. Without one it is the host, which will
// not check out.
func rpIDOf(origin string, hash [32]byte) string {
	u, err := url.Parse(origin)
	if err != nil {
		return origin
	}
	for id := u.Hostname(); id != ""; _, id, _ = strings.Cut(id, ".") {
		if sha256.Sum256([]byte(id)) == hash {
			return id
		}
	}
	return u.Hostname()
}

// A savedResponse is a response in a file: one registration, or assertions.
type savedResponse struct {
	Request      *request
	registration *webauthn.RegistrationResponse
	assertions   []*webauthn.AuthenticationResponse
}

// parseSaved reads what is in a file.
func parseSaved(text []byte) (*savedResponse, error) {
	var kind struct {
		Request  *request
		Response struct {
			AttestationObject, Signature *string
		}
		Assertions []*webauthn.AuthenticationResponse
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return nil, fmt.Errorf("not the JSON of a response: %w", notAsExpected(err))
	}
	saved := &savedResponse{Request: kind.Request}
	switch {
	case len(kind.Assertions) > 0:
		saved.assertions = kind.Assertions
		return saved, nil
	case kind.Response.AttestationObject != nil:
		saved.registration = new(webauthn.RegistrationResponse)
		return saved, json.Unmarshal(text, saved.registration)
	case kind.Response.Signature != nil:
		saved.assertions = []*webauthn.AuthenticationResponse{new(webauthn.AuthenticationResponse)}
		return saved, json.Unmarshal(text, saved.assertions[0])
	}
	return nil, errors.New("neither a RegistrationResponseJSON nor an AuthenticationResponseJSON")
}

// of returns the assertion of the credential that was registered, or the first,
// which will not check out.
func (s *savedResponse) of(registration *webauthn.RegistrationResponse) *webauthn.AuthenticationResponse {
	for _, a := range s.assertions {
		if string(a.RawID) == string(registration.RawID) {
			return a
		}
	}
	return s.assertions[0]
}
