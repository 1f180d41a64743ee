package webauthn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/metadata"
	"github.com/fidokey/fidokey/webauthn"
)

// An authority makes attestation certificates.
type authority struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) *authority {
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "made-up root"},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.root = certificate(t, der)
	return a
}

func extensionOf(t *testing.T, id asn1.ObjectIdentifier, v any, critical bool) pkix.Extension {
	value, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: id, Value: value, Critical: critical}
}

var (
	idAAGUID   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}
	idFirmware = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 5}
)

// good is a certificate as section 8.2.1 wants it.
func good(t *testing.T) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{Country: []string{"SE"}, Organization: []string{"Made Up"}, OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "Made-up key"},
		NotBefore:    time.Now().AddDate(0, -1, 0), NotAfter: time.Now().AddDate(1, 0, 0),
		BasicConstraintsValid: true, SubjectKeyId: []byte{0xab, 0xcd},
		ExtraExtensions: []pkix.Extension{extensionOf(t, idAAGUID, aaguid[:], false), extensionOf(t, idFirmware, 328965, false)},
	}
}

// register makes a registration that a key with this certificate vouches for.
func (a *authority) register(t *testing.T, format string, template *x509.Certificate) (*webauthn.RegistrationResponse, *x509.Certificate) {
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ctapcbor.Marshal(cose.Key{Algorithm: cose.ES256, Public: newKey(t).Public()})
	if err != nil {
		t.Fatal(err)
	}
	rpIDHash := sha256.Sum256([]byte(rpID))
	id, model := []byte("credential"), aaguid
	if format == "fido-u2f" {
		model = ctap2.AAGUID{}
	}
	authData := slices.Concat(rpIDHash[:], []byte{0x41, 0, 0, 0, 1}, model[:], []byte{0, byte(len(id))}, id, public)
	hash := webauthn.Hash(clientData())
	message := slices.Concat(authData, hash)
	if format == "fido-u2f" {
		var credential cose.Key
		if err := ctapcbor.Unmarshal(public, &credential); err != nil {
			t.Fatal(err)
		}
		point, err := credential.Public.(*ecdsa.PublicKey).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		message = slices.Concat([]byte{0}, rpIDHash[:], hash, id, point)
	}
	digest := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	o := &object{Format: format, AuthData: authData}
	o.put(t, "sig", sig)
	o.put(t, "x5c", [][]byte{der})
	if format == "packed" {
		o.put(t, "alg", cose.ES256)
	}
	whole, err := ctapcbor.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return response(whole, clientData(), id), certificate(t, der)
}

// entry is what metadata say of the made-up key.
func (a *authority) entry(change func(members map[string]any)) func(string) (*metadata.Entry, error) {
	statement := map[string]any{
		"description": "Made-up key of the metadata", "attestationTypes": []string{"basic_full"},
		"attestationRootCertificates": []string{base64.StdEncoding.EncodeToString(a.root.Raw)},
	}
	members := map[string]any{
		"aaguid": aaguid.String(), "metadataStatement": statement,
		"statusReports": []map[string]any{{"status": "FIDO_CERTIFIED_L2", "effectiveDate": "2024-05-01"}},
	}
	if change != nil {
		change(members)
	}
	return func(id string) (*metadata.Entry, error) {
		if id != aaguid.String() && id != "abcd" {
			return nil, nil
		}
		text, err := json.Marshal(members)
		if err != nil {
			return nil, err
		}
		e := new(metadata.Entry)
		return e, json.Unmarshal(text, e)
	}
}

func reports(list ...map[string]any) func(map[string]any) {
	return func(members map[string]any) {
		members["statusReports"] = append(members["statusReports"].([]map[string]any), list...)
	}
}

// TestCertificates makes a certificate with one fault at a time.
func TestCertificates(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(c *x509.Certificate)
		check  string
	}{
		"good":            {func(*x509.Certificate) {}, ""},
		"no AAGUID":       {func(c *x509.Certificate) { c.ExtraExtensions = nil }, ""},
		"no country":      {func(c *x509.Certificate) { c.Subject.Country = nil }, webauthn.CheckCertificateSubject},
		"odd country":     {func(c *x509.Certificate) { c.Subject.Country = []string{"Sweden"} }, webauthn.CheckCertificateSubject},
		"no organization": {func(c *x509.Certificate) { c.Subject.Organization = nil }, webauthn.CheckCertificateSubject},
		"no name":         {func(c *x509.Certificate) { c.Subject.CommonName = "" }, webauthn.CheckCertificateSubject},
		"no unit":         {func(c *x509.Certificate) { c.Subject.OrganizationalUnit = nil }, webauthn.CheckCertificateUnit},
		"another unit":    {func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"Sales"} }, webauthn.CheckCertificateUnit},
		"CA":              {func(c *x509.Certificate) { c.IsCA = true }, webauthn.CheckBasicConstraints},
		"expired":         {func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, -1) }, webauthn.CheckValidity},
		"not yet valid":   {func(c *x509.Certificate) { c.NotBefore = time.Now().AddDate(0, 0, 1) }, webauthn.CheckValidity},
		"another AAGUID": {func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{extensionOf(t, idAAGUID, make([]byte, 16), false)}
		}, webauthn.CheckCertificateAAGUID},
		"critical AAGUID": {func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = true }, webauthn.CheckCertificateAAGUID},
		"AAGUID too long": {func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{extensionOf(t, idAAGUID, make([]byte, 17), false)}
		}, webauthn.CheckCertificateAAGUID},
	} {
		t.Run(name, func(t *testing.T) {
			a, template := newAuthority(t), good(t)
			tt.change(template)
			r, _ := a.register(t, "packed", template)
			checks := webauthn.CheckRegistration(r, expected())
			agree(t, checks)
			want := slices.DeleteFunc([]string{tt.check, webauthn.CheckLibrary}, func(string) bool { return tt.check == "" })
			if got := failing(checks); !slices.Equal(got, want) {
				t.Errorf("fails at %q: %v", got, webauthn.Failed(checks))
			}
		})
	}
}

