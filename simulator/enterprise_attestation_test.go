package simulator

import (
	"crypto/x509"
	"testing"

	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// TestEnterpriseAttestation: when step 9 has granted it, the certificate names
// this very key.
func TestEnterpriseAttestation(t *testing.T) {
	serials := map[string]bool{}
	for _, kind := range []Attestation{AttestationChain, AttestationSelf} {
		for range 2 {
			p := DefaultProfile()
			withExtensions(p)
			p.Attestation = kind
			a, err := New(Config{Profile: p})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			c := &credential{keyMaterial: keyMaterial{Algorithm: -8, Seed: make([]byte, 32)}, ID: []byte{1}}
			r := &registration{creation: &creation{alg: -8, enterprise: true}, credential: c}
			resp, err := a.attest(r, &makeCredentialRequest{clientDataHash: make([]byte, 32), attestationFormats: []string{formatU2F}})
			if err != nil || !resp.EnterpriseAttestation || resp.Format != formatPacked {
				t.Fatalf("%+v, %v", resp, err)
			}
			var statement packedStatement
			if err := ctapcbor.Unmarshal(resp.AttStmt, &statement); err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(statement.X5C[0])
			if err != nil {
				t.Fatal(err)
			}
			serials[leaf.Subject.SerialNumber] = true

			resp, err = a.attest(r, &makeCredentialRequest{clientDataHash: make([]byte, 32), attestationFormats: []string{formatNone}})
			if err != nil || resp.EnterpriseAttestation || resp.Format != formatNone {
				t.Fatalf("none asked for: %+v, %v", resp, err)
			}
		}
	}
	if len(serials) != 4 || serials[""] {
		t.Errorf("serial numbers %v", serials)
	}
}
