package webauthn

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// The values of ClientData.Type.
const (
	TypeCreate = "webauthn.create"
	TypeGet    = "webauthn.get"
)

// ClientData is what the client vouches for (WebAuthn Level 3, section 5.8.1).
type ClientData struct {
	Type      string
	Challenge []byte
	Origin    string
}

// JSON returns the serialization of section 5.8.1.1, byte for byte what browsers
// produce for a page that is not in a frame of another origin.
func (c ClientData) JSON() []byte {
	return []byte(`{"type":` + ccdString(c.Type) +
		`,"challenge":` + ccdString(base64.RawURLEncoding.EncodeToString(c.Challenge)) +
		`,"origin":` + ccdString(c.Origin) +
		`,"crossOrigin":false}`)
}

// ccdString is CCDToString of section 5.8.1.1.
func ccdString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"', r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Hash returns the client data hash: SHA-256 over the JSON.
func Hash(clientDataJSON []byte) []byte {
	sum := sha256.Sum256(clientDataJSON)
	return sum[:]
}
