package main

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/entra/enrol"
)

// enrolReport is the answer of "entra register" with a ledger, and of "entra ledger".
type enrolReport struct {
	Ledger           string         `json:"ledger"`
	Registered       int            `json:"registered"`       // by this run
	RegisteredBefore int            `json:"registeredBefore"` // by an earlier one
	Failed           int            `json:"failed"`
	Waiting          int            `json:"waiting"`
	Lines            []enrolledLine `json:"lines"`
	LeftOver         []leftOver     `json:"leftOver"`
}

// enrolledLine is what became of a line.
type enrolledLine struct {
	User         string     `json:"user"`
	Name         string     `json:"name,omitempty"`
	Status       string     `json:"status"`
	Error        *errorJSON `json:"error,omitempty"`
	Serial       string     `json:"serial,omitempty"` // of the key that the user has
	AAGUID       string     `json:"aaguid,omitempty"`
	CredentialID string     `json:"credentialId,omitempty"`
	ID           string     `json:"id,omitempty"` // in Entra
	PIN          bool       `json:"pin"`          // the ledger has it
	PINForced    bool       `json:"pinForced"`    // the key asks for another, or cannot
}

// leftOver is a key that no user has, and that has something nevertheless.
type leftOver struct {
	User       string `json:"user"` // for whom it was
	Serial     string `json:"serial,omitempty"`
	AAGUID     string `json:"aaguid"`
	PINLine    int    `json:"pinLine,omitempty"` // of the ledger; it may be set
	Credential bool   `json:"credential"`        // there may be one
}

func newEnrolReport(l *enrol.Ledger, outcomes []enrol.Outcome) *enrolReport {
	r := &enrolReport{Ledger: l.Path, Lines: []enrolledLine{}, LeftOver: []leftOver{}}
	for _, o := range outcomes {
		line := enrolledLine{User: o.Line.User, Name: o.Line.Name, Status: string(o.Status)}
		switch o.Status {
		case enrol.Registered:
			r.Registered++
		case enrol.Before:
			r.RegisteredBefore++
		case enrol.Failed:
			r.Failed++
		default:
			r.Waiting++
		}
		if o.Err != nil {
			line.Error = newErrorJSON(o.Err)
		}
		if a := o.Attempt; a != nil {
			line.Serial, line.AAGUID, line.CredentialID, line.ID = a.Serial, a.AAGUID, hex.EncodeToString(a.CredentialID), a.Method
			line.PIN, line.PINForced = a.PIN != nil, a.PINForced
		}
		r.Lines = append(r.Lines, line)
	}
	users := map[string]string{}
	for _, line := range l.Lines() {
		users[line.ID()] = line.User
	}
	for _, a := range l.LeftOver() {
		one := leftOver{User: users[a.Line], Serial: a.Serial, AAGUID: a.AAGUID, Credential: a.Unsettled()}
		if a.PIN != nil {
			one.PINLine = a.PINAt
		}
		r.LeftOver = append(r.LeftOver, one)
	}
	return r
}

func (r *enrolReport) print(w *printer) {
	var rows [][]string
	for _, l := range r.Lines {
		if l.Error != nil || l.Status == string(enrol.Waiting) {
			reason := "not done yet"
			if l.Error != nil {
				reason = l.Error.Message
			}
			rows = append(rows, []string{l.User, l.Status, reason})
		}
	}
	if rows != nil {
		w.table([]string{"user", "", "reason"}, rows)
		w.printf("")
	}
	w.line("Registered", "%d", r.Registered)
	w.line("Before", "%d", r.RegisteredBefore)
	w.line("Failed", "%d", r.Failed)
	w.line("Waiting", "%d", r.Waiting)
	w.line("Ledger", "%s", r.Ledger)
	for _, k := range r.LeftOver {
		w.printf("%s", k.inWords())
	}
}

func (k leftOver) inWords() string {
	key := "A key with the AAGUID " + k.AAGUID
	if k.Serial != "" {
		key = "The key " + k.Serial
	}
	words := fmt.Sprintf("%s, which was for %s", key, k.User)
	switch {
	case k.Credential && k.PINLine != 0:
		words += fmt.Sprintf(", may have a passkey that the tenant does not know, and the PIN in line %d of the ledger", k.PINLine)
	case k.Credential:
		words += ", may have a passkey that the tenant does not know"
	default:
		words += fmt.Sprintf(", may have the PIN in line %d of the ledger", k.PINLine)
	}
	return words + ". Plug it in and run 'fidokey entra register' with the ledger again."
}

func newEntraLedgerCmd(e *env) *cobra.Command {
	var identity, pins string
	cmd := &cobra.Command{
		Use:   "ledger FILE",
		Short: "Show the ledger of an enrolment, and write its PINs to a file",
		Long: `Show the ledger that 'fidokey entra register' keeps: who is registered with which
key, and what a crash has left on keys.

--pins writes the PINs to a new file for the letters to the users: a CSV file with the
columns user, name, serial, aaguid and pin, which only you can read. --identity opens
them. Keys with a PIN that no user has are in it without a user.`,
		Example: `  fidokey entra ledger users.csv.ledger.jsonl
  fidokey entra ledger users.csv.ledger.jsonl --identity key.txt --pins pins.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return runEntraLedger(e, args[0], identity, pins) },
	}
	cmd.Flags().StringVar(&identity, "identity", "", "the age identity that opens the PINs: a file")
	cmd.Flags().StringVar(&pins, "pins", "", "write the PINs into this new file")
	cmd.MarkFlagsRequiredTogether("identity", "pins")
	return cmd
}

func runEntraLedger(e *env, path, identity, pins string) error {
	if err := refuseOldFile("--pins", pins); err != nil {
		return err
	}
	l, err := enrol.ReadLedger(path)
	if err != nil {
		return err
	}
	if l.Torn {
		e.note("The last line is not whole: it is being written, or a crash has cut it off.")
	}
	if pins != "" {
		identities, err := readIdentities(identity)
		if err != nil {
			return err
		}
		text, n, err := pinList(l, identities)
		if err != nil {
			return err
		}
		defer clear(text)
		if err := writeNewFile(pins, text); err != nil {
			return err
		}
		e.note("%s written to %s.", count(n, "PIN", "PINs"), pins)
	}
	return e.say(nil, newEnrolReport(l, l.Outcomes()))
}

// pinList is the CSV file with the PINs.
func pinList(l *enrol.Ledger, identities []age.Identity) (text []byte, n int, err error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Write([]string{"user", "name", "serial", "aaguid", "pin"})
	add := func(user, name string, a *enrol.Attempt) error {
		if a == nil || a.PIN == nil {
			return nil
		}
		pin, err := a.Decrypt(identities...)
		n++
		return errors.Join(err, w.Write([]string{user, name, a.Serial, a.AAGUID, string(pin)}))
	}
	for _, line := range l.Lines() {
		if err := add(line.User, line.Name, l.Registered(line.ID())); err != nil {
			return nil, 0, err
		}
	}
	for _, a := range l.LeftOver() {
		if err := add("", "", &a); err != nil {
			return nil, 0, err
		}
	}
	w.Flush()
	return out.Bytes(), n, w.Error()
}
