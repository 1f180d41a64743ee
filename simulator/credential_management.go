package simulator

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// Subcommands of authenticatorCredentialManagement, CTAP 2.1 section 6.8.
const (
	getCredsMetadata                      = 0x01
	enumerateRPsBegin                     = 0x02
	enumerateRPsGetNextRP                 = 0x03
	enumerateCredentialsBegin             = 0x04
	enumerateCredentialsGetNextCredential = 0x05
	deleteCredential                      = 0x06
	updateUserInformation                 = 0x07
)

// credentialManagementRequest is a decoded authenticatorCredentialManagement;
// nil members are absent.
type credentialManagementRequest struct {
	subCommand     uint64
	rawParams      []byte // subCommandParams, as they came
	rpIDHash       []byte
	credentialID   *ctap2.Descriptor
	user           *ctap2.User
	protocol       *uint64
	pinUVAuthParam []byte
}

func decodeCredentialManagement(params []byte) (*credentialManagementRequest, error) {
	m, fault := decodeParams(params)
	req := &credentialManagementRequest{
		subCommand: m.must(1).uint(),
		rawParams:  m.at(2).raw,
	}
	sub := m.at(2).members()
	req.rpIDHash = sub.at(1).bytes()
	req.credentialID = optional(sub.at(2), decodeDescriptor)
	req.user = optional(sub.at(3), decodeUser)
	req.protocol = optional(m.at(3), item.uint)
	req.pinUVAuthParam = m.at(4).bytes()
	if req.rpIDHash != nil && len(req.rpIDHash) != sha256.Size {
		fault.note(ctap2.ErrInvalidParameter)
	}
	return req, fault.err
}

// credentialManagementResponse has the members that the subcommand answers
// with.
type credentialManagementResponse struct {
	Existing         *uint             `cbor:"1,keyasint,omitempty"`
	MaxRemaining     *uint             `cbor:"2,keyasint,omitempty"`
	RP               *ctap2.RP         `cbor:"3,keyasint,omitempty"`
	RPIDHash         []byte            `cbor:"4,keyasint,omitempty"`
	TotalRPs         *uint             `cbor:"5,keyasint,omitempty"`
	User             *ctap2.User       `cbor:"6,keyasint,omitempty"`
	CredentialID     *ctap2.Descriptor `cbor:"7,keyasint,omitempty"`
	PublicKey        *cose.Key         `cbor:"8,keyasint,omitempty"`
	TotalCredentials uint              `cbor:"9,keyasint,omitempty"`
	CredProtect      uint              `cbor:"10,keyasint,omitempty"`

	LargeBlobKey      []byte `cbor:"11,keyasint,omitempty"`
	ThirdPartyPayment *bool  `cbor:"12,keyasint,omitempty"` // of a key that has the extension
}

// credentialManagement is authenticatorCredentialManagement, CTAP 2.1 section
// 6.8.
func (a *Authenticator) credentialManagement(c *call, req *credentialManagementRequest) (*credentialManagementResponse, error) {
	switch req.subCommand {
	case enumerateRPsGetNextRP:
		return a.nextRP(c)
	case enumerateCredentialsGetNextCredential:
		return a.nextCredential(c)
	case getCredsMetadata, enumerateRPsBegin, enumerateCredentialsBegin, deleteCredential:
	case updateUserInformation:
		if c.command == ctap2.CommandCredentialManagementPreview && !a.profile.Disputes.PreviewUpdates {
			return nil, ctap2.ErrInvalidSubcommand
		}
	default:
		return nil, ctap2.ErrInvalidSubcommand
	}
	token, err := a.authorizeManagement(c, req)
	if err != nil {
		return nil, err
	}
	switch req.subCommand {
	case getCredsMetadata:
		return a.credsMetadata(), nil
	case enumerateRPsBegin:
		return a.beginRPs(c, token)
	case enumerateCredentialsBegin:
		return a.beginCredentials(c, req, token)
	case deleteCredential:
		return nil, a.deleteCredential(req)
	default:
		return nil, a.updateUser(req)
	}
}

