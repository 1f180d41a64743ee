package enrol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/gofrs/flock"

	"github.com/fidokey/fidokey/ctap2"
)

// LedgerVersion is the version of the ledger's form, which docs/schema describes.
const LedgerVersion = 1

// The events of a ledger, in the order that they come in.
const (
	EventLedger     = "ledger"     // the first: version
	EventPlanned    = "planned"    // line, user, name, serial and aaguid of the list
	EventKey        = "key"        // an attempt begins: line, attempt, aaguid, serial and device of the key
	EventPIN        = "pin"        // the PIN that the key will get, or has: pin, from
	EventPINSet     = "pinSet"     // it has it
	EventMaking     = "making"     // the key will be asked for a credential: rpId, userHandle
	EventMade       = "made"       // it has made one, which will be posted: credentialId
	EventRegistered = "registered" // the tenant has it: credentialId, method
	EventPINForced  = "pinForced"  // the key wants another PIN before all else; with a reason it cannot
	EventUndone     = "undone"     // neither the tenant nor the key has what was made
	EventFailed     = "failed"     // the attempt is over: reason
)

// An Entry is a line of a ledger. Which members it has is the matter of its event.
type Entry struct {
	Event        string      `json:"event"`
	Time         time.Time   `json:"time"`
	Version      int         `json:"version,omitempty"`
	Line         string      `json:"line,omitempty"`    // Line.ID
	Attempt      int         `json:"attempt,omitempty"` // from 1, over all lines
	User         string      `json:"user,omitempty"`
	Name         string      `json:"name,omitempty"`
	Serial       string      `json:"serial,omitempty"`
	AAGUID       string      `json:"aaguid,omitempty"`
	Device       string      `json:"device,omitempty"` // where the key was plugged in
	PIN          []byte      `json:"pin,omitempty"`    // encrypted with age
	From         int         `json:"from,omitempty"`   // the attempt that the PIN is from
	RPID         string      `json:"rpId,omitempty"`
	UserHandle   ctap2.Bytes `json:"userHandle,omitempty"`
	CredentialID ctap2.Bytes `json:"credentialId,omitempty"`
	Method       string      `json:"method,omitempty"`
	Reason       string      `json:"reason,omitempty"`
}

// An Attempt is what a ledger has of one key and one line.
type Attempt struct {
	Number         int
	Line           string
	Serial, AAGUID string    // of the key
	Device         string    // where it was plugged in
	Made           time.Time // when the credential came
	PIN            []byte    // encrypted; nil: none was recorded
	PINAt          int       // the line of the ledger that has it
	PINSet         bool
	From           int // the attempt that the PIN was known from; 0: it is this one's
	RPID           string
	UserHandle     []byte
	CredentialID   []byte
	Method         string // "": not registered
	PINForced      bool   // or the key cannot
	Undone         bool
	Reason         string // why it failed
}

// Unsettled is true if the key may have a credential that the tenant does not have.
func (a *Attempt) Unsettled() bool { return a.UserHandle != nil && a.Method == "" && !a.Undone }

// pinWaits is true if the key may have a PIN that only the ledger knows, and no user has
// the key.
func (a *Attempt) pinWaits() bool { return a.PIN != nil && a.Method == "" }

// Ledger is the record of an enrolment. Each entry is on the disk before what it tells
// of goes on. One process has it at a time, and many goroutines may.
type Ledger struct {
	Path string
	Torn bool // the last line was cut off by a crash, and is gone

	recipients []age.Recipient
	file       disk
	close      func() error

	mu       sync.Mutex
	entries  int
	lines    map[string]Line
	order    []string // of lines
	attempts []*Attempt
	broken   error // a write failed: what is in the file is not known any more
}

// ErrLedgerInUse means that another process has the ledger.
var ErrLedgerInUse = errors.New("another fidokey is at work with this ledger")

// ErrLedger means that the ledger cannot be written any more. Nothing goes on without it.
var ErrLedger = errors.New("the ledger cannot be written")

