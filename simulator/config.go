package simulator

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

// Subcommands of authenticatorConfig, CTAP 2.1 section 6.11.
const (
	enableEnterpriseAttestation = 0x01
	toggleAlwaysUV              = 0x02
	setMinPINLength             = 0x03
	enableLongTouchForReset     = 0x04 // CTAP 2.2
	vendorPrototype             = 0xff
)

// configRequest is a decoded authenticatorConfig; nil members are absent.
type configRequest struct {
	subCommand     uint64
	rawParams      []byte // subCommandParams, as they came
	protocol       *uint64
	pinUVAuthParam []byte

	// Of setMinPINLength.
	newMinPINLength     *uint64
	rpIDs               *[]string
	forceChangePIN      bool
	pinComplexityPolicy bool

	vendorCommandID *uint64 // of vendorPrototype
}

func decodeConfig(params []byte) (*configRequest, error) {
	m, fault := decodeParams(params)
	req := &configRequest{
		subCommand:     m.must(1).uint(),
		rawParams:      m.at(2).raw,
		protocol:       optional(m.at(3), item.uint),
		pinUVAuthParam: m.at(4).bytes(),
	}
	sub := m.at(2).members()
	switch req.subCommand {
	case setMinPINLength:
		req.newMinPINLength = optional(sub.at(1), item.uint)
		req.rpIDs = optional(sub.at(2), decodeTexts)
		req.forceChangePIN = sub.at(3).bool()
		req.pinComplexityPolicy = sub.at(4).bool()
	case vendorPrototype:
		req.vendorCommandID = optional(sub.at(1), item.uint)
	}
	return req, fault.err
}

func decodeTexts(i item) (texts []string) {
	for _, element := range i.list() {
		texts = append(texts, element.text())
	}
	return texts
}

// configCommands are the subcommands that the key has; nil without
// authenticatorConfig.
func (p *Profile) configCommands() []uint {
	if !p.option(ctap2.OptionAuthnrCfg) {
		return nil
	}
	commands := []uint{}
	for _, c := range []struct {
		number uint
		has    bool
	}{
		{enableEnterpriseAttestation, p.supports(ctap2.OptionEP)},
		{toggleAlwaysUV, p.supports(ctap2.OptionAlwaysUV)},
		{setMinPINLength, p.option(ctap2.OptionSetMinPINLength)},
		{enableLongTouchForReset, p.GetInfo.LongTouchForReset != nil},
		{vendorPrototype, p.GetInfo.VendorPrototypeConfigCommands != nil},
	} {
		if c.has {
			commands = append(commands, c.number)
		}
	}
	return commands
}

// configure is authenticatorConfig, CTAP 2.1 section 6.11.
func (a *Authenticator) configure(_ *call, req *configRequest) (*ctap2.Empty, error) {
	// 1. The decoder has seen to it that there is a subcommand.
	// 2. It is one that the key has.
	if req.subCommand > vendorPrototype || !slices.Contains(a.profile.configCommands(), uint(req.subCommand)) {
		return nil, cmp.Or(a.profile.Disputes.UnknownConfigCommand, ctap2.ErrInvalidSubcommand)
	}
	// 3. to 5. It is authorized.
	if err := a.authorizeConfig(req); err != nil {
		return nil, err
	}
	switch req.subCommand {
	case enableEnterpriseAttestation:
		return nil, a.setDevice(func(d *device) { d.Enterprise = true })
	case toggleAlwaysUV:
		return nil, a.toggleAlwaysUV()
	case setMinPINLength:
		return nil, a.setMinPINLength(req)
	case enableLongTouchForReset:
		return nil, a.setDevice(func(d *device) { d.LongTouchForReset = true })
	default:
		return nil, a.vendorPrototype(req)
	}
}

// authorizeConfig is steps 3 to 5.
func (a *Authenticator) authorizeConfig(req *configRequest) error {
	switch {
	case !a.protected() && !a.alwaysUV():
		// 5. There is nobody to ask yet.
		return nil
	case !a.protected() && req.subCommand == toggleAlwaysUV:
		// 3. A new key on which alwaysUv was set by mistake.
		if status := a.profile.Disputes.AlwaysUVOffUnprotected; status != 0 {
			return status
		}
		return nil
	}
	// 4. A token with acfg; its RP ID does not matter.
	if req.pinUVAuthParam == nil {
		return ctap2.ErrPUATRequired
	}
	p, err := a.pinUVAuthProtocol(req.protocol)
	if err != nil {
		return err
	}
	if !p.authorizes(req.message(), req.pinUVAuthParam, ctap2.PermissionACFG) {
		return ctap2.ErrPINAuthInvalid
	}
	return nil
}

// message is what pinUvAuthParam authenticates.
func (req *configRequest) message() []byte {
	prefix := bytes.Repeat([]byte{0xff}, 32)
	return slices.Concat(prefix, []byte{byte(ctap2.CommandConfig), byte(req.subCommand)}, req.rawParams)
}

// setDevice changes the stored device in one transaction.
func (a *Authenticator) setDevice(set func(*device)) error {
	c := change{device: a.state.device}
	set(&c.device)
	return a.state.commit(c)
}

// toggleAlwaysUV is section 6.11.2.
func (a *Authenticator) toggleAlwaysUV() error {
	on := !a.alwaysUV()
	if !on && a.profile.AlwaysUVFixed {
		return ctap2.ErrOperationDenied
	}
	return a.setDevice(func(d *device) { d.AlwaysUV = &on })
}

// setMinPINLength is section 6.11.4. All of it is applied, or nothing.
func (a *Authenticator) setMinPINLength(req *configRequest) error {
	c := change{device: a.state.device}
	d := &c.device
	if n := req.newMinPINLength; n != nil {
		switch {
		case *n < uint64(a.minPINLength()):
			return ctap2.ErrPINPolicyViolation
		case *n > uint64(a.profile.maxPINLength()):
			return cmp.Or(a.profile.Disputes.MinPINLengthTooLong, ctap2.ErrPINPolicyViolation)
		}
		d.MinPINLength = uint(*n)
	}
	if req.rpIDs != nil && !a.profile.extension("minPinLength") && !a.profile.extension("pinComplexityPolicy") {
		return ctap2.ErrInvalidParameter
	}
	if req.forceChangePIN && !a.pinSet() {
		return ctap2.ErrPINNotSet
	}
	if req.pinComplexityPolicy && a.profile.GetInfo.PINComplexityPolicy != nil {
		d.PINComplexityPolicy = true
	}
	if req.forceChangePIN || a.pinSet() && d.PINLength < a.profile.minPINLength(d) {
		d.ForcePINChange = true
	}
	if req.rpIDs != nil && len(*req.rpIDs) > 0 {
		if most := a.profile.GetInfo.MaxRPIDsForSetMinPINLength; most == nil || uint(len(*req.rpIDs)) > *most {
			return ctap2.ErrKeyStoreFull
		}
		d.MinPINLengthRPIDs = *req.rpIDs
	}
	if err := a.state.commit(c); err != nil {
		return err
	}
	if !d.ForcePINChange {
		return nil
	}
	return a.resetTokens(a.session)
}

// vendorPrototype is section 6.11.3. The commands of this key do nothing.
func (a *Authenticator) vendorPrototype(req *configRequest) error {
	if req.vendorCommandID == nil {
		return ctap2.ErrMissingParameter
	}
	if !slices.Contains(a.profile.GetInfo.VendorPrototypeConfigCommands, *req.vendorCommandID) {
		return ctap2.ErrInvalidSubcommand
	}
	return nil
}
