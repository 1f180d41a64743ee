package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/u2f"
	"github.com/fidokey/fidokey/webauthn"
)

func newU2FCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "u2f",
		Short: "Register and sign in with the messages of U2F, which came before FIDO2",
		Long: `Register and sign in with the messages of U2F (CTAP1), which came before FIDO2, and
check the signatures. Many keys of today speak it too. 'fidokey register' does so by
itself where a key knows nothing else.`,
		Example: "  fidokey u2f version\n  fidokey u2f register --rp example.com --credential old.json",
	}
	cmd.AddCommand(newU2FVersionCmd(e), newU2FRegisterCmd(e), newU2FAuthenticateCmd(e))
	return cmd
}

// u2fParty is what both messages say of the website.
type u2fParty struct {
	appID, rpID, challengeFile string

	application, challenge [32]byte
}

func (p *u2fParty) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.appID, "app-id", "", "the AppID, as in https://example.com/app-id.json")
	flags.StringVar(&p.rpID, "rp", "", "the RP ID, as in example.com")
	flags.StringVar(&p.challengeFile, "challenge", "", "a file with the client data, of which the SHA-256 is signed (default: 32 random bytes are signed)")
	cmd.MarkFlagsOneRequired("app-id", "rp")
	cmd.MarkFlagsMutuallyExclusive("app-id", "rp")
}

// check reads the flags; it does not reach the key.
func (p *u2fParty) check() error {
	if p.appID == "" {
		if err := checkRPID(p.rpID); err != nil {
			return err
		}
		p.appID = p.rpID // U2F knows the two apart by nothing but their hash
	}
	p.application = sha256.Sum256([]byte(p.appID))
	if p.challengeFile == "" {
		rand.Read(p.challenge[:])
		return nil
	}
	data, err := os.ReadFile(p.challengeFile)
	p.challenge = sha256.Sum256(data)
	return err
}

func newU2FVersionCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Ask a key for its version of U2F",
		Example: "  fidokey u2f version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.onKeys(cmd.Context(), client.Prompt{}, func(ctx context.Context, key *openedKey) (report, error) {
				v, err := key.U2FVersion(ctx)
				if err != nil {
					return nil, noU2F(err)
				}
				return u2fVersion{v.Version}, nil
			})
		},
	}
	addAllFlag(e, cmd)
	return cmd
}

// noU2F says what it means that a key does not know the message.
func noU2F(err error) error {
	if errors.Is(err, transport.ErrUnsupported) {
		return fmt.Errorf("the key does not speak U2F, or not any more: %w", err)
	}
	return err
}

// u2fVersion is the answer of "u2f version".
type u2fVersion struct {
	Version string `json:"version"`
}

func (v u2fVersion) print(w *printer) { w.printf("%s", v.Version) }

func newU2FRegisterCmd(e *env) *cobra.Command {
	var party u2fParty
	var file string
	cmd := &cobra.Command{
		Use:   "register --app-id APPID|--rp RPID",
		Short: "Make a key pair with U2F, and check the key's signature",
		Long: `Make a key pair with U2F after a touch, and check the signature with the certificate
that the key sends. Who issued the certificate is not checked. Nothing of it stays on
the key: what is needed to sign in is in the key handle.`,
		Example: "  fidokey u2f register --app-id https://example.com/app-id.json --credential old.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(party.check(), refuseOldFile("--credential", file)); err != nil {
				return err
			}
			return e.onKey(cmd.Context(), e.prompt(nil, nil), func(ctx context.Context, key *openedKey) (report, error) {
				return registerU2F(ctx, key, &party, file)
			})
		},
	}
	party.addFlags(cmd)
	cmd.Flags().StringVar(&file, "credential", "", "save the key handle and the public key in this new file")
	return cmd
}

// u2fCredential is what a website keeps of a registration, and the file that
// "u2f register" saves.
type u2fCredential struct {
	AppID     string             `json:"appId"`
	KeyHandle webauthn.Base64URL `json:"keyHandle"`
	PublicKey webauthn.Base64URL `json:"publicKey"` // uncompressed point
}

// u2fRegistration is the answer of "u2f register".
type u2fRegistration struct {
	u2fCredential
	Challenge   webauthn.Base64URL `json:"challenge"` // as signed: a SHA-256
	Certificate webauthn.Base64URL `json:"certificate"`
	Signature   webauthn.Base64URL `json:"signature"`
	Verified    bool               `json:"verified"`

	file string
}

func (r u2fRegistration) print(w *printer) {
	w.line("AppID", "%s", r.AppID)
	w.line("Key handle", "%v", r.KeyHandle)
	w.line("Public key", "%s", hex.EncodeToString(r.PublicKey))
	w.line("Signature", "%s", verdict(r.Verified))
	if r.file != "" {
		w.line("Saved in", "%s", r.file)
	}
}

func verdict(verified bool) string {
	if verified {
		return "verified"
	}
	return "DOES NOT VERIFY"
}

func registerU2F(ctx context.Context, key *openedKey, p *u2fParty, file string) (report, error) {
	request := u2f.Register{Challenge: p.challenge, Application: p.application}
	made, err := key.U2FRegister(ctx, request)
	if err != nil {
		return nil, noU2F(err)
	}
	r := u2fRegistration{
		u2fCredential: u2fCredential{p.appID, made.KeyHandle, made.PublicKey},
		Challenge:     p.challenge[:], Certificate: made.Certificate, Signature: made.Signature, file: file,
	}
	invalid := request.Verify(made)
	r.Verified = invalid == nil
	if invalid != nil {
		return r, verifyError{invalid}
	}
	if file == "" {
		return r, nil
	}
	if err := writeNewJSON(file, r.u2fCredential); err != nil {
		return r, fmt.Errorf("the key pair was made, but could not be saved: %w", err)
	}
	return r, nil
}

