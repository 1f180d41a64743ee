package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/winwebauthn"
	"github.com/fidokey/fidokey/webauthn"
)

// A platform is the system's own WebAuthn, which reaches keys that it keeps from
// programs. It asks the person for the PIN and the touch itself.
type platform interface {
	MakeCredential(context.Context, *winwebauthn.Registration) (*winwebauthn.Attestation, error)
	GetAssertion(context.Context, *winwebauthn.Assertion) (*winwebauthn.Signed, error)
}

func openPlatform() (platform, error) { return winwebauthn.Open() }

// keysAreKept reports whether the system keeps keys from this program.
func keysAreKept() bool { return runtime.GOOS == "windows" && !isElevated() }

const (
	systemFlag = "windows-webauthn"

	systemHelp = `On Windows without administrator rights this goes through Windows, which asks for
the PIN and the touch itself; so it does with --windows-webauthn. Extensions, but
for --cred-protect and --hmac-secret of 'register', and --device do not go that way.`

	// keptHint says how to go on without the right to open a key.
	keptHint = "Windows gives security keys to administrators only. 'fidokey register' and 'fidokey authenticate' work all the same: they go through Windows. " +
		"For everything else start the terminal with 'Run as administrator'; the PIN is also in Settings > Accounts > Sign-in options."
)

// systemPlace is the device of an answer that came through the system.
var systemPlace = deviceInfo{Path: "webauthn.dll", Product: "the key that Windows asked"}

// systemChoice is the flag of commands that may go through the system.
type systemChoice struct{ wanted bool }

func (s *systemChoice) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.wanted, systemFlag, false, "go through Windows even if this program could open the key")
}

// chosen reports whether the command goes through the system: because of the flag,
// or because no other way leads to a key that is not named.
func (s *systemChoice) chosen(e *env) bool {
	if s.wanted || !e.keysKept || e.global.device != "" {
		return s.wanted
	}
	_, err := e.platform()
	return err == nil // Windows before version 1903 has none, and keeps no keys
}

// systemTimeout is the default where the time includes that of typing a PIN.
const systemTimeout = 2 * time.Minute

// systemFlags are those that have a meaning for the system, or none for any key.
var systemFlags = []string{
	systemFlag, "json", "events", "timeout", "dry-run",
	"rp", "origin", "user-verification", "credential", "explain", "options", "preset", "related-origins", "insecure-localhost", "yes",
	"user", "display-name", "user-id", "algorithm", "discoverable", "no-discoverable", "exclude", "attestation", "cred-protect", "enforce",
	"allow", "response", "pick", "first",
}

// throughSystem carries out a command, or says why it cannot go that way before
// anybody is asked.
func (e *env) throughSystem(cmd *cobra.Command, what, command string, also []string, do func(p platform) (report, error)) error {
	if err := fitsSystem(cmd, also); err != nil {
		return err
	}
	if e.dryRun {
		return e.say(&systemPlace, dry("Would %s through Windows.", what))
	}
	p, err := e.platform()
	if err != nil {
		return usageError{fmt.Errorf("--%s: %w", systemFlag, err)}
	}
	if !cmd.Flags().Changed("timeout") {
		e.global.timeout = systemTimeout
	}
	e.wait("Windows asks the key: follow its window...", eventTouch, map[string]any{"command": command})
	r, err := do(p)
	if r != nil {
		err = errors.Join(e.say(&systemPlace, r), err)
	}
	return err
}

// fitsSystem returns an error for flags that would have no effect.
func fitsSystem(cmd *cobra.Command, also []string) error {
	var others []string
	pin := false
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains(systemFlags, f.Name) && !slices.Contains(also, f.Name) {
			others = append(others, "--"+f.Name)
			pin = pin || strings.HasPrefix(f.Name, "pin-")
		}
	})
	switch {
	case others == nil:
		return nil
	case pin:
		return usageError{fmt.Errorf("it is Windows that asks for the PIN: run the command without %s, or as an administrator", strings.Join(others, ", "))}
	}
	return usageError{fmt.Errorf("%s does not go through Windows: run the command without it, or as an administrator and without --%s", strings.Join(others, ", "), systemFlag)}
}

// systemVerification has the numbers of Windows.
var systemVerification = map[client.UserVerification]uint32{
	client.Required:    winwebauthn.VerificationRequired,
	client.Preferred:   winwebauthn.VerificationPreferred,
	client.Discouraged: winwebauthn.VerificationDiscouraged,
}

