package simulator

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"unicode/utf8"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// makeCredentialRequest is a decoded authenticatorMakeCredential; nil members
// are absent.
type makeCredentialRequest struct {
	clientDataHash        []byte
	rp                    ctap2.RP
	user                  ctap2.User
	pubKeyCredParams      []credentialParameter
	excludeList           []ctap2.Descriptor
	extensions            []creationInput
	options               ctap2.Options
	pinUVAuthParam        []byte
	pinUVAuthProtocol     *uint64
	enterpriseAttestation *uint64
	attestationFormats    []string
}

func decodeMakeCredential(p *Profile, params []byte) (*makeCredentialRequest, error) {
	m, fault := decodeParams(params)
	req := &makeCredentialRequest{
		clientDataHash:   m.must(1).bytesOf(sha256.Size, sha256.Size),
		rp:               decodeRP(m.must(2)),
		user:             decodeUser(m.must(3)),
		pubKeyCredParams: decodeCredentialParameters(m.must(4)),
		excludeList:      decodeDescriptors(m.at(5)),
	}
	req.extensions = p.decodeCreationInputs(m.at(6))
	req.options = decodeOptions(m.at(7))
	req.pinUVAuthParam = m.at(8).bytes()
	req.pinUVAuthProtocol = optional(m.at(9), item.uint)
	req.enterpriseAttestation = optional(m.at(10), item.uint)
	for _, format := range m.at(11).list() {
		req.attestationFormats = append(req.attestationFormats, format.text())
	}
	if fault.err == nil && req.rp.ID == "" {
		fault.note(ctap2.ErrInvalidParameter)
	}
	return req, fault.err
}

// makeCredential is authenticatorMakeCredential, CTAP 2.1 section 6.1.2.
func (a *Authenticator) makeCredential(c *call, req *makeCredentialRequest) (*ctap2.MakeCredentialResponse, error) {
	if err := a.checkListSize(req.excludeList); err != nil {
		return nil, err
	}
	// 1. An empty pinUvAuthParam only asks which key this is.
	if a.asksWhichKey(req.pinUVAuthParam) {
		return nil, a.answerWhichKey(c, req.rp.ID)
	}
	// 2. A pinUvAuthParam needs a protocol that we speak.
	auth, err := a.authProtocol(req.pinUVAuthParam, req.pinUVAuthProtocol)
	if err != nil {
		return nil, err
	}
	// 3. The first algorithm that we know wins.
	alg, err := a.chooseAlgorithm(req.pubKeyCredParams)
	if err != nil {
		return nil, err
	}
	// 4. Nobody is verified or present so far.
	made := &creation{alg: alg, rpIDHash: sha256.Sum256([]byte(req.rp.ID))}
	// 5. Options.
	if made.rk, err = a.creationOptions(req); err != nil {
		return nil, err
	}
	// Some extensions need rk. It is told now, not after a touch in vain.
	if err := checkCreationInputs(req.extensions, made.rk); err != nil {
		return nil, err
	}
	cl := &claim{
		rpID: req.rp.ID, clientDataHash: req.clientDataHash, permission: ctap2.PermissionMC,
		param: req.pinUVAuthParam, protocol: auth, builtIn: auth == nil && option(req.options.UV, false),
	}
	// 6. alwaysUv.
	if a.alwaysUV() {
		if err := a.requireUV(cl); err != nil {
			return nil, err
		}
	}
	// 7., 8. With makeCredUvNotRqd only discoverable credentials need
	// verification, otherwise all do.
	if a.protected() && auth == nil && !cl.builtIn && (made.rk || !a.makeCredUVNotRqd()) {
		return nil, a.errNotVerified()
	}
	// 9. Enterprise attestation.
	if made.enterprise, err = a.enterpriseAttestation(req.enterpriseAttestation, req.rp.ID); err != nil {
		return nil, err
	}
	// 10. Without verification there is nothing to do in step 11.
	// 11. Verify the user.
	verified, err := a.verifyUser(c, cl)
	if err != nil {
		return nil, err
	}
	if made.finger = verified.finger; verified.uv() {
		made.flags |= ctap2.FlagUV
	}
	// 12. Excluded credentials.
	if a.excluded(req.excludeList, made.rpIDHash, verified.uv()) {
		return nil, a.tellExcluded(c, req.rp.ID, verified.present())
	}
	// 13. A finger was gesture enough. 14. User presence.
	if !verified.finger {
		if !verified.present() {
			if err := a.waitForConsent(c, req.rp.ID); err != nil {
				return nil, err
			}
		}
		a.session.consumeTokens()
	}
	made.flags |= ctap2.FlagUP
	return a.create(req, made)
}

// A creation is what the first steps have decided about a credential.
type creation struct {
	alg      cose.Algorithm
	rpIDHash rpIDHash
	rk       bool
	flags    ctap2.Flags
	finger   bool // has set the flag UV
	// enterprise grants an attestation that may identify the key.
	enterprise bool
}

