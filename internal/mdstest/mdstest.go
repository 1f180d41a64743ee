// Package mdstest makes metadata BLOBs for tests, and signs them with a root of
// its own. It writes the JWS by hand, so that it shares nothing with what reads it.
package mdstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// Authority signs BLOBs: a root, two certificates between, and a leaf.
type Authority struct {
	Root, Upper, Lower, Leaf *x509.Certificate
	// Algorithm is that of the leaf's key, as a JWS header names it.
	Algorithm string
	key       crypto.Signer
	issuers   map[string]issuer // by the address of their list
}

type issuer struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// The addresses of the lists of revoked certificates of those who issue some.
const (
	ListOfRoot  = "http://crl.example/root"
	ListOfUpper = "http://crl.example/upper"
	ListOfLower = "http://crl.example/lower"
)

// Options change what New makes.
type Options struct {
	Name      string    // of the leaf; empty: mds.fidoalliance.org
	From, To  time.Time // of the leaf; zero: from yesterday for a year
	Algorithm string    // empty: ES256
}

// New makes an authority.
func New(o Options) (*Authority, error) {
	now := time.Now()
	if o.Name == "" {
		o.Name = "mds.fidoalliance.org"
	}
	if o.From.IsZero() {
		o.From, o.To = now.AddDate(0, 0, -1), now.AddDate(1, 0, 0)
	}
	if o.Algorithm == "" {
		o.Algorithm = "ES256"
	}
	a := &Authority{Algorithm: o.Algorithm}
	m := maker{from: now.AddDate(-10, 0, 0), to: now.AddDate(10, 0, 0)}
	var rootKey, upperKey, lowerKey crypto.Signer
	a.Root, rootKey = m.make(&x509.Certificate{Subject: pkix.Name{CommonName: "Test Root"}, IsCA: true}, "ES256", nil, nil)
	a.Upper, upperKey = m.make(&x509.Certificate{Subject: pkix.Name{CommonName: "Test Upper CA"}, IsCA: true, CRLDistributionPoints: []string{ListOfRoot}}, "ES384", a.Root, rootKey)
	a.Lower, lowerKey = m.make(&x509.Certificate{Subject: pkix.Name{CommonName: "Test Lower CA"}, IsCA: true, CRLDistributionPoints: []string{ListOfUpper}}, "ES256", a.Upper, upperKey)
	m.from, m.to = o.From, o.To
	a.Leaf, a.key = m.make(&x509.Certificate{Subject: pkix.Name{CommonName: o.Name}, DNSNames: []string{o.Name}, CRLDistributionPoints: []string{ListOfLower}}, o.Algorithm, a.Lower, lowerKey)
	a.issuers = map[string]issuer{ListOfRoot: {a.Root, rootKey}, ListOfUpper: {a.Upper, upperKey}, ListOfLower: {a.Lower, lowerKey}}
	return a, m.err
}

// Cross makes an older root, and has it sign the root of the authority: whoever trusts
// either can follow the chain.
func (a *Authority) Cross() (older, cross *x509.Certificate, err error) {
	m := maker{from: a.Root.NotBefore, to: a.Root.NotAfter}
	older, key := m.make(&x509.Certificate{Subject: pkix.Name{CommonName: "Test Older Root"}, IsCA: true}, "ES256", nil, nil)
	if m.err != nil {
		return nil, nil, m.err
	}
	template := &x509.Certificate{
		Subject: a.Root.Subject, SerialNumber: big.NewInt(99), NotBefore: m.from, NotAfter: m.to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: a.Root.KeyUsage,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, older, a.Root.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	cross, err = x509.ParseCertificate(der)
	return older, cross, err
}

// List returns the list of revoked certificates that is at an address, with these
// on it.
func (a *Authority) List(address string, nextUpdate time.Time, revoked ...*x509.Certificate) ([]byte, error) {
	by, ok := a.issuers[address]
	if !ok {
		return nil, fmt.Errorf("no list is at %s", address)
	}
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: nextUpdate.AddDate(0, 0, -7), NextUpdate: nextUpdate}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.SerialNumber, RevocationTime: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		})
	}
	return x509.CreateRevocationList(rand.Reader, list, by.certificate, by.key)
}

// maker makes certificates; the first error stays.
type maker struct {
	from, to time.Time
	serial   int64
	err      error
}

func (m *maker) make(c *x509.Certificate, algorithm string, parent *x509.Certificate, parentKey crypto.Signer) (*x509.Certificate, crypto.Signer) {
	if m.err != nil {
		return nil, nil
	}
	key, err := newKey(algorithm)
	if err != nil {
		m.err = err
		return nil, nil
	}
	m.serial++
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(m.serial), m.from, m.to
	c.BasicConstraintsValid, c.KeyUsage = true, x509.KeyUsageDigitalSignature
	if c.IsCA {
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	m.err = err
	return c, key
}

func newKey(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "RS256", "PS256":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("no key for %q", algorithm)
}

// RootPEM returns the root as a file has it.
func (a *Authority) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Root.Raw})
}

// Header is the header of a BLOB.
type Header struct {
	Algorithm string   `json:"alg"`
	Type      string   `json:"typ"`
	X5C       [][]byte `json:"x5c,omitempty"`
}

// Header returns the header with the certificates in their order, but the root.
func (a *Authority) Header() Header {
	return Header{a.Algorithm, "JWT", [][]byte{a.Leaf.Raw, a.Lower.Raw, a.Upper.Raw}}
}