// TestMetadata judges a good registration by metadata with one fault at a time.
func TestMetadata(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	for name, tt := range map[string]struct {
		change func(map[string]any)
		check  string // that fails
	}{
		"good": {nil, ""},
		"another root": {func(m map[string]any) {
			m["metadataStatement"].(map[string]any)["attestationRootCertificates"] = []string{base64.StdEncoding.EncodeToString(other.root.Raw)}
		}, webauthn.CheckChain},
		"no root": {func(m map[string]any) { delete(m["metadataStatement"].(map[string]any), "attestationRootCertificates") }, webauthn.CheckChain},
		"another type": {func(m map[string]any) {
			m["metadataStatement"].(map[string]any)["attestationTypes"] = []string{"basic_surrogate"}
		}, webauthn.CheckAttestationType},
		"revoked":              {reports(map[string]any{"status": "REVOKED", "effectiveDate": "2025-01-01"}), webauthn.CheckStatus},
		"compromised":          {reports(map[string]any{"status": "ATTESTATION_KEY_COMPROMISE"}), webauthn.CheckStatus},
		"revoked some day":     {reports(map[string]any{"status": "REVOKED", "effectiveDate": "2099-01-01"}), ""},
		"another compromised":  {reports(map[string]any{"status": "ATTESTATION_KEY_COMPROMISE", "certificate": base64.StdEncoding.EncodeToString(other.root.Raw)}), ""},
		"a status of tomorrow": {reports(map[string]any{"status": "POLISHED"}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []string{"packed", "fido-u2f"} {
				r, _ := a.register(t, format, good(t))
				want := expected()
				want.Metadata = a.entry(tt.change)
				checks := webauthn.CheckRegistration(r, want)
				agree(t, checks)
				if got := failing(checks); tt.check != "" && (len(got) == 0 || !slices.Contains(got, tt.check) || !slices.Contains(got, webauthn.CheckLibrary)) || tt.check == "" && len(got) > 0 {
					t.Errorf("%s fails at %q: %v", format, got, webauthn.Failed(checks))
				}
			}
		})
	}
}

// TestCompromisedCertificate: the key that was told of, and no other.
func TestCompromisedCertificate(t *testing.T) {
	a := newAuthority(t)
	r, leaf := a.register(t, "packed", good(t))
	want := expected()
	want.Metadata = a.entry(reports(map[string]any{"status": "ATTESTATION_KEY_COMPROMISE", "certificate": base64.StdEncoding.EncodeToString(leaf.Raw)}))
	checks := webauthn.CheckRegistration(r, want)
	agree(t, checks)
	if got := failing(checks); !slices.Equal(got, []string{webauthn.CheckStatus, webauthn.CheckLibrary}) {
		t.Errorf("fails at %q", got)
	}
}

// TestExpiredToday: a registration of the past is judged by its time, about which
// the library can say nothing.
func TestExpiredToday(t *testing.T) {
	a, template := newAuthority(t), good(t)
	template.NotAfter = time.Now().AddDate(0, 0, -1)
	r, _ := a.register(t, "packed", template)
	want := expected()
	want.Roots, want.At = []*x509.Certificate{a.root}, time.Now().AddDate(0, 0, -7)
	checks := webauthn.CheckRegistration(r, want)
	if err := webauthn.Failed(checks); err != nil {
		t.Error(err)
	}
	if last := checks[len(checks)-1]; last.Name != webauthn.CheckLibrary || last.Outcome() != webauthn.NotApplicable {
		t.Errorf("%+v", last)
	}
}

func TestDescribeAttestation(t *testing.T) {
	a := newAuthority(t)
	r, leaf := a.register(t, "packed", good(t))
	want := expected()
	want.Metadata = a.entry(nil)
	d := webauthn.DescribeAttestation(r, want)
	if d.Format != "packed" || d.Type != "basic_full" || d.Model != "Made-up key of the metadata" || d.Firmware == nil || *d.Firmware != 328965 ||
		!strings.Contains(d.Certification, "2") || d.Root != webauthn.RootMetadata || len(d.Chain) != 2 {
		t.Fatalf("%+v", d)
	}
	first, last := d.Chain[0], d.Chain[1]
	if first.SHA256 != metadata.Fingerprint(leaf) || first.Key != "ECDSA on P-256" || first.Root || !strings.Contains(first.Subject, "CN=Made-up key") || first.Issuer != "CN=made-up root" {
		t.Errorf("%+v", first)
	}
	if !last.Root || last.Subject != "CN=made-up root" {
		t.Errorf("%+v", last)
	}
	want.Metadata, want.Roots = nil, []*x509.Certificate{a.root}
	if d := webauthn.DescribeAttestation(r, want); d.Root != webauthn.RootGiven {
		t.Errorf("%+v", d)
	}
	want.Roots = nil
	if d := webauthn.DescribeAttestation(r, want); d.Root != webauthn.RootNotFound || len(d.Chain) != 1 || d.Chain[0].Root {
		t.Errorf("%+v", d)
	}
	if d := webauthn.DescribeAttestation(new(webauthn.RegistrationResponse), want); d != nil {
		t.Errorf("%+v", d)
	}
}
