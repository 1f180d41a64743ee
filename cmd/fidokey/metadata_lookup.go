package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/metadata"
)

// errNoModel is for a model that nobody has published anything of.
var errNoModel = errors.New("no such model")

func newMetadataLookupCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "lookup [AAGUID|NAME]",
		Short: "Show what is published of a model, or of the key that is plugged in",
		Long: `Show what is published of a model: what it is, how it keeps keys, how it is
certified, what became known since, and which roots vouch for it.

The model is named by its AAGUID, AAID, the identifier of an attestation key (of
U2F), or part of its name. Without a name the key that is plugged in, or that
--device names, is asked for its AAGUID.

What the stored BLOB does not have is looked up in the built-in table of names.
What is published is about the model: only an attestation that was verified shows
that a key is of it.`,
		Example: `  fidokey metadata lookup
  fidokey metadata lookup f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c35
  fidokey metadata lookup 'yubikey 5' --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return runMetadataLookup(cmd.Context(), e, args) },
	}
}

func runMetadataLookup(ctx context.Context, e *env, args []string) error {
	if len(args) == 0 {
		return e.onKey(ctx, client.Prompt{}, e.lookupKey)
	}
	if e.global.device != "" {
		return usageError{errors.New("a name and --device exclude each other")}
	}
	r, err := e.lookup(args[0])
	if err != nil {
		return err
	}
	if len(r.Models) == 0 {
		return fmt.Errorf("%w: neither the stored metadata nor the built-in table has %q", errNoModel, args[0])
	}
	return e.say(nil, r)
}

// lookupKey looks up the model of a key. One that is not known is an answer, as with
// 'fidokey list'.
func (e *env) lookupKey(ctx context.Context, key *openedKey) (report, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	if info.AAGUID == (ctap2.AAGUID{}) {
		return nil, fmt.Errorf("the key has no AAGUID, so it does not tell its model: %w", client.ErrKeyCannot)
	}
	r, err := e.lookup(info.AAGUID.String())
	if err != nil {
		return nil, err
	}
	r.key = info.AAGUID
	return r, nil
}

// lookup finds models by an identifier or by words of their name.
func (e *env) lookup(wanted string) (*lookupReport, error) {
	r := &lookupReport{Models: []*modelReport{}}
	x, err := openMetadata()
	switch {
	case errors.Is(err, metadata.ErrNoCache):
		e.note("No metadata is stored, so there are names only. 'fidokey metadata update' gets the rest.")
	case err != nil:
		e.note("There are names only: %v", err)
	default:
		defer x.Close()
		r.Metadata = newBlobReport(x)
		r.Metadata.Skipped = nil // it is not about them
		e.noteStale(r.Metadata)
		if err := r.addStored(x, wanted); err != nil {
			return nil, err
		}
	}
	r.addBuiltIn(wanted)
	return r, nil
}

// addStored adds the models of the stored BLOB.
func (r *lookupReport) addStored(x *metadata.Index, wanted string) (err error) {
	var entries []*metadata.Entry
	if id := metadata.NormalID(wanted); id != "" {
		var one *metadata.Entry
		if one, err = x.Entry(id); one != nil {
			entries = append(entries, one)
		}
	} else {
		entries, err = x.Named(wanted)
	}
	for _, entry := range entries {
		r.Models = append(r.Models, newModelReport(entry, time.Now()))
	}
	return err
}

// addBuiltIn adds the models that only the built-in table has.
func (r *lookupReport) addBuiltIn(wanted string) {
	aaguids := []string{metadata.NormalID(wanted)}
	if aaguids[0] == "" {
		if len(r.Models) == 1 && strings.EqualFold(r.Models[0].Name, wanted) {
			return // that was it
		}
		aaguids = metadata.Named(wanted)
	}
	for _, aaguid := range aaguids {
		known := slices.ContainsFunc(r.Models, func(m *modelReport) bool { return m.AAGUID == aaguid })
		if m, ok := metadata.Lookup(aaguid); ok && !known {
			r.Models = append(r.Models, &modelReport{Name: m.Name, Source: sourceBuiltIn, AAGUID: aaguid})
		}
	}
}

// lookupReport is the answer of "metadata lookup".
type lookupReport struct {
	Metadata *blobReport    `json:"metadata,omitempty"` // nil: none is stored
	Models   []*modelReport `json:"models"`
	key      ctap2.AAGUID   // that was asked
}

const (
	sourceBlob    = "metadata"
	sourceBuiltIn = "built-in table"
)

// modelReport is one model. What only the BLOB knows is empty for one of the
// built-in table.
type modelReport struct {
	Name           string   `json:"name"`
	Source         string   `json:"source"`
	AAGUID         string   `json:"aaguid,omitempty"`
	AAID           string   `json:"aaid,omitempty"`
	KeyIdentifiers []string `json:"attestationCertificateKeyIdentifiers,omitempty"`

	ProtocolFamily           string     `json:"protocolFamily,omitempty"`
	Versions                 []string   `json:"versions,omitempty"` // of CTAP
	AuthenticatorVersion     *uint64    `json:"authenticatorVersion,omitempty"`
	FirmwareVersion          *uint64    `json:"firmwareVersion,omitempty"`
	AuthenticationAlgorithms []string   `json:"authenticationAlgorithms,omitempty"`
	KeyProtection            []string   `json:"keyProtection,omitempty"`
	MatcherProtection        []string   `json:"matcherProtection,omitempty"`
	UserVerification         [][]string `json:"userVerification,omitempty"` // one of these, whole
	AttachmentHint           []string   `json:"attachmentHint,omitempty"`
	Transports               []string   `json:"transports,omitempty"`
	AttestationTypes         []string   `json:"attestationTypes,omitempty"`

	Certification  *statusReport  `json:"certification,omitempty"` // the report that counts now
	NotToTrust     bool           `json:"notToTrust"`
	StatusReports  []statusReport `json:"statusReports,omitempty"`
	LastChange     *metadata.Day  `json:"timeOfLastStatusChange,omitempty"`
	Roots          []rootReport   `json:"attestationRoots,omitempty"`
	UnreadableRoot string         `json:"unreadableRoots,omitempty"` // why some are not in Roots
}

// statusReport is a status report with its meaning.
type statusReport struct {
	metadata.StatusReport
	Meaning  string            `json:"meaning"`
	Severity metadata.Severity `json:"severity"`
	Level    string            `json:"level,omitempty"` // of certification
	InEffect bool              `json:"inEffect"`
}

type rootReport struct {
	Subject   string       `json:"subject"`
	NotBefore metadata.Day `json:"notBefore"`
	NotAfter  metadata.Day `json:"notAfter"`
	CA        bool         `json:"ca"` // else it is an attestation certificate itself
	SHA256    string       `json:"sha256"`
}

func newStatusReport(r metadata.StatusReport, now time.Time) statusReport {
	return statusReport{r, r.Status.Meaning(), r.Status.Severity(), r.Status.Level(), r.InEffect(now)}
}

func newModelReport(e *metadata.Entry, now time.Time) *modelReport {
	s := &e.Statement
	m := &modelReport{
		Name: s.Description, Source: sourceBlob,
		AAGUID: e.AAGUID, AAID: e.AAID, KeyIdentifiers: e.AttestationCertificateKeyIdentifiers,
		ProtocolFamily: s.ProtocolFamily, AuthenticatorVersion: &s.AuthenticatorVersion, AuthenticationAlgorithms: s.AuthenticationAlgorithms,
		KeyProtection: s.KeyProtection, MatcherProtection: s.MatcherProtection,
		AttachmentHint: s.AttachmentHint, AttestationTypes: s.AttestationTypes,
		NotToTrust: len(e.Bad(now)) > 0,
	}
	s.Info("versions", &m.Versions)
	s.Info("transports", &m.Transports)
	s.Info("firmwareVersion", &m.FirmwareVersion)
	for _, way := range s.UserVerificationDetails {
		methods := []string{}
		for _, v := range way {
			methods = append(methods, v.Method)
		}
		m.UserVerification = append(m.UserVerification, methods)
	}
	if c := e.Certification(now); c != nil {
		m.Certification = new(newStatusReport(*c, now))
	}
	for _, r := range e.StatusReports {
		m.StatusReports = append(m.StatusReports, newStatusReport(r, now))
	}
	if !e.TimeOfLastStatusChange.IsZero() {
		m.LastChange = &e.TimeOfLastStatusChange
	}
	m.addRoots(s)
	return m
}

func (m *modelReport) addRoots(s *metadata.Statement) {
	roots, err := s.Roots()
	for _, c := range roots {
		m.Roots = append(m.Roots, rootReport{
			c.Subject.String(), metadata.Day{Time: c.NotBefore}, metadata.Day{Time: c.NotAfter}, c.IsCA, metadata.Fingerprint(c),
		})
	}
	if err != nil {
		m.UnreadableRoot = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
}

func (r *lookupReport) print(w *printer) {
	switch len(r.Models) {
	case 0:
		w.line("Model", "unknown model")
		w.line("AAGUID", "%v", r.key)
		return
	case 1:
		r.Models[0].print(w)
		return
	}
	var rows [][]string
	for _, m := range r.Models {
		rows = append(rows, []string{m.id(), cmp.Or(m.ProtocolFamily, "-"), m.standing(), m.Name})
	}
	w.table([]string{"id", "protocol", "certification", "model"}, rows)
}

// id is what the model is found by; of several the first.
func (m *modelReport) id() string {
	if n := len(m.KeyIdentifiers); n > 1 {
		return fmt.Sprintf("%s and %d more", m.KeyIdentifiers[0], n-1)
	}
	return cmp.Or(m.AAGUID, m.AAID, strings.Join(m.KeyIdentifiers, ""))
}

// standing is the certification in a word.
func (m *modelReport) standing() string {
	switch {
	case m.NotToTrust:
		return "NOT TO BE TRUSTED"
	case m.Certification == nil:
		return "-"
	}
	return string(m.Certification.Status)
}

func (m *modelReport) print(w *printer) {
	list := func(name string, items []string) {
		if len(items) > 0 {
			w.line(name, "%s", strings.Join(items, ", "))
		}
	}
	w.line("Model", "%s", m.Name)
	list("AAGUID", strings.Fields(m.AAGUID))
	list("AAID", strings.Fields(m.AAID))
	for i, id := range m.KeyIdentifiers {
		w.item("Attestation keys", id, i == 0)
	}
	if m.Source == sourceBuiltIn {
		w.line("Known from", "the %s, which has names only", m.Source)
		return
	}
	w.line("Protocol", "%s", strings.Join(append([]string{m.ProtocolFamily}, m.Versions...), ", "))
	w.line("Version", "%d", *m.AuthenticatorVersion)
	if m.FirmwareVersion != nil {
		w.line("Firmware", "%d", *m.FirmwareVersion)
	}
	list("Transports", m.Transports)
	list("Attachment", m.AttachmentHint)
	list("Key protection", m.KeyProtection)
	list("Matcher", m.MatcherProtection)
	for i, way := range m.UserVerification {
		w.item("User verification", strings.Join(way, " and "), i == 0)
	}
	list("Algorithms", m.AuthenticationAlgorithms)
	list("Attestation", m.AttestationTypes)
	for i, r := range m.Roots {
		what := "root"
		if !r.CA {
			what = "certificate itself"
		}
		w.item("Vouched for by", fmt.Sprintf("%s (%s, %v to %v)", r.Subject, what, r.NotBefore, r.NotAfter), i == 0)
	}
	if m.UnreadableRoot != "" {
		w.line("Not readable", "%s", m.UnreadableRoot)
	}
	m.printStatus(w)
}

// printStatus writes how the model stands, and what was reported of it.
func (m *modelReport) printStatus(w *printer) {
	if m.Certification != nil {
		w.line("Certification", "%s", m.Certification.Meaning)
	}
	if m.NotToTrust {
		w.line("Warning", "%s", "the model is not to be trusted: see below")
	}
	if len(m.StatusReports) == 0 {
		return
	}
	w.printf("")
	var rows [][]string
	for _, r := range m.StatusReports {
		date, meaning := "-", r.Meaning
		if r.EffectiveDate != nil {
			date = r.EffectiveDate.String()
		}
		if !r.InEffect {
			meaning += " (not in effect yet)"
		}
		var more []string
		for _, s := range []string{r.CertificateNumber, r.CertificationDescriptor, r.URL} {
			if s != "" {
				more = append(more, s)
			}
		}
		rows = append(rows, []string{date, string(r.Severity), string(r.Status), meaning, strings.Join(more, ", ")})
	}
	w.table([]string{"since", "severity", "status", "meaning", "more"}, rows)
}
