package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/webauthn"
)

// prfFlags are the inputs of WebAuthn's prf.
type prfFlags struct{ texts, files []string }

func (p *prfFlags) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&p.texts, "prf", nil, "evaluate prf for a text; twice: for two of them")
	flags.StringArrayVar(&p.files, "prf-file", nil, "evaluate prf for what is in a file; twice: for two of them")
	cmd.MarkFlagsMutuallyExclusive("prf", "prf-file")
}

// input returns nil where prf is not asked for.
func (p *prfFlags) input() (*webauthn.PRFInputs, error) {
	var inputs [][]byte
	for _, text := range p.texts {
		inputs = append(inputs, []byte(text))
	}
	for _, file := range p.files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, text)
	}
	switch len(inputs) {
	case 0:
		return nil, nil
	case 1:
		return &webauthn.PRFInputs{Eval: &webauthn.PRFValues{First: inputs[0]}}, nil
	case 2:
		return &webauthn.PRFInputs{Eval: &webauthn.PRFValues{First: inputs[0], Second: inputs[1]}}, nil
	}
	return nil, usageError{fmt.Errorf("prf takes one or two inputs, not %d", len(inputs))}
}

// registrationExtensions are the flags of the extensions of a registration.
type registrationExtensions struct {
	credProtect, credBlob, largeBlob string
	prf                              prfFlags
	webauthn.ExtensionInputs
}

func (x *registrationExtensions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&x.credProtect, "cred-protect", "", "when the credential shows itself: 1 always, 2 without user verification only to who names it, 3 with user verification only")
	flags.BoolVar(&x.EnforceCredentialProtectionPolicy, "enforce", false, "make nothing on a key that has no --cred-protect")
	flags.StringVar(&x.credBlob, "cred-blob", "", "store what is in a file, some 32 bytes, with the credential")
	flags.BoolVar(&x.CredProps, "cred-props", false, "ask whether the credential became discoverable")
	flags.BoolVar(&x.HMACCreateSecret, "hmac-secret", false, "prepare the credential for 'authenticate --hmac-secret'")
	x.prf.addFlags(cmd)
	flags.Var(oneOf{&x.largeBlob, []string{"required", "preferred"}}, "large-blob", "make room for a large blob: required or preferred")
	flags.BoolVar(&x.MinPINLength, "min-pin-length", false, "ask for the minimum PIN length, which the key tells to chosen RP IDs")
	flags.BoolVar(&x.PINComplexityPolicy, "pin-complexity-policy", false, "ask whether the key has rules for PINs, which it tells to chosen RP IDs")
	flags.BoolVar(&x.ThirdPartyPayment, "third-party-payment", false, "allow payments that others start")
	flags.BoolVar(&x.UVM, "uvm", false, "ask how the user was verified")
}

// credProtectLevels has the numbers and the names of the specification.
var credProtectLevels = []client.CredProtect{
	client.UserVerificationOptional, client.UserVerificationOptionalWithCredentialIDList, client.UserVerificationRequired,
}

// check reads the flags and files.
func (x *registrationExtensions) check() (err error) {
	for _, level := range credProtectLevels {
		if x.credProtect == strconv.Itoa(int(level)) || strings.EqualFold(x.credProtect, level.String()) {
			x.CredentialProtectionPolicy = level.String()
		}
	}
	switch {
	case x.credProtect != "" && x.CredentialProtectionPolicy == "":
		return usageError{fmt.Errorf("--cred-protect %q is not 1, 2 or 3, nor the specification's name of one", x.credProtect)}
	case x.EnforceCredentialProtectionPolicy && x.CredentialProtectionPolicy == "":
		return usageError{errors.New("--enforce is for --cred-protect")}
	}
	if x.credBlob != "" {
		if x.CredBlob, err = os.ReadFile(x.credBlob); err != nil {
			return err
		}
	}
	if x.largeBlob != "" {
		x.LargeBlob = &webauthn.LargeBlobInputs{Support: &x.largeBlob}
	}
	x.PRF, err = x.prf.input()
	return err
}

// assertionExtensions are the flags of the extensions of a sign-in.
type assertionExtensions struct {
	salts                       []string
	readLargeBlob, newLargeBlob string // files
	prf                         prfFlags
	webauthn.ExtensionInputs
}

func (x *assertionExtensions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&x.GetCredBlob, "cred-blob", false, "ask for the blob that --cred-blob of 'fidokey register' stored")
	flags.StringArrayVar(&x.salts, "hmac-secret", nil, "ask for the secret of a salt: 32 bytes in hexadecimal or base64; twice: for two of them")
	x.prf.addFlags(cmd)
	flags.StringVar(&x.readLargeBlob, "large-blob-read", "", "save the credential's large blob in this new file")
	flags.StringVar(&x.newLargeBlob, "large-blob-write", "", "store what is in this file as the credential's large blob")
	cmd.MarkFlagsMutuallyExclusive("large-blob-read", "large-blob-write")
	flags.BoolVar(&x.ThirdPartyPayment, "third-party-payment", false, "ask whether the credential is for payments that others start")
	flags.BoolVar(&x.UVM, "uvm", false, "ask how the user was verified")
}

// check reads the flags and files. named means that the credential is named.
func (x *assertionExtensions) check(verification client.UserVerification, named bool) (err error) {
	if len(x.salts) > 0 && verification == client.Preferred {
		return usageError{errors.New("--hmac-secret needs --user-verification required or discouraged: the secrets of the two are not the same")}
	}
	if err := x.readSalts(); err != nil {
		return err
	}
	if x.newLargeBlob != "" {
		if !named {
			return usageError{errors.New("--large-blob-write needs --credential or --allow: whose blob it is")}
		}
		blob, err := os.ReadFile(x.newLargeBlob)
		if err != nil {
			return err
		}
		x.LargeBlob = &webauthn.LargeBlobInputs{Write: append(webauthn.Base64URL{}, blob...)}
	}
	if x.readLargeBlob != "" {
		x.LargeBlob = &webauthn.LargeBlobInputs{Read: new(true)}
	}
	x.PRF, err = x.prf.input()
	return err
}

// readSalts reads the salts of --hmac-secret.
func (x *assertionExtensions) readSalts() error {
	if len(x.salts) == 0 {
		return nil
	}
	if len(x.salts) > 2 {
		return usageError{fmt.Errorf("--hmac-secret takes one or two salts, not %d", len(x.salts))}
	}
	var salts [2]webauthn.Base64URL
	for i, text := range x.salts {
		if salts[i] = saltIn(text); salts[i] == nil {
			return usageError{fmt.Errorf("--hmac-secret %q is not 32 bytes in hexadecimal or base64", text)}
		}
	}
	x.HMACGetSecret = &webauthn.HMACSecretSalts{Salt1: salts[0], Salt2: salts[1]}
	return nil
}

// saltIn reads the 32 bytes of a salt; nil if they are not there.
func saltIn(text string) []byte {
	const size = 32 // CTAP 2.1, section 12.5
	for _, b := range readings(text) {
		if len(b) == size {
			return b
		}
	}
	return nil
}
