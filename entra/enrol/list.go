package enrol

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra/graph"
)

// A Line is one passkey to be made: whom it is for, what it is called, and which key it
// is to be on.
type Line struct {
	Row    int    // in the file; 0: there is none
	User   string // UPN or ID
	Name   string // of the passkey; "": the key's model
	Serial string // of the key; "": any
	AAGUID string // of the key, in lower case; "": any
}

// ID tells lines apart, in a ledger as well: it is the same as long as the line says the
// same.
func (l Line) ID() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{strings.ToLower(l.User), l.Name, l.Serial, l.AAGUID}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// fits reports whether the line may be on a key.
func (l Line) fits(serial, aaguid string) bool {
	return (l.Serial == "" || strings.EqualFold(l.Serial, serial)) && (l.AAGUID == "" || l.AAGUID == aaguid)
}

// Check says what is wrong with a line, whatever the others are.
func (l *Line) Check() error {
	if !strings.Contains(l.User, "@") && uuid.Validate(l.User) != nil {
		return fmt.Errorf("%q is no user: give the principal name (UPN), as sam@example.com, or the ID", l.User)
	}
	if n := len([]rune(l.Name)); n > graph.MaxDisplayName {
		return fmt.Errorf("the name has %d characters; Entra takes %d", n, graph.MaxDisplayName)
	}
	if rounded().MatchString(l.Serial) {
		return fmt.Errorf("the serial number %s was rounded by a spreadsheet: format the column as text and enter it again", l.Serial)
	}
	if l.AAGUID != "" {
		a, err := ctap2.ParseAAGUID(l.AAGUID)
		if err != nil {
			return err
		}
		l.AAGUID = a.String()
	}
	return nil
}

var (
	pinColumn = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(^|[^a-z])pins?($|[^a-z])`) })
	rounded   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\d[.,]?\d*[eE]\+\d+$`) })
)

// ReadList reads a list in CSV, as spreadsheets save it: separated by commas, semicolons
// or tabs, in UTF-8 or UTF-16. All that is wrong with it is in the error.
func ReadList(text []byte) ([]Line, error) {
	text, _, err := transform.Bytes(unicode.BOMOverride(transform.Nop), text)
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma = separator(text)
	r.TrimLeadingSpace = r.Comma != '\t'
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the list has no header with a column 'user': %w", err)
	}
	columns, err := readHeader(header)
	if err != nil {
		return nil, err
	}
	var lines []Line
	var wrong []error
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, csv.ErrFieldCount) {
			wrong = append(wrong, err)
			continue
		}
		if err != nil {
			return nil, errors.Join(append(wrong, err)...)
		}
		row, _ := r.FieldPos(0)
		line := Line{Row: row}
		for i, field := range fields {
			if field = strings.TrimSpace(field); columns[i] != nil {
				*columns[i](&line) = field
			} else if field != "" {
				wrong = append(wrong, fmt.Errorf("line %d: something stands in a column without a name", row))
			}
		}
		if line == (Line{Row: row}) {
			continue // spreadsheets leave such lines behind
		}
		if err := line.Check(); err != nil {
			wrong = append(wrong, fmt.Errorf("line %d: %w", row, err))
		}
		lines = append(lines, line)
	}
	if wrong = append(wrong, CheckList(lines)...); wrong == nil && len(lines) == 0 {
		wrong = append(wrong, errors.New("the list has no users"))
	}
	return lines, errors.Join(wrong...)
}

// separator is what the header has most of.
func separator(text []byte) rune {
	header, _, _ := bytes.Cut(text, []byte("\n"))
	best := ','
	for _, c := range ";\t" {
		if bytes.Count(header, []byte(string(c))) > bytes.Count(header, []byte(string(best))) {
			best = c
		}
	}
	return best
}

// readHeader returns where each column goes.
func readHeader(header []string) (columns []func(*Line) *string, err error) {
	var names []string
	for _, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		field := map[string]func(*Line) *string{
			"user": func(l *Line) *string { return &l.User }, "name": func(l *Line) *string { return &l.Name },
			"serial": func(l *Line) *string { return &l.Serial }, "aaguid": func(l *Line) *string { return &l.AAGUID },
		}[name]
		switch {
		case pinColumn().MatchString(name):
			return nil, fmt.Errorf("the list has a column %q: PINs do not belong into a file that anybody can read. Take it out, and have PINs made (--pin-random) or give one for all keys (--pin-file)", name)
		case name == "": // spreadsheets leave such columns behind; nothing may be in them
		case field == nil:
			return nil, fmt.Errorf("the list has a column %q; there are user, name, serial and aaguid", name)
		case slices.Contains(names, name):
			return nil, fmt.Errorf("the list has the column %q twice", name)
		}
		columns, names = append(columns, field), append(names, name)
	}
	if !slices.Contains(names, "user") {
		return nil, errors.New("the list has no column 'user'")
	}
	return columns, nil
}

// CheckList compares lines with each other. A user may have several keys, if their names
// or serial numbers tell which is which; a key is for one user.
func CheckList(lines []Line) (wrong []error) {
	passkeys, keys := map[string]int{}, map[string]int{}
	for _, l := range lines {
		passkey, serial := strings.ToLower(l.User)+"\x00"+l.Name+"\x00"+l.Serial, strings.ToLower(l.Serial)
		if before, twice := passkeys[passkey]; twice {
			wrong = append(wrong, fmt.Errorf("line %d: %s is in line %d already; a second key takes another name or serial number", l.Row, l.User, before))
		} else if before, twice := keys[serial]; twice && serial != "" {
			wrong = append(wrong, fmt.Errorf("line %d: the key %s is in line %d already; a key is for one user", l.Row, l.Serial, before))
		}
		passkeys[passkey], keys[serial] = l.Row, l.Row
	}
	return wrong
}