// A disk is what is written to. What is not synced is lost, or part of it, when power is
// cut.
type disk interface {
	io.WriteCloser
	Sync() error
}

// OpenLedger opens a ledger for an enrolment, and makes it if there is none. PINs are
// encrypted to the recipients.
func OpenLedger(path string, recipients ...age.Recipient) (*Ledger, error) {
	return openLedgerOn(path, func(f *os.File) disk { return f }, recipients...)
}

func openLedgerOn(path string, through func(*os.File) disk, recipients ...age.Recipient) (*Ledger, error) {
	// The lock is on a file of its own: Windows keeps others from reading a locked one.
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if locked, err := lock.TryLock(); err != nil {
		return nil, err
	} else if !locked {
		return nil, fmt.Errorf("%s: %w", path, ErrLedgerInUse)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	l := newLedger(path)
	l.recipients, l.file = recipients, through(f)
	l.close = func() error { return errors.Join(l.file.Close(), lock.Unlock()) }
	if err := l.load(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), l.close())
	}
	return l, nil
}

// ReadLedger reads a ledger, which may be at work.
func ReadLedger(path string) (*Ledger, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	l := newLedger(path)
	l.broken, l.close = fs.ErrPermission, func() error { return nil }
	if _, err = l.read(text); err == nil && l.entries == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

func newLedger(path string) *Ledger { return &Ledger{Path: path, lines: map[string]Line{}} }

// load reads what is there, cuts off what a crash left of a line, and begins a new
// ledger if nothing is left.
func (l *Ledger) load(f *os.File) error {
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	sound, err := l.read(text)
	if err != nil {
		return err
	}
	if l.Torn {
		if err := errors.Join(f.Truncate(int64(sound)), f.Sync()); err != nil {
			return err
		}
	}
	if _, err := f.Seek(int64(sound), io.SeekStart); err != nil {
		return err
	}
	if l.entries > 0 {
		return nil
	}
	if err := l.append(Entry{Event: EventLedger, Version: LedgerVersion}); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(l.Path))
}

// syncFolder has the name of a new file outlive a power cut, where the system lets it.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = folder.Sync() // Windows cannot
	return folder.Close()
}

// read applies the entries of a ledger, and returns where the last sound one ends. A
// last line that is not whole was never relied on: what it would have told of had not
// begun. The same is true of a plan with holes. Anything else that is not sound means that
// something else wrote here.
func (l *Ledger) read(text []byte) (sound int, err error) {
	for sound < len(text) {
		length := bytes.IndexByte(text[sound:], '\n') + 1
		var e Entry
		if length > 0 {
			err = json.Unmarshal(text[sound:sound+length], &e)
		}
		last := length == 0 || sound+length == len(text)
		switch {
		case l.entries == 0 && !isBeginning(text):
			return 0, errNoLedger
		case last && (length == 0 || err != nil), err != nil && isLostPlan(text[sound:]):
			l.Torn = true
			return sound, nil
		case err != nil:
			return sound, fmt.Errorf("line %d is damaged: %w", l.entries+1, err)
		case l.entries == 0 && (e.Event != EventLedger || e.Version < 1):
			return sound, errNoLedger
		case e.Version > LedgerVersion:
			return sound, fmt.Errorf("the ledger has version %d, and this program knows %d; take a newer one", e.Version, LedgerVersion)
		}
		if err := l.apply(e); err != nil {
			return sound, fmt.Errorf("line %d: %w", l.entries, err)
		}
		sound += length
	}
	return sound, nil
}

var errNoLedger = errors.New("this is no ledger of an enrolment")

// isBeginning reports whether a text may begin a ledger, or what a crash left of one: no
// other file is ever written to.
func isBeginning(text []byte) bool {
	const first = `{"event":"ledger"`
	n := min(len(text), len(first))
	return string(text[:n]) == first[:n] || isHole(text)
}

