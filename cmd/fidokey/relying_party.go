package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/webauthn"
)

// relyingParty are the flags that register and authenticate share.
type relyingParty struct {
	id, origin       string
	userVerification userVerification
	credential       string // file
	pin              pinSource
	explain          bool
}

func (r *relyingParty) addFlags(cmd *cobra.Command, credential string) {
	flags := cmd.Flags()
	flags.StringVar(&r.id, "rp", "", "the RP ID, as in login.microsoft.com")
	cmd.MarkFlagRequired("rp")
	flags.StringVar(&r.origin, "origin", "", "the origin in the client data (default: https:// and the RP ID)")
	flags.Var(&r.userVerification, "user-verification", "required, preferred or discouraged")
	flags.StringVar(&r.credential, "credential", "", credential)
	r.pin.addFlags(cmd, "pin", "the PIN")
	flags.BoolVar(&r.explain, "explain", false, "show every check of the answer, and the certificates")
}

// check refuses what no browser would send, before anything reaches the key.
func (r *relyingParty) check() error {
	if err := checkRPID(r.id); err != nil {
		return err
	}
	if r.origin == "" {
		r.origin = "https://" + r.id
	}
	u, err := url.Parse(r.origin)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return usageError{fmt.Errorf("--origin %q is not an origin: scheme, host and perhaps a port, as in https://login.microsoft.com", r.origin)}
	}
	if host := u.Hostname(); host != r.id && !strings.HasSuffix(host, "."+r.id) {
		return usageError{fmt.Errorf("--origin %s may not use the RP ID %s: it must be the origin's host or a suffix of it", r.origin, r.id)}
	}
	return nil
}

// checkRPID is for the flag --rp.
func checkRPID(id string) error {
	if id == "" || strings.ContainsAny(id, "/: ") || id != strings.ToLower(id) {
		return usageError{fmt.Errorf("--rp %q is not an RP ID: it is a host name in lower case, as in login.microsoft.com", id)}
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

// request returns fresh client data as a browser makes it, and what is in it.
func (r *relyingParty) request(kind string) (clientDataJSON []byte, asked request) {
	challenge := make([]byte, 32)
	rand.Read(challenge)
	return webauthn.ClientData{Type: kind, Challenge: challenge, Origin: r.origin}.JSON(),
		request{Challenge: challenge, RPID: r.id, Origin: r.origin, UserVerification: r.userVerification}
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
