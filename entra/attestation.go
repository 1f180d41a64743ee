package entra

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/metadata"
)

const (
	formatPacked = "packed"
	formatNone   = "none"
)

// Attestation is what a registration brought to prove the model. Whether its
// signature is right is for package webauthn to say, before.
type Attestation struct {
	Format         string
	Certificates   [][]byte // x5c: the attestation certificate, then what it leads to
	AAGUID         ctap2.AAGUID
	BackupEligible bool // a synced passkey
}

// NewAttestation reads that of a new credential.
func NewAttestation(made *ctap2.MakeCredentialResponse) (*Attestation, error) {
	data, err := ctap2.ParseAuthenticatorData(made.AuthData)
	if err != nil {
		return nil, err
	}
	if data.Credential == nil {
		return nil, errors.New("there is no credential in it")
	}
	a := &Attestation{Format: made.Format, AAGUID: data.Credential.AAGUID, BackupEligible: data.Flags&ctap2.FlagBE != 0}
	var statement struct {
		X5C [][]byte `cbor:"x5c"`
	}
	if len(made.AttStmt) > 0 {
		if err := ctapcbor.Unmarshal(made.AttStmt, &statement); err != nil {
			return nil, fmt.Errorf("attestation statement: %w", err)
		}
	}
	a.Certificates = statement.X5C
	return a, nil
}

// enforced are the rules where attestation is enforced. An attestation that is not
// good ends it, for then the AAGUID is anybody's claim.
func (j *judge) enforced() {
	if a := j.Key.Attestation; a == nil {
		j.attestationExpected()
	} else if !j.attestationMade(a) {
		return
	}
	if j.Key.AAGUID == (ctap2.AAGUID{}) {
		j.say(RuleAAGUID, Refused, "all zero: the key does not name its model")
		return
	}
	j.say(RuleAAGUID, Passed, "%v", j.Key.AAGUID)
	j.published()
}

// attestationMade judges that of a registration, and reports whether it is good.
func (j *judge) attestationMade(a *Attestation) bool {
	switch {
	case a.Format != formatPacked:
		j.say(RuleAttestation, Refused, "the format is %s; it must be packed, with certificates", a.Format)
		return false
	case len(a.Certificates) == 0:
		j.say(RuleAttestation, Refused, "packed without certificates (self attestation): nothing proves the model")
		return false
	}
	leaf, err := x509.ParseCertificate(a.Certificates[0])
	if err == nil {
		err = errors.Join(checkLeaf(leaf), checkLeafAAGUID(leaf, a.AAGUID))
	}
	switch {
	case err != nil:
		j.say(RuleAttestation, Refused, "packed; %s", oneLine(err))
		return false
	case j.entry == nil:
		j.say(RuleAttestation, Noted, "packed, with certificates; without metadata of the model there is no root to compare them with")
	default:
		if err := checkChain(a.Certificates, leaf, &j.entry.Statement, j.Now); err != nil {
			j.say(RuleAttestation, Refused, "packed; %s", oneLine(err))
			return false
		}
		j.say(RuleAttestation, Passed, "packed; the certificates lead to a root that the metadata has of this model")
	}
	return true
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// checkLeaf is WebAuthn Level 3, section 8.2.1.
func checkLeaf(c *x509.Certificate) error {
	var errs []error
	if c.Version != 3 {
		errs = append(errs, fmt.Errorf("the certificate has version %d in place of 3", c.Version))
	}
	s := c.Subject
	if len(s.Country) == 0 || len(s.Organization) == 0 || s.CommonName == "" || !slices.Contains(s.OrganizationalUnit, "Authenticator Attestation") {
		errs = append(errs, fmt.Errorf("its subject %q lacks C, O, CN or OU=Authenticator Attestation", s))
	}
	if c.IsCA {
		errs = append(errs, errors.New("it is the certificate of an authority"))
	}
	return errors.Join(errs...)
}

// idFIDOGenCEAAGUID is the extension with the AAGUID.
var idFIDOGenCEAAGUID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}

// checkLeafAAGUID compares the certificate's AAGUID, where it has one.
func checkLeafAAGUID(c *x509.Certificate, want ctap2.AAGUID) error {
	for _, e := range c.Extensions {
		if !e.Id.Equal(idFIDOGenCEAAGUID) {
			continue
		}
		var got []byte
		if _, err := asn1.Unmarshal(e.Value, &got); err != nil {
			return fmt.Errorf("the AAGUID of the certificate cannot be read: %w", err)
		}
		if !bytes.Equal(got, want[:]) {
			return fmt.Errorf("the certificate is of the AAGUID %x, the credential of %v", got, want)
		}
	}
	return nil
}