func (e *env) registerThroughSystem(cmd *cobra.Command, o *registerOptions) error {
	c := o.creations[0]
	switch {
	case c.Attestation == webauthn.AttestationEnterprise:
		return usageError{errors.New("--attestation enterprise does not go through Windows: run the command as an administrator")}
	case o.batch.wanted:
		return usageError{errors.New("several registrations do not go through Windows: run the command as an administrator")}
	}
	return e.throughSystem(cmd, fmt.Sprintf("register %s at %s", c.User.Name, c.RPID), "authenticatorMakeCredential", []string{"hmac-secret"}, func(p platform) (report, error) {
		request, err := systemRegistration(e, c)
		if err != nil {
			return nil, err
		}
		made, err := p.MakeCredential(cmd.Context(), request)
		if err != nil {
			return nil, err
		}
		answer, err := webauthn.ParseAttestationObject(made.Object)
		if err != nil {
			return nil, err
		}
		data, err := ctap2.ParseAuthenticatorData(answer.AuthData)
		if err != nil {
			return nil, err
		}
		if data.Credential == nil {
			return nil, fmt.Errorf("%w: authenticator data without a credential", ctap2.ErrMalformed)
		}
		c.AppID = "" // nobody has looked for credentials of that
		registered := &client.Registered{
			MakeCredentialResponse: answer, Data: data,
			Extensions: client.RegistrationOutputs{Others: data.Extensions, NotSent: notForSystem(c.Extensions, "credentialProtectionPolicy", "enforceCredentialProtectionPolicy", "hmacCreateSecret")},
		}
		// Nobody says what the key's AAGUID should be.
		r, err := judgeRegistration(c, registered, made.Transports, data.Credential.AAGUID)
		if err != nil {
			return nil, err
		}
		return r, e.registered(o, r)
	})
}

// notForSystem names the extensions of a server's options that do not go through
// the system. Those of flags are refused before.
func notForSystem(asked webauthn.ExtensionInputs, sent ...string) (names []string) {
	var members map[string]json.RawMessage
	if text, err := json.Marshal(asked); err == nil && json.Unmarshal(text, &members) == nil {
		names = without(slices.Sorted(maps.Keys(members)), sent...)
	}
	return names
}

func systemRegistration(e *env, c *webauthn.Creation) (*winwebauthn.Registration, error) {
	asked, err := c.Registration(&ctap2.GetInfoResponse{}) // nobody tells what the key can do
	if err != nil {
		return nil, err
	}
	r := &winwebauthn.Registration{
		ClientDataJSON: c.ClientDataJSON,
		RPID:           c.RPID, RPName: c.RP.Name,
		UserID: c.User.ID, User: c.User.Name, DisplayName: c.User.DisplayName,
		RequireResident: asked.Discoverable, PreferResident: residentKey(c) == "preferred",
		UserVerification: systemVerification[c.UserVerification()],
		Attestation:      winwebauthn.AttestationDirect,
		Timeout:          e.global.timeout,
		HMACSecret:       asked.Extensions.HMACSecret,
		CredProtect:      uint32(asked.Extensions.CredProtect), EnforceCredProtect: asked.Extensions.EnforceCredProtect,
	}
	if c.Attestation == webauthn.AttestationNone || c.Attestation == "" {
		r.Attestation = winwebauthn.AttestationNone
	}
	for _, algorithm := range c.Algorithms() {
		r.Algorithms = append(r.Algorithms, int32(algorithm))
	}
	for _, d := range asked.Exclude {
		r.Exclude = append(r.Exclude, d.ID)
	}
	return r, nil
}

func (e *env) authenticateThroughSystem(cmd *cobra.Command, o *authenticateOptions) error {
	asked := o.request.Assertion()
	return e.throughSystem(cmd, "sign in at "+asked.RPID, "authenticatorGetAssertion", nil, func(p platform) (report, error) {
		a := &winwebauthn.Assertion{
			ClientDataJSON: o.request.ClientDataJSON, RPID: asked.RPID,
			UserVerification: systemVerification[asked.UserVerification],
			Timeout:          e.global.timeout,
		}
		for _, d := range asked.Allow {
			a.Allow = append(a.Allow, d.ID)
		}
		signed, err := p.GetAssertion(cmd.Context(), a)
		if err != nil {
			return nil, err
		}
		asserted, err := assertedBySystem(signed)
		if err != nil {
			return nil, err
		}
		asserted.Extensions.NotSent = notForSystem(o.request.Extensions)
		return e.authenticated(cmd.Context(), o, []*client.Asserted{asserted})
	})
}

// assertedBySystem puts an assertion into the form in which keys answer.
func assertedBySystem(s *winwebauthn.Signed) (*client.Asserted, error) {
	data, err := ctap2.ParseAuthenticatorData(s.AuthenticatorData)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ctap2.ErrMalformed, err)
	}
	answer := &ctap2.GetAssertionResponse{
		Credential: &ctap2.Descriptor{ID: s.CredentialID, Type: ctap2.PublicKeyType},
		AuthData:   s.AuthenticatorData, Signature: s.Signature,
	}
	if len(s.UserID) > 0 {
		answer.User = &ctap2.User{ID: s.UserID}
	}
	return &client.Asserted{
		GetAssertionResponse: answer, Data: data,
		Extensions: client.AssertionOutputs{Others: data.Extensions},
	}, nil
}
