package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/transport"
)

// CredProtect is the level of the extension credProtect (CTAP 2.1, section
// 12.1): when a credential shows itself.
type CredProtect uint

const (
	UserVerificationOptional                     CredProtect = 1
	UserVerificationOptionalWithCredentialIDList CredProtect = 2
	UserVerificationRequired                     CredProtect = 3
)

// String returns the specification's name.
func (c CredProtect) String() string {
	switch c {
	case UserVerificationOptional:
		return "userVerificationOptional"
	case UserVerificationOptionalWithCredentialIDList:
		return "userVerificationOptionalWithCredentialIDList"
	case UserVerificationRequired:
		return "userVerificationRequired"
	}
	return fmt.Sprintf("credProtect %d", uint(c))
}

// LargeBlobSupport is how much a registration asks for room for a large blob
// (WebAuthn Level 3, section 10.1.5). The zero value does not ask.
type LargeBlobSupport string

const (
	LargeBlobPreferred LargeBlobSupport = "preferred"
	LargeBlobRequired  LargeBlobSupport = "required"
)

// RegistrationExtensions are what a registration asks of the key beyond the
// credential. The zero value asks for nothing. What the key does not list in
// getInfo is not sent, and is named in RegistrationOutputs.NotSent.
type RegistrationExtensions struct {
	CredProtect CredProtect // 0: the key's default
	// EnforceCredProtect makes it an error that the key does not list
	// credProtect, unless the level is the lowest.
	EnforceCredProtect  bool
	CredBlob            []byte // to be stored, at most maxCredBlobLength bytes
	MinPINLength        bool
	PINComplexityPolicy bool
	// HMACSecret prepares the credential for hmac-secret. HMACSecretSalts, one or
	// two of 32 bytes, yield outputs at once, from keys that list hmac-secret-mc.
	HMACSecret      bool
	HMACSecretSalts [][]byte
	// PRF is WebAuthn's way to hmac-secret. Eval is evaluated by keys that list
	// hmac-secret-mc and verify the user; EvalByCredential is not for
	// registrations.
	PRF               *PRF
	CredProps         bool
	LargeBlob         LargeBlobSupport // needs a discoverable credential
	ThirdPartyPayment bool
	UVM               bool
	// Others are sent as they are.
	Others ctap2.Extensions
}

// RegistrationOutputs are what came of [RegistrationExtensions]. What the key
// does not speak of is nil.
type RegistrationOutputs struct {
	CredProtect         CredProtect // 0: not told
	CredBlob            *bool       // stored
	MinPINLength        *uint       // Unicode code points
	PINComplexityPolicy *bool
	HMACSecret          *bool
	HMACSecretOutputs   [][]byte // of 32 bytes, one for each salt; secret
	PRF                 *PRFOutputs
	CredProps           *CredProps
	LargeBlob           *bool // supported for this credential
	UVM                 []UVM
	// Others are the signed outputs that have no field here, or could not be
	// read into it. Unsigned ones are in UnsignedExtensionOutputs.
	Others ctap2.Extensions
	// NotSent names what was asked for and does not exist on this key.
	NotSent []string
}

// CredProps is the output of WebAuthn's credProps. RK is nil where it is not
// known whether the credential is discoverable: keys of CTAP 2.0 may make every
// one so.
type CredProps struct{ RK *bool }

// A UVM is one way in which the user was verified, in numbers of the FIDO
// registry of predefined values.
type UVM struct {
	_                      struct{} `cbor:",toarray"`
	UserVerificationMethod uint
	KeyProtectionType      uint
	MatcherProtectionType  uint
}

// AssertionExtensions are what a sign-in asks of the key beyond the signature,
// as [RegistrationExtensions].
type AssertionExtensions struct {
	CredBlob bool
	// HMACSecretSalts are one or two of 32 bytes. The same salt gives another
	// output when the user was verified than when not, so a caller must ask for
	// one of them, with Required or Discouraged, and stay with it (CTAP 2.1,
	// section 12.5).
	HMACSecretSalts [][]byte
	// PRF is WebAuthn's way to hmac-secret. It makes user verification required.
	PRF *PRF
	// ReadLargeBlob, or WriteLargeBlob with an allow list, reaches the blob of the
	// credential, wherever the key stores it. A WriteLargeBlob that is empty but
	// not nil stores an empty blob.
	ReadLargeBlob     bool
	WriteLargeBlob    []byte
	ThirdPartyPayment bool
	UVM               bool
	Others            ctap2.Extensions
}

