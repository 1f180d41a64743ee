package webauthn

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/metadata"
)

// certificate judges the certificate of the key that signed (WebAuthn Level 3,
// sections 8.2.1 and 8.3.1).
func (j *judge) certificate(a *attested) {
	c := a.leaf()
	if c == nil {
		for _, name := range ofStatement[3:] {
			j.skip(name, "there is no certificate")
		}
		return
	}
	switch a.format {
	case formatPacked:
		j.hold(CheckCertificateVersion, failIf(c.Version != 3, "must be 3"), "%d", c.Version)
		j.hold(CheckCertificateSubject, checkSubject(c.Subject), "%s", nameOf(c.Subject.String()))
		unit := strings.Join(c.Subject.OrganizationalUnit, " ")
		j.hold(CheckCertificateUnit, failIf(unit != "Authenticator Attestation", "must be Authenticator Attestation"), "OU=%s", unit)
		j.aaguidExtension(c, a.credential.AAGUID)
		j.hold(CheckBasicConstraints, failIf(c.IsCA, "must not be a CA: it could make certificates for other keys"), "%s", constraintsOf(c))
	case formatTPM:
		j.hold(CheckCertificateVersion, failIf(c.Version != 3, "must be 3"), "%d", c.Version)
		j.tpmCertificate(c)
		j.skip(CheckCertificateUnit, "that is for packed; a TPM's certificate names nobody")
		j.aaguidExtension(c, a.credential.AAGUID)
		value, _ := extension(c, oidConstraints)
		j.hold(CheckBasicConstraints, failIf(value == nil || c.IsCA, "must say that it is not a CA"), "%s", constraintsOf(c))
	default:
		for _, name := range []string{CheckCertificateVersion, CheckCertificateSubject, CheckCertificateUnit, CheckCertificateAAGUID, CheckBasicConstraints} {
			j.skip(name, "%s has no rule for it", a.format)
		}
	}
	j.hold(CheckValidity, a.outOfDate(a.at), "%s", validityOf(a.certificates))
}

func checkSubject(s pkix.Name) error {
	switch {
	case len(s.Country) != 1 || len(s.Country[0]) != 2:
		return errors.New("the country, C, must be one of two letters")
	case strings.Join(s.Organization, "") == "":
		return errors.New("the vendor, O, is missing")
	case s.CommonName == "":
		return errors.New("the name, CN, is missing")
	}
	return nil
}

func constraintsOf(c *x509.Certificate) string {
	value, _ := extension(c, oidConstraints)
	switch {
	case value == nil:
		return "none, so it is not a CA"
	case c.IsCA:
		return "CA"
	}
	return "not a CA"
}

func (j *judge) aaguidExtension(c *x509.Certificate, aaguid ctap2.AAGUID) {
	value, critical := extension(c, oidAAGUID)
	if value == nil {
		j.skip(CheckCertificateAAGUID, "the certificate has none: it may be for several models")
		return
	}
	var inner []byte
	if rest, err := asn1.Unmarshal(value, &inner); err != nil || len(rest) > 0 || len(inner) != len(aaguid) {
		j.hold(CheckCertificateAAGUID, errors.New("holds no AAGUID"), "%x", value)
		return
	}
	certified := ctap2.AAGUID(inner)
	if critical {
		j.hold(CheckCertificateAAGUID, errors.New("must not be critical"), "%v", certified)
		return
	}
	j.hold(CheckCertificateAAGUID, failIf(certified != aaguid, fmt.Sprintf("the authenticator data say %v", aaguid)), "%v", certified)
}

// tpmCertificate is about what names the TPM: the subject is empty.
func (j *judge) tpmCertificate(c *x509.Certificate) {
	manufacturer, model, version := tpmNames(c)
	var err error
	id, decodeErr := hex.DecodeString(manufacturer)
	switch {
	case c.Subject.String() != "":
		err = errors.New("must be empty")
	case manufacturer == "" || model == "" || version == "":
		err = errors.New("the alternative name does not have manufacturer, model and version of the TPM")
	case decodeErr != nil || len(id) != 4 || id[0] == 0:
		err = errors.New("that manufacturer is nobody's")
	case !slices.ContainsFunc(c.UnknownExtKeyUsage, oidTPMAIK.Equal):
		err = errors.New("the extended key usage does not have tcg-kp-AIKCertificate")
	}
	j.hold(CheckCertificateSubject, err, "TPM of manufacturer %q, model %q, version %q", manufacturer, model, version)
}

