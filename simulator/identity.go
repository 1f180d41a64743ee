package simulator

import (
	"crypto/hkdf"
	"crypto/sha256"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

// The members of getInfo that only the holder of the persistent token can read
// are 128-bit values in AES-128-CBC (CTAP 2.2, section 6.4).
const (
	identitySize = 16

	infoIdentifier     = "encIdentifier"
	infoCredStoreState = "encCredStoreState"
)

// persistentToken returns the persistent pinUvAuthToken (CTAP 2.2): it reads the
// list of credentials, survives power-off, and is made when it is first asked
// for. The identifier and the credential store state come with the first one,
// for nobody could see them before.
func (a *Authenticator) persistentToken() ([]byte, error) {
	if token := a.state.device.PersistentToken; token != nil {
		return token, nil
	}
	c := change{device: a.state.device}
	var err error
	if c.device.PersistentToken, err = a.random(tokenSize); err != nil {
		return nil, err
	}
	if c.device.Identifier == nil {
		if c.device.Identifier, err = a.random(identitySize); err != nil {
			return nil, err
		}
		if c.device.CredStoreState, err = a.random(identitySize); err != nil {
			return nil, err
		}
	}
	return c.device.PersistentToken, a.state.commit(c)
}

// renewCredStoreState is part of every change of discoverable credentials.
func (a *Authenticator) renewCredStoreState(d *device) (err error) {
	if d.CredStoreState != nil {
		d.CredStoreState, err = a.random(identitySize)
	}
	return err
}

// identify fills in the encrypted members of getInfo.
func (a *Authenticator) identify(info *ctap2.GetInfoResponse) (err error) {
	d := &a.state.device
	if d.PersistentToken == nil {
		return nil
	}
	if a.profile.EncIdentifier {
		if info.EncIdentifier, err = a.sealIdentity(infoIdentifier, d.Identifier); err != nil {
			return err
		}
	}
	if a.profile.EncCredStoreState {
		info.EncCredStoreState, err = a.sealIdentity(infoCredStoreState, d.CredStoreState)
	}
	return err
}

func (a *Authenticator) sealIdentity(info string, value []byte) ([]byte, error) {
	iv, err := a.random(identitySize)
	if err != nil {
		return nil, err
	}
	return encryptIdentity(a.state.device.PersistentToken, info, iv, value)
}

// encryptIdentity returns the IV and the ciphertext.
func encryptIdentity(token []byte, info string, iv, value []byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, token, make([]byte, 32), info, 16)
	if err != nil {
		return nil, err
	}
	ciphertext, err := encryptCBC(key, iv, value)
	return slices.Concat(iv, ciphertext), err
}
