package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
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
}

func (r *relyingParty) addFlags(cmd *cobra.Command, credential string) {
	flags := cmd.Flags()
	flags.StringVar(&r.id, "rp", "", "the RP ID, as in login.microsoft.com")
	cmd.MarkFlagRequired("rp")
	flags.StringVar(&r.origin, "origin", "", "the origin in the client data (default: https:// and the RP ID)")
	flags.Var(&r.userVerification, "user-verification", "required, preferred or discouraged")
	flags.StringVar(&r.credential, "credential", "", credential)
	r.pin.addFlags(cmd, "pin", "the PIN")
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

// clientData returns fresh client data as a browser makes it, and its challenge.
func (r *relyingParty) clientData(kind string) (json, challenge []byte) {
	challenge = make([]byte, 32)
	rand.Read(challenge)
	return webauthn.ClientData{Type: kind, Challenge: challenge, Origin: r.origin}.JSON(), challenge
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

// printChecks writes the verdict of a relying party, line by line.
func printChecks(w io.Writer, checks []webauthn.Check) {
	for _, c := range checks {
		verdict, detail := "ok", c.Detail
		if c.Err != nil {
			verdict = "FAIL"
			detail = strings.TrimPrefix(detail+": "+c.Err.Error(), ": ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", verdict, c.Name, detail)
	}
}

const (
	entraRPID  = "login.microsoft.com"
	onlineRPID = "login.microsoftonline.com"
)

// entraNote tells two RP IDs apart that are often mixed up; it is empty for any
// other.
func entraNote(rpID string) string {
	switch rpID {
	case onlineRPID:
		return "Note: real Microsoft Entra passkeys live under the RP ID " + entraRPID + ". A credential for\n" +
			onlineRPID + " proves that the key works, but Entra sign-in does not find it."
	case entraRPID:
		return "Note: " + entraRPID + " is the RP ID of real Microsoft Entra passkeys. This one is a test:\n" +
			"Entra does not know it, but the key may offer it at sign-in. It is not found under " + onlineRPID + "."
	}
	return ""
}