type u2fAuthenticateOptions struct {
	party                 u2fParty
	credential, keyHandle string
	checkOnly             bool
}

func newU2FAuthenticateCmd(e *env) *cobra.Command {
	var o u2fAuthenticateOptions
	cmd := &cobra.Command{
		Use:   "authenticate --app-id APPID|--rp RPID --credential FILE|--key-handle FILE",
		Short: "Sign with U2F, and check the signature",
		Long: `Sign with a key pair that U2F has made, after a touch, and check the signature with
the public key in the file that 'fidokey u2f register' saved. With --key-handle, which
is a file with nothing but the key handle, in bytes, hexadecimal or base64, there is no
public key to check it with.

--check-only asks whether the key handle is this key's own; nothing is signed, and no
touch is needed.`,
		Example: "  fidokey u2f authenticate --app-id https://example.com/app-id.json --credential old.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.party.check(); err != nil {
				return err
			}
			credential, err := o.load()
			if err != nil {
				return err
			}
			return e.onKey(cmd.Context(), e.prompt(nil, nil), func(ctx context.Context, key *openedKey) (report, error) {
				return e.authenticateU2F(ctx, key, &o, credential)
			})
		},
	}
	o.party.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.credential, "credential", "", "the file that 'fidokey u2f register' saved")
	flags.StringVar(&o.keyHandle, "key-handle", "", "a file with the key handle")
	flags.BoolVar(&o.checkOnly, "check-only", false, "ask whether the key handle is this key's own, and sign nothing")
	cmd.MarkFlagsOneRequired("credential", "key-handle")
	cmd.MarkFlagsMutuallyExclusive("credential", "key-handle")
	return cmd
}

// load reads the file with the key handle.
func (o *u2fAuthenticateOptions) load() (c u2fCredential, err error) {
	if o.keyHandle != "" {
		c.KeyHandle, err = readKeyHandle(o.keyHandle)
		return c, err
	}
	text, err := os.ReadFile(o.credential)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil || len(c.KeyHandle) == 0 || len(c.KeyHandle) > u2f.MaxKeyHandle {
		return c, usageError{errors.Join(fmt.Errorf("%s is not what 'fidokey u2f register' saves", o.credential), err)}
	}
	if c.AppID != o.party.appID {
		return c, usageError{fmt.Errorf("the key handle in %s is for %q; it does not work for %q", o.credential, c.AppID, o.party.appID)}
	}
	return c, nil
}

// readKeyHandle takes text for hexadecimal or base64, and anything else for the
// key handle itself.
func readKeyHandle(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	handle := data
	if all := readings(string(bytes.TrimSpace(data))); len(all) > 0 {
		handle = all[0]
	}
	if len(handle) == 0 || len(handle) > u2f.MaxKeyHandle {
		return nil, usageError{fmt.Errorf("%s: a key handle has 1 to %d bytes, and this one %d", file, u2f.MaxKeyHandle, len(handle))}
	}
	return handle, nil
}

// u2fAssertion is the answer of "u2f authenticate".
type u2fAssertion struct {
	AppID        string             `json:"appId"`
	Challenge    webauthn.Base64URL `json:"challenge"` // as signed: a SHA-256
	UserPresence bool               `json:"userPresence"`
	Counter      uint32             `json:"counter"`
	Signature    webauthn.Base64URL `json:"signature"`
	Verified     *bool              `json:"verified,omitempty"` // absent without a public key
}

func (a u2fAssertion) print(w *printer) {
	w.line("AppID", "%s", a.AppID)
	w.line("Touched", "%t", a.UserPresence)
	w.line("Counter", "%d", a.Counter)
	if a.Verified == nil {
		w.line("Signature", "not checked, for the public key is not known")
		return
	}
	w.line("Signature", "%s", verdict(*a.Verified))
}

func (e *env) authenticateU2F(ctx context.Context, key *openedKey, o *u2fAuthenticateOptions, c u2fCredential) (report, error) {
	request := u2f.Authenticate{Control: u2f.EnforcePresence, Challenge: o.party.challenge, Application: o.party.application, KeyHandle: c.KeyHandle}
	if o.checkOnly {
		request.Control = u2f.CheckOnly
		_, err := key.U2FAuthenticate(ctx, request)
		if err == nil || errors.Is(err, u2f.ErrConditionsNotSatisfied) { // the specification's yes
			return done{"The key handle is this key's own."}, nil
		}
		return nil, noU2F(err)
	}
	signed, err := key.U2FAuthenticate(ctx, request)
	if err != nil {
		return nil, noU2F(err)
	}
	a := u2fAssertion{o.party.appID, o.party.challenge[:], signed.UserPresence&1 != 0, signed.Counter, signed.Signature, nil}
	if c.PublicKey == nil {
		return a, nil
	}
	invalid := request.Verify(signed, c.PublicKey)
	a.Verified = new(invalid == nil)
	if invalid != nil {
		return a, verifyError{invalid}
	}
	return a, nil
}
