package simulator

import (
	"github.com/fidokey/fidokey/ctap2"
)

const extensionCredProtect = "credProtect"

// Levels of the credProtect extension, CTAP 2.1 section 12.1.
const (
	userVerificationOptional                     = 1
	userVerificationOptionalWithCredentialIDList = 2
	userVerificationRequired                     = 3
)

// credProtectInput is the level that makeCredential asks for.
type credProtectInput uint64

func decodeCredProtect(i item) creationInput {
	level := i.uint()
	if level < userVerificationOptional || level > userVerificationRequired {
		i.fault.note(ctap2.ErrInvalidOption)
	}
	return credProtectInput(level)
}

func (level credProtectInput) create(_ *Authenticator, r *registration) error {
	r.credential.CredProtect = uint(level)
	r.outputs.sign(extensionCredProtect, uint64(level))
	return nil
}

// defaultCredProtect is the level of a credential for which none is asked. It
// is not mentioned.
func (p *Profile) defaultCredProtect() uint {
	return max(p.CredProtect, userVerificationOptional)
}

// hidden reports whether the level keeps a credential from being found.
func (c *credential) hidden(uv, listed bool) bool { return hidden(c.CredProtect, uv, listed) }

func hidden(level uint, uv, listed bool) bool {
	switch level {
	case userVerificationRequired:
		return !uv
	case userVerificationOptionalWithCredentialIDList:
		return !uv && !listed
	}
	return false
}
