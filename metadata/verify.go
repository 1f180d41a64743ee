package metadata

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// SignerName is the DNS name of the certificate that BLOBs are signed with.
const SignerName = "mds.fidoalliance.org"

// MaxSize is the longest BLOB that is read, in bytes. Those of 2026 have over 10
// million.
const MaxSize = 64 << 20

// maxCertificates bounds the work on a chain that somebody has made up.
const maxCertificates = 10

// algorithms are those that a BLOB may be signed with. The header chooses, but not
// one without a signature, nor one with a shared secret.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// A Verifier judges whether a BLOB is the FIDO Alliance's (MDS 3.1, section 3.2).
type Verifier struct {
	Roots []*x509.Certificate // nil: those of function Roots
	Now   time.Time           // zero: now
	Known int64               // serial number of the BLOB that it comes after; 0: none
	// CRL gets a list of revoked certificates by its address; nil: none is asked for.
	CRL func(address string) ([]byte, error)
}

// The names of the checks, in the order in which they are made.
const (
	CheckForm         = "form"
	CheckCertificates = "certificates"
	CheckName         = "signer's name"
	CheckChain        = "chain"
	CheckDates        = "validity dates"
	CheckRevocation   = "revocation"
	CheckAlgorithm    = "algorithm"
	CheckSignature    = "signature"
	CheckPayload      = "payload"
	CheckSerial       = "serial number"
	CheckNextUpdate   = "next update"
	CheckEntries      = "entries"
)