// checkChain finds a path to a root of the statement. That may be the attestation
// certificate itself, which crypto/x509 takes for a path.
func checkChain(x5c [][]byte, leaf *x509.Certificate, s *metadata.Statement, now time.Time) error {
	roots, failed := s.Roots()
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	for _, der := range x5c[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("a certificate of the chain cannot be read: %w", err)
		}
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("the certificates lead to no root that the metadata has of this model: %w", err), failed)
	}
	return nil
}

// attestationExpected says what a registration would bring, as far as the metadata
// tells.
func (j *judge) attestationExpected() {
	info := j.best()
	switch {
	case info != nil && len(info.AttestationFormats) > 0 && !slices.Contains(info.AttestationFormats, formatPacked):
		j.say(RuleAttestation, Refused, "the key has no packed attestation, but %s", strings.Join(info.AttestationFormats, ", "))
	case j.entry != nil && attestsFully(&j.entry.Statement):
		j.say(RuleAttestation, Passed, "expected: the metadata says that the model attests with certificates (%s)", strings.Join(j.entry.Statement.AttestationTypes, ", "))
	case j.listed != "":
		j.say(RuleAttestation, Passed, "expected: %s", j.listed)
	case j.entry != nil:
		j.say(RuleAttestation, Refused, "the metadata says that the model attests without certificates (%s)", strings.Join(j.entry.Statement.AttestationTypes, ", "))
	default:
		j.say(RuleAttestation, Noted, "not known before a registration")
	}
}

func attestsFully(s *metadata.Statement) bool {
	return slices.ContainsFunc(s.AttestationTypes, func(t string) bool { return t == "basic_full" || t == "attca" })
}

// published are the rules about what the FIDO Alliance has of the model. Where one
// fails, a model that Microsoft lists is accepted all the same, unless it is not to be
// trusted: the list is as old as the names are.
func (j *judge) published() {
	if j.entry == nil {
		j.noEntry()
		j.offlineUnlock()
		return
	}
	j.say(RuleMetadata, Passed, "%s", j.entry.Statement.Description)
	j.certification()
	if info := j.info; info != nil {
		j.publishedRule(RuleVersion, hasFIDO2(info), "FIDO_2_0 or later")
		j.publishedRule(RuleDiscoverable, info.Options[ctap2.OptionRK], "rk")
		j.publishedRule(RuleUserVerification, verifiesUser(info), "uv or clientPin")
		j.publishedRule(RuleHMACSecret, hasExtension(info, extensionHMACSecret), "hmac-secret")
		return
	}
	j.unless(RuleGetInfo, "the metadata has nothing of the model's getInfo")
}

func (j *judge) publishedRule(rule string, holds bool, what string) {
	if holds {
		j.say(rule, Passed, "%s, in the metadata", what)
		return
	}
	j.unless(rule, "the metadata of the model has no "+what)
}

// unless refuses a model, if Microsoft does not list it.
func (j *judge) unless(rule, why string) {
	if j.listed != "" {
		j.say(rule, Passed, "%s; but %s", why, j.listed)
		return
	}
	j.say(rule, Refused, "%s", why)
}

func (j *judge) noEntry() {
	switch {
	case j.err != nil && j.listed == "":
		j.say(RuleMetadata, Unknown, "the metadata cannot be read: %v", j.err)
	case j.known:
		j.unless(RuleMetadata, "the metadata of the FIDO Alliance has no such model; Microsoft takes it over once a month")
	case j.listed != "":
		j.say(RuleMetadata, Passed, "%s", j.listed)
	default:
		j.say(RuleMetadata, Unknown, "there is no metadata to look into, and Microsoft's list in this program does not have the model")
	}
}

func (j *judge) certification() {
	for _, bad := range j.entry.Bad(j.Now) {
		j.say(RuleCertification, Refused, "%s: %s", bad.Status, bad.Status.Meaning())
		return
	}
	c := j.entry.Certification(j.Now)
	switch {
	case c == nil:
		j.unless(RuleCertification, "nothing is said of its certification")
	case !c.Status.Certified():
		j.unless(RuleCertification, string(c.Status)+": "+c.Status.Meaning())
	default:
		j.say(RuleCertification, Passed, "%s", c.Status.Meaning())
	}
}
