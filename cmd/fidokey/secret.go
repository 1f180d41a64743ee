package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

const (
	saltSize       = 32 // bytes
	maxInputFile   = 1 << 20
	secretLongHelp = `Print the 32 bytes that a key makes of a salt (hmac-secret, or prf of WebAuthn), for
scripts and disk keys. The same key, credential and salt give the same secret;
without the key nobody has it. Nothing else comes to standard output.

A salt is not secret. It has 32 bytes, in hexadecimal or base64; in a file they may
also be as they are. An input of prf is of any length: WebAuthn makes the salt of
it, so that the secret is the one that a browser gets.

The secret is another one with user verification (PIN or finger) than without.
--uv says which: 'required' is the default, 'discouraged' takes no more than a touch.
Stay with one; the command fails where the key does otherwise than was asked. prf
is always with user verification.

--credential takes the file of 'fidokey secret create' or of 'fidokey register', or a
credential ID as a whole. Without it the key must have one discoverable credential
of the RP ID. The credential must have been made for hmac-secret.`
)

func newSecretCmd(e *env) *cobra.Command {
	var o secretOptions
	cmd := &cobra.Command{
		Use:   "secret --rp RPID",
		Short: "Print a secret that only this key can make (hmac-secret, prf)",
		Long:  secretLongHelp,
		Example: `  fidokey secret create --rp disk.example --credential disk.json
  fidokey secret --rp disk.example --credential disk.json --salt-file disk.salt --raw | cryptsetup open /dev/sdb1 data --key-file=-
  fidokey secret --rp example.com --prf 'backup of the diary' --base64`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.secondGiven = cmd.Flags().Changed("second")
			o.prfGiven = cmd.Flags().Changed("prf")
			return runSecret(cmd.Context(), e, &o)
		},
	}
	o.addFlags(cmd)
	cmd.AddCommand(newSecretCreateCmd(e))
	return cmd
}

// secretOptions are the flags of "secret".
type secretOptions struct {
	rp, credential           string
	salt, saltFile           string
	prf, prfFile             string
	second                   string // in the form of the first
	prfGiven, secondGiven    bool   // they may be empty
	raw, hexadecimal, base64 bool
	userVerification         userVerification
	pin                      pinSource

	allow  []ctap2.Descriptor
	inputs [][]byte // one or two salts, or inputs of prf
}

func (o *secretOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.rp, "rp", "", "the RP ID that the credential was made for")
	cmd.MarkFlagRequired("rp")
	flags.StringVar(&o.credential, "credential", "", "the credential: a file, or an ID")
	flags.StringVar(&o.salt, "salt", "", "the salt: 32 bytes in hexadecimal or base64")
	flags.StringVar(&o.saltFile, "salt-file", "", "read the salt from a file; '-' is standard input")
	flags.StringVar(&o.prf, "prf", "", "the input of WebAuthn's prf: text of any length")
	flags.StringVar(&o.prfFile, "prf-file", "", "read the input of prf from a file, byte for byte; '-' is standard input")
	flags.StringVar(&o.second, "second", "", "another salt or input in the form of the first, for a second secret with the same touch")
	o.userVerification = userVerification(client.Required)
	flags.Var(&o.userVerification, "uv", "required or discouraged: which of the two secrets of a salt")
	flags.BoolVar(&o.hexadecimal, "hex", false, "print hexadecimal, a line for each secret (the default)")
	flags.BoolVar(&o.base64, "base64", false, "print base64, a line for each secret")
	flags.BoolVar(&o.raw, "raw", false, "print the bytes, without a line end")
	cmd.MarkFlagsMutuallyExclusive("hex", "base64", "raw")
	cmd.MarkFlagsMutuallyExclusive("salt", "salt-file", "prf", "prf-file")
	cmd.MarkFlagsOneRequired("salt", "salt-file", "prf", "prf-file")
	o.pin.addFlags(cmd, "pin", "the PIN")
}

func (o *secretOptions) isPRF() bool { return o.prfGiven || o.prfFile != "" }

// check reads the flags and the files that they name.
func (o *secretOptions) check(e *env) (err error) {
	switch {
	case o.rp == "":
		return usageError{errors.New("--rp is empty")}
	case o.userVerification == userVerification(client.Preferred):
		return usageError{errors.New("--uv preferred would give the one secret or the other: choose required or discouraged")}
	case o.isPRF() && o.userVerification == userVerification(client.Discouraged):
		return usageError{errors.New("prf is always with user verification: leave out --uv discouraged, or use --salt")}
	case e.global.json && (o.raw || o.base64):
		return usageError{errors.New("--json has a form of its own: leave out --raw and --base64")}
	case o.pin.stdin && (o.saltFile == "-" || o.prfFile == "-"):
		return usageError{errors.New("standard input cannot have both the PIN and the salt: put one of them in a file")}
	case o.second == "-" && o.secondGiven && (o.saltFile == "-" || o.prfFile == "-"):
		return usageError{errors.New("standard input has one salt only: put one of them in a file")}
	}
	if err := o.readInputs(e); err != nil {
		return err
	}
	o.allow, err = credentialNamed(o.credential)
	return err
}

// readInputs reads the salts or the inputs of prf.
func (o *secretOptions) readInputs(e *env) error {
	var read func(value string) ([]byte, error)
	var first string
	switch {
	case o.salt != "":
		first, read = o.salt, parseSalt
	case o.saltFile != "":
		first, read = o.saltFile, func(path string) ([]byte, error) { return readSalt(e, path) }
	case o.prfFile != "":
		first, read = o.prfFile, func(path string) ([]byte, error) { return readInput(e, path) }
	case o.prfGiven:
		first, read = o.prf, func(text string) ([]byte, error) { return []byte(text), nil }
	default:
		return usageError{errors.New("the salt is empty")}
	}
	values := []string{first}
	if o.secondGiven {
		values = append(values, o.second)
	}
	for _, value := range values {
		input, err := read(value)
		if err != nil {
			return err
		}
		o.inputs = append(o.inputs, input)
	}
	return nil
}