// tpmNames reads the alternative name of a TPM's certificate (TCG EK Credential
// Profile, section 3.2.9).
func tpmNames(c *x509.Certificate) (manufacturer, model, version string) {
	value, _ := extension(c, oidSubjectAltName)
	var names []asn1.RawValue
	if _, err := asn1.Unmarshal(value, &names); err != nil {
		return "", "", ""
	}
	for _, name := range names {
		var rdns pkix.RDNSequence
		if name.Tag != 4 { // directoryName
			continue
		}
		if _, err := asn1.Unmarshal(name.Bytes, &rdns); err != nil {
			continue
		}
		for _, attribute := range slices.Concat(rdns...) {
			text, _ := attribute.Value.(string)
			switch {
			case attribute.Type.Equal(oidTPMManufacturer):
				manufacturer = strings.TrimPrefix(text, "id:")
			case attribute.Type.Equal(oidTPMModel):
				model = text
			case attribute.Type.Equal(oidTPMVersion):
				version = strings.TrimPrefix(text, "id:")
			}
		}
	}
	return manufacturer, model, version
}

// outOfDate says which certificate is not valid at a time. The certificates of
// Apple live for days and those of Android are not renewed, so for these an end that
// has passed is no reason.
func (a *attested) outOfDate(at time.Time) error {
	for i, c := range a.certificates {
		if at.Before(c.NotBefore) {
			return fmt.Errorf("certificate %d is not valid before %s", i+1, c.NotBefore.Format(time.DateOnly))
		}
		if at.After(c.NotAfter) && a.format != formatApple && a.format != formatAndroidKey {
			return fmt.Errorf("certificate %d was valid until %s", i+1, c.NotAfter.Format(time.DateOnly))
		}
	}
	return nil
}

// validityOf returns the days on which all certificates are valid.
func validityOf(certificates []*x509.Certificate) string {
	from, to := certificates[0].NotBefore, certificates[0].NotAfter
	for _, c := range certificates[1:] {
		if c.NotBefore.After(from) {
			from = c.NotBefore
		}
		if c.NotAfter.Before(to) {
			to = c.NotAfter
		}
	}
	return from.Format(time.DateOnly) + " to " + to.Format(time.DateOnly)
}

// findEntry looks for the model in the metadata: by its AAGUID, or, for U2F, which
// has none, by the key of the certificate.
func (a *attested) findEntry(want Expected) {
	if want.Metadata == nil || a.format == formatNone {
		return
	}
	ids := []string{a.credential.AAGUID.String()}
	if a.credential.AAGUID == (ctap2.AAGUID{}) {
		ids = nil
		if c := a.leaf(); c != nil {
			ids = keyIdentifiers(c)
		}
	}
	for _, id := range ids {
		if a.entry, a.entryErr = want.Metadata(id); a.entry != nil || a.entryErr != nil {
			break
		}
	}
	if a.entry != nil {
		roots, err := a.entry.Statement.Roots()
		a.roots, a.entryErr = append(a.roots, roots...), err
	}
}

// keyIdentifiers are what metadata may call the key of a certificate: its subject
// key identifier, or the SHA-1 of its bits (RFC 5280, section 4.2.1.2).
func keyIdentifiers(c *x509.Certificate) (ids []string) {
	if len(c.SubjectKeyId) > 0 {
		ids = append(ids, hex.EncodeToString(c.SubjectKeyId))
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info); err == nil {
		sum := sha1.Sum(info.PublicKey.Bytes)
		ids = append(ids, hex.EncodeToString(sum[:]))
	}
	return ids
}

// trust is about who vouches for the model.
func (j *judge) trust(a *attested, verdict error) {
	j.chain(a, verdict)
	switch {
	case a.format == formatNone:
		j.skip(CheckMetadata, "without attestation nobody says which entry is meant")
	case j.want.Metadata == nil:
		j.skip(CheckMetadata, "no metadata is at hand")
	case a.entry == nil && a.entryErr == nil:
		j.skip(CheckMetadata, "there is none for this model")
	default:
		name := ""
		if a.entry != nil {
			name = a.entry.Statement.Description
		}
		j.hold(CheckMetadata, a.entryErr, "%s", name)
	}
	if a.entry == nil {
		j.skip(CheckAttestationType, "there is no metadata entry to compare with")
		j.skip(CheckStatus, "there is no metadata entry that has any")
		return
	}
	kind := a.kind()
	j.hold(CheckAttestationType, failIf(!slices.Contains(a.entry.Statement.AttestationTypes, kind), "is not one of this model: "+strings.Join(a.entry.Statement.AttestationTypes, ", ")), "%s", kind)
	j.status(a)
}

