package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/webauthn"
)

// relyingParty are the flags that register and authenticate share.
type relyingParty struct {
	options           string // file
	origin            string
	relatedOrigins    string // file, or fetchRelatedOrigins
	insecureLocalhost bool
	userVerification  userVerification
	credential        string // file
	pin               pinSource
	explain           bool
}

// fetchRelatedOrigins is the word of --related-origins that is no file.
const fetchRelatedOrigins = "fetch"

func (r *relyingParty) addFlags(cmd *cobra.Command, credential string) {
	flags := cmd.Flags()
	flags.StringVar(&r.options, "options", "", "ask for what this file has, the JSON that a server sends to its page; '-' is standard input")
	flags.StringVar(&r.origin, "origin", "", "the origin in the client data (default: https:// and the RP ID)")
	flags.StringVar(&r.relatedOrigins, "related-origins", "", "a file with the RP ID's .well-known/webauthn, which names other origins that may use it; 'fetch' gets it by HTTPS")
	flags.BoolVar(&r.insecureLocalhost, "insecure-localhost", false, "take an origin http://localhost, as browsers do")
	flags.Var(&r.userVerification, "user-verification", "required, preferred or discouraged")
	flags.StringVar(&r.credential, "credential", "", credential)
	r.pin.addFlags(cmd, "pin", "the PIN")
	flags.BoolVar(&r.explain, "explain", false, "show every check of the answer, and the certificates")
}

// client is the browser, on a page of the relying party unless --origin names
// another.
func (r *relyingParty) client(rpID string) (*webauthn.Client, error) {
	c := &webauthn.Client{Origin: r.origin, InsecureLocalhost: r.insecureLocalhost}
	if c.Origin == "" {
		if rpID == "" {
			return nil, usageError{errors.New("the options name no RP ID: say with --origin which page they are for")}
		}
		c.Origin = "https://" + rpID
	}
	switch r.relatedOrigins {
	case "":
	case fetchRelatedOrigins:
		c.RelatedOrigins = webauthn.FetchRelatedOrigins(nil)
	default:
		document, err := os.ReadFile(r.relatedOrigins)
		if err != nil {
			return nil, err
		}
		c.RelatedOrigins = func(context.Context, string) ([]byte, error) { return document, nil }
	}
	return c, nil
}

// onceFromStdin refuses files and a PIN that are all on standard input.
func (r *relyingParty) onceFromStdin(files ...string) error {
	if r.pin.stdin && slices.Contains(files, "-") {
		return usageError{errors.New("--pin-stdin: standard input is a file already ('-'); give the PIN in another way")}
	}
	return nil
}

// contradicts returns an error for flags that say themselves what --options or
// --preset says; with is that one.
func contradicts(cmd *cobra.Command, with string, flags []string) error {
	var given []string
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if given == nil {
		return nil
	}
	return usageError{fmt.Errorf("%s says what is asked for: it does not go with %s", with, strings.Join(given, ", "))}
}

// without returns the words of a list that are not in the other.
func without(list []string, others ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(word string) bool { return slices.Contains(others, word) })
}

// readOptions reads the file of --options.
func readOptions[T any](e *env, file string, parse func([]byte) (*T, error)) (*T, error) {
	text, err := e.readFile(file)
	if err != nil {
		return nil, err
	}
	options, err := parse(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s has no options as a server sends them: %w", file, notAsExpected(err))}
	}
	return options, nil
}

// waitAs takes over the time that the relying party gives, as a browser does, if
// nobody has said otherwise.
func (e *env) waitAs(cmd *cobra.Command, lifetime time.Duration) {
	if !cmd.Flags().Changed("timeout") {
		e.global.timeout = lifetime
	}
}

func newChallenge() []byte {
	challenge := make([]byte, 32)
	rand.Read(challenge)
	return challenge
}

