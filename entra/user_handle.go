package entra

import (
	"bytes"
	"fmt"
)

// UserHandle is what a user handle of Microsoft's says.
type UserHandle struct {
	Tenant   string // probably the tenant's ID; empty for personal accounts
	Personal bool   // a personal Microsoft account
	User     []byte // 32 bytes that only Microsoft knows the meaning of
}

const userPart = 32 // bytes

// ParseUserHandle reads the user handle of a credential for login.microsoft.com, and
// reports whether it is one of Microsoft's.
func ParseUserHandle(b []byte) (UserHandle, bool) {
	if rest, ok := bytes.CutPrefix(b, []byte("OF:")); ok && len(rest) == 16+userPart {
		return UserHandle{Tenant: microsoftGUID(rest[:16]), User: rest[16:]}, true
	}
	if rest, ok := bytes.CutPrefix(b, []byte("MF:")); ok && len(rest) == userPart {
		return UserHandle{Personal: true, User: rest}, true
	}
	return UserHandle{}, false
}

// microsoftGUID writes a GUID whose first three groups have the low byte first.
func microsoftGUID(b []byte) string {
	return fmt.Sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%x-%x",
		b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8:10], b[10:16])
}

func (h UserHandle) String() string {
	if h.Personal {
		return "a personal Microsoft account"
	}
	return fmt.Sprintf("Entra, tenant %s (probable)", h.Tenant)
}