// status is about what the FIDO Alliance has heard of the model.
func (j *judge) status(a *attested) {
	var bad []string
	for _, report := range a.statusReports() {
		if report.InEffect(a.at) && report.Status.Severity() == metadata.SeverityBad {
			bad = append(bad, report.Status.Meaning())
		}
	}
	found := "nothing against the model"
	if report := a.entry.Certification(a.at); report != nil {
		found = report.Status.Meaning()
	}
	j.hold(CheckStatus, failIf(len(bad) > 0, strings.Join(bad, "; ")), "%s", found)
}

// statusReports are those about this key: one that names a certificate is about
// keys with that one only.
func (a *attested) statusReports() (reports []metadata.StatusReport) {
	for _, r := range a.entry.StatusReports {
		der, err := base64.StdEncoding.DecodeString(r.Certificate)
		if r.Certificate == "" || err != nil || slices.ContainsFunc(a.certificates, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, der) }) {
			reports = append(reports, r)
		}
	}
	return reports
}

// chain looks for the root that the certificates lead to.
func (j *judge) chain(a *attested, verdict error) {
	a.chain, a.rootFrom = a.certificates, RootNotFound
	if a.leaf() == nil {
		a.rootFrom = RootNone
		j.skip(CheckChain, "there is no certificate")
		return
	}
	path, err := a.path()
	switch {
	case err == nil:
		a.chain, a.rootFrom = path, RootMetadata
		if root := path[len(path)-1]; slices.ContainsFunc(j.want.Roots, root.Equal) {
			a.rootFrom = RootGiven
		}
		j.hold(CheckChain, nil, "%d certificates up to %s (%s)", len(path), nameOf(path[len(path)-1].Subject.String()), a.rootFrom)
	case a.format == formatApple || a.format == formatAndroidKey:
		j.builtInRoot(a, verdict)
	case len(a.roots) > 0:
		j.hold(CheckChain, errors.New("leads to none of the roots for this model"), "issued by %s", nameOf(a.leaf().Issuer.String()))
	case a.entry != nil:
		j.hold(CheckChain, errors.New("the metadata have no root for this model, so it should have no chain"), "issued by %s", nameOf(a.leaf().Issuer.String()))
	default:
		j.skip(CheckChain, "issued by %s; no root for it is known here", nameOf(a.leaf().Issuer.String()))
	}
}

// builtInRoot is for the formats whose roots only the library has.
func (j *judge) builtInRoot(a *attested, verdict error) {
	unknown := new(x509.UnknownAuthorityError)
	if errors.As(verdict, unknown) || verdict != nil && strings.Contains(verdict.Error(), "x5c cert chain") {
		j.hold(CheckChain, fmt.Errorf("leads to no root for %s", a.format), "issued by %s", nameOf(a.leaf().Issuer.String()))
		return
	}
	a.rootFrom, a.atLibrary = RootLibrary, true
	j.hold(CheckChain, nil, "issued by %s; go-webauthn has the root", nameOf(a.leaf().Issuer.String()))
}

// path finds the way from the signer's certificate to a root that is trusted.
func (a *attested) path() ([]*x509.Certificate, error) {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range a.roots {
		roots.AddCert(c)
	}
	for _, c := range a.certificates[1:] {
		between.AddCert(c)
	}
	leaf := *a.leaf()
	// A TPM is named by an extension that crypto/x509 does not read.
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), oidSubjectAltName.Equal)
	at := a.at
	if a.outOfDate(at) != nil {
		at = leaf.NotBefore // that has a check of its own
	}
	paths, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, err
	}
	return paths[0], nil
}

// firmwareOf returns the version of the firmware that a certificate is for, or nil.
func firmwareOf(c *x509.Certificate) *uint64 {
	value, _ := extension(c, oidFirmware)
	var n *big.Int
	if value == nil {
		return nil
	}
	if _, err := asn1.Unmarshal(value, &n); err != nil || !n.IsUint64() {
		return nil
	}
	return new(n.Uint64())
}

func keyOf(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA on " + key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA of %d bits", key.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}