// checkRPID is for the flag --rp.
func checkRPID(id string) error {
	if err := webauthn.CheckRPID(id); err != nil {
		return usageError{fmt.Errorf("--rp %w", err)}
	}
	return nil
}

// A request is what the relying party asked for, as far as its checks need it.
type request struct {
	Challenge        webauthn.Base64URL `json:"challenge"`
	RPID             string             `json:"rpId"`
	Origin           string             `json:"origin"`
	UserVerification userVerification   `json:"userVerification"`
	AppID            string             `json:"appid,omitempty"` // if the answer is for that instead of the RP ID
}

// ofCreation and ofSignIn are what was asked for, as the client has sent it.
func ofCreation(c *webauthn.Creation) request {
	return request{Challenge: c.Challenge, RPID: c.RPID, Origin: c.Origin, UserVerification: userVerification(c.UserVerification())}
}

func ofSignIn(r *webauthn.Request) request {
	return request{Challenge: r.Challenge, RPID: r.RPID, Origin: r.Origin, UserVerification: userVerification(r.UserVerification())}
}

// expected is what the checks compare with.
func (r request) expected() webauthn.Expected {
	return webauthn.Expected{
		Challenge: r.Challenge, Origin: r.Origin, RPID: r.RPID,
		UserVerified: r.UserVerification == userVerification(client.Required), Metadata: storedEntries(),
	}
}

// userVerification is the flag's value.
type userVerification client.UserVerification

var userVerificationNames = map[string]client.UserVerification{
	"required": client.Required, "preferred": client.Preferred, "discouraged": client.Discouraged,
}

func (u *userVerification) Set(s string) error {
	value, ok := userVerificationNames[s]
	if !ok {
		return errors.New("must be required, preferred or discouraged")
	}
	*u = userVerification(value)
	return nil
}

func (u *userVerification) String() string {
	for name, value := range userVerificationNames {
		if value == client.UserVerification(*u) {
			return name
		}
	}
	return ""
}

func (*userVerification) Type() string { return "requirement" }

// MarshalText and UnmarshalText are for JSON.
func (u userVerification) MarshalText() ([]byte, error)     { return []byte(u.String()), nil }
func (u *userVerification) UnmarshalText(text []byte) error { return u.Set(string(text)) }

// oneOf is the value of a flag that takes one of a few words.
type oneOf struct {
	word  *string
	words []string
}

func (o oneOf) Set(s string) error {
	if !slices.Contains(o.words, s) {
		last := len(o.words) - 1
		return fmt.Errorf("must be %s or %s", strings.Join(o.words[:last], ", "), o.words[last])
	}
	*o.word = s
	return nil
}

func (o oneOf) String() string {
	if o.word == nil { // cobra asks a zero value for the default
		return ""
	}
	return *o.word
}

func (oneOf) Type() string { return "word" }

const (
	entraRPID  = "login.microsoft.com"
	onlineRPID = "login.microsoftonline.com"
)

// noteEntra tells two RP IDs apart that are often mixed up.
func (e *env) noteEntra(rpID string) {
	switch rpID {
	case onlineRPID:
		e.note("Note: real Microsoft Entra passkeys live under the RP ID %s. A credential for %s proves that the key works, but Entra sign-in does not find it.", entraRPID, onlineRPID)
	case entraRPID:
		e.note("Note: %s is the RP ID of real Microsoft Entra passkeys. This one is a test: Entra does not know it, but the key may offer it at sign-in. It is not found under %s.", entraRPID, onlineRPID)
	}
}

// noteNotSent tells what was asked for and is not on this key.
func (e *env) noteNotSent(extensions []string) {
	if len(extensions) > 0 {
		e.note("Not asked of the key, for it does not have it: %s", strings.Join(extensions, ", "))
	}
}

// dryRunOn reports what would be asked of the key, which is only asked what it is.
func dryRunOn(ctx context.Context, key *openedKey, what string) (report, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	return dry("Would %s on %s.", what, modelName(info.AAGUID)), nil
}
