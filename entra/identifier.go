package entra

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Entra writes credential IDs in three ways: in base64url without padding, in
// standard base64, and in base64url with the number of missing padding characters
// appended as a digit. The last is the form of method IDs.

// MethodID writes a credential ID as the ID of an authentication method.
func MethodID(credentialID []byte) string {
	return base64.RawURLEncoding.EncodeToString(credentialID) + strconv.Itoa((3-len(credentialID)%3)%3)
}

var errNotEncoded = errors.New("neither base64 nor base64url, with or without a padding digit")

// ParseMethodID reads the ID of an authentication method: a credential ID with a
// padding digit.
func ParseMethodID(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, fmt.Errorf("%q: %w", text, errNotEncoded)
	}
	id, err := base64.RawURLEncoding.Strict().DecodeString(text[:len(text)-1])
	if err != nil || len(id) == 0 || MethodID(id) != text {
		return nil, fmt.Errorf("%q is no method ID: base64url with the number of padding characters as a digit", text)
	}
	return id, nil
}

// Readings returns what an identifier in any of the three forms may stand for: one
// reading, or two where the last character can be a digit of the text or the padding
// digit; first the one without. In an exclude list both do no harm.
func Readings(text string) ([][]byte, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsAny(text, "+/=") {
		id, err := base64.StdEncoding.DecodeString(text)
		return only(text, id, err)
	}
	digit, err := ParseMethodID(text)
	if err == nil && len(text)%4 != 0 {
		// As base64url it would have too few bits (0), or bits left over (2).
		return only(text, digit, nil)
	}
	plain, wrong := base64.RawURLEncoding.DecodeString(text)
	if err == nil && wrong == nil {
		return [][]byte{plain, digit}, nil
	}
	return only(text, plain, wrong)
}

func only(text string, id []byte, err error) ([][]byte, error) {
	if err != nil || len(id) == 0 {
		return nil, fmt.Errorf("%q: %w", text, errNotEncoded)
	}
	return [][]byte{id}, nil
}

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
