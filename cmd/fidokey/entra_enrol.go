package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra/enrol"
	"github.com/fidokey/fidokey/entra/graph"
)

// enrolOptions are the flags of "entra register" for many users, and for a ledger.
type enrolOptions struct {
	csv, ledger              string
	recipients               []string
	recipientsFile, identity string
	randomPIN                int
	forceChange              bool
	stations                 int
	failFast, noWait         bool
}

const enrolHelp = `With --csv the passkeys are made for all users of a list, key by key as they are
plugged in. The list has the column 'user', and 'name', 'serial' and 'aaguid' if
wanted: which key it is to be. It is compared with the tenant first. --stations lets
several keys be worked on at the same time.

A ledger keeps what was done: LIST.ledger.jsonl, or --ledger. After a crash, or after
Ctrl-C, the same command goes on where it was: nobody is registered twice, and what was
left on a key is cleaned up when the key comes back. --pin-random gives each key a PIN
of its own, which stands in the ledger, encrypted for --recipient, before it is set.
--identity opens such PINs again, for keys that were left with one in a crash. 'fidokey
entra ledger' shows the ledger and writes the PINs to a file.

The exit code is 0 if all users of the list are registered.`

func (o *enrolOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.csv, "csv", "", "register for the users of a list: a CSV file with the column 'user', and 'name', 'serial', 'aaguid'")
	flags.StringVar(&o.ledger, "ledger", "", "keep what was done in this file, and go on with what it has (default with --csv: its name and .ledger.jsonl)")
	flags.StringArrayVar(&o.recipients, "recipient", nil, "who can read the PINs in the ledger: an age recipient, age1...; may be repeated")
	flags.StringVar(&o.recipientsFile, "recipients-file", "", "read recipients from a file, one a line")
	flags.StringVar(&o.identity, "identity", "", "the age identity that opens PINs in the ledger: a file")
	flags.Var(&randomPINFlag{&o.randomPIN}, "pin-random", fmt.Sprintf("give a key without PIN one of so many random digits, %d or more", enrol.MinRandomPIN))
	flags.Lookup("pin-random").NoOptDefVal = strconv.Itoa(enrol.DefaultRandomPIN)
	flags.BoolVar(&o.forceChange, "force-pin-change", false, "have the user choose another PIN before the first use, where the key can")
	flags.IntVar(&o.stations, "stations", 1, "how many keys are worked on at the same time")
	flags.BoolVar(&o.failFast, "fail-fast", false, "end at the first user that cannot be registered")
	flags.BoolVar(&o.noWait, "no-wait", false, "take the keys that are plugged in, and do not wait for more")
}

// randomPINFlag is a length.
type randomPINFlag struct{ length *int }

func (f *randomPINFlag) String() string {
	if f.length == nil || *f.length == 0 {
		return ""
	}
	return strconv.Itoa(*f.length)
}

func (f *randomPINFlag) Type() string { return "length" }

func (f *randomPINFlag) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < enrol.MinRandomPIN || n > enrol.MaxRandomPIN {
		return fmt.Errorf("must be within %d and %d digits", enrol.MinRandomPIN, enrol.MaxRandomPIN)
	}
	*f.length = n
	return nil
}

// wanted reports whether a ledger is kept.
func (o *enrolOptions) wanted() bool { return o.csv != "" || o.ledger != "" }

// check refuses flags that do nothing without others.
func (o *enrolOptions) check(cmd *cobra.Command) error {
	flags := cmd.Flags()
	switch {
	case flags.Changed("csv") && flags.Changed("name"):
		return usageError{errors.New("--name is for one user; a list has the column 'name'")}
	case o.stations < 1 || o.stations > 100:
		return usageError{fmt.Errorf("--stations %d is not within 1 and 100", o.stations)}
	case o.wanted():
		return nil
	}
	for _, name := range []string{"recipient", "recipients-file", "identity", "pin-random", "stations", "fail-fast", "no-wait"} {
		if flags.Changed(name) {
			return usageError{fmt.Errorf("--%s needs a ledger: --csv FILE, or --ledger FILE for one user", name)}
		}
	}
	return nil
}

// An enrolment is "entra register" with a ledger.
type enrolment struct {
	*entraRegisterOptions
	e          *env
	lines      []enrol.Line
	path       string // of the ledger
	recipients []age.Recipient
	identities []age.Identity
}