// AssertionOutputs are what came of [AssertionExtensions], as
// [RegistrationOutputs].
type AssertionOutputs struct {
	CredBlob          []byte   // empty, not nil: there is none
	HMACSecretOutputs [][]byte // of 32 bytes, one for each salt; secret
	PRF               *PRFValues
	LargeBlob         *LargeBlobResult
	ThirdPartyPayment *bool
	UVM               []UVM
	Others            ctap2.Extensions
	NotSent           []string
}

// LargeBlobResult is what came of reading or writing a large blob.
type LargeBlobResult struct {
	Blob    []byte // nil: none is stored
	Written bool
	// Err says why a blob could not be read or written. The assertion is good all
	// the same.
	Err error
}

// ErrExtensionUnsupported is returned for an extension that is required and that
// the key does not have. Nothing was sent.
var ErrExtensionUnsupported = errors.New("the key does not support an extension that is required")

func listsExtension(info *ctap2.GetInfoResponse, id string) bool {
	return slices.Contains(info.Extensions, id)
}

// inputs are the extensions of a request: those that the key lists. Some keys
// refuse a request with others, as they should not.
type inputs struct {
	info    *ctap2.GetInfoResponse
	sent    ctap2.Extensions
	notSent []string
	err     error
}

// add takes the input v if it is asked for.
func (in *inputs) add(asked bool, id string, v any) {
	switch {
	case !asked:
	case !listsExtension(in.info, id):
		in.notSent = append(in.notSent, id)
	default:
		in.err = errors.Join(in.err, in.sent.Set(id, v))
	}
}

// others adds inputs that are CBOR already. Typed ones win.
func (in *inputs) others(others ctap2.Extensions) {
	for _, id := range slices.Sorted(maps.Keys(others)) {
		if _, typed := in.sent[id]; !typed {
			in.add(true, id, others[id])
		}
	}
}

// forRegistration collects the inputs, except for hmac-secret-mc, which takes an
// exchange with the key first.
func (in *inputs) forRegistration(e *RegistrationExtensions, discoverable bool) error {
	enforced := e.EnforceCredProtect && e.CredProtect > UserVerificationOptional
	if enforced && !listsExtension(in.info, ctap2.ExtensionCredProtect) {
		return fmt.Errorf("%w: %s", ErrExtensionUnsupported, ctap2.ExtensionCredProtect)
	}
	in.add(e.CredProtect != 0, ctap2.ExtensionCredProtect, e.CredProtect)
	in.add(e.CredBlob != nil, ctap2.ExtensionCredBlob, e.CredBlob)
	in.add(e.MinPINLength, ctap2.ExtensionMinPINLength, true)
	in.add(e.PINComplexityPolicy, ctap2.ExtensionPINComplexityPolicy, true)
	in.add(e.HMACSecret || e.PRF != nil || e.HMACSecretSalts != nil, ctap2.ExtensionHMACSecret, true)
	in.add(e.ThirdPartyPayment, ctap2.ExtensionThirdPartyPayment, true)
	in.add(e.UVM, ctap2.ExtensionUVM, true)
	if e.LargeBlob != "" {
		if err := in.largeBlobSupport(e.LargeBlob, discoverable); err != nil {
			return err
		}
	}
	in.others(e.Others)
	return in.err
}

