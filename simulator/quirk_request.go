package simulator

import (
	"context"
	"errors"
	"slices"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// errUnsupportedExtension is a status of CTAP 2.0.
const errUnsupportedExtension ctap2.Status = 0x16

// quirky answers a request as the profile's quirks want it.
func (a *Authenticator) quirky(ctx context.Context, from origin, msg []byte) []byte {
	if len(msg) == 0 {
		return a.answer(ctx, from, msg)
	}
	q := &a.profile.Quirks
	if err := a.refusal(ctx, q, msg); err != nil {
		status := ctap2.ErrOther
		errors.As(err, &status)
		return []byte{byte(status)}
	}
	if q.AllDiscoverable && ctap2.Command(msg[0]) == ctap2.CommandMakeCredential {
		msg = withOption(msg, "rk", true)
	}
	return q.distort(msg, a.answer(ctx, from, msg))
}

// A quirkRequest is what quirks look at in makeCredential and getAssertion.
type quirkRequest struct {
	rpID          string
	listPresent   bool
	list          []item // excludeList or allowList
	algorithms    []credentialParameter
	extensions    members
	options       ctap2.Options
	authParam     []byte
	authProtocol  *uint64
	hasTransports bool
}

// readForQuirks reads what is there; faults are for the command itself.
func readForQuirks(msg []byte) *quirkRequest {
	m, _ := decodeParams(msg[1:])
	var r quirkRequest
	first, list, extensions := m.at(1), m.at(3), m.at(4)
	options, param, protocol := m.at(5), m.at(6), m.at(7)
	if ctap2.Command(msg[0]) == ctap2.CommandMakeCredential {
		first, list, extensions = m.at(2).members().at("id"), m.at(5), m.at(6)
		options, param, protocol = m.at(7), m.at(8), m.at(9)
		r.algorithms = decodeCredentialParameters(m.at(4))
	}
	r.rpID = first.text()
	r.listPresent, r.list = list.present(), list.list()
	r.extensions = extensions.members()
	r.options = decodeOptions(options)
	r.authParam, r.authProtocol = param.bytes(), optional(protocol, item.uint)
	r.hasTransports = slices.ContainsFunc(r.list, func(d item) bool { return d.members().at("transports").present() })
	return &r
}

// refusal does what quirks do before the command, and returns a status where they
// refuse it.
func (a *Authenticator) refusal(ctx context.Context, q *Quirks, msg []byte) error {
	for _, s := range q.Statuses {
		if s.From == nil && s.concerns(msg) {
			return s.To
		}
	}
	switch command := ctap2.Command(msg[0]); command {
	case ctap2.CommandClientPIN:
		return a.refusePIN(ctx, q, msg)
	case ctap2.CommandMakeCredential, ctap2.CommandGetAssertion:
		r := readForQuirks(msg)
		if err := q.refuseMembers(r, command); err != nil {
			return err
		}
		if err := a.refuseAlgorithms(q, r); err != nil {
			return err
		}
		if err := a.whichKey(q, r); err != nil {
			return err
		}
		if q.TokenDiesWithOtherRP {
			return a.voidTokens(r.rpID)
		}
	}
	return nil
}

func (s *StatusQuirk) concerns(msg []byte) bool {
	return (s.Command == 0 || s.Command == ctap2.Command(msg[0])) &&
		(s.SubCommand == 0 || s.SubCommand == subCommand(msg))
}

func (q *Quirks) refuseMembers(r *quirkRequest, command ctap2.Command) error {
	switch {
	case q.RefuseTransports && r.hasTransports,
		q.RefuseEmptyLists && r.listPresent && len(r.list) == 0:
		return ctap2.ErrInvalidCBOR
	case q.RefuseUP && command == ctap2.CommandMakeCredential && r.options.UP != nil,
		q.RefuseUVWithToken && r.options.UV != nil && r.authParam != nil:
		return ctap2.ErrInvalidOption
	}
	return nil
}

func (a *Authenticator) refuseAlgorithms(q *Quirks, r *quirkRequest) error {
	if q.RefuseUnknownExtensions {
		known := 0
		for _, id := range a.profile.GetInfo.Extensions {
			if r.extensions.at(id).present() {
				known++
			}
		}
		if known < len(r.extensions.byKey) {
			return errUnsupportedExtension
		}
	}
	for _, p := range r.algorithms {
		if p.algorithm == nil {
			continue
		}
		alg := cose.Algorithm(*p.algorithm)
		if q.RefuseUnknownAlgorithms && !a.profile.algorithm(alg) || slices.Contains(q.RefuseAlgorithms, alg) {
			return ctap2.ErrUnsupportedAlgorithm
		}
	}
	return nil
}

// whichKey is about an empty pinUvAuthParam.
func (a *Authenticator) whichKey(q *Quirks, r *quirkRequest) error {
	if r.authParam == nil || len(r.authParam) > 0 {
		return nil
	}
	if q.WhichKeyNeedsProtocol && (r.authProtocol == nil || *r.authProtocol != 1) {
		return ctap2.ErrMissingParameter
	}
	if q.WhichKeyCostsTry && a.state.device.PINRetries > 0 {
		c := change{device: a.state.device}
		c.device.PINRetries--
		return a.state.commit(c)
	}
	return nil
}

func (a *Authenticator) refusePIN(ctx context.Context, q *Quirks, msg []byte) error {
	m, _ := decodeParams(msg[1:])
	sub := ctap2.PINSubCommand(m.at(2).uint())
	if q.HangPINRetries && sub == ctap2.GetPINRetries && !a.protected() {
		<-ctx.Done()
		return ctap2.ErrKeepaliveCancel
	}
	if sub != ctap2.GetPINRetries && sub != ctap2.GetKeyAgreement && slices.Contains(q.FailingPINProtocols, m.at(1).uint()) {
		return ctap2.ErrPINAuthInvalid
	}
	return nil
}

// voidTokens makes all tokens void when a request is for another RP ID than the
// one before, or than the one that the token was given for.
func (a *Authenticator) voidTokens(rpID string) error {
	before := a.session.quirkRPID
	a.session.quirkRPID = &rpID
	if before == nil || *before == rpID {
		return nil
	}
	return a.resetTokens(a.session)
}

// withOption sets an option of makeCredential. A request that cannot be read
// stays as it is.
func withOption(msg []byte, name string, value bool) []byte {
	var params map[any]any
	if ctapcbor.Unmarshal(msg[1:], &params) != nil {
		return msg
	}
	const options = uint64(7)
	set, ok := params[options].(map[any]any)
	if !ok {
		set = map[any]any{}
	}
	set[name] = value
	params[options] = set
	encoded, err := ctapcbor.Marshal(params)
	if err != nil {
		return msg
	}
	return append([]byte{msg[0]}, encoded...)
}
