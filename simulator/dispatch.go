package simulator

import (
	"context"
	"errors"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// A call is one command on its way through the authenticator.
type call struct {
	ctx     context.Context
	origin  origin
	command ctap2.Command
	first   bool // no other command but getInfo came since power-up
	// series is what the last command left to be continued. The session has
	// forgotten it already, unless a dispute lets it go on: any command but the
	// next of the series ends it.
	series *series
}

// answer decodes, decides and encodes.
func (a *Authenticator) answer(ctx context.Context, from origin, msg []byte) []byte {
	c := a.newCall(ctx, from)
	body, err := a.dispatch(c, msg)
	if err != nil {
		status := ctap2.ErrOther
		errors.As(err, &status)
		return []byte{byte(status)}
	}
	return append([]byte{byte(ctap2.StatusOK)}, body...)
}

// newCall is the beginning of every command.
func (a *Authenticator) newCall(ctx context.Context, from origin) *call {
	c := &call{ctx: ctx, origin: from, series: a.session.series}
	if !a.profile.Disputes.SeriesGoesOn {
		a.session.series = nil
	}
	a.session.observeTokens(a.config.Clock.Now())
	return c
}

// dispatch follows CTAP 2.1, section 8: the length, the command byte, then the
// parameters.
func (a *Authenticator) dispatch(c *call, msg []byte) (body []byte, err error) {
	if len(msg) == 0 {
		return nil, ctap2.ErrInvalidLength
	}
	if uint(len(msg)) > a.maxMsgSize() {
		return nil, ctap2.ErrRequestTooLarge
	}
	c.command = ctap2.Command(msg[0])
	c.first = !a.session.busy
	a.session.busy = a.session.busy || c.command != ctap2.CommandGetInfo
	handle, ok := handlers[c.command]
	if !ok || !a.profile.offers(c.command) {
		return nil, ctap2.ErrInvalidCommand
	}
	return handle(a, c, msg[1:])
}

// Commands of keys from before CTAP 2.1, which list FIDO_2_1_PRE.
const ()

// offers reports whether the key has a command.
func (p *Profile) offers(command ctap2.Command) bool {
	switch command {
	case ctap2.CommandClientPIN:
		return p.supports(ctap2.OptionClientPIN) || p.supports(ctap2.OptionUV)
	case ctap2.CommandCredentialManagement:
		return p.option(ctap2.OptionCredMgmt)
	case ctap2.CommandBioEnrollment:
		return p.supports(ctap2.OptionBioEnroll)
	case ctap2.CommandConfig:
		return p.option(ctap2.OptionAuthnrCfg)
	case ctap2.CommandBioEnrollmentPreview:
		return p.preview(ctap2.OptionUVMgmtPreview)
	case ctap2.CommandCredentialManagementPreview:
		return p.preview(ctap2.OptionCredMgmtPreview)
	case ctap2.CommandSelection:
		return p.GetInfo.HasVersion(ctap2.VersionFIDO21) || p.GetInfo.HasVersion(ctap2.VersionFIDO23)
	case ctap2.CommandLargeBlobs:
		return p.option(ctap2.OptionLargeBlobs)
	}
	return p.speaksCTAP2()
}

// A handler serves one command and returns the CBOR of its answer. An error
// that is no ctap2.Status becomes CTAP1_ERR_OTHER.
type handler func(a *Authenticator, c *call, params []byte) (body []byte, err error)

var handlers = map[ctap2.Command]handler{
	ctap2.CommandMakeCredential:              withProfile(decodeMakeCredential, (*Authenticator).makeCredential),
	ctap2.CommandGetAssertion:                withProfile(decodeGetAssertion, (*Authenticator).getAssertion),
	ctap2.CommandGetInfo:                     withoutParams((*Authenticator).getInfo),
	ctap2.CommandClientPIN:                   withParams(decodeClientPIN, (*Authenticator).clientPIN),
	ctap2.CommandReset:                       withoutParams((*Authenticator).reset),
	ctap2.CommandGetNextAssertion:            withoutParams((*Authenticator).getNextAssertion),
	ctap2.CommandCredentialManagement:        withParams(decodeCredentialManagement, (*Authenticator).credentialManagement),
	ctap2.CommandSelection:                   withoutParams((*Authenticator).selection),
	ctap2.CommandLargeBlobs:                  withParams(decodeLargeBlobs, (*Authenticator).largeBlobs),
	ctap2.CommandBioEnrollment:               withParams(decodeBioEnrollment, (*Authenticator).bioEnrollment),
	ctap2.CommandConfig:                      withParams(decodeConfig, (*Authenticator).configure),
	ctap2.CommandBioEnrollmentPreview:        withParams(decodeBioEnrollment, (*Authenticator).bioEnrollment),
	ctap2.CommandCredentialManagementPreview: withParams(decodeCredentialManagement, (*Authenticator).credentialManagement),
}

// withParams joins the two halves of a command: decoding and deciding.
func withParams[Request, Response any](
	decode func(params []byte) (*Request, error),
	decide func(a *Authenticator, c *call, req *Request) (*Response, error),
) handler {
	return withProfile(func(_ *Profile, params []byte) (*Request, error) { return decode(params) }, decide)
}

// withProfile is withParams for the two commands that carry extensions: which
// of them are read is up to the profile.
func withProfile[Request, Response any](
	decode func(p *Profile, params []byte) (*Request, error),
	decide func(a *Authenticator, c *call, req *Request) (*Response, error),
) handler {
	return func(a *Authenticator, c *call, params []byte) ([]byte, error) {
		req, err := decode(a.profile, a.profile.Disputes.canonical(params))
		if err != nil {
			return nil, a.profile.Disputes.status(err)
		}
		return encode(decide(a, c, req))
	}
}

// withoutParams is for commands that are one byte.
func withoutParams[Response any](decide func(a *Authenticator, c *call) (*Response, error)) handler {
	return func(a *Authenticator, c *call, params []byte) ([]byte, error) {
		if len(params) > 0 {
			return nil, ctap2.ErrInvalidLength
		}
		return encode(decide(a, c))
	}
}

// encode returns the CBOR of a response; nil is the response of a command that
// succeeds without saying anything.
func encode[Response any](resp *Response, err error) ([]byte, error) {
	if err != nil || resp == nil {
		return nil, err
	}
	return ctapcbor.Marshal(resp)
}
