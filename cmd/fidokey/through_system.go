package main

import (
	"context"
	"errors"
	"fmt"
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
	"rp", "origin", "user-verification", "credential", "explain",
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
	if o.attestation == attestationEnterprise {
		return usageError{errors.New("--attestation enterprise does not go through Windows: run the command as an administrator")}
	}
	return e.throughSystem(cmd, fmt.Sprintf("register %s at %s", o.user, o.rp.id), "authenticatorMakeCredential", []string{"hmac-secret"}, func(p platform) (report, error) {
		clientDataJSON, asked := o.rp.request(webauthn.TypeCreate)
		made, err := p.MakeCredential(cmd.Context(), o.systemRegistration(e, clientDataJSON))
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
		registered := &client.Registered{
			MakeCredentialResponse: answer, Data: data,
			Extensions: client.RegistrationOutputs{Others: data.Extensions},
		}
		// Nobody says what the key's AAGUID should be.
		return e.registered(o, asked, clientDataJSON, registered, made.Transports, data.Credential.AAGUID)
	})
}

func (o *registerOptions) systemRegistration(e *env, clientDataJSON []byte) *winwebauthn.Registration {
	r := &winwebauthn.Registration{
		ClientDataJSON: clientDataJSON,
		RPID:           o.rp.id, RPName: o.rp.id,
		UserID: o.parsedUserID, User: o.user, DisplayName: o.displayName,
		RequireResident: o.discoverable == "required", PreferResident: o.discoverable == "preferred",
		UserVerification: systemVerification[client.UserVerification(o.rp.userVerification)],
		Attestation:      winwebauthn.AttestationDirect,
		Timeout:          e.global.timeout,
		HMACSecret:       o.extensions.HMACSecret,
		CredProtect:      uint32(o.extensions.CredProtect), EnforceCredProtect: o.extensions.EnforceCredProtect,
	}
	if o.attestation == attestationNone {
		r.Attestation = winwebauthn.AttestationNone
	}
	for _, p := range o.parameters {
		r.Algorithms = append(r.Algorithms, int32(p.Algorithm))
	}
	for _, d := range o.excluded {
		r.Exclude = append(r.Exclude, d.ID)
	}
	return r
}

func (e *env) authenticateThroughSystem(cmd *cobra.Command, o *authenticateOptions) error {
	return e.throughSystem(cmd, "sign in at "+o.rp.id, "authenticatorGetAssertion", nil, func(p platform) (report, error) {
		clientDataJSON, asked := o.rp.request(webauthn.TypeGet)
		a := &winwebauthn.Assertion{
			ClientDataJSON: clientDataJSON, RPID: o.rp.id,
			UserVerification: systemVerification[client.UserVerification(o.rp.userVerification)],
			Timeout:          e.global.timeout,
		}
		for _, d := range descriptors(o.registrations) {
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
		return e.authenticated(cmd.Context(), o, asked, clientDataJSON, []*client.Asserted{asserted})
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
