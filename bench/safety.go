package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
)

// A Store is what can be seen of what is on a key. Credentials that their websites
// keep are not on the key, and nobody can count them.
type Store struct {
	PIN          bool `json:"pin"`
	Fingerprints bool `json:"fingerprints"`
	// Remaining is for how many discoverable credentials there is room; nil if the
	// key does not tell.
	Remaining *uint `json:"remainingDiscoverableCredentials,omitempty"`
	// Credentials is how many there are; nil if the PIN is not known, or not set.
	Credentials *uint `json:"credentials,omitempty"`
}

func (s Store) String() string {
	words := []string{"no PIN"}
	if s.PIN {
		words[0] = "a PIN"
	}
	if s.Fingerprints {
		words = append(words, "fingerprints")
	}
	if s.Credentials != nil {
		words = append(words, fmt.Sprintf("%d discoverable credentials", *s.Credentials))
	}
	if s.Remaining != nil {
		words = append(words, fmt.Sprintf("room for %d more", *s.Remaining))
	}
	return strings.Join(words, ", ")
}

// like reports whether the key is as it was, as far as both tell.
func (s Store) like(before Store) bool {
	same := func(a, b *uint) bool { return a == nil || b == nil || *a == *b }
	return s.PIN == before.PIN && s.Fingerprints == before.Fingerprints &&
		same(s.Remaining, before.Remaining) && same(s.Credentials, before.Credentials)
}

// state is what the bench notes of a key, in its folder.
type state struct {
	// Identity are the properties that the key was told by.
	Identity map[string]string `json:"identity"`
	Store    Store             `json:"store"`
	Noted    time.Time         `json:"noted"`
	// Run is who runs destructive cases, or did and was interrupted: then what is
	// on the key is of that run.
	Run *Holder `json:"run,omitempty"`
	// PINRefused is when the key did not take the PIN of the file. It is not tried
	// again before somebody has changed that.
	PINRefused *time.Time `json:"pinRefused,omitempty"`
}

// How the PIN of a key stands.
const (
	PINNone    = "none"    // none is set
	PINKnown   = "known"   // the bench has it, and the key has taken it
	PINUnknown = "unknown" // it is never guessed
	PINRefused = "refused" // what the bench has is not it
)

// A Verdict is what may be done to a key.
type Verdict struct {
	Key   string
	Found *Found
	// Released means that destructive cases may run; Reason says why not, or what
	// is special.
	Released bool
	Reason   string
	PIN      string
	Store    Store
	Noted    time.Time // when the state was noted; zero: never

	pin string
}

// Err is an error that wraps [ErrNotReleased] unless the key is released.
func (v *Verdict) Err() error {
	if v.Released {
		return nil
	}
	return fmt.Errorf("key %s: %w: %s", v.Key, ErrNotReleased, v.Reason)
}

// Judge says what may be done to the key. The bench's PIN is tried once if it is
// set, never a second time after the key refused it, and not when few tries are
// left: cases would spend one each.
func (p *Place) Judge(ctx context.Context) (*Verdict, error) {
	found, noted, err := p.findNoted(ctx)
	if err != nil {
		return nil, err
	}
	v := &Verdict{Key: p.Name, Found: found, Noted: noted.Noted}
	if err := p.look(ctx, v, &noted); err != nil {
		return nil, err
	}
	p.decide(v, &noted)
	return v, nil
}

// findNoted finds the key, and what was noted of it.
func (p *Place) findNoted(ctx context.Context) (*Found, state, error) {
	found, err := p.Find(ctx)
	if err != nil {
		return nil, state{}, err
	}
	noted, err := p.readState(found)
	return found, noted, err
}

// decide applies the rules to what was seen.
func (p *Place) decide(v *Verdict, noted *state) {
	v.Released = false
	switch {
	case !p.Release:
		v.Reason = "the bench file does not release it"
	case len(v.Found.Matched) < 2:
		v.Reason = "one property only is in its match; a key that may be wiped is told by two at least, of which vendor and product together are one"
	case noted.Run != nil:
		v.Released, v.Reason = true, fmt.Sprintf("what is on it is of a run of %s that was interrupted", noted.Run.Owner)
	case v.PIN == PINUnknown:
		v.Reason = "it has a PIN that the bench does not know; 'fidokey reset' makes it as new"
	case v.PIN == PINRefused:
		v.Reason = "it has another PIN than the bench knows, which is not tried again until it is changed; 'fidokey reset' makes the key as new"
	case v.Store.Credentials != nil && *v.Store.Credentials == 0 && !v.Store.Fingerprints:
		v.Released = true // nothing is on it
	case v.Noted.IsZero():
		v.Reason = fmt.Sprintf("the bench does not know what is on it (%v); if that may go: fidokey hil adopt %s", v.Store, p.Name)
	case !v.Store.like(noted.Store):
		v.Reason = fmt.Sprintf("it has %v, and had %v when the bench saw it last; if that may go: fidokey hil adopt %s", v.Store, noted.Store, p.Name)
	default:
		v.Released = true
	}
}