// authorizeManagement is the first steps of all subcommands that need a token.
// It returns the token, or nil for the persistent one.
func (a *Authenticator) authorizeManagement(c *call, req *credentialManagementRequest) (*pinUVAuthToken, error) {
	if req.pinUVAuthParam == nil {
		return nil, ctap2.ErrPUATRequired
	}
	if req.protocol == nil || !req.hasMandatoryParams() {
		return nil, ctap2.ErrMissingParameter
	}
	p, err := a.pinUVAuthProtocol(req.protocol)
	if err != nil {
		return nil, err
	}
	if a.readsWithPersistentToken(p, req) {
		return nil, nil
	}
	if !p.authorizes(req.message(), req.pinUVAuthParam, ctap2.PermissionCM) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	if p.token.rpID != nil && !a.concernsOnly(c, *p.token.rpID, req) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	return &p.token, nil
}

// message is what pinUvAuthParam authenticates: the bytes that came, not what
// was read from them.
func (req *credentialManagementRequest) message() []byte {
	return append([]byte{byte(req.subCommand)}, req.rawParams...)
}

// readsWithPersistentToken reports whether a request that only reads comes with
// the persistent token (CTAP 2.2, section 6.8).
func (a *Authenticator) readsWithPersistentToken(p *pinSession, req *credentialManagementRequest) bool {
	switch token := a.state.device.PersistentToken; req.subCommand {
	case getCredsMetadata, enumerateRPsBegin, enumerateCredentialsBegin:
		return token != nil && verify(p, token, req.message(), req.pinUVAuthParam)
	}
	return false
}

func (req *credentialManagementRequest) hasMandatoryParams() bool {
	switch req.subCommand {
	case enumerateCredentialsBegin:
		return req.rpIDHash != nil
	case deleteCredential:
		return req.credentialID != nil
	case updateUserInformation:
		return req.credentialID != nil && req.user != nil
	}
	return true
}

// concernsOnly reports whether a token that is bound to an RP ID allows the
// request: it must be about that RP alone. Since CTAP 2.3 such a token does not
// read, but for the preview command, which is older than that rule: libfido2 up to
// 1.12 reads with no other.
func (a *Authenticator) concernsOnly(c *call, rpID string, req *credentialManagementRequest) bool {
	rp := sha256.Sum256([]byte(rpID))
	switch req.subCommand {
	case enumerateCredentialsBegin:
		reads := c.command == ctap2.CommandCredentialManagementPreview || !a.profile.GetInfo.HasVersion(ctap2.VersionFIDO23)
		return reads && bytes.Equal(req.rpIDHash, rp[:])
	case deleteCredential, updateUserInformation:
		c := a.stored(req.credentialID)
		return c != nil && c.RPIDHash == rp
	}
	return false
}

// stored returns the discoverable credential that a descriptor names, or nil.
func (a *Authenticator) stored(d *ctap2.Descriptor) *credential {
	if d.Type != ctap2.PublicKeyType {
		return nil
	}
	return a.state.byID[string(d.ID)]
}

// credsMetadata is getCredsMetadata, section 6.8.2.
func (a *Authenticator) credsMetadata() *credentialManagementResponse {
	return &credentialManagementResponse{
		Existing:     new(uint(len(a.state.byID))),
		MaxRemaining: new(a.remaining()),
	}
}

// beginRPs is enumerateRPsBegin, section 6.8.3.
func (a *Authenticator) beginRPs(c *call, token *pinUVAuthToken) (*credentialManagementResponse, error) {
	var rps []*credential // the newest of each RP, whose name for it is the latest
	for _, ofRP := range a.state.byRP {
		rps = append(rps, ofRP.all[len(ofRP.all)-1])
	}
	if len(rps) == 0 {
		if a.profile.Disputes.EmptyEnumerateRPs {
			return &credentialManagementResponse{TotalRPs: new(uint(0))}, nil
		}
		return nil, ctap2.ErrNoCredentials
	}
	slices.SortFunc(rps, bySerial)
	resp := describeRP(rps[0])
	resp.TotalRPs = new(uint(len(rps)))
	a.keep(c, &series{token: token, rps: rps[1:]})
	return resp, nil
}

