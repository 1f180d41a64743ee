package metadata

import (
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// rootFiles are the anchors of the FIDO Alliance's BLOB; see README.md.
//
//go:embed roots/*.pem
var rootFiles embed.FS

// Roots returns the roots that BLOBs of the FIDO Alliance lead to: GlobalSign Root
// R46 since August 2026, and GlobalSign Root CA - R3 before.
func Roots() []*x509.Certificate {
	var roots []*x509.Certificate
	files, err := rootFiles.ReadDir("roots")
	for _, f := range files {
		var text []byte
		if text, err = rootFiles.ReadFile("roots/" + f.Name()); err != nil {
			break
		}
		var in []*x509.Certificate
		if in, err = ParseRoots(text); err != nil {
			break
		}
		roots = append(roots, in...)
	}
	if err != nil {
		panic("metadata: roots: " + err.Error()) // embedded, and tested
	}
	return roots
}

// ParseRoots reads certificates in PEM.
func ParseRoots(text []byte) (roots []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a %s in place of a certificate", block.Type)
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	if roots == nil {
		return nil, errors.New("no certificate in PEM")
	}
	return roots, nil
}

// Fingerprint is the SHA-256 of a certificate in hexadecimal.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}