// isHole is true for a short text of zeros. That is how a file system shows the blocks of
// a file that got longer and did not come to the disk before power was cut.
func isHole(text []byte) bool {
	const block = 4096
	return len(text) < block && len(bytes.Trim(text, "\x00")) == 0
}

// isLostPlan reports whether the rest of a ledger, whose first line is damaged, is from
// one write of many planned lines, of which power cut off some blocks and not only the
// last.
func isLostPlan(rest []byte) bool {
	for line := range bytes.Lines(rest) {
		var e Entry
		if bytes.IndexByte(line, 0) < 0 && (json.Unmarshal(line, &e) != nil || e.Event != EventPlanned) {
			return false
		}
	}
	return true
}

// append writes entries, and returns when they are on the disk.
func (l *Ledger) append(entries ...Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appendLocked(entries)
}

func (l *Ledger) appendLocked(entries []Entry) error {
	if l.broken != nil {
		return fmt.Errorf("%w: %w", ErrLedger, l.broken)
	}
	var text []byte
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range entries {
		entries[i].Time = now
		line, err := json.Marshal(entries[i])
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	if _, l.broken = l.file.Write(text); l.broken == nil {
		l.broken = l.file.Sync()
	}
	if l.broken != nil {
		return fmt.Errorf("%w: %w", ErrLedger, l.broken)
	}
	for _, e := range entries {
		if err := l.apply(e); err != nil {
			return err
		}
	}
	return nil
}

// begin begins an attempt.
func (l *Ledger) begin(line Line, key *Plugged, aaguid string) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.attempts) + 1
	return n, l.appendLocked([]Entry{{Event: EventKey, Line: line.ID(), User: line.User, Attempt: n, Serial: key.Serial, Device: key.Path, AAGUID: aaguid}})
}

// apply brings what is known up to an entry.
func (l *Ledger) apply(e Entry) error {
	l.entries++
	switch e.Event {
	case EventLedger:
		return nil
	case EventPlanned:
		line := Line{User: e.User, Name: e.Name, Serial: e.Serial, AAGUID: e.AAGUID}
		if line.ID() != e.Line {
			return fmt.Errorf("the line %q is not what was planned for %s", e.Line, e.User)
		}
		if _, known := l.lines[e.Line]; !known {
			l.lines[e.Line], l.order = line, append(l.order, e.Line)
		}
		return nil
	case EventKey:
		if _, known := l.lines[e.Line]; !known || e.Attempt != len(l.attempts)+1 {
			return fmt.Errorf("attempt %d of the line %q was not planned", e.Attempt, e.Line)
		}
		l.attempts = append(l.attempts, &Attempt{Number: e.Attempt, Line: e.Line, Serial: e.Serial, AAGUID: e.AAGUID, Device: e.Device})
		return nil
	}
	if e.Attempt < 1 || e.Attempt > len(l.attempts) {
		return fmt.Errorf("there is no attempt %d", e.Attempt)
	}
	l.attempts[e.Attempt-1].apply(e, l.entries)
	return nil
}

// apply is apply for one attempt. Events that are not known change nothing.
func (a *Attempt) apply(e Entry, at int) {
	switch e.Event {
	case EventPIN:
		a.PIN, a.PINAt, a.From = e.PIN, at, e.From
	case EventPINSet:
		a.PINSet = true
	case EventMaking:
		a.RPID, a.UserHandle, a.CredentialID, a.Undone = e.RPID, e.UserHandle, nil, false
	case EventMade:
		a.CredentialID, a.Made = e.CredentialID, e.Time
	case EventRegistered:
		a.CredentialID, a.Method, a.Reason = e.CredentialID, e.Method, ""
	case EventPINForced:
		a.PINForced = true
	case EventUndone:
		a.Undone = true
	case EventFailed:
		a.Reason = e.Reason
	}
}

// Lines are the lines that were planned.
func (l *Ledger) Lines() (lines []Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.order {
		lines = append(lines, l.lines[id])
	}
	return lines
}