// Check is one thing that was looked at.
type Check struct {
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`
}

// Outcome is how a check ended.
type Outcome string

const (
	Passed     Outcome = "pass"
	Failed     Outcome = "fail"
	Warning    Outcome = "warning"     // the BLOB is taken all the same
	NotChecked Outcome = "not checked" // for what it needs is not there
)

// Verdict is what came of all checks.
type Verdict struct {
	Checks []Check
	// Blob is what the payload says, or nil if it cannot be read. It is worth
	// nothing if Err is not nil.
	Blob *Blob
	data []byte
	now  time.Time
}

// Err tells of the checks that failed; it is nil if the BLOB is to be trusted.
func (v *Verdict) Err() error {
	var failed []error
	for _, c := range v.Checks {
		if c.Outcome == Failed {
			failed = append(failed, fmt.Errorf("%s: %s", c.Name, c.Detail))
		}
	}
	return errors.Join(failed...)
}

func (v *Verdict) add(name string, outcome Outcome, format string, args ...any) {
	v.Checks = append(v.Checks, Check{name, outcome, fmt.Sprintf(format, args...)})
}

// check adds a check that passed with a detail, or failed with an error.
func (v *Verdict) check(name, detail string, err error) {
	if err != nil {
		v.add(name, Failed, "%v", err)
		return
	}
	v.add(name, Passed, "%s", detail)
}

// Verify judges a BLOB. Where a check fails the others are made all the same, as
// far as they can be.
func (v Verifier) Verify(data []byte) *Verdict {
	if v.Now.IsZero() {
		v.Now = time.Now()
	}
	if v.Roots == nil {
		v.Roots = Roots()
	}
	verdict := &Verdict{data: data, now: v.Now}
	signed, err := parseSigned(data)
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	if errors.As(err, &algorithm) {
		verdict.add(CheckAlgorithm, Failed, "%q is not one of %s", algorithm.Got, algorithms)
		return verdict
	}
	if err != nil {
		verdict.add(CheckForm, Failed, "%v", err)
		return verdict
	}
	verdict.add(CheckForm, Passed, "JWS, %d bytes", len(data))
	if v.certificates(verdict, signed) {
		v.chain(verdict, signed)
		checkSignature(verdict, signed)
	}
	v.payload(verdict, signed)
	return verdict
}

// signedBlob is a BLOB taken apart, before anything is believed.
type signedBlob struct {
	jws          *jose.JSONWebSignature
	algorithm    jose.SignatureAlgorithm
	certificates []*x509.Certificate // of the header; the first has signed
}

func parseSigned(data []byte) (*signedBlob, error) {
	text := bytes.TrimSpace(data)
	switch {
	case len(data) > MaxSize:
		return nil, fmt.Errorf("it has more than %d bytes", MaxSize)
	case len(text) == 0:
		return nil, errors.New("it is empty")
	case text[0] == '<':
		return nil, errors.New("it is a web page; a network that asks for a login sends its own in place of every other")
	case bytes.HasPrefix(text, []byte{0x1f, 0x8b}):
		return nil, errors.New("it is compressed: unpack it with gunzip")
	case text[0] == '{':
		return nil, errors.New("it is JSON without a signature")
	}
	jws, err := jose.ParseSignedCompact(string(text), algorithms)
	if err != nil {
		return nil, fmt.Errorf("it is no signed BLOB: %w", err)
	}
	return &signedBlob{jws: jws, algorithm: jose.SignatureAlgorithm(jws.Signatures[0].Protected.Algorithm)}, nil
}

// parseCertificates reads x5c. go-jose, which has read it too, gives the chain only
// if that is good.
func (s *signedBlob) parseCertificates(data []byte) error {
	segment, _, _ := bytes.Cut(bytes.TrimSpace(data), []byte("."))
	text, err := base64.RawURLEncoding.DecodeString(string(segment))
	if err != nil {
		return err
	}
	var header struct {
		X5C [][]byte `json:"x5c"`
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return err
	}
	switch n := len(header.X5C); {
	case n == 0:
		return errors.New("the header has no x5c")
	case n > maxCertificates:
		return fmt.Errorf("the header has %d, more than %d", n, maxCertificates)
	}
	for i, der := range header.X5C {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("certificate %d of %d: %w", i+1, len(header.X5C), err)
		}
		s.certificates = append(s.certificates, c)
	}
	return nil
}

// certificates looks at what the header has, and at who the first is.
func (v Verifier) certificates(verdict *Verdict, s *signedBlob) bool {
	if err := s.parseCertificates(verdict.data); err != nil {
		verdict.add(CheckCertificates, Failed, "%v", err)
		return false
	}
	verdict.add(CheckCertificates, Passed, "%d in the header", len(s.certificates))
	verdict.check(CheckName, SignerName, s.certificates[0].VerifyHostname(SignerName))
	return true
}

// chain builds a path to a root. The order of the intermediates in the header does
// not matter, and not all of them need be on it.
func (v Verifier) chain(verdict *Verdict, s *signedBlob) {
	leaf := s.certificates[0]
	at := func(t time.Time) ([][]*x509.Certificate, error) {
		roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
		for _, c := range v.Roots {
			roots.AddCert(c)
		}
		for _, c := range s.certificates[1:] {
			intermediates.AddCert(c)
		}
		return leaf.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: intermediates, CurrentTime: t,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // it signs files, not TLS
		})
	}
	paths, err := at(v.Now)
	dates := err
	if err != nil { // perhaps the chain was good once
		paths, err = at(leaf.NotAfter)
	}
	if err != nil {
		verdict.add(CheckChain, Failed, "%v", err)
		verdict.check(CheckDates, validity(leaf), valid(leaf, v.Now))
		return
	}
	verdict.add(CheckChain, Passed, "%s", pathInWords(paths[0]))
	verdict.check(CheckDates, validity(leaf), dates)
	v.revocation(verdict, paths[0])
}

func valid(c *x509.Certificate, now time.Time) error {
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("the certificate is valid %s, not on %s", validity(c), now.Format(time.DateOnly))
	}
	return nil
}

func validity(c *x509.Certificate) string {
	return fmt.Sprintf("from %s to %s", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
}

func pathInWords(path []*x509.Certificate) string {
	var names []string
	for _, c := range path {
		names = append(names, NameOf(c))
	}
	return strings.Join(names, " <- ")
}

// NameOf returns a short name for a certificate.
func NameOf(c *x509.Certificate) string {
	if c.Subject.CommonName == "GlobalSign" { // it names its roots in OU
		return strings.Join(c.Subject.OrganizationalUnit, " ")
	}
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}

// checkSignature takes the algorithm that the header names, as MDS has it, and not the
// one that the certificate itself was signed with.
func checkSignature(verdict *Verdict, s *signedBlob) {
	key := s.certificates[0].PublicKey
	if err := fits(s.algorithm, key); err != nil {
		verdict.add(CheckAlgorithm, Failed, "%v", err)
		return
	}
	verdict.add(CheckAlgorithm, Passed, "%s", s.algorithm)
	_, err := s.jws.Verify(key)
	if errors.Is(err, jose.ErrCryptoFailure) {
		err = errors.New("it is not of this certificate and this payload: the BLOB was changed, or cut off")
	}
	verdict.check(CheckSignature, "of the first certificate", err)
}

// fits reports an algorithm that is not for a key of this kind and curve.
func fits(algorithm jose.SignatureAlgorithm, key crypto.PublicKey) error {
	var kind string
	var takes []jose.SignatureAlgorithm
	switch k := key.(type) {
	case *rsa.PublicKey:
		kind = "RSA"
		takes = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	case *ecdsa.PublicKey:
		kind = k.Curve.Params().Name
		takes = map[string][]jose.SignatureAlgorithm{"P-256": {jose.ES256}, "P-384": {jose.ES384}, "P-521": {jose.ES512}}[kind]
	case ed25519.PublicKey:
		kind, takes = "Ed25519", []jose.SignatureAlgorithm{jose.EdDSA}
	}
	if !slices.Contains(takes, algorithm) {
		return fmt.Errorf("%s does not go with the certificate's key: %s", algorithm, kind)
	}
	return nil
}

// payload looks at what the BLOB says of itself.
func (v Verifier) payload(verdict *Verdict, s *signedBlob) {
	blob, err := ParseBlob(s.jws.UnsafePayloadWithoutVerification()) // Err tells of the signature
	if err != nil {
		verdict.add(CheckPayload, Failed, "%v", err)
		return
	}
	verdict.Blob = blob
	verdict.add(CheckPayload, Passed, "%d entries", len(blob.Entries))
	if blob.No < v.Known {
		verdict.add(CheckSerial, Failed, "%d, but %d is known already: it must not go back", blob.No, v.Known)
	} else {
		verdict.add(CheckSerial, Passed, "%d", blob.No)
	}
	if Stale(blob.NextUpdate, v.Now) {
		verdict.add(CheckNextUpdate, Warning, "was due on %v: the BLOB is stale", blob.NextUpdate)
	} else {
		verdict.add(CheckNextUpdate, Passed, "%v", blob.NextUpdate)
	}
	if n := len(blob.Skipped); n > 0 {
		verdict.add(CheckEntries, Warning, "%d cannot be read; the first: entry %d: %s", n, blob.Skipped[0].Entry, blob.Skipped[0].Reason)
	} else {
		verdict.add(CheckEntries, Passed, "all can be read")
	}
}

// Stale reports whether the day of the next update is over.
func Stale(nextUpdate Day, now time.Time) bool {
	return !now.Before(nextUpdate.AddDate(0, 0, 1))
}
