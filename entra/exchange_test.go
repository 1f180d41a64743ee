package entra_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// TestExchange judges an exchange that another program made: testdata/exchange.json.
func TestExchange(t *testing.T) {
	var x struct {
		CreationOptionsResponse struct {
			PublicKey struct {
				User struct {
					ID, Name string
				}
			}
		}
		RegistrationRequest struct {
			PublicKeyCredential struct {
				Response struct{ AttestationObject string }
			}
		}
		RegistrationResponse struct{ AAGUID string }
		Decoded              struct {
			UserHandleTenantGuess, RPIDHashHex string
		}
		AttestationRootCertificate string
	}
	text, err := os.ReadFile("testdata/exchange.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &x); err != nil {
		t.Fatal(err)
	}

	t.Run("user handle", func(t *testing.T) {
		handle, err := base64.RawURLEncoding.DecodeString(x.CreationOptionsResponse.PublicKey.User.ID)
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := entra.ParseUserHandle(handle); !ok || h.Tenant != x.Decoded.UserHandleTenantGuess {
			t.Errorf("%+v, %t", h, ok)
		}
		if hash := sha256.Sum256([]byte("login.microsoft.com")); hex.EncodeToString(hash[:]) != x.Decoded.RPIDHashHex {
			t.Error("the RP ID is another")
		}
	})

	object, err := base64.RawURLEncoding.DecodeString(x.RegistrationRequest.PublicKeyCredential.Response.AttestationObject)
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Fmt      string          `cbor:"fmt"`
		AttStmt  cbor.RawMessage `cbor:"attStmt"`
		AuthData []byte          `cbor:"authData"`
	}
	if err := ctapcbor.Unmarshal(object, &made); err != nil {
		t.Fatal(err)
	}
	a, err := entra.NewAttestation(&ctap2.MakeCredentialResponse{Format: made.Fmt, AttStmt: made.AttStmt, AuthData: made.AuthData})
	if err != nil {
		t.Fatal(err)
	}
	if a.AAGUID.String() != x.RegistrationResponse.AAGUID || a.Format != "packed" || a.BackupEligible {
		t.Errorf("%+v", a)
	}
	for root, want := range map[string]string{
		x.AttestationRootCertificate:                             "",
		base64.StdEncoding.EncodeToString(newVendor(t).root.Raw): "legacy settings attestation",
	} {
		published := entry(t, func(_, s map[string]any) {
			s["attestationRootCertificates"] = []string{strings.NewReplacer("-", "+", "_", "/").Replace(root)}
		})
		r := entra.Judge(entra.Case{
			Key: entra.Key{AAGUID: a.AAGUID, Attestation: a}, Policy: enabled(t, `"isAttestationEnforced":true`),
			Metadata: models{a.AAGUID.String(): published}, Now: now,
		})
		if refused(r) != want {
			t.Errorf("%q: %s\n%+v", refused(r), r.Summary, r.Reasons)
		}
	}
}