// Attempts are copies of the attempts that keep asks for.
func (l *Ledger) Attempts(keep func(*Attempt) bool) (found []Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		if keep(a) {
			found = append(found, *a)
		}
	}
	return found
}

// Registered returns the attempt that registered a line, or nil.
func (l *Ledger) Registered(line string) *Attempt {
	found := l.Attempts(func(a *Attempt) bool { return a.Line == line && a.Method != "" })
	if found == nil {
		return nil
	}
	return &found[0]
}

// LeftOver are the attempts that ended in the middle: the key may have a credential that
// the tenant does not have, or a PIN, and is no user's.
func (l *Ledger) LeftOver() []Attempt {
	superseded, used := map[int]bool{}, map[string]bool{}
	for _, a := range l.Attempts(func(*Attempt) bool { return true }) {
		superseded[a.From] = true
		used[a.Serial] = used[a.Serial] || a.Method != "" && a.Serial != ""
	}
	return l.Attempts(func(a *Attempt) bool {
		return a.Unsettled() || a.pinWaits() && !superseded[a.Number] && !used[a.Serial]
	})
}

// Outcomes are what became of the lines, as far as the ledger goes.
func (l *Ledger) Outcomes() (all []Outcome) {
	for _, line := range l.Lines() {
		o := Outcome{Line: line, Status: Waiting, Attempt: l.Registered(line.ID())}
		if o.Attempt != nil {
			o.Status = Before
		} else if failed := l.Attempts(func(a *Attempt) bool { return a.Line == line.ID() && a.Reason != "" }); failed != nil {
			o.Status, o.Err = Failed, errors.New(failed[len(failed)-1].Reason)
		}
		all = append(all, o)
	}
	return all
}

// line is what was planned.
func (l *Ledger) line(id string) Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[id]
}

// plan adds the lines that are new. A list that says something else of a user than
// before is refused: the user might get two passkeys.
func (l *Ledger) plan(lines []Line) error {
	var ids []string
	var entries []Entry
	for _, line := range lines {
		id := line.ID()
		ids = append(ids, id)
		if _, known := l.lines[id]; !known {
			entries = append(entries, Entry{Event: EventPlanned, Line: id, User: line.User, Name: line.Name, Serial: line.Serial, AAGUID: line.AAGUID})
		}
	}
	var wrong []error
	for _, old := range l.Lines() {
		counts := func(a *Attempt) bool { return a.Line == old.ID() && (a.Method != "" || a.Unsettled()) }
		if slices.Contains(ids, old.ID()) || l.Attempts(counts) == nil {
			continue
		}
		if i := slices.IndexFunc(lines, func(n Line) bool { return strings.EqualFold(n.User, old.User) }); i >= 0 {
			wrong = append(wrong, fmt.Errorf("line %d: the ledger has %s with %s, which the list has no more: put that back, or take another ledger (--ledger) for a further passkey", lines[i].Row, old.User, old.inWords()))
		}
	}
	if wrong != nil {
		return errors.Join(wrong...)
	}
	if entries == nil {
		return nil
	}
	return l.append(entries...)
}

// inWords is what a line says besides the user.
func (l Line) inWords() string {
	return fmt.Sprintf("name %q, serial %q, aaguid %q", l.Name, l.Serial, l.AAGUID)
}

// Close gives the ledger free.
func (l *Ledger) Close() error { return l.close() }

// encrypt encrypts a PIN to the recipients.
func (l *Ledger) encrypt(pin []byte) ([]byte, error) {
	var text bytes.Buffer
	w, err := age.Encrypt(&text, l.recipients...)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(pin); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil { // what is last comes now
		return nil, err
	}
	return text.Bytes(), nil
}

// Decrypt returns the PIN of an attempt.
func (a *Attempt) Decrypt(identities ...age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(a.PIN), identities...)
	if err != nil {
		return nil, fmt.Errorf("the PIN in line %d of the ledger: %w", a.PINAt, err)
	}
	return io.ReadAll(io.LimitReader(r, 1024))
}