func runEnrolment(ctx context.Context, e *env, o *entraRegisterOptions) error {
	m := &enrolment{entraRegisterOptions: o, e: e, path: cmp.Or(o.enrol.ledger, o.enrol.csv+".ledger.jsonl")}
	if err := m.read(); err != nil {
		return err
	}
	g, err := o.graph.clientWith(e, graph.Options{
		Retry:   policy.RetryOptions{MaxRetries: 6, MaxRetryDelay: 10 * time.Minute}, // so long does Graph ask to wait
		Waiting: func(d time.Duration) { e.note("Graph is asked too often, and wants to be left alone for %v.", d) },
	})
	if err != nil {
		return err
	}
	if err := g.Provisions(); err != nil {
		return usageError{err}
	}
	if e.dryRun {
		return m.sayDry()
	}
	keys, err := newPluggedKeys(ctx, e, o.enrol.noWait)
	if err != nil {
		return err
	}
	ledger, err := enrol.OpenLedger(m.path, m.recipients...)
	if err != nil {
		return err
	}
	defer ledger.Close()
	if ledger.Torn {
		e.note("The last line of %s was cut off by a crash. It is taken out; what it told of had not begun.", m.path)
	}
	return m.run(ctx, g, ledger, keys)
}

// read reads the list and those for whom PINs are encrypted.
func (m *enrolment) read() (err error) {
	if m.enrol.csv != "" {
		text, err := m.e.readFile(m.enrol.csv)
		if err != nil {
			return err
		}
		if m.lines, err = enrol.ReadList(text); err != nil {
			return usageError{fmt.Errorf("%s: %w", m.enrol.csv, err)}
		}
	} else {
		line := enrol.Line{User: m.user, Name: m.name}
		if err := line.Check(); err != nil {
			return usageError{err}
		}
		m.lines = []enrol.Line{line}
	}
	if err := m.readRecipients(); err != nil {
		return usageError{err}
	}
	if m.enrol.randomPIN != 0 && m.recipients == nil {
		return usageError{errors.New("--pin-random needs --recipient or --recipients-file: who can read the PINs. 'age-keygen' makes an identity and its recipient")}
	}
	m.identities, err = readIdentities(m.enrol.identity)
	return err
}

func (m *enrolment) readRecipients() error {
	text := strings.Join(m.enrol.recipients, "\n")
	if m.enrol.recipientsFile != "" {
		more, err := os.ReadFile(m.enrol.recipientsFile)
		if err != nil {
			return err
		}
		text += "\n" + string(more)
	}
	if strings.TrimSpace(text) == "" && m.enrol.recipientsFile == "" {
		return nil
	}
	var err error
	if m.recipients, err = age.ParseRecipients(strings.NewReader(text)); err != nil {
		return fmt.Errorf("recipients: %w", err)
	}
	return nil
}

// readIdentities reads a file that opens PINs; none is no error.
func readIdentities(path string) ([]age.Identity, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	identities, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, usageError{fmt.Errorf("--identity %s: it is no age identity that stands there in the clear", path)}
	}
	return identities, nil
}

