package metadata_test

import (
	"encoding/pem"
	"testing"

	"github.com/fidokey/fidokey/metadata"
)

// FuzzParseRoots: there are roots, or an error.
func FuzzParseRoots(f *testing.F) {
	f.Add([]byte("text before\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x01})
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{0x30, 0}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		roots, err := metadata.ParseRoots(text)
		if (err == nil) != (len(roots) > 0) {
			t.Fatalf("%d roots, %v", len(roots), err)
		}
		for _, root := range roots {
			if root == nil || len(root.Raw) == 0 {
				t.Error("an empty root")
			}
		}
	})
}
