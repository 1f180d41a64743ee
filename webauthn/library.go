package webauthn

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	mds "github.com/go-webauthn/webauthn/metadata"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/google/uuid"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/metadata"
)

// judgeByLibrary is the verdict of go-webauthn on a whole registration.
func judgeByLibrary(parsed *protocol.ParsedCredentialCreationData, a *attested, want Expected) error {
	var parameters []protocol.CredentialParameter
	for _, algorithm := range want.Algorithms {
		parameters = append(parameters, protocol.CredentialParameter{
			Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.COSEAlgorithmIdentifier(algorithm),
		})
	}
	verify := func() error {
		_, err := parsed.Verify(want.challenge(), want.RPID, []string{want.Origin}, nil, want.TopOrigins,
			protocol.TopOriginExplicitVerificationMode, want.mayCross(), want.UserVerified, true,
			a.provider(), parameters, protocol.AttestationPolicy{}, protocol.SignaturePolicy{})
		return explain(err)
	}
	if lend != nil {
		return lend(protocol.AttestationFormat(a.format), a.roots, verify)
	}
	return verify()
}

// lend has the library trust more roots for one verdict: Google's are built into it
// for android-key, and Apple's for apple, and it has no way to add one. Only tests do.
var lend func(format protocol.AttestationFormat, roots []*x509.Certificate, verify func() error) error

// hasOwnRoots reports whether the library trusts its own roots only for a format.
func hasOwnRoots(format string) bool {
	return format == string(protocol.AttestationFormatAndroidKey) || format == string(protocol.AttestationFormatApple)
}

// judgeAssertionByLibrary is its verdict on a whole assertion.
func judgeAssertionByLibrary(parsed *protocol.ParsedCredentialAssertionData, credential *ctap2.AttestedCredential, want Expected) error {
	publicKey, err := ctapcbor.Marshal(credential.PublicKey)
	if err != nil {
		return err
	}
	return explain(parsed.Verify(want.challenge(), want.RPID, "", []string{want.Origin}, nil, want.TopOrigins,
		protocol.TopOriginExplicitVerificationMode, want.mayCross(), want.UserVerified, true, publicKey, protocol.SignaturePolicy{}))
}

func (e Expected) challenge() string { return base64.RawURLEncoding.EncodeToString(e.Challenge) }

// library adds the verdict. By another time than now it can say nothing of
// certificates that are not valid now: it has its own clock.
func (j *judge) library(verdict error, a *attested) {
	if verdict != nil && !j.want.At.IsZero() && a.outOfDate(time.Now()) != nil && a.outOfDate(j.want.At) == nil {
		j.skip(CheckLibrary, "judges by today's date only, and a certificate is not valid today")
		return
	}
	if verdict != nil && lend == nil && a != nil && hasOwnRoots(a.format) && len(a.roots) > 0 {
		j.skip(CheckLibrary, "knows no other roots for this format than those of its maker")
		return
	}
	j.hold(CheckLibrary, verdict, "agrees")
}

// provider hands the library the one entry that there is to know: that of the
// metadata, with the roots that are trusted besides.
func (a *attested) provider() mds.Provider {
	if a.entry == nil && len(a.roots) == 0 {
		return nil
	}
	e := &mds.Entry{MetadataStatement: mds.Statement{AttestationRootCertificates: a.roots}}
	if a.entry == nil {
		e.MetadataStatement.AttestationTypes = mds.AuthenticatorAttestationTypes{mds.BasicFull, mds.BasicSurrogate, mds.AttCA, mds.AnonCA}
		return provider{e, a.at}
	}
	for _, t := range a.entry.Statement.AttestationTypes {
		e.MetadataStatement.AttestationTypes = append(e.MetadataStatement.AttestationTypes, mds.AuthenticatorAttestationType(t))
	}
	for _, report := range a.statusReports() {
		e.StatusReports = append(e.StatusReports, mds.StatusReport{Status: mds.AuthenticatorStatus(report.Status), EffectiveDate: dayOf(report.EffectiveDate)})
	}
	return provider{e, a.at}
}

func dayOf(d *metadata.Day) *time.Time {
	if d == nil {
		return nil
	}
	return &d.Time
}

// provider is a [mds.Provider] with one entry.
type provider struct {
	entry *mds.Entry
	at    time.Time
}

func (p provider) GetEntry(context.Context, uuid.UUID) (*mds.Entry, error) { return p.entry, nil }
func (p provider) GetValidateEntry(context.Context) bool                   { return true }
func (p provider) GetValidateEntryPermitZeroAAGUID(context.Context) bool   { return false }
func (p provider) GetValidateTrustAnchor(context.Context) bool             { return true }
func (p provider) GetValidateStatus(context.Context) bool                  { return true }
func (p provider) GetValidateAttestationTypes(context.Context) bool        { return true }

func (p provider) ValidateStatusReports(_ context.Context, reports []mds.StatusReport) error {
	var undesired []mds.AuthenticatorStatus
	for _, r := range reports {
		if metadata.Status(r.Status).Severity() == metadata.SeverityBad {
			undesired = append(undesired, r.Status)
		}
	}
	return mds.ValidateStatusReportsAt(reports, nil, undesired, p.at)
}

// explain brings out what the library keeps apart from its error text.
func explain(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) && e.DevInfo != "" {
		return fmt.Errorf("%s: %s", e.Details, e.DevInfo)
	}
	return err
}