// nextRP is enumerateRPsGetNextRP, section 6.8.3.
func (a *Authenticator) nextRP(c *call) (*credentialManagementResponse, error) {
	s, err := a.continued(c)
	if err != nil {
		return nil, err
	}
	if len(s.rps) == 0 {
		return nil, ctap2.ErrNotAllowed
	}
	resp := describeRP(s.rps[0])
	s.rps = s.rps[1:]
	a.keep(c, s)
	return resp, nil
}

func describeRP(c *credential) *credentialManagementResponse {
	return &credentialManagementResponse{RP: &c.RP, RPIDHash: c.RPIDHash[:]}
}

// beginCredentials is enumerateCredentialsBegin, section 6.8.4. The newest
// credential comes first.
func (a *Authenticator) beginCredentials(c *call, req *credentialManagementRequest, token *pinUVAuthToken) (*credentialManagementResponse, error) {
	ofRP := a.state.byRP[rpIDHash(req.rpIDHash)]
	if ofRP == nil {
		return nil, ctap2.ErrNoCredentials
	}
	credentials := slices.Clone(ofRP.all)
	slices.Reverse(credentials)
	resp, err := a.describeCredential(credentials[0])
	if err != nil {
		return nil, err
	}
	resp.TotalCredentials = uint(len(credentials))
	a.keep(c, &series{token: token, credentials: credentials[1:]})
	return resp, nil
}

// nextCredential is enumerateCredentialsGetNextCredential, section 6.8.4.
func (a *Authenticator) nextCredential(c *call) (*credentialManagementResponse, error) {
	s, err := a.continued(c)
	if err != nil {
		return nil, err
	}
	if len(s.credentials) == 0 {
		return nil, ctap2.ErrNotAllowed
	}
	resp, err := a.describeCredential(s.credentials[0])
	if err != nil {
		return nil, err
	}
	s.credentials = s.credentials[1:]
	a.keep(c, s)
	return resp, nil
}

func (a *Authenticator) describeCredential(c *credential) (*credentialManagementResponse, error) {
	key, err := c.publicKey()
	if err != nil {
		return nil, err
	}
	descriptor := c.descriptor()
	resp := &credentialManagementResponse{
		User:         &c.User,
		CredentialID: &descriptor,
		PublicKey:    key,
		CredProtect:  c.CredProtect,
		LargeBlobKey: c.LargeBlobKey,
	}
	if a.profile.extension(extensionThirdPartyPayment) {
		resp.ThirdPartyPayment = &c.ThirdPartyPayment
	}
	return resp, nil
}

// deleteCredential is section 6.8.5.
func (a *Authenticator) deleteCredential(req *credentialManagementRequest) error {
	c := a.stored(req.credentialID)
	if c == nil {
		return ctap2.ErrNoCredentials
	}
	deleted := change{device: a.state.device, remove: []*credential{c}}
	if err := a.renewCredStoreState(&deleted.device); err != nil {
		return err
	}
	a.session.series = nil // it may have what is deleted now
	return a.state.commit(deleted)
}

// updateUser is updateUserInformation, section 6.8.6. Names that are absent or
// empty are removed.
func (a *Authenticator) updateUser(req *credentialManagementRequest) error {
	c := a.stored(req.credentialID)
	if c == nil {
		return ctap2.ErrNoCredentials
	}
	if !bytes.Equal(c.User.ID, req.user.ID) {
		return ctap2.ErrInvalidParameter
	}
	updated := *c
	updated.User = truncateNames(*req.user)
	replaced := change{device: a.state.device, put: []*credential{&updated}}
	if err := a.renewCredStoreState(&replaced.device); err != nil {
		return err
	}
	return a.state.commit(replaced)
}
