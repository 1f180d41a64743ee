package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

var (
	// ErrNoCredentialManagement is returned for a key that has no
	// authenticatorCredentialManagement. It says nothing about what is on it.
	ErrNoCredentialManagement = errors.New("the key cannot list the passkeys on it, as keys of CTAP 2.0; it may hold some nevertheless")
	// ErrNoRPList is returned for a key that holds credentials and does not list
	// their relying parties. CredentialsFor works if the RP ID is known.
	ErrNoRPList = errors.New("the key lists no relying parties, only the credentials of one that is named")
	// ErrIncomplete comes with a list of which a part is missing.
	ErrIncomplete = errors.New("the list is incomplete")
)

// CredentialMetadata is how many discoverable credentials a key holds, and for
// how many more there is room at most.
type CredentialMetadata struct {
	Existing, MaxRemaining uint
}

// RelyingParty is a relying party that a key holds discoverable credentials for.
type RelyingParty struct {
	// ID may have been cut off by the key, which then tells it to be IDCut.
	// IDHash is what counts.
	ID     string
	IDHash [32]byte // SHA-256
	// IDCut means that IDHash is not the hash of ID.
	IDCut bool
	Name  string // may be empty

	Credentials []StoredCredential

	ctap2.Rest // of the answer that named the relying party
}

// StoredCredential is a discoverable credential that a key holds.
type StoredCredential struct {
	ID   []byte
	User ctap2.User // the names may be empty, or cut off
	// PublicKey has the bytes of the COSE_Key as they came in Raw. It is nil if
	// the key tells none.
	PublicKey         *cose.Key
	CredProtect       uint   // 1 to 3; 0: not told
	LargeBlobKey      []byte // 32 bytes; nil if it has none
	ThirdPartyPayment *bool  // nil: not told

	ctap2.Rest
}

// Deletion is what there is to know about a credential that was deleted.
type Deletion struct {
	// HadLargeBlobKey means that the key's large-blob array may have a blob of
	// the credential, which nobody can read any more. It was left as it is. nil:
	// not known, for this Key has not listed the credential before.
	HadLargeBlobKey *bool
}

// CredentialMetadata asks how many discoverable credentials there are (CTAP 2.1,
// section 6.8.2).
func (k *Key) CredentialMetadata(ctx context.Context) (CredentialMetadata, error) {
	ctx, m, err := k.management(ctx)
	if err != nil {
		return CredentialMetadata{}, err
	}
	return reading(ctx, k, func(token *pin.Token) (CredentialMetadata, error) { return m.metadata(ctx, token) })
}

// Credentials lists all discoverable credentials by relying party (CTAP 2.1,
// sections 6.8.3 and 6.8.4). With [ErrIncomplete] comes what was read
// nevertheless.
func (k *Key) Credentials(ctx context.Context) ([]RelyingParty, error) {
	ctx, m, err := k.management(ctx)
	if err != nil {
		return nil, err
	}
	return reading(ctx, k, func(token *pin.Token) ([]RelyingParty, error) {
		l := lister{management: m, token: token}
		return l.all(ctx)
	})
}

// CredentialsFor lists the discoverable credentials of one relying party. It is
// for an RP ID as the relying party uses it; there need not be any. With
// [ErrIncomplete] comes what was read nevertheless.
func (k *Key) CredentialsFor(ctx context.Context, rpID string) ([]StoredCredential, error) {
	ctx, m, err := k.management(ctx)
	if err != nil {
		return nil, err
	}
	return reading(ctx, k, func(token *pin.Token) ([]StoredCredential, error) {
		l := lister{management: m, token: token}
		credentials, err := l.credentials(ctx, sha256.Sum256([]byte(rpID)))
		return credentials, l.verdict(err)
	})
}

// DeleteCredential deletes the discoverable credential with this ID, and nothing
// else (CTAP 2.1, section 6.8.5). An ID that the key does not have is
// ctap2.ErrNoCredentials. It cannot be undone.
func (k *Key) DeleteCredential(ctx context.Context, id []byte) (Deletion, error) {
	_, err := changing(ctx, k, ctap2.DeleteCredential, id, nil)
	if err != nil {
		return Deletion{}, err
	}
	var d Deletion
	if had, known := k.largeBlobKeys[string(id)]; known {
		d.HadLargeBlobKey = &had
	}
	return d, nil
}

// UpdateUser replaces the names of the user of a discoverable credential (CTAP
// 2.1, section 6.8.6). An empty name is removed. user.ID is the one that the key
// has; the key refuses another with ctap2.ErrInvalidParameter. The prototype of
// the command that older keys have cannot do this: transport.ErrUnsupported.
func (k *Key) UpdateUser(ctx context.Context, id []byte, user ctap2.User) error {
	_, err := changing(ctx, k, ctap2.UpdateUserInformation, id, &user)
	return err
}

// changing sends one of the two subcommands that change a credential.
func changing(ctx context.Context, k *Key, sub ctap2.CredentialSubCommand, id []byte, user *ctap2.User) (*ctap2.CredentialManagementResponse, error) {
	ctx, m, err := k.management(ctx)
	switch {
	case err != nil:
		return nil, err
	case m.preview && sub == ctap2.UpdateUserInformation:
		return nil, keyCannot("the key knows only the prototype of credential management (FIDO_2_1_PRE), which cannot change what is stored of a user")
	case len(id) == 0:
		return nil, errors.New("no credential ID is given")
	case user != nil && len(user.ID) == 0:
		return nil, errors.New("no user ID is given")
	}
	defer func() { k.info = nil }() // the room that is left, the store state
	params := &ctap2.CredentialManagementParams{CredentialID: &ctap2.Descriptor{ID: id, Type: ctap2.PublicKeyType}, User: user}
	return authorized(ctx, k, pin.Grant{Permissions: ctap2.PermissionCM}, func(token *pin.Token) (*ctap2.CredentialManagementResponse, error) {
		return m.send(ctx, token, sub, params)
	})
}