func (m *enrolment) sayDry() error {
	before := 0
	if old, err := enrol.ReadLedger(m.path); err == nil {
		for _, l := range m.lines {
			if old.Registered(l.ID()) != nil {
				before++
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return m.e.say(nil, dry("Would register %s; %d more are registered already, by the ledger %s.",
		count(len(m.lines)-before, "passkey", "passkeys"), before, m.path))
}

func (m *enrolment) run(ctx context.Context, g *graph.Client, ledger *enrol.Ledger, keys *pluggedKeys) error {
	prompt, forget, err := m.prompt()
	if err != nil {
		return err
	}
	defer forget()
	b := enrol.Batch{
		Graph: g, Ledger: ledger, Lines: m.lines, Keys: keys, Stations: m.enrol.stations, Prompt: prompt,
		RandomPIN: m.enrol.randomPIN, Identities: m.identities, ForceChange: m.enrol.forceChange, FailFast: m.enrol.failFast,
		Name: passkeyName, Notify: m.notify, Timeout: m.timeout,
	}
	outcomes, err := b.Run(ctx)
	m.e.live.stop()
	if outcomes == nil {
		return err
	}
	r := newEnrolReport(ledger, outcomes)
	for _, o := range outcomes { // what the tenant shows otherwise than it was made
		if err == nil && o.Status == enrol.Registered && o.Err != nil {
			err = fmt.Errorf("%s: %w", o.Line.User, o.Err)
		}
	}
	if left := r.Failed + r.Waiting; err == nil && left > 0 {
		err = fmt.Errorf("%w: %d of %d", errNotAll, left, len(outcomes))
	}
	return errors.Join(m.e.say(nil, r), err)
}

// errNotAll is a list of which not all is done.
var errNotAll = errors.New("not all users are registered")

// prompt asks for PINs. One that is given is read once, and is for all keys. Where keys
// get random ones nobody is asked: then the PIN that is given is that of keys that have
// one.
func (m *enrolment) prompt() (client.Prompt, func(), error) {
	prompt := m.e.prompt(&m.pin, &m.pin)
	if !m.pin.given() {
		if m.enrol.randomPIN != 0 {
			prompt.PIN, prompt.NewPIN, m.e.pinGiven = nil, nil, true
		}
		return prompt, func() {}, nil
	}
	given, err := m.pin.read(m.e)
	if err != nil {
		return prompt, nil, err
	}
	prompt.PIN = func(context.Context, client.PINRequest) ([]byte, error) { return bytes.Clone(given), nil }
	prompt.NewPIN = func(context.Context, client.NewPINRequest) ([]byte, error) { return bytes.Clone(given), nil }
	return prompt, func() { clear(given) }, nil
}

// passkeyName is what a passkey is called for which nobody has a name: the users see it.
func passkeyName(a ctap2.AAGUID) string {
	letters := []rune(cmp.Or(knownModel(a), "Security key"))
	return strings.TrimSpace(string(letters[:min(len(letters), graph.MaxDisplayName)]))
}

// notify says what happens at the stations.
func (m *enrolment) notify(ev enrol.Event) {
	if ev.Kind == enrol.PINWanted && m.pin.given() {
		return // nobody is asked
	}
	words := m.inWords(ev)
	fields := map[string]any{"stage": string(ev.Kind), "left": ev.Left}
	if ev.Station != 0 {
		fields["station"] = ev.Station
	}
	if ev.Line != nil {
		fields["user"] = ev.Line.User
	}
	if ev.Key != nil {
		fields["device"] = deviceInfo{Path: ev.Key.Path, Product: ev.Key.Product, Serial: ev.Key.Serial}
	}
	if ev.Err != nil {
		fields["error"] = newErrorJSON(ev.Err)
	}
	switch {
	case ev.Kind == enrol.TouchWanted && m.e.events():
		m.e.event(eventTouch, m.touchFields(ev))
	case ev.Kind == enrol.TouchWanted || ev.Kind == enrol.KeyWanted:
		m.e.wait(words, eventEnrolment, fields)
	case m.e.events():
		m.e.event(eventEnrolment, fields)
	default:
		m.e.note("%s", words)
	}
}

func (m *enrolment) touchFields(ev enrol.Event) map[string]any {
	fields := map[string]any{"command": ev.Touch.Command.String(), "station": ev.Station}
	if ev.Line != nil {
		fields["user"] = ev.Line.User
	}
	return fields
}

func (m *enrolment) inWords(ev enrol.Event) string {
	at, the, key, user := "", "The", "key", ""
	if m.enrol.stations > 1 && ev.Station != 0 {
		at, the = fmt.Sprintf("Station %d: ", ev.Station), "the"
	}
	if ev.Key != nil {
		key = cmp.Or(ev.Key.Serial, "at "+ev.Key.Path)
		key = "key " + key
	}
	if ev.Line != nil {
		user = ev.Line.User
	}
	switch ev.Kind {
	case enrol.KeyWanted:
		return fmt.Sprintf("Plug in the next key (%d left)...", ev.Left)
	case enrol.KeyTaken:
		return fmt.Sprintf("%s%s %s is for %s.", at, the, key, user)
	case enrol.PINWanted:
		return fmt.Sprintf("%sThe PIN of the %s:", at, key)
	case enrol.TouchWanted:
		return fmt.Sprintf("%sTouch the %s, for %s...", at, key, cmp.Or(user, "it was left in the middle"))
	case enrol.KeyLeft:
		return fmt.Sprintf("%s%s %s is left alone: %v.", at, the, key, ev.Err)
	case enrol.KeyCleaned:
		return fmt.Sprintf("%sWhat an earlier run had left for %s on the %s is deleted.", at, user, key)
	case enrol.LineFound:
		return fmt.Sprintf("%s%s was registered by an earlier run.", at, user)
	case enrol.LineDone:
		words := fmt.Sprintf("%s%s is registered. Take the %s out (%d left).", at, user, key, ev.Left)
		if ev.Err != nil {
			words += fmt.Sprintf(" But: %v.", ev.Err)
		}
		return words
	case enrol.LineFailed:
		return fmt.Sprintf("%s%s is not registered: %v.", at, user, ev.Err)
	case enrol.LineWaits:
		return fmt.Sprintf("%s%s waits for another key, or for this one to be plugged in again: %v. Take the %s out.", at, user, ev.Err, key)
	case enrol.PINNotForced:
		return fmt.Sprintf("%s%s keeps the PIN: %v.", at, user, ev.Err)
	}
	return string(ev.Kind)
}