// look asks the key what is on it.
func (p *Place) look(ctx context.Context, v *Verdict, noted *state) error {
	secret, mayTry, err := p.readPIN(noted)
	if err != nil {
		return err
	}
	defer clear(secret)
	prompt := client.Prompt{PIN: func(context.Context, client.PINRequest) ([]byte, error) { return bytes.Clone(secret), nil }}
	return p.use(ctx, v.Found.Path, client.Options{Prompt: prompt, PreferPIN: true}, func(key *client.Key) error {
		info, err := key.Info(ctx)
		if err != nil {
			return err
		}
		v.Found.Info = info
		p.sawInfo(info)
		v.Store.PIN, _ = info.Option(ctap2.OptionClientPIN)
		v.Store.Fingerprints, _ = info.Option(ctap2.OptionBioEnroll)
		v.Store.Remaining = info.RemainingDiscoverableCredentials
		switch {
		case !v.Store.PIN:
			v.PIN = PINNone
			return nil
		case noted.Run != nil: // whose cases have set it
			v.PIN = PINUnknown
			return nil
		case noted.PINRefused != nil && !mayTry:
			v.PIN = PINRefused
			return nil
		case secret == nil:
			v.PIN = PINUnknown
			return nil
		}
		return p.tryPIN(ctx, key, v, noted, string(secret))
	})
}

// tryPIN has the key take the bench's PIN, and counts its credentials with it.
func (p *Place) tryPIN(ctx context.Context, key *client.Key, v *Verdict, noted *state, secret string) error {
	found, err := key.CredentialMetadata(ctx)
	if errors.Is(err, client.ErrNoCredentialManagement) {
		err = key.VerifyPIN(ctx)
	} else if err == nil {
		v.Store.Credentials = &found.Existing
	}
	switch {
	case err == nil:
		v.PIN, v.pin, noted.PINRefused = PINKnown, secret, nil
		return nil
	case errors.Is(err, client.ErrLastTries), errors.Is(err, ctap2.ErrPINBlocked), errors.Is(err, ctap2.ErrPINAuthBlocked):
		v.PIN = PINUnknown
		return nil
	case errors.Is(err, ctap2.ErrPINInvalid):
		v.PIN = PINRefused
		noted.PINRefused = new(time.Now().UTC())
		return p.writeState(noted)
	}
	return err
}

// readPIN returns the bench's PIN, nil if there is none. mayTry is false if the key
// has refused it and it has not changed since, as far as can be told.
func (p *Place) readPIN(noted *state) (secret []byte, mayTry bool, err error) {
	if p.Key.PIN == nil {
		return nil, false, nil
	}
	if name := p.Key.PIN.Env; name != "" {
		secret = []byte(os.Getenv(name))
		if len(secret) == 0 {
			secret = nil
		}
		return secret, noted.PINRefused == nil, nil
	}
	text, err := os.ReadFile(p.Key.PIN.File)
	if err != nil {
		return nil, false, fmt.Errorf("key %s: its PIN: %w", p.Name, err)
	}
	changed, err := os.Stat(p.Key.PIN.File)
	if err != nil {
		return nil, false, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return bytes.TrimRight(line, "\r"), noted.PINRefused == nil || changed.ModTime().After(*noted.PINRefused), nil
}

// identity are the properties of a key, in words.
func (p *Place) identity(f *Found) map[string]string {
	m := map[string]string{}
	for _, name := range p.Match.properties() {
		switch name {
		case byModel:
			m[name] = fmt.Sprintf("%04x:%04x", f.HID.VendorID, f.HID.ProductID)
		case bySerial:
			m[name] = p.Match.Serial
		case byPort:
			m[name] = p.Match.Port
		case byName:
			m[name] = p.Match.Name
		case byAAGUID:
			m[name] = p.Match.AAGUID
		case byFirmware:
			m[name] = fmt.Sprint(*p.Match.Firmware)
		case byDevice:
			m[name] = p.Match.Device
		}
	}
	return m
}

// readState returns what was noted of this key. What was noted of another one that
// had its place counts for nothing.
func (p *Place) readState(f *Found) (state, error) {
	fresh := state{Identity: p.identity(f)}
	path, err := p.stateFile(".json")
	if err != nil {
		return fresh, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return fresh, err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return fresh, fmt.Errorf("%s: %w; remove it, and the bench knows nothing of the key", path, err)
	}
	for name, value := range fresh.Identity {
		if s.Identity[name] != value {
			return fresh, nil
		}
	}
	return s, nil
}

func (p *Place) writeState(s *state) error {
	path, err := p.stateFile(".json")
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(path, append(text, '\n'))
}

// Note notes what is on the key now as the bench's: after a run, or because somebody
// said so.
func (p *Place) Note(ctx context.Context) error {
	_, err := p.note(ctx, nil)
	return err
}

// Adopt is Note, for a person who says that what is on the key may be destroyed, and
// that its PIN may be tried again.
func (p *Place) Adopt(ctx context.Context) (*Verdict, error) {
	_, noted, err := p.findNoted(ctx)
	if err != nil {
		return nil, err
	}
	if noted.PINRefused != nil || noted.Run != nil {
		noted.PINRefused, noted.Run = nil, nil
		if err := p.writeState(&noted); err != nil {
			return nil, err
		}
	}
	return p.note(ctx, nil)
}

// note looks at the key and writes it down; run is who runs destructive cases now.
func (p *Place) note(ctx context.Context, run *Holder) (*Verdict, error) {
	v, err := p.Judge(ctx)
	if err != nil {
		return nil, err
	}
	noted, err := p.readState(v.Found)
	if err != nil {
		return nil, err
	}
	noted.Store, noted.Noted, noted.Run = v.Store, time.Now().UTC(), run
	if v.PIN == PINNone {
		noted.PINRefused = nil
	}
	if err := p.writeState(&noted); err != nil {
		return nil, err
	}
	v.Noted = noted.Noted
	p.decide(v, &noted)
	return v, nil
}