// management is the command as a key has it.
type management struct {
	key     *Key
	preview bool
}

// management begins a flow of credential management. Where a key has both the
// command and its prototype, the command is used.
func (k *Key) management(ctx context.Context) (context.Context, management, error) {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return ctx, management{}, err
	}
	if ok, _ := info.Option(ctap2.OptionCredMgmt); ok {
		return ctx, management{key: k}, nil
	}
	if ok, _ := info.Option(ctap2.OptionCredMgmtPreview); ok && info.HasVersion(ctap2.VersionFIDO21Pre) {
		return ctx, management{key: k, preview: true}, nil
	}
	if onlyU2F(info) {
		return ctx, management{}, fmt.Errorf("%w, and cannot store passkeys", ErrU2FOnly)
	}
	return ctx, management{}, ErrNoCredentialManagement
}

// send sends a subcommand, authenticated with the token unless that is nil.
func (m management) send(ctx context.Context, token *pin.Token, sub ctap2.CredentialSubCommand, params *ctap2.CredentialManagementParams) (*ctap2.CredentialManagementResponse, error) {
	req := ctap2.CredentialManagement{Preview: m.preview, SubCommand: sub, Params: params}
	if token != nil {
		message, err := req.AuthMessage()
		if err != nil {
			return nil, err
		}
		req.PINUVAuthProtocol, req.PINUVAuthParam = uint(token.Protocol()), token.Authenticate(message)
	}
	return ctap2.Do(ctx, m.key.dev, req)
}

func (m management) command() ctap2.Command {
	return ctap2.CredentialManagement{Preview: m.preview}.Command()
}

func (m management) metadata(ctx context.Context, token *pin.Token) (CredentialMetadata, error) {
	resp, err := m.send(ctx, token, ctap2.GetCredsMetadata, nil)
	if err != nil {
		return CredentialMetadata{}, err
	}
	existing, remaining := resp.ExistingResidentCredentialsCount, resp.MaxPossibleRemainingResidentCredentialsCount
	if existing == nil || remaining == nil {
		return CredentialMetadata{}, fmt.Errorf("%v: %w: existing or remaining credentials (1, 2) are missing", m.command(), ctap2.ErrMalformed)
	}
	return CredentialMetadata{Existing: *existing, MaxRemaining: *remaining}, nil
}

// relyingParty returns what an answer tells of a relying party. Keys of before
// CTAP 2.1 cut the ID off at 32 bytes, later ones may (CTAP 2.1, section 6.8.7).
func (m management) relyingParty(ctx context.Context, resp *ctap2.CredentialManagementResponse) RelyingParty {
	rp := RelyingParty{Rest: resp.Rest}
	if resp.RP == nil {
		ctap2.Missing(ctx, m.command(), "rp (3)", resp.Raw)
		resp.RP = &ctap2.RP{}
	}
	rp.ID, rp.Name = resp.RP.ID, whole(resp.RP.Name)
	rp.IDHash = sha256.Sum256([]byte(rp.ID))
	switch {
	case len(resp.RPIDHash) != len(rp.IDHash):
		ctap2.Missing(ctx, m.command(), "rpIDHash (4) of 32 bytes", resp.Raw)
	case !bytes.Equal(resp.RPIDHash, rp.IDHash[:]):
		rp.IDHash, rp.IDCut = [32]byte(resp.RPIDHash), true
		if resp.RP.ID != "" {
			m.tolerate(ctx, fmt.Sprintf("rpIDHash is not the hash of rp.id %q, which may be cut off", rp.ID), resp.Raw)
		}
	}
	rp.ID = whole(rp.ID)
	return rp
}

// credential returns what an answer tells of a credential.
func (m management) credential(ctx context.Context, resp *ctap2.CredentialManagementResponse) StoredCredential {
	c := StoredCredential{
		ID:                resp.CredentialID.ID,
		PublicKey:         resp.PublicKey,
		CredProtect:       resp.CredProtect,
		LargeBlobKey:      resp.LargeBlobKey,
		ThirdPartyPayment: resp.ThirdPartyPayment,
		Rest:              resp.Rest,
	}
	if resp.User == nil {
		ctap2.Missing(ctx, m.command(), "user (6)", resp.Raw)
	} else {
		c.User = ctap2.User{ID: resp.User.ID, Name: whole(resp.User.Name), DisplayName: whole(resp.User.DisplayName)}
	}
	if resp.PublicKey == nil {
		ctap2.Missing(ctx, m.command(), "publicKey (8)", resp.Raw)
	}
	m.key.rememberLargeBlobKey(c)
	return c
}

// rememberLargeBlobKey is for the result of DeleteCredential.
func (k *Key) rememberLargeBlobKey(c StoredCredential) {
	if k.largeBlobKeys == nil {
		k.largeBlobKeys = map[string]bool{}
	}
	k.largeBlobKeys[string(c.ID)] = len(c.LargeBlobKey) > 0
}

// whole returns text that a key may have cut in the middle of a code point
// without what is left of that. Other bytes that are not UTF-8 are replaced, so
// that the text can be shown, and sent back.
func whole(text string) string {
	for i := len(text) - 1; i >= 0 && i >= len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRuneInString(text[i:]) {
				text = text[:i]
			}
			break
		}
	}
	return strings.ToValidUTF8(text, "\ufffd")
}
