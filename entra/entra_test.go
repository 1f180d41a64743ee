package entra_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/internal/mdstest"
	"github.com/fidokey/fidokey/metadata"
)

var now = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// models are metadata: AAGUID -> entry.
type models map[string]*metadata.Entry

func (m models) Entry(aaguid string) (*metadata.Entry, error) { return m[aaguid], nil }

// listed is a model that Microsoft lists; the others are made up.
const (
	listed   = "2fc0579f-8113-47ea-b116-bb5a8db9202a"
	authIOS  = "90a3ccdf-635c-4729-a248-9b709135078f"
	hello    = "08987058-cadc-4b81-b6e1-30de50dcbe96"
	msSynced = "d3452668-01fd-4c12-926c-83a4204853aa"
)

func aaguid(t *testing.T, s string) ctap2.AAGUID {
	t.Helper()
	a, err := ctap2.ParseAAGUID(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// entry makes metadata of a model up; change may alter it.
func entry(t *testing.T, change func(entry, statement map[string]any)) *metadata.Entry {
	t.Helper()
	made := mdstest.Entry(1, "")
	if change != nil {
		change(made, made["metadataStatement"].(map[string]any))
	}
	text, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	e := new(metadata.Entry)
	if err := json.Unmarshal(text, e); err != nil {
		t.Fatal(err)
	}
	return e
}

func getInfo(entry, statement map[string]any) map[string]any {
	return statement["authenticatorGetInfo"].(map[string]any)
}

// key1 is a key of model 1, good for everything.
func key1(t *testing.T) entra.Key {
	return entra.Key{AAGUID: aaguid(t, mdstest.AAGUID(1)), Info: goodInfo()}
}

func goodInfo() *ctap2.GetInfoResponse {
	return &ctap2.GetInfoResponse{
		Versions: []string{"FIDO_2_0", "FIDO_2_1"}, Extensions: []string{"hmac-secret", "credProtect"},
		Options:    map[string]bool{"rk": true, "clientPin": true, "credMgmt": true},
		Algorithms: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},

		RemainingDiscoverableCredentials: new(uint(20)),
	}
}

// A vendor makes attestation certificates.
type vendor struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newVendor(t *testing.T) *vendor {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v := &vendor{key: key}
	v.root = v.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Vendor Root"}, IsCA: true, BasicConstraintsValid: true})
	return v
}

func (v *vendor) sign(t *testing.T, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0)
	parent := v.root
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, v.key.Public(), v.key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// leaf is an attestation certificate; change may alter it.
func (v *vendor) leaf(t *testing.T, change func(c *x509.Certificate)) []byte {
	t.Helper()
	c := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Batch", Organization: []string{"Vendor"}, Country: []string{"US"}, OrganizationalUnit: []string{"Authenticator Attestation"}},
		BasicConstraintsValid: true,
	}
	if change != nil {
		change(c)
	}
	return v.sign(t, c).Raw
}

// withAAGUID adds the extension with an AAGUID.
func withAAGUID(a ctap2.AAGUID) func(c *x509.Certificate) {
	return func(c *x509.Certificate) {
		value, _ := asn1.Marshal(a[:])
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}, Value: value})
	}
}

func (v *vendor) entry(t *testing.T) *metadata.Entry {
	return entry(t, func(_, s map[string]any) {
		s["attestationRootCertificates"] = []string{base64.StdEncoding.EncodeToString(v.root.Raw)}
	})
}

// enabled is a policy for everybody with members in JSON.
func enabled(t *testing.T, members string) *entra.Policy {
	t.Helper()
	p, err := entra.ParsePolicy(fmt.Appendf(nil, `{"id":"Fido2","state":"enabled","isSelfServiceRegistrationAllowed":true,
		"includeTargets":[{"targetType":"group","id":"all_users"}],"excludeTargets":[],%s}`, members))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// refused are the rules that say no: "rule", or "profile rule".
func refused(r *entra.Result) string { return withOutcome(r, entra.Refused) }

func withOutcome(r *entra.Result, outcome entra.Outcome) string {
	var rules []string
	for _, reason := range r.Reasons {
		if reason.Outcome == outcome {
			rules = append(rules, strings.TrimSpace(reason.Profile+" "+reason.Rule))
		}
	}
	return strings.Join(rules, ", ")
}

func outcome(t *testing.T, r *entra.Result, rule string) entra.Outcome {
	t.Helper()
	for _, reason := range r.Reasons {
		if reason.Rule == rule {
			return reason.Outcome
		}
	}
	t.Fatalf("no reason is about %s: %+v", rule, r.Reasons)
	return ""
}