// largeBlobSupport asks for room in the way that the key has (CTAP 2.1, section
// 12.3; CTAP 2.3, section 12.4). Both want a discoverable credential and refuse
// others.
func (in *inputs) largeBlobSupport(support LargeBlobSupport, discoverable bool) error {
	way := largeBlobWay(in.info)
	possible := way != "" && discoverable
	switch {
	case !possible && support == LargeBlobRequired && way != "":
		return fmt.Errorf("%w: a large blob needs a discoverable credential", ErrExtensionUnsupported)
	case !possible && support == LargeBlobRequired:
		return fmt.Errorf("%w: %s", ErrExtensionUnsupported, ctap2.ExtensionLargeBlob)
	case !possible:
		in.notSent = append(in.notSent, ctap2.ExtensionLargeBlob)
	case way == ctap2.ExtensionLargeBlob:
		in.add(true, way, ctap2.LargeBlobSupport{Support: string(support)})
	default:
		in.add(true, way, true)
	}
	return nil
}

// largeBlobWay returns the extension by which a key gives access to large blobs,
// or "".
func largeBlobWay(info *ctap2.GetInfoResponse) string {
	if listsExtension(info, ctap2.ExtensionLargeBlob) {
		return ctap2.ExtensionLargeBlob
	}
	if array, _ := info.Option(ctap2.OptionLargeBlobs); array && listsExtension(info, ctap2.ExtensionLargeBlobKey) {
		return ctap2.ExtensionLargeBlobKey
	}
	return ""
}

// forAssertion collects the inputs, except for hmac-secret, which takes an
// exchange with the key first.
func (in *inputs) forAssertion(e *AssertionExtensions) error {
	in.add(e.CredBlob, ctap2.ExtensionCredBlob, true)
	in.add(e.ThirdPartyPayment, ctap2.ExtensionThirdPartyPayment, true)
	in.add(e.UVM, ctap2.ExtensionUVM, true)
	if e.ReadLargeBlob || e.WriteLargeBlob != nil {
		if err := in.largeBlobAccess(e); err != nil {
			return err
		}
	}
	in.others(e.Others)
	return in.err
}

func (in *inputs) largeBlobAccess(e *AssertionExtensions) error {
	switch way := largeBlobWay(in.info); {
	case way == "":
		in.notSent = append(in.notSent, ctap2.ExtensionLargeBlob)
	case way == ctap2.ExtensionLargeBlobKey:
		in.add(true, way, true)
	case e.WriteLargeBlob == nil:
		in.add(true, way, ctap2.LargeBlobInput{Read: true})
	default:
		compressed, err := deflate(e.WriteLargeBlob)
		if err != nil {
			return err
		}
		in.add(true, way, ctap2.LargeBlobInput{Write: compressed, OriginalSize: new(uint(len(e.WriteLargeBlob)))})
	}
	return nil
}

// outputs reads the outputs of one answer. A credential was made, or an assertion
// signed, so one that cannot be read is no error of the flow.
type outputs struct {
	ctx     context.Context
	command ctap2.Command
	others  ctap2.Extensions
}

func newOutputs(ctx context.Context, command ctap2.Command, signed ctap2.Extensions) *outputs {
	return &outputs{ctx, command, maps.Clone(signed)}
}

// read moves the output of an extension into v, and reports whether it could.
func (out *outputs) read(id string, v any) bool {
	ok, err := out.others.Get(id, v)
	if err != nil {
		out.tolerate(id, err)
	}
	if ok {
		delete(out.others, id)
	}
	return ok
}

func (out *outputs) tolerate(id string, err error) {
	transport.Tolerate(out.ctx, ctap2.Finding{
		What: fmt.Sprintf("output of extension %s: %v", id, err), Where: out.command.String(), Raw: out.others[id],
	})
}

// optionalOutput reads an output of which it matters whether it is there.
func optionalOutput[T any](out *outputs, id string) *T {
	var v T
	if !out.read(id, &v) {
		return nil
	}
	return &v
}

// secrets decrypts the outputs for n salts.
func (out *outputs) secrets(id string, secret *pin.Secret, n int) [][]byte {
	if secret == nil {
		return nil
	}
	raw := out.others[id]
	var encrypted []byte
	if !out.read(id, &encrypted) {
		return nil
	}
	opened, err := openSecrets(secret, encrypted, n)
	if err != nil {
		out.others[id] = raw
		out.tolerate(id, err)
	}
	return opened
}
