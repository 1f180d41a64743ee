package client

import (
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/transport"
)

// ErrMayBeDone is wrapped by the error of a command that changes something on the
// key, was sent, and had no answer that tells whether it was done: none, or one that
// cannot be read. The text says what may have been.
var ErrMayBeDone = errors.New("it may have been done all the same")

// mayBeDone is an error after which something may be otherwise on the key.
type mayBeDone struct {
	what string
	err  error
}

func (e *mayBeDone) Error() string   { return fmt.Sprintf("%v; %s all the same", e.err, e.what) }
func (e *mayBeDone) Unwrap() []error { return []error{e.err, ErrMayBeDone} }

// Misread is for ctap2, which finds out that an answer cannot be read.
func (*watched) Misread(msg []byte, err error) error { return unanswered(msg, err) }

// misread is the same for what a flow finds out of the answer to req.
func misread[R any](req ctap2.Request[R], err error) error {
	if !errors.Is(err, ctap2.ErrMalformed) || errors.Is(err, ErrMayBeDone) {
		return err
	}
	msg, encoding := ctap2.Encode(req)
	if encoding != nil {
		return errors.Join(err, encoding)
	}
	return unanswered(msg, err)
}

// unanswered adds to the error for a message without a good answer what it may have done.
func unanswered(msg []byte, err error) error {
	if errors.Is(err, transport.ErrNotDone) || errors.Is(err, transport.ErrBusy) {
		return err
	}
	if what := effect(msg); what != "" {
		return &mayBeDone{what, err}
	}
	return err
}

const (
	blobMayBeWritten  = "the large blob may have been written"
	fingerMayBeStored = "the fingerprint may have been stored"
)

// effects are what commands change on the key, by their subcommands.
var effects = map[ctap2.Command]struct {
	member int // which has the subcommand
	by     map[uint64]string
}{
	ctap2.CommandClientPIN: {2, map[uint64]string{
		uint64(ctap2.SetPIN):    "the PIN may have been set",
		uint64(ctap2.ChangePIN): "the PIN may have been changed",
	}},
	ctap2.CommandBioEnrollment:               {2, bioEffects},
	ctap2.CommandBioEnrollmentPreview:        {2, bioEffects},
	ctap2.CommandCredentialManagement:        {1, credentialEffects},
	ctap2.CommandCredentialManagementPreview: {1, credentialEffects},
}

var bioEffects = map[uint64]string{
	uint64(ctap2.EnrollCaptureNextSample): fingerMayBeStored,
	uint64(ctap2.SetFriendlyName):         "the fingerprint may have been named",
	uint64(ctap2.RemoveEnrollment):        "the fingerprint may have been removed",
}

var credentialEffects = map[uint64]string{
	uint64(ctap2.DeleteCredential):      "the credential may have been deleted",
	uint64(ctap2.UpdateUserInformation): "the user's names may have been changed",
}

// effect words what a message changes on the key; it is empty if that is nothing.
func effect(msg []byte) string {
	if len(msg) == 0 {
		return ""
	}
	command, params := ctap2.Command(msg[0]), map[int]any{}
	if len(msg) > 1 {
		_ = ctapcbor.Unmarshal(msg[1:], &params) // what is no map changes nothing
	}
	switch command {
	case ctap2.CommandReset:
		return "the key may have been reset"
	case ctap2.CommandConfig:
		return "the setting may have been changed"
	case ctap2.CommandLargeBlobs:
		if params[2] != nil { // set
			return "the large blobs may have been written"
		}
	case ctap2.CommandMakeCredential:
		if rp, _ := params[2].(map[any]any); rp["id"] != selectRPID {
			return "the credential may have been made"
		}
	case ctap2.CommandGetAssertion:
		extensions, _ := params[4].(map[any]any)
		if blob, _ := extensions[ctap2.ExtensionLargeBlob].(map[any]any); blob["write"] != nil {
			return blobMayBeWritten
		}
	}
	sub, _ := params[effects[command].member].(uint64)
	return effects[command].by[sub]
}