// create is steps 15 to 19.
func (a *Authenticator) create(req *makeCredentialRequest, made *creation) (*ctap2.MakeCredentialResponse, error) {
	c := &credential{RPIDHash: made.rpIDHash}
	c.CredProtect = a.profile.defaultCredProtect()
	// 15. Extensions.
	r := &registration{creation: made, rpID: req.rp.ID, credential: c}
	for _, input := range req.extensions {
		if err := input.create(a, r); err != nil {
			return nil, err
		}
	}
	if a.profile.Disputes.TellCredProtect && a.profile.extension(extensionCredProtect) {
		r.outputs.sign(extensionCredProtect, uint64(c.CredProtect))
	}
	// 16. Key pair.
	var err error
	c.Algorithm = made.alg
	if err = a.newKey(&c.keyMaterial); err != nil {
		return nil, err
	}
	if made.rk {
		// 17. Discoverable credentials are stored.
		err = a.storeCredential(req, c)
	} else {
		// 18. Others are in their ID.
		err = a.wrapCredential(c)
	}
	if err != nil {
		return nil, err
	}
	// 19. Attestation.
	resp, err := a.attest(r, req)
	if err != nil {
		return nil, err
	}
	resp.LargeBlobKey = r.outputs.largeBlobKey
	resp.UnsignedExtensionOutputs = r.outputs.unsigned
	return resp, nil
}

// chooseAlgorithm is step 3. All elements are checked, also those after the
// chosen one.
func (a *Authenticator) chooseAlgorithm(params []credentialParameter) (cose.Algorithm, error) {
	var chosen cose.Algorithm
	for _, p := range params {
		if p.algorithm == nil || p.kind == nil {
			return 0, cmp.Or(a.profile.Disputes.IncompleteAlgorithm, ctap2.ErrInvalidCBOR)
		}
		alg := cose.Algorithm(*p.algorithm)
		if chosen == 0 && *p.kind == ctap2.PublicKeyType && a.profile.algorithm(alg) {
			chosen = alg
		}
	}
	if chosen == 0 {
		return 0, ctap2.ErrUnsupportedAlgorithm
	}
	return chosen, nil
}

// creationOptions is step 5. Unknown options were left out by the decoder.
func (a *Authenticator) creationOptions(req *makeCredentialRequest) (rk bool, err error) {
	// A pinUvAuthParam takes precedence over uv.
	if req.pinUVAuthParam == nil && option(req.options.UV, false) && !a.uvReady() {
		return false, ctap2.ErrInvalidOption
	}
	if req.options.RK != nil && !a.profile.option(ctap2.OptionRK) {
		return false, ctap2.ErrUnsupportedOption
	}
	if !option(req.options.UP, true) {
		return false, ctap2.ErrInvalidOption
	}
	return option(req.options.RK, false), nil
}

// excluded is the condition of step 12. A credential that requires user
// verification does not show itself without it.
func (a *Authenticator) excluded(list []ctap2.Descriptor, rp rpIDHash, uv bool) bool {
	const listed = true
	for _, d := range list {
		if c := a.state.find(d, rp); c != nil && !c.hidden(uv, listed) {
			return true
		}
	}
	return false
}

// tellExcluded ends step 12: the person touches the key, so that nobody learns
// behind their back which credentials it has. What they answer does not matter.
func (a *Authenticator) tellExcluded(c *call, rpID string, present bool) error {
	if !present {
		if err := a.waitForConsent(c, rpID); errors.Is(err, ctap2.ErrKeepaliveCancel) {
			return err
		}
	}
	return ctap2.ErrCredentialExcluded
}

// storeCredential is step 17: a discoverable credential replaces the one that
// this user has with this RP.
func (a *Authenticator) storeCredential(req *makeCredentialRequest, made *credential) error {
	var err error
	if made.ID, err = a.newCredentialID(); err != nil {
		return err
	}
	made.RP = ctap2.RP{ID: req.rp.ID, Name: truncate(req.rp.Name)}
	made.User = truncateNames(req.user)
	made.Serial = a.state.device.NextSerial

	c := change{device: a.state.device, put: []*credential{made}}
	if ofRP := a.state.byRP[made.RPIDHash]; ofRP != nil {
		if old := ofRP.byUser[string(made.User.ID)]; old != nil {
			c.remove = []*credential{old}
		}
	}
	if len(c.remove) == 0 && a.remaining() == 0 {
		return ctap2.ErrKeyStoreFull
	}
	a.session.series = nil // it may have what is replaced now
	c.device.NextSerial++
	if err := a.renewCredStoreState(&c.device); err != nil {
		return err
	}
	if err := c.device.countUp(); err != nil {
		return err
	}
	return a.state.commit(c)
}

// remaining returns how many discoverable credentials there is room for.
func (a *Authenticator) remaining() uint {
	room := a.profile.maxDiscoverable()
	return room - min(uint(len(a.state.byID)), room)
}

// wrapCredential is step 18.
func (a *Authenticator) wrapCredential(made *credential) (err error) {
	if made.ID, err = a.wrap(&made.keyMaterial, made.RPIDHash); err != nil {
		return err
	}
	c := change{device: a.state.device}
	if err := c.device.countUp(); err != nil {
		return err
	}
	return a.state.commit(c)
}

// maxNameSize is how many bytes of a name are stored (CTAP 2.1, section 6.1.2,
// asks for at least 64).
const maxNameSize = 64

// truncate cuts a name between two code points.
func truncate(name string) string {
	if len(name) <= maxNameSize {
		return name
	}
	end := maxNameSize
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

// truncateNames cuts what is there for people to read.
func truncateNames(u ctap2.User) ctap2.User {
	return ctap2.User{ID: u.ID, Name: truncate(u.Name), DisplayName: truncate(u.DisplayName)}
}
