package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fidokey/fidokey/metadata"
	"github.com/fidokey/fidokey/webauthn"
)

// explanation is what a relying party finds in a response.
type explanation struct {
	Checks judgement `json:"checks"`
	// Attestation is who stands behind a registration.
	Attestation *webauthn.Attestation `json:"attestation,omitempty"`

	all bool // print every check
}

// explainRegistration judges a registration.
func explainRegistration(r *webauthn.RegistrationResponse, want webauthn.Expected) explanation {
	return explanation{Checks: webauthn.CheckRegistration(r, want), Attestation: webauthn.DescribeAttestation(r, want)}
}

func (x *explanation) print(w *printer) {
	if x.Attestation != nil {
		x.printAttestation(w)
	}
	w.printf("")
	w.printf("%s", x.Checks.summary(x.all))
	if rows := x.Checks.rows(x.all); len(rows) > 0 {
		w.table([]string{"", "check", "found"}, rows)
	}
}

// attestationTypes are in words what FIDO's registry calls so.
var attestationTypes = map[string]string{
	"none":            "none: nothing says which model this is",
	"basic_surrogate": "self attestation: nothing proves the model",
	"basic_full":      "signed with the maker's key",
	"attca":           "signed with a key of the device, for which an attestation CA vouches",
	"anonca":          "by an anonymization CA",
}

// rootWords are where a root was found, in words.
var rootWords = map[webauthn.RootSource]string{
	webauthn.RootNotFound: "not found: the chain proves nothing yet",
	webauthn.RootMetadata: "in the metadata of the model",
	webauthn.RootGiven:    "given with --root",
	webauthn.RootLibrary:  "built into go-webauthn",
}

func (x *explanation) printAttestation(w *printer) {
	a := x.Attestation
	kind := attestationTypes[a.Type]
	if a.Type != "none" {
		kind = a.Format + ", " + kind
	}
	w.line("Attestation", "%s", kind)
	if where := rootWords[a.Root]; where != "" {
		w.line("Root", "%s", where)
	}
	if a.Certification != "" {
		w.line("Certification", "%s", a.Certification)
	}
	if a.Firmware != nil {
		w.line("Firmware", "%d, by its certificate", *a.Firmware)
	}
	if !x.all {
		return
	}
	for i, c := range a.Chain {
		w.printf("")
		what := "Certificate"
		if c.Root {
			what = "Root"
		}
		w.line(fmt.Sprintf("%s %d", what, i+1), "%s", c.Subject)
		w.line("  issued by", "%s", c.Issuer)
		w.line("  valid", "%s to %s", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
		w.line("  key", "%s", c.Key)
		w.line("  SHA-256", "%s", c.SHA256)
	}
}

// judgement is what a relying party has checked.
type judgement []webauthn.Check

// summary counts the checks.
func (c judgement) summary(all bool) string {
	count := map[webauthn.Outcome]int{}
	for _, check := range c {
		count[check.Outcome()]++
	}
	counted := fmt.Sprintf("%d hold", count[webauthn.Passed])
	if n := count[webauthn.NotHeld]; n > 0 {
		counted += fmt.Sprintf(", %d FAIL", n)
	}
	if n := count[webauthn.NotApplicable]; n > 0 {
		counted += fmt.Sprintf(", %d not applicable", n)
	}
	if all {
		return "What a relying party checks: " + counted + "."
	}
	return "What a relying party checks: " + counted + " (--explain shows each)."
}

// outcomeWords are the outcomes in a table.
var outcomeWords = map[webauthn.Outcome]string{webauthn.Passed: "ok", webauthn.NotHeld: "FAIL", webauthn.NotApplicable: "n/a"}

// rows are all checks, or those that fail.
func (c judgement) rows(all bool) (rows [][]string) {
	for _, check := range c {
		detail := check.Detail
		if check.Err != nil {
			detail = strings.TrimPrefix(detail+": "+check.Err.Error(), ": ")
		}
		if all || check.Err != nil {
			rows = append(rows, []string{outcomeWords[check.Outcome()], check.Name, detail})
		}
	}
	return rows
}

// failed is the error of the checks that do not hold; what names the answer.
func (c judgement) failed(what string) error {
	if err := webauthn.Failed(c); err != nil {
		return verifyError{fmt.Errorf("a relying party would refuse this %s: %w", what, err)}
	}
	return nil
}

// entries finds the entry of a model in metadata.
type entries func(id string) (*metadata.Entry, error)

// storedEntries is of the stored metadata; nil: there is none.
func storedEntries() entries {
	x, err := openMetadata()
	if err != nil {
		return nil
	}
	x.Close()
	return func(id string) (*metadata.Entry, error) {
		x, err := openMetadata()
		if err != nil {
			return nil, err
		}
		defer x.Close()
		return x.Entry(metadata.NormalID(id))
	}
}

// metadataCached is the value of --metadata for what 'fidokey metadata update' has
// stored.
const metadataCached = "cache"

// readRoots reads the certificates in a file that a flag names, if it does.
func readRoots(flag, file string) ([]*x509.Certificate, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError{err}
	}
	roots, err := metadata.ParseRoots(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s %s: %w", flag, file, err)}
	}
	return roots, nil
}

// metadataFlags say which metadata to judge by.
type metadataFlags struct{ source, root string }

// entries returns the metadata that are meant; without --metadata it is what is
// stored, if anything is.
func (f *metadataFlags) entries(e *env) (entries, error) {
	switch f.source {
	case "":
		return storedEntries(), nil
	case metadataCached:
		x, err := openMetadata()
		if err != nil {
			return nil, err
		}
		return storedEntries(), x.Close()
	}
	roots, err := readRoots("--metadata-root", f.root)
	if err != nil {
		return nil, err
	}
	data, err := e.readBlob(f.source)
	if err != nil {
		return nil, err
	}
	verdict := metadata.Verifier{Roots: roots}.Verify(data)
	if err := verdict.Err(); err != nil {
		return nil, fmt.Errorf("--metadata %s: %w", f.source, err)
	}
	return entriesOf(verdict.Blob), nil
}

func entriesOf(blob *metadata.Blob) entries {
	byID := map[string]*metadata.Entry{}
	for _, entry := range blob.Entries {
		for _, id := range entry.IDs() {
			byID[id] = entry
		}
	}
	return func(id string) (*metadata.Entry, error) { return byID[metadata.NormalID(id)], nil }
}
