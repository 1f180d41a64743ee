package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
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
	options          string // file
	topOrigins       []string
	algorithms       []string
	root, at         string
	metadata         metadataFlags

	verificationGiven bool
	asked             askedFor
}

func newVerifyCmd(e *env) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Judge a saved registration or assertion as a relying party would",
		Long: `Judge a saved registration or assertion as a relying party would, without a key,
and explain each check.

FILE is what 'fidokey register' or 'fidokey authenticate' saved or printed with
--json, or any RegistrationResponseJSON or AuthenticationResponseJSON of WebAuthn;
'-' is standard input. An assertion needs the registration that its credential
comes from: --registration.

What was asked for is given by flags, by --options with the options that the server
had sent, or by the request that our own files have. The rest is taken from the
response itself; the answer says so, for then it proves nothing.

Who stands behind an attestation is judged by the stored metadata ('fidokey metadata
update'), or by --metadata FILE, and by --root. Where neither knows a root for it,
the chain does not count as failed. Certificates must be valid now, or --at the
time of the registration.

The last check is the verdict of another program's library, go-webauthn, on the
whole. The exit code is 7 if any check fails.`,
		Example: `  fidokey verify alice.json --rp example.com --origin https://example.com
  fidokey verify signed.json --registration alice.json
  fidokey verify response.json --options creation.json --root maker.pem`,
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
	flags.StringVar(&o.options, "options", "", "a file with the options that the server had sent, as JSON")
	flags.StringSliceVar(&o.topOrigins, "top-origin", nil, "an origin whose page may have the relying party's in a frame; may be repeated")
	flags.StringSliceVar(&o.algorithms, "algorithm", nil, "the algorithms that were asked for")
	flags.StringVar(&o.root, "root", "", "a file with root certificates (PEM) that are trusted for attestation, too")
	flags.StringVar(&o.metadata.source, "metadata", "", "the metadata BLOB to judge by: a file, or 'cache' for the stored one, which must be there then")
	flags.StringVar(&o.metadata.root, "metadata-root", "", "a file with the root certificates (PEM) of the BLOB in --metadata FILE, instead of the FIDO Alliance's")
	flags.StringVar(&o.at, "at", "", "the day on which certificates must be valid, as in 2026-01-31 (default: now)")
	return cmd
}

// verifyReport is the answer of "verify".
type verifyReport struct {
	Type         string             `json:"type"` // registration or assertion
	CredentialID webauthn.Base64URL `json:"credentialId"`
	Verified     bool               `json:"verified"`
	Request      request            `json:"request"`
	// Assumed names what was compared with itself.
	Assumed []string `json:"assumed"`
	explanation
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
	if a := r.Attestation; a != nil {
		w.line("Model", "%s", modelName(a.AAGUID))
		w.line("AAGUID", "%v", a.AAGUID)
	}
	r.explanation.print(w)
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
	if err := o.readOptions(e, saved.assertions != nil); err != nil {
		return err
	}
	r := &verifyReport{Type: "registration", Assumed: []string{}}
	if saved.assertions != nil {
		r.Type = "assertion"
		err = o.assertion(r, saved)
	} else {
		err = o.ofRegistration(e, r, saved)
	}
	if err != nil {
		return err
	}
	r.all = true
	failed := r.Checks.failed(r.Type)
	r.Verified = failed == nil
	return errors.Join(e.say(nil, r), failed)
}

// ofRegistration judges a registration.
func (o *verifyOptions) ofRegistration(e *env, r *verifyReport, saved *savedResponse) error {
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
	if err := o.attestation(&expected); err != nil {
		return err
	}
	if expected.Metadata, err = o.metadata.entries(e); err != nil {
		return err
	}
	if expected.Algorithms == nil {
		expected.Algorithms = []cose.Algorithm{credential.PublicKey.Algorithm}
		r.Assumed = append(r.Assumed, "algorithm")
	}
	expected.AAGUID = credential.AAGUID
	r.Assumed = append(r.Assumed, "AAGUID")
	r.explanation = explainRegistration(saved.registration, expected)
	return nil
}

