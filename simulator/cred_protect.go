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

// decodeCredProtect reads the level that makeCredential asks for; nil is none.
func decodeCredProtect(i item) *uint64 {
	level := optional(i, item.uint)
	if level != nil && (*level < userVerificationOptional || *level > userVerificationRequired) {
		i.fault.note(ctap2.ErrInvalidOption)
	}
	return level
}

// createCredProtect sets the level of a new credential. Without being asked the
// key takes the lowest one and does not mention it.
func createCredProtect(input *uint64, k *keyMaterial, outputs map[string]any) {
	k.CredProtect = userVerificationOptional
	if input != nil {
		k.CredProtect = uint(*input)
		outputs[extensionCredProtect] = *input
	}
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
