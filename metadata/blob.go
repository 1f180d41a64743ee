package metadata

import (
	"bytes"
	"crypto/sha1" // key identifiers
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Blob is the payload of a metadata BLOB (MDS 3.1, section 3.1.6).
type Blob struct {
	LegalHeader string
	No          int64 // serial number
	NextUpdate  Day
	Entries     []*Entry
	Skipped     []Skipped
}

// Skipped is an entry that cannot be read. The others count all the same.
type Skipped struct {
	Entry  int    `json:"entry"` // place in the BLOB, from 0
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"`
}

// Entry is what a BLOB has of one model (MDS 3.1, section 3.1.1). It is named by
// one of AAGUID, AAID and AttestationCertificateKeyIdentifiers.
type Entry struct {
	AAGUID                               string         `json:"aaguid"` // with dashes, lower case
	AAID                                 string         `json:"aaid"`   // of UAF
	AttestationCertificateKeyIdentifiers []string       `json:"attestationCertificateKeyIdentifiers"`
	Statement                            Statement      `json:"metadataStatement"`
	StatusReports                        []StatusReport `json:"statusReports"`
	BiometricStatusReports               []struct {
		CertLevel     int    `json:"certLevel"`
		Modality      string `json:"modality"`
		EffectiveDate Day    `json:"effectiveDate"`
	} `json:"biometricStatusReports"`
	TimeOfLastStatusChange Day    `json:"timeOfLastStatusChange"`
	RogueListURL           string `json:"rogueListURL"`

	// Raw is the entry as it was, with the members that have no field here.
	Raw json.RawMessage `json:"-"`
}

// StatementJSON returns the metadata statement as it was.
func (e *Entry) StatementJSON() json.RawMessage {
	var members struct {
		Statement json.RawMessage `json:"metadataStatement"`
	}
	_ = json.Unmarshal(e.Raw, &members) // it was read before
	return members.Statement
}

// Day is a date without a time.
type Day struct{ time.Time }

// UnmarshalJSON reads a day as MDS writes it.
func (d *Day) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return fmt.Errorf("%q is no date", s)
	}
	d.Time = t
	return nil
}

// MarshalJSON is the other way.
func (d Day) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

func (d Day) String() string { return d.Format(time.DateOnly) }

// ParseBlob reads the payload of a BLOB. Members that are not known and entries
// that cannot be read are no error.
func ParseBlob(payload []byte) (*Blob, error) {
	b := &blobReader{payload: payload, decoder: json.NewDecoder(bytes.NewReader(payload)), seen: map[string]bool{}}
	if err := b.object(); err != nil {
		return nil, fmt.Errorf("the payload is not the JSON of a BLOB: %w", err)
	}
	switch {
	case b.blob.No <= 0:
		return nil, errors.New("the payload has no serial number")
	case b.blob.NextUpdate.IsZero():
		return nil, errors.New("the payload has no nextUpdate")
	case !b.entries:
		return nil, errors.New("the payload has no entries")
	}
	return &b.blob, nil
}

// blobReader goes through a payload once: it is long, and decoding it as one value
// would go through it again and again.
type blobReader struct {
	payload []byte
	decoder *json.Decoder
	blob    Blob
	entries bool            // there is such a member
	seen    map[string]bool // identifiers
}

func (b *blobReader) object() error {
	if err := b.delimiter('{'); err != nil {
		return err
	}
	for b.decoder.More() {
		name, err := b.decoder.Token()
		if err != nil {
			return err
		}
		var unknown json.RawMessage
		switch name {
		case "legalHeader":
			err = b.decoder.Decode(&b.blob.LegalHeader)
		case "no":
			err = b.decoder.Decode(&b.blob.No)
		case "nextUpdate":
			err = b.decoder.Decode(&b.blob.NextUpdate)
		case "entries":
			err = b.array()
		default:
			err = b.decoder.Decode(&unknown)
		}
		if err != nil {
			return fmt.Errorf("%v: %w", name, err)
		}
	}
	if err := b.delimiter('}'); err != nil {
		return err
	}
	if _, err := b.decoder.Token(); err != io.EOF {
		return errors.New("something follows the JSON")
	}
	return nil
}

func (b *blobReader) delimiter(want json.Delim) error {
	got, err := b.decoder.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && got != want {
		err = fmt.Errorf("%v in place of %v", got, want)
	}
	return err
}

func (b *blobReader) array() error {
	if b.entries {
		return errors.New("there are two")
	}
	b.entries = true
	if err := b.delimiter('['); err != nil {
		return err
	}
	for n := 0; b.decoder.More(); n++ {
		from, e := b.decoder.InputOffset(), &Entry{}
		err := b.decoder.Decode(e)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return err // there is no next entry to go to
		}
		e.Raw = bytes.TrimLeft(b.payload[from:b.decoder.InputOffset()], ", \t\r\n")
		if err == nil {
			err = e.check(b.seen)
		}
		if err != nil {
			b.blob.Skipped = append(b.blob.Skipped, Skipped{n, strings.Join(e.IDs(), ", "), err.Error()})
			continue
		}
		b.blob.Entries = append(b.blob.Entries, e)
	}
	return b.delimiter(']')
}

// IDs returns what an entry is found by: each form is unlike the others.
func (e *Entry) IDs() (ids []string) {
	if e.AAGUID != "" {
		ids = append(ids, e.AAGUID)
	}
	if e.AAID != "" {
		ids = append(ids, e.AAID)
	}
	return append(ids, e.AttestationCertificateKeyIdentifiers...)
}

// NormalID returns an identifier of a model in the form that entries are found by:
// an AAGUID with or without dashes, an AAID, or a key identifier. It is empty for
// what is none.
func NormalID(s string) string {
	s = strings.ToLower(s)
	switch vendor, model, aaid := strings.Cut(s, "#"); {
	case aaid && isHex(vendor, 2) && isHex(model, 2), isHex(s, sha1.Size):
		return s
	}
	digits := strings.ReplaceAll(s, "-", "")
	if !isHex(digits, 16) {
		return ""
	}
	aaguid := strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]}, "-")
	if s != digits && s != aaguid {
		return ""
	}
	return aaguid
}

func isHex(s string, size int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == size
}

// check brings the identifiers to their normal form, and refuses an entry that
// nobody could find.
func (e *Entry) check(seen map[string]bool) error {
	for _, id := range []*string{&e.AAGUID, &e.AAID} {
		if err := normalise(id); err != nil {
			return err
		}
	}
	for i := range e.AttestationCertificateKeyIdentifiers {
		if err := normalise(&e.AttestationCertificateKeyIdentifiers[i]); err != nil {
			return err
		}
	}
	ids := e.IDs()
	if len(ids) == 0 {
		return errors.New("it has no identifier")
	}
	if e.Statement.Description == "" {
		return errors.New("it has no metadata statement with a description")
	}
	for _, id := range ids {
		if seen[id] {
			return fmt.Errorf("it is the second entry for %s", id)
		}
	}
	for _, id := range ids {
		seen[id] = true
	}
	return nil
}

func normalise(id *string) error {
	if *id == "" {
		return nil
	}
	normal := NormalID(*id)
	if normal == "" {
		return fmt.Errorf("%q is no identifier of a model", *id)
	}
	*id = normal
	return nil
}
