package graph

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// EncodeMethodID returns the ID that Graph gives the passkey with a credential ID: it is
// base64url, with the number of padding characters as a digit in place of them.
func EncodeMethodID(credentialID []byte) string {
	padding := (3 - len(credentialID)%3) % 3
	return base64.RawURLEncoding.EncodeToString(credentialID) + string(rune('0'+padding))
}

// DecodeMethodID returns the credential ID of a passkey's ID. The form of those is known;
// DecodeExcluded has to guess.
func DecodeMethodID(id string) ([]byte, error) {
	if n := len(id) - 1; n > 0 {
		credentialID, err := strictURL.DecodeString(id[:n])
		if err == nil && EncodeMethodID(credentialID) == id {
			return credentialID, nil
		}
	}
	return nil, fmt.Errorf("%q is no passkey's ID: base64url with the number of padding characters as a digit", printable(id))
}

var (
	strictURL = base64.RawURLEncoding.Strict()
	errForm   = errors.New("it is neither base64 nor base64url, with or without a padding digit")
)

// DecodeExcluded returns the credential ID in any of the forms that the service writes
// into excludeCredentials: base64url, base64, or base64url with the number of padding
// characters as a digit. Where two of them fit it returns both, first the one without
// the digit; one more credential to exclude does no harm.
func DecodeExcluded(id string) (readings [][]byte, err error) {
	if strings.ContainsAny(id, "+/=") {
		credentialID, err := base64.StdEncoding.Strict().DecodeString(id)
		if err != nil || len(credentialID) == 0 {
			return nil, errForm
		}
		return [][]byte{credentialID}, nil
	}
	n := len(id) - 1
	if n < 1 {
		return nil, errForm
	}
	candidates := []string{id}
	switch last := id[n]; {
	case len(id)%4 == 1 && last == '0', len(id)%4 == 3 && last == '2':
		candidates = []string{id[:n]}
	case len(id)%4 == 0 && last == '1':
		candidates = append(candidates, id[:n]) // Strict refuses it unless two low bits are zero
	}
	for _, text := range candidates {
		if credentialID, err := strictURL.DecodeString(text); err == nil {
			readings = append(readings, credentialID)
		}
	}
	if len(readings) == 0 {
		return nil, errForm
	}
	return readings, nil
}