// parseSalt reads a salt in hexadecimal or base64.
func parseSalt(text string) ([]byte, error) {
	for _, reading := range readings(strings.TrimSpace(text)) {
		if len(reading) == saltSize {
			return reading, nil
		}
	}
	return nil, usageError{fmt.Errorf("the salt is not %d bytes in hexadecimal or base64", saltSize)}
}

// readSalt reads a salt from a file: as it is, or in hexadecimal or base64.
func readSalt(e *env, path string) ([]byte, error) {
	data, err := readInput(e, path)
	if err != nil || len(data) == saltSize {
		return data, err
	}
	salt, err := parseSalt(string(data))
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w, nor as they are", path, err)}
	}
	return salt, nil
}

func readInput(e *env, path string) ([]byte, error) {
	in, err := e.openInput(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxInputFile+1))
	if err == nil && len(data) > maxInputFile {
		err = usageError{fmt.Errorf("%s has more than %d bytes", path, maxInputFile)}
	}
	return data, err
}

// credentialNamed returns the credential of a file, or all those that an ID may
// stand for; none for an empty name.
func credentialNamed(name string) ([]ctap2.Descriptor, error) {
	if name == "" {
		return nil, nil
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		registration, err := loadRegistration(name)
		if err != nil {
			return nil, err
		}
		return []ctap2.Descriptor{{ID: registration.RawID, Type: ctap2.PublicKeyType}}, nil
	}
	if list := possibleCredentials(name); list != nil {
		return list, nil
	}
	return nil, usageError{fmt.Errorf("--credential %q: there is no such file, and it is no credential ID", name)}
}

// extensions is what the sign-in asks for.
func (o *secretOptions) extensions() client.AssertionExtensions {
	if !o.isPRF() {
		return client.AssertionExtensions{HMACSecretSalts: o.inputs}
	}
	eval := &client.PRFValues{First: o.inputs[0]}
	if o.secondGiven {
		eval.Second = o.inputs[1]
	}
	return client.AssertionExtensions{PRF: &client.PRF{Eval: eval}}
}

// secretReport is the answer of "secret".
type secretReport struct {
	CredentialID ctap2.Bytes `json:"credentialId"`
	UserVerified bool        `json:"userVerified"`
	Secret       ctap2.Bytes `json:"secret"`
	Second       ctap2.Bytes `json:"second,omitempty"`

	options *secretOptions
}

func (s *secretReport) print(w *printer) {
	for _, secret := range [][]byte{s.Secret, s.Second} {
		switch {
		case secret == nil:
		case s.options.raw:
			w.Write(secret)
		case s.options.base64:
			fmt.Fprintln(w, base64.StdEncoding.EncodeToString(secret))
		default:
			fmt.Fprintln(w, hex.EncodeToString(secret))
		}
	}
}

func runSecret(ctx context.Context, e *env, o *secretOptions) error {
	if err := o.check(e); err != nil {
		return err
	}
	return e.onKey(ctx, e.prompt(&o.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		if err := makesSecrets(ctx, key); err != nil {
			return nil, err
		}
		signed, err := key.Authenticate(ctx, client.Assertion{
			ClientDataHash: webauthn.Hash(nil), RPID: o.rp, Allow: o.allow,
			UserVerification: client.UserVerification(o.userVerification), Extensions: o.extensions(),
		})
		if err != nil {
			return nil, err
		}
		return o.report(signed)
	})
}

// makesSecrets refuses a key without hmac-secret, before anybody touches it.
func makesSecrets(ctx context.Context, key *openedKey) error {
	info, err := key.Info(ctx)
	if err == nil && !slices.Contains(info.Extensions, ctap2.ExtensionHMACSecret) {
		err = fmt.Errorf("%w: %s", client.ErrExtensionUnsupported, ctap2.ExtensionHMACSecret)
	}
	return err
}

// report reads the secrets. It is an error if they are not the ones that were
// asked for: what is locked with another one is lost.
// errNoSecret is what becomes of a credential that any other command has made.
var errNoSecret = errors.New("the key gave no secret: the credential was not made for hmac-secret")

func (o *secretOptions) report(signed []*client.Asserted) (report, error) {
	if len(signed) > 1 {
		lines := []string{"the key has several credentials of " + o.rp + "; choose one with --credential:"}
		for _, a := range signed {
			lines = append(lines, "  "+hex.EncodeToString(a.Credential.ID))
		}
		return nil, usageError{errors.New(strings.Join(lines, "\n"))}
	}
	a := signed[0]
	secrets := a.Extensions.HMACSecretOutputs
	if values := a.Extensions.PRF; values != nil {
		secrets = [][]byte{values.First, values.Second}
	}
	verified := a.Data.Flags&ctap2.FlagUV != 0
	switch required := o.userVerification == userVerification(client.Required); {
	case len(secrets) == 0:
		return nil, errNoSecret
	case verified && !required:
		return nil, verifyError{errors.New("the key verified the user though --uv is discouraged, and the secret is another one then: take --uv required, or turn alwaysUv off")}
	case !verified && required:
		return nil, verifyError{errors.New("the key did not verify the user, and the secret is another one without")}
	}
	r := &secretReport{CredentialID: a.Credential.ID, UserVerified: verified, Secret: secrets[0], options: o}
	if o.secondGiven {
		r.Second = secrets[1]
	}
	return r, nil
}