// Sign signs a payload.
func (a *Authority) Sign(payload []byte) ([]byte, error) { return a.SignWith(a.Header(), payload) }

// SignWith signs a payload under a header that may be wrong.
func (a *Authority) SignWith(h Header, payload []byte) ([]byte, error) {
	header, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := a.signature([]byte(signed))
	return []byte(signed + "." + base64.RawURLEncoding.EncodeToString(signature)), err
}

func (a *Authority) signature(data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	switch key := a.key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, data), nil
	case *rsa.PrivateKey:
		if a.Algorithm == "PS256" {
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		digest := sum[:]
		if a.Algorithm == "ES384" {
			long := sha512.Sum384(data)
			digest = long[:]
		}
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			return nil, err
		}
		size := (key.Params().BitSize + 7) / 8
		return slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))), nil
	}
	return nil, fmt.Errorf("no signature with %T", a.key)
}

// Blob is the payload of a BLOB, before it is JSON.
type Blob struct {
	LegalHeader string `json:"legalHeader"`
	No          int    `json:"no"`
	NextUpdate  string `json:"nextUpdate"`
	Entries     []any  `json:"entries"`
}

// Payload returns a BLOB of n made-up models as JSON: two of three speak FIDO2, every
// sixth UAF, the others U2F. The next update is in a month.
func Payload(no, n int) []byte {
	return Blob{No: no, Entries: Entries(n)}.JSON()
}

// JSON encodes a BLOB. What a good one must have and is empty is filled in.
func (b Blob) JSON() []byte {
	if b.LegalHeader == "" {
		b.LegalHeader = "Made for a test."
	}
	if b.NextUpdate == "" {
		b.NextUpdate = time.Now().AddDate(0, 1, 0).Format(time.DateOnly)
	}
	text, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	return text
}

// Entries makes up models; their icons have the size that those of the FIDO Alliance
// have, so that 300 of them are some ten million bytes.
func Entries(n int) (entries []any) {
	for i := range n {
		entries = append(entries, Entry(i, strings.Repeat("fidokey ", 2300)))
	}
	return entries
}

// AAGUID returns the AAGUID of model i.
func AAGUID(i int) string { return fmt.Sprintf("f1d0f1d0-0000-4000-8000-%012x", i) }

// Entry makes up model i.
func Entry(i int, icon string) map[string]any {
	statement := map[string]any{
		"description": fmt.Sprintf("Example Key %d", i), "authenticatorVersion": 2 + i, "schema": 3,
		"upv":                      []any{map[string]any{"major": 1, "minor": 0}},
		"authenticationAlgorithms": []string{"secp256r1_ecdsa_sha256_raw"},
		"publicKeyAlgAndEncodings": []string{"cose"},
		"attestationTypes":         []string{"basic_full"},
		"userVerificationDetails": []any{[]any{
			map[string]any{"userVerificationMethod": "presence_internal"},
			map[string]any{"userVerificationMethod": "passcode_external", "caDesc": map[string]any{"base": 64, "minLength": 4}},
		}},
		"keyProtection": []string{"hardware", "secure_element"}, "matcherProtection": []string{"on_chip"},
		"cryptoStrength": 128, "attachmentHint": []string{"external", "wired", "nfc"}, "tcDisplay": []string{},
		"attestationRootCertificates": []string{rootOfModels()},
		"icon":                        "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(icon)),
	}
	entry := map[string]any{
		"metadataStatement":      statement,
		"statusReports":          []any{map[string]any{"status": "FIDO_CERTIFIED_L1", "effectiveDate": "2024-05-12", "certificateNumber": fmt.Sprintf("FIDO%d", i)}},
		"timeOfLastStatusChange": "2024-05-12",
	}
	switch i % 6 {
	case 2:
		statement["protocolFamily"] = "u2f"
		entry["attestationCertificateKeyIdentifiers"] = []string{fmt.Sprintf("%040x", i)}
	case 5:
		statement["protocolFamily"] = "uaf"
		entry["aaid"] = fmt.Sprintf("F1D0#%04X", i)
	default:
		statement["protocolFamily"] = "fido2"
		entry["aaguid"], statement["aaguid"] = AAGUID(i), AAGUID(i)
		statement["authenticatorGetInfo"] = map[string]any{
			"versions": []string{"FIDO_2_0", "FIDO_2_1"}, "extensions": []string{"hmac-secret", "credProtect"},
			"aaguid": strings.ReplaceAll(AAGUID(i), "-", ""), "options": map[string]bool{"rk": true, "up": true, "clientPin": true},
			"transports": []string{"usb", "nfc"}, "firmwareVersion": 328706 + i,
		}
	}
	return entry
}

// Status appends a status report to an entry.
func Status(entry map[string]any, status, date string) {
	entry["statusReports"] = append(entry["statusReports"].([]any), map[string]any{"status": status, "effectiveDate": date})
}

// rootOfModels is the attestation root of all the models.
var rootOfModels = sync.OnceValue(func() string {
	m := maker{from: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), to: time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)}
	root, _ := m.make(&x509.Certificate{Subject: pkix.Name{CommonName: "Example Attestation Root"}, IsCA: true}, "ES256", nil, nil)
	if m.err != nil {
		panic(m.err)
	}
	return base64.StdEncoding.EncodeToString(root.Raw)
})