// attestation reads the flags that are for registrations only.
func (o *verifyOptions) attestation(want *webauthn.Expected) (err error) {
	want.TopOrigins, want.Algorithms = o.topOrigins, o.asked.algorithms
	for _, name := range o.algorithms {
		algorithm, err := cose.ParseAlgorithm(name)
		if err != nil {
			return usageError{fmt.Errorf("--algorithm: %w", err)}
		}
		want.Algorithms = append(want.Algorithms, algorithm)
	}
	if o.at != "" {
		if want.At, err = time.Parse(time.DateOnly, o.at); err != nil {
			return usageError{fmt.Errorf("--at %q is not a day, as in 2026-01-31", o.at)}
		}
	}
	want.Roots, err = readRoots("--root", o.root)
	return err
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
	if err := o.onlyForRegistrations(); err != nil {
		return err
	}
	if err := o.request(r, saved.Request, response.Response.ClientDataJSON, data); err != nil {
		return err
	}
	expected := r.Request.expectedOfAssertion()
	expected.Registration, expected.TopOrigins = registration, o.topOrigins
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
	o.asked.fill(&r.Request)
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

// onlyForRegistrations refuses flags that say nothing of an assertion.
func (o *verifyOptions) onlyForRegistrations() error {
	if o.root != "" || o.at != "" || len(o.algorithms) > 0 || o.metadata != (metadataFlags{}) {
		return usageError{errors.New("this is an assertion: --root, --metadata, --metadata-root, --algorithm and --at are for registrations")}
	}
	return nil
}

// askedFor is what --options says.
type askedFor struct {
	challenge    webauthn.Base64URL
	rpID, appID  string
	algorithms   []cose.Algorithm
	verification *userVerification
}

// readOptions reads --options: those of a registration or of an assertion.
func (o *verifyOptions) readOptions(e *env, assertion bool) error {
	if o.options == "" {
		return nil
	}
	text, err := e.readFile(o.options)
	if err != nil {
		return err
	}
	var word string
	if assertion {
		word, err = o.asked.request(text)
	} else {
		word, err = o.asked.creation(text)
	}
	if err != nil {
		return usageError{fmt.Errorf("%s has no options as a server sends them: %w", o.options, notAsExpected(err))}
	}
	o.asked.verification = new(userVerification)
	if o.asked.verification.Set(word) != nil { // absent, or a word that is not known: preferred
		*o.asked.verification = userVerification(client.Preferred)
	}
	if o.appID == "" {
		o.appID = o.asked.appID
	}
	return nil
}

func (a *askedFor) creation(text []byte) (userVerification string, err error) {
	options, err := webauthn.ParseCreationOptions(text)
	if err != nil {
		return "", err
	}
	a.challenge, a.rpID = options.Challenge, options.RP.ID
	for _, p := range options.PubKeyCredParams {
		a.algorithms = append(a.algorithms, p.Algorithm)
	}
	if len(a.algorithms) == 0 { // WebAuthn Level 3, section 5.1.3, step 10
		a.algorithms = []cose.Algorithm{cose.ES256, cose.RS256}
	}
	return options.AuthenticatorSelection.UserVerification, nil
}

func (a *askedFor) request(text []byte) (userVerification string, err error) {
	options, err := webauthn.ParseRequestOptions(text)
	if err != nil {
		return "", err
	}
	a.challenge, a.rpID = options.Challenge, options.RPID
	if options.Extensions.AppID != nil {
		a.appID = *options.Extensions.AppID
	}
	return options.UserVerification, nil
}

// fill puts it into a request.
func (a *askedFor) fill(r *request) {
	if a.verification == nil {
		return
	}
	r.Challenge, r.UserVerification = a.challenge, *a.verification
	if a.rpID != "" {
		r.RPID = a.rpID
	}
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
	var posted struct{ PublicKeyCredential json.RawMessage } // as it goes to Microsoft Graph
	if json.Unmarshal(text, &posted) == nil && posted.PublicKeyCredential != nil {
		text = posted.PublicKeyCredential
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
		err := json.Unmarshal(text, saved.registration)
		complete(&saved.registration.RawID, saved.registration.ID, &saved.registration.Type)
		return saved, err
	case kind.Response.Signature != nil:
		a := new(webauthn.AuthenticationResponse)
		saved.assertions = []*webauthn.AuthenticationResponse{a}
		err := json.Unmarshal(text, a)
		complete(&a.RawID, a.ID, &a.Type)
		return saved, err
	}
	return nil, errors.New("neither a RegistrationResponseJSON nor an AuthenticationResponseJSON")
}

// complete fills in what some servers do not ask for.
func complete(rawID *webauthn.Base64URL, id webauthn.Base64URL, kind *string) {
	if *rawID == nil {
		*rawID = id
	}
	if *kind == "" {
		*kind = ctap2.PublicKeyType
	}
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
