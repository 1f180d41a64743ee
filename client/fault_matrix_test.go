package client_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
	"github.com/fidokey/fidokey/u2f"
)

var everyPosition = flag.Bool("everything", false, "in TestFaultMatrix, each flow meets each fault at each position")

// A matrixFlow is one thing that a Key does, on a key that is prepared for it.
type matrixFlow struct {
	method  string // of Key
	variant string // where a method is tried in several ways
	profile string // "" is ctap-2.3
	fresh   bool   // the key has no PIN and holds nothing
	usbOnly bool
	run     func(ctx context.Context, k *client.Key, s *scene) error
}

func (f matrixFlow) String() string { return strings.TrimSuffix(f.method+" "+f.variant, " ") }

// matrixFlows has a line for each method of Key that talks to the key; the test says
// so if one is missing.
var matrixFlows = []matrixFlow{
	{method: "Info", run: func(ctx context.Context, k *client.Key, _ *scene) error { _, err := k.Info(ctx); return err }},
	{method: "Info", variant: "u2f", profile: "u2f", run: func(ctx context.Context, k *client.Key, _ *scene) error { _, err := k.Info(ctx); return err }},
	{method: "Send", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		_, err := k.Send(ctx, ctap2.CommandGetInfo, nil)
		return err
	}},
	{method: "PINState", run: func(ctx context.Context, k *client.Key, _ *scene) error { _, err := k.PINState(ctx); return err }},
	{method: "SetPIN", fresh: true, run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.SetPIN(ctx) }},
	{method: "ChangePIN", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.ChangePIN(ctx) }},
	{method: "ChangePIN", variant: "ctap-2.0", profile: "ctap-2.0", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.ChangePIN(ctx) }},
	{method: "VerifyPIN", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.VerifyPIN(ctx) }},
	{method: "Register", run: func(ctx context.Context, k *client.Key, s *scene) error {
		r := registration()
		r.User = ctap2.User{ID: []byte{7}, Name: "bob"}
		r.Exclude = s.strangers()
		r.Extensions.HMACSecretSalts = [][]byte{key32(9)}
		_, err := k.Register(ctx, r)
		return err
	}},
	{method: "Register", variant: "without a PIN", fresh: true, run: func(ctx context.Context, k *client.Key, _ *scene) error {
		_, err := k.Register(ctx, registration())
		return err
	}},
	{method: "Register", variant: "u2f", profile: "u2f", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		_, err := k.Register(ctx, u2fRegistration())
		return err
	}},
	{method: "Authenticate", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		a := client.Assertion{RPID: "example.com", ClientDataHash: hash[:], UserVerification: client.Required}
		a.Extensions.HMACSecretSalts = [][]byte{key32(9)}
		_, err := k.Authenticate(ctx, a)
		return err
	}},
	{method: "Authenticate", variant: "write a blob", run: writeBlobSigningIn},
	{method: "Authenticate", variant: "write a blob, beside the credential", profile: "variant-largeblob", run: writeBlobSigningIn},
	{method: "Holds", run: func(ctx context.Context, k *client.Key, s *scene) error {
		_, err := k.Holds(ctx, "example.com", append(s.strangers(), s.descriptor()))
		return err
	}},
	{method: "Credentials", run: func(ctx context.Context, k *client.Key, _ *scene) error { _, err := k.Credentials(ctx); return err }},
	{method: "CredentialsFor", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		_, err := k.CredentialsFor(ctx, "example.com")
		return err
	}},
	{method: "CredentialMetadata", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		_, err := k.CredentialMetadata(ctx)
		return err
	}},
	{method: "DeleteCredential", run: func(ctx context.Context, k *client.Key, s *scene) error {
		_, err := k.DeleteCredential(ctx, s.made.Data.Credential.ID)
		return err
	}},
	{method: "UpdateUser", run: func(ctx context.Context, k *client.Key, s *scene) error {
		return k.UpdateUser(ctx, s.made.Data.Credential.ID, ctap2.User{ID: []byte{1}, Name: "alicia"})
	}},
	{method: "Identifier", run: func(ctx context.Context, k *client.Key, _ *scene) error { _, _, err := k.Identifier(ctx); return err }},
	{method: "CredentialStoreState", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		_, _, err := k.CredentialStoreState(ctx)
		return err
	}},
	{method: "FingerprintSensor", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		_, err := k.FingerprintSensor(ctx)
		return err
	}},
	{method: "Fingerprints", run: func(ctx context.Context, k *client.Key, _ *scene) error { _, err := k.Fingerprints(ctx); return err }},
	{method: "EnrollFingerprint", run: func(ctx context.Context, k *client.Key, s *scene) error {
		s.finger = "another"
		_, err := k.EnrollFingerprint(ctx, client.Enrollment{Name: "another"})
		return err
	}},
	{method: "RenameFingerprint", run: func(ctx context.Context, k *client.Key, s *scene) error {
		return k.RenameFingerprint(ctx, s.enrolled.ID, "thumb")
	}},
	{method: "RemoveFingerprint", run: func(ctx context.Context, k *client.Key, s *scene) error {
		return k.RemoveFingerprint(ctx, s.enrolled.ID)
	}},
	{method: "LargeBlobs", run: func(ctx context.Context, k *client.Key, _ *scene) error { _, err := k.LargeBlobs(ctx, nil); return err }},
	{method: "LargeBlob", run: func(ctx context.Context, k *client.Key, s *scene) error {
		_, err := k.LargeBlob(ctx, s.made.LargeBlobKey)
		return err
	}},
	{method: "SetLargeBlob", run: func(ctx context.Context, k *client.Key, s *scene) error {
		_, err := k.SetLargeBlob(ctx, s.made.LargeBlobKey, s.noise[:1500], false) // two fragments
		return err
	}},
	{method: "DeleteLargeBlob", run: func(ctx context.Context, k *client.Key, s *scene) error {
		_, err := k.DeleteLargeBlob(ctx, s.made.LargeBlobKey, false)
		return err
	}},
	{method: "CollectLargeBlobs", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		_, err := k.CollectLargeBlobs(ctx, nil, true, false)
		return err
	}},
	{method: "RepairLargeBlobs", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		_, err := k.RepairLargeBlobs(ctx, false)
		return err
	}},
	{method: "SetMinPINLength", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		return k.SetMinPINLength(ctx, client.MinPINLength{Length: 6})
	}},
	{method: "ForcePINChange", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.ForcePINChange(ctx) }},
	{method: "SetAlwaysUV", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.SetAlwaysUV(ctx, true) }},
	{method: "EnableEnterpriseAttestation", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.EnableEnterpriseAttestation(ctx) }},
	{method: "EnableLongTouchForReset", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.EnableLongTouchForReset(ctx) }},
	{method: "VendorConfig", run: func(ctx context.Context, k *client.Key, s *scene) error {
		return k.VendorConfig(ctx, s.profile.GetInfo.VendorPrototypeConfigCommands[0], nil)
	}},
	{method: "Select", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.Select(ctx) }},
	{method: "Select", variant: "ctap-2.0", profile: "ctap-2.0", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.Select(ctx) }},
	{method: "Wink", usbOnly: true, run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.Wink(ctx) }},
	{method: "Reset", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.Reset(ctx) }},
	{method: "ResetAllowed", run: func(ctx context.Context, k *client.Key, _ *scene) error { return k.ResetAllowed(ctx) }},
	{method: "ResetGuided", run: func(ctx context.Context, k *client.Key, s *scene) error { return k.ResetGuided(ctx, s) }},
	{method: "U2FVersion", profile: "u2f", run: func(ctx context.Context, k *client.Key, _ *scene) error { _, err := k.U2FVersion(ctx); return err }},
	{method: "U2FRegister", profile: "u2f", run: func(ctx context.Context, k *client.Key, _ *scene) error {
		_, err := k.U2FRegister(ctx, u2f.Register{Challenge: hash, Application: hash})
		return err
	}},
	{method: "U2FAuthenticate", profile: "u2f", run: func(ctx context.Context, k *client.Key, s *scene) error {
		_, err := k.U2FAuthenticate(ctx, u2f.Authenticate{Control: u2f.EnforcePresence, Challenge: hash, Application: hash, KeyHandle: s.handle})
		return err
	}},
}

func writeBlobSigningIn(ctx context.Context, k *client.Key, s *scene) error {
	a := client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: []ctap2.Descriptor{s.descriptor()}}
	a.UserVerification, a.Extensions.WriteLargeBlob = client.Required, []byte("another")
	asserted, err := k.Authenticate(ctx, a)
	if err != nil {
		return err
	}
	return asserted[0].Extensions.LargeBlob.Err
}

// TestFaultMatrixIsComplete: no method of Key is left out.
func TestFaultMatrixIsComplete(t *testing.T) {
	for m := range reflect.TypeFor[*client.Key]().Methods() {
		if m.Name != "Close" && !slices.ContainsFunc(matrixFlows, func(f matrixFlow) bool { return f.method == m.Name }) {
			t.Errorf("no flow of the matrix has %s", m.Name)
		}
	}
}

// A wireFault hits one report or APDU, or one message, at a position.
type wireFault struct {
	name string
	// plan is for faults that the simulator has.
	plan *simulator.Fault
	// report is for those of a single report that comes from the key; it may change
	// it and returns how much of it comes.
	report func(report []byte) int
	// apdu is for those of a card.
	apdu func(ctx context.Context, s *scene, transmit func() ([]byte, error)) ([]byte, error)
	// answer is for those of an answer that says that all is well.
	answer func(answer []byte) []byte
	// lies means that bytes are others, which no check is there to notice: USB and
	// NFC have one below. So the key may do something else, or seem to.
	lies bool
	// twice means that the key may do it twice, and tell of the second time.
	twice bool
}

func usbFaults() (all []wireFault) {
	for _, kind := range wireFaults {
		for _, toKey := range []bool{false, true} {
			f := wireFault{name: string(kind), plan: &simulator.Fault{Kind: kind, ToKey: toKey, DelayMS: 700}, lies: kind == simulator.FaultDamaged}
			f.twice = toKey && kind == simulator.FaultRepeated
			if toKey {
				f.name += " to the key"
			}
			all = append(all, f)
		}
	}
	answeredWith := func(code byte) func([]byte) int {
		return func(report []byte) int {
			copy(report[4:], []byte{0x80 | 0x3f, 0, 1, code})
			return len(report)
		}
	}
	return append(append(all, keyFaults()...),
		wireFault{name: "noKeepalive", plan: &simulator.Fault{Kind: simulator.FaultNoKeepalive}},
		wireFault{name: "busy", plan: &simulator.Fault{Kind: simulator.FaultBusy}},
		wireFault{name: "truncated", report: func([]byte) int { return 3 }},
		wireFault{name: "shortened", report: func([]byte) int { return 20 }, lies: true},
		wireFault{name: "ERR_OTHER", report: answeredWith(byte(hid.ErrOther))},
		// These say that nothing was done, and are lies here.
		wireFault{name: "ERR_INVALID_SEQ", report: answeredWith(byte(hid.ErrInvalidSeq)), lies: true},
		wireFault{name: "ERR_MSG_TIMEOUT", report: answeredWith(byte(hid.ErrMsgTimeout)), lies: true},
		wireFault{name: "ERR_INVALID_CHANNEL", report: answeredWith(byte(hid.ErrInvalidChannel)), lies: true},
	)
}

// keyFaults are those of the key itself, whatever door it is used by.
func keyFaults() []wireFault {
	return []wireFault{
		{name: "stuck", plan: &simulator.Fault{Kind: simulator.FaultStuck}},
		{name: "cutBeforeWrite", plan: &simulator.Fault{Kind: simulator.FaultCutBeforeWrite}},
		{name: "cutAfterWrite", plan: &simulator.Fault{Kind: simulator.FaultCutAfterWrite}},
		{name: "unreadable", answer: func([]byte) []byte { return []byte{0, 0x80} }},
		{name: "no end of it", answer: func(answer []byte) []byte { return answer[:len(answer)/2+1] }},
	}
}

func cardFaults() []wireFault {
	type transmit = func() ([]byte, error)
	gone := func(s *scene) ([]byte, error) {
		s.a.PowerOff()
		return nil, fmt.Errorf("card: %w", transport.ErrClosed)
	}
	word := func(sw uint16) func(context.Context, *scene, transmit) ([]byte, error) {
		return func(context.Context, *scene, transmit) ([]byte, error) { return []byte{byte(sw >> 8), byte(sw)}, nil }
	}
	return append(keyFaults(),
		wireFault{name: "taken away", apdu: func(_ context.Context, s *scene, _ transmit) ([]byte, error) { return gone(s) }},
		wireFault{name: "taken away with the answer", apdu: func(_ context.Context, s *scene, send transmit) ([]byte, error) {
			send()
			return gone(s)
		}},
		wireFault{name: "lost", apdu: func(ctx context.Context, _ *scene, _ transmit) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		wireFault{name: "answer lost", apdu: func(ctx context.Context, _ *scene, send transmit) ([]byte, error) {
			send()
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		wireFault{name: "late", apdu: func(_ context.Context, _ *scene, send transmit) ([]byte, error) {
			time.Sleep(700 * time.Millisecond)
			return send()
		}},
		// Which executes it twice: the readers see to that it does not happen.
		wireFault{name: "repeated", lies: true, apdu: func(_ context.Context, _ *scene, send transmit) ([]byte, error) {
			send()
			return send()
		}},
		wireFault{name: "truncated", apdu: func(_ context.Context, _ *scene, send transmit) ([]byte, error) {
			answer, err := send()
			return answer[:min(len(answer), 1)], err
		}},
		wireFault{name: "damaged", lies: true, apdu: func(_ context.Context, _ *scene, send transmit) ([]byte, error) {
			answer, err := send()
			if err == nil {
				answer[0] ^= 0xff
			}
			return answer, err
		}},
		wireFault{name: "6f00", apdu: word(0x6f00)},
		wireFault{name: "another applet", apdu: word(0x6985)},
		wireFault{name: "no such instruction", apdu: word(0x6d00), lies: true}, // as of a key without CTAP2
	)
}

// A scene is a key on which one flow runs, with one fault.
type scene struct {
	*preparedScene
	t       *testing.T
	card    bool // it lies on a reader
	a       *simulator.Authenticator
	storage simulator.Storage
	finger  string // on the sensor
	person  *forgetful
	key     *client.Key

	fault    wireFault
	skip     int // reports or APDUs before it
	hit      atomic.Bool
	harmless atomic.Bool // from now on nothing goes wrong

	reports, apdus, messages int // that came from the key so far, and could be hit

	watch func()       // is called with each report and APDU; may be nil
	reach atomic.Int64 // how long the person takes to touch the key
}

// A preparedScene is what scenes begin with.
type preparedScene struct {
	profile  *simulator.Profile
	snapshot []byte
	made     *client.Registered
	enrolled client.Fingerprint
	handle   []byte // of U2F
	noise    []byte // does not compress
}

func (s *preparedScene) descriptor() ctap2.Descriptor {
	return ctap2.Descriptor{Type: ctap2.PublicKeyType, ID: s.made.Data.Credential.ID}
}

// strangers are so many credentials of other keys that a list is asked for in parts.
func (s *preparedScene) strangers() (list []ctap2.Descriptor) {
	for i := range 10 {
		list = append(list, ctap2.Descriptor{Type: ctap2.PublicKeyType, ID: s.noise[100*i:][:64]})
	}
	return list
}

// A matrix remembers how scenes begin.
type matrix map[string]*preparedScene

func (m matrix) prepare(t *testing.T, f matrixFlow) *preparedScene {
	t.Helper()
	name := fmt.Sprint(f.profile, f.fresh)
	if p := m[name]; p != nil {
		return p
	}
	p := &preparedScene{profile: simulator.Full23()}
	if f.profile != "" {
		p.profile = profile(t, f.profile)
	}
	for i := byte(0); len(p.noise) < 2000; i++ {
		block := sha256.Sum256([]byte{i})
		p.noise = append(p.noise, block[:]...)
	}
	a, err := simulator.New(simulator.Config{Profile: p.profile})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	person := &person{pin: rightPIN, newPIN: rightPIN}
	k := client.New(a, client.Options{Prompt: person.prompt(), PreferPIN: true})
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case f.fresh:
	case f.profile == "u2f":
		made, err := k.U2FRegister(t.Context(), u2f.Register{Challenge: hash, Application: hash})
		check(err)
		p.handle = made.KeyHandle
	default:
		check(k.SetPIN(t.Context()))
		r := registration()
		r.Extensions.HMACSecret = true
		if f.profile != "ctap-2.0" {
			r.Extensions.LargeBlob = client.LargeBlobPreferred
		}
		p.made, err = k.Register(t.Context(), r)
		check(err)
		if f.profile == "" {
			_, err = k.SetLargeBlob(t.Context(), p.made.LargeBlobKey, []byte("blob"), false)
			check(err)
			p.enrolled, err = k.EnrollFingerprint(t.Context(), client.Enrollment{Name: "index"})
			check(err)
		}
	}
	p.snapshot, err = a.Snapshot(t.Context())
	check(err)
	m[name] = p
	return p
}

// matrixTimeout is for each command.
const matrixTimeout = 4 * time.Second

// enter begins a scene, in a bubble.
func (p *preparedScene) enter(t *testing.T, card bool) *scene {
	t.Helper()
	s := &scene{preparedScene: p, t: t, card: card, storage: simulator.NewMemory(), finger: simulator.DefaultFinger, person: &forgetful{pin: rightPIN}}
	var err error
	s.a, err = simulator.New(simulator.Config{
		Profile: p.profile, Storage: s.storage, Presence: s.presence, Answers: s.answers,
		Finger: func(context.Context, simulator.FingerRequest) simulator.Sample {
			return simulator.Sample{Finger: s.finger}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.a.Close() })
	if err := s.a.Restore(t.Context(), p.snapshot); err != nil {
		t.Fatal(err)
	}
	s.open()
	return s
}

// open opens the key through its door.
func (s *scene) open() {
	s.t.Helper()
	dev, err := s.Inserted(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	o := s.person.options()
	o.Timeout, o.PreferPIN, o.Tokens = matrixTimeout, true, &client.MemoryTokens{}
	o.Prompt.Replug = func(client.Replug) {}
	s.key = client.New(dev, o)
}

// A scene is the Slot of its key.
func (s *scene) Removed(context.Context) error {
	s.a.PowerOff()
	return nil
}

func (s *scene) Inserted(ctx context.Context) (transport.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, matrixTimeout)
	defer cancel()
	s.a.PowerOn()
	if s.card {
		card := simulator.NewCard(s.a)
		s.t.Cleanup(func() { card.Close() })
		return nfc.Open(ctx, &wornCard{card, s})
	}
	door := simulator.NewHID(s.a)
	s.t.Cleanup(func() { door.Close() })
	return hid.Open(ctx, &wornCable{door.Port(), s})
}

// strikes counts what could be hit, and reports whether the scene's fault, if it is of
// that sort, hits now.
func (s *scene) strikes(seen *int, ofSort bool) bool {
	if s.harmless.Load() {
		return false
	}
	*seen++
	return ofSort && *seen-1 == s.skip && s.hit.CompareAndSwap(false, true)
}

// A wornCable does to a report what the simulator does not.
type wornCable struct {
	*simulator.Port
	s *scene
}

func (c *wornCable) Read(report []byte) (int, error) {
	n, err := c.Port.Read(report)
	c.s.look()
	if err == nil && report[4] != 0x80|0x3b && c.s.strikes(&c.s.reports, c.s.fault.report != nil) {
		n = c.s.fault.report(report[:n])
	}
	return n, err
}

func (c *wornCable) Write(report []byte) (int, error) {
	c.s.look()
	return c.Port.Write(report)
}

// answers spoils one answer that says that all is well. That to getInfo stays: a key
// without it is taken for one of U2F.
func (s *scene) answers(_ context.Context, request, answer []byte) []byte {
	if ctap2.Command(request[0]) == ctap2.CommandGetInfo || len(answer) < 2 || answer[0] != 0 || !s.strikes(&s.messages, s.fault.answer != nil) {
		return answer
	}
	return s.fault.answer(answer)
}

func (s *scene) look() {
	if s.watch != nil {
		s.watch()
	}
}

// A wornCard does the same to APDUs.
type wornCard struct {
	*simulator.Card
	s *scene
}

func (c *wornCard) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	c.s.look()
	send := func() ([]byte, error) { return c.Card.Transmit(ctx, apdu) }
	if c.s.strikes(&c.s.apdus, c.s.fault.apdu != nil) {
		return c.s.fault.apdu(ctx, c.s, send)
	}
	return send()
}

// plague plans the fault, to come after so many reports.
func (s *scene) plague(f wireFault, skip int) {
	s.t.Helper()
	s.fault, s.skip, s.reports, s.apdus, s.messages = f, skip, 0, 0, 0
	if f.plan != nil {
		plan := *f.plan
		plan.Skip = uint(skip)
		if err := s.a.Faults().Add(plan); err != nil {
			s.t.Fatal(err)
		}
	}
}

// struck reports whether the fault came.
func (s *scene) struck() bool {
	if s.fault.plan != nil {
		return len(s.a.Faults().Pending()) == 0
	}
	return s.hit.Load()
}

// cure ends all faults.
func (s *scene) cure() {
	s.harmless.Store(true)
	s.a.Faults().Clear()
}

// positions counts where each fault may hit in a flow, in one run in which none does.
func (p *preparedScene) positions(t *testing.T, f matrixFlow, faults []wireFault, card bool) (counts []int, took time.Duration, changes bool) {
	const never = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		s := p.enter(t, card)
		for _, fault := range faults {
			if fault.plan != nil {
				s.plague(fault, never)
			}
		}
		s.fault = wireFault{}
		before, begin := s.kept(), time.Now()
		if err := f.run(t.Context(), s.key, s); err != nil {
			t.Fatalf("%s without a fault: %v", f, err)
		}
		took = time.Since(begin)
		changes = !maps.Equal(before, s.kept())
		pending := s.a.Faults().Pending()
		for _, fault := range faults {
			switch {
			case fault.plan != nil:
				counts = append(counts, never-int(pending[0].Skip))
				pending = pending[1:]
			case fault.report != nil:
				counts = append(counts, s.reports)
			case fault.apdu != nil:
				counts = append(counts, s.apdus)
			default:
				counts = append(counts, s.messages)
			}
		}
		s.key.Close()
	})
	return counts, took, changes
}

// kept is what is stored on the key but for what each use changes: tries, counters,
// and what a key makes up once for itself.
func (s *scene) kept() map[string]string {
	s.t.Helper()
	records, device := s.stored()
	for _, member := range []int{4, 5, 6, 24, 25, 27, 28, 29} {
		delete(device, member)
	}
	kept := map[string]string{}
	for member, value := range device {
		kept[fmt.Sprint(member)] = fmt.Sprint(value)
	}
	for name, record := range records {
		if name != "device" && name != "attestation" {
			kept[name] = string(record)
		}
	}
	return kept
}

// pinIs returns which PIN the key has; "" is none.
func (s *scene) pinIs() string {
	kept := s.kept()
	for _, pin := range []string{rightPIN, newPIN} {
		sum := sha256.Sum256([]byte(pin))
		if kept["2"] == fmt.Sprint(sum[:16]) {
			return pin
		}
	}
	return ""
}

// TestFaultMatrix has everything that a Key does meet everything that goes wrong on
// the way, at every report or APDU: with -args -everything, else at one position or
// two of each. Each ends in success or in an error of a known class within its
// deadline. What is otherwise on the key afterwards was reported, or the error says
// that it may be. No PIN try is lost that the flow did not spend, and the key works.
func TestFaultMatrix(t *testing.T) {
	m, trials, sample := matrix{}, 0, ctaptest.Sample(t, 10)
	for i, f := range matrixFlows {
		for _, card := range []bool{false, true} {
			faults, where := usbFaults(), "USB"
			if card {
				faults, where = cardFaults(), "NFC"
			}
			if card && f.usbOnly {
				continue
			}
			prepared := m.prepare(t, f)
			counts, took, changes := prepared.positions(t, f, faults, card)
			for j, fault := range faults {
				if (i+j)%sample != 0 {
					continue
				}
				for _, skip := range chosen(i+j, counts[j]) {
					trials++
					t.Run(fmt.Sprintf("%s, %s, %s after %d", f, where, fault.name, skip), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							s := prepared.enter(t, card)
							s.plague(fault, skip)
							s.suffer(f, took, changes)
						})
					})
				}
			}
		}
	}
	t.Logf("%d flows, %d faults of USB and %d of NFC, %d trials", len(matrixFlows), len(usbFaults()), len(cardFaults()), trials)
}

// chosen returns the positions that are tried, of n: the last, where an answer is
// lost, and another in turn.
func chosen(turn, n int) (all []int) {
	for skip := range n {
		if *everyPosition || skip == n-1 || skip == turn*7%n {
			all = append(all, skip)
		}
	}
	return all
}

// suffer runs a flow with the fault that was planned, and looks at what is left.
func (s *scene) suffer(f matrixFlow, clean time.Duration, changes bool) {
	t := s.t
	before, tries, begin := s.kept(), s.tries(), time.Now()
	err := f.run(t.Context(), s.key, s)
	took, struck, prompts := time.Since(begin), s.struck(), s.person.prompts
	s.cure()
	if !struck {
		t.Error("the fault did not come")
	}
	// One command may have to be given up, which takes the transport three seconds,
	// and an enrolment sends another to end itself.
	if most := clean + matrixTimeout + 4*time.Second; took > most && !(f.method == "EnrollFingerprint" && took < 2*most) {
		t.Errorf("it took %v, and %v without the fault: %v", took, clean, err)
	}
	if err != nil && !s.fault.lies && !s.known(err) {
		t.Errorf("an error of no class: %v", err)
	}
	s.person.leftNothing(t, err)
	changed := !maps.Equal(before, s.kept())
	switch {
	case s.fault.lies:
	case s.fault.twice && err != nil:
	case err == nil && changed != changes:
		t.Errorf("no error, and changed is %v, not %v", changed, changes)
	case err != nil && changed && !errors.Is(err, client.ErrMayBeDone) && !strings.HasPrefix(err.Error(), "the key was reset; "):
		t.Errorf("what is on the key is otherwise, and the error does not say so: %v", err)
	}
	on, _ := s.a.Powered()
	s.a.PowerOn()
	if lost := int(tries) - int(s.tries()); lost > prompts || lost > 0 && !s.spoilsPIN() {
		t.Errorf("%d tries lost after %d prompts: %v", lost, prompts, err)
	}
	// A key that was unplugged is opened again, and so is one that lied of itself, and
	// one of which ResetGuided says that its Key may be of no use.
	s.works(!on || s.fault.lies || f.method == "ResetGuided" && err != nil)
}

// known reports whether an error belongs to a class that callers can tell.
func (s *scene) known(err error) bool {
	var ofKey *ctap2.Error
	var ofHID hid.Error
	var ofCard nfc.StatusWord
	var ofU2F u2f.StatusWord
	if errors.As(err, &ofKey) || errors.As(err, &ofHID) || errors.As(err, &ofCard) || errors.As(err, &ofU2F) {
		return true
	}
	for _, class := range []error{
		context.DeadlineExceeded, transport.ErrClosed, transport.ErrMalformed, transport.ErrNotDone, transport.ErrUnsupported,
		transport.ErrFraming, u2f.ErrMalformed, client.ErrTapNeeded, client.ErrOtherKey, client.ErrNotReset,
		client.ErrIncomplete, client.ErrLargeBlobsCorrupt, client.ErrNoLargeBlob,
	} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

func (s *scene) tries() uint64 {
	s.t.Helper()
	_, device := s.stored()
	return device[4].(uint64)
}

// stored is what lies in the key's storage, and what of it is about the whole key.
func (s *scene) stored() (records map[string][]byte, device map[int]any) {
	s.t.Helper()
	records, err := s.storage.Load()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cbor.Unmarshal(records["device"], &device); err != nil {
		s.t.Fatal(err)
	}
	return records, device
}

// spoilsPIN reports whether the fault may make a right PIN wrong, or come between
// the try and its forgiveness.
func (s *scene) spoilsPIN() bool {
	return strings.HasPrefix(s.fault.name, "cut") || s.fault.lies
}

// works uses the key: the same Key goes on, unless it must be opened anew.
func (s *scene) works(anew bool) {
	t := s.t
	synctest.Wait() // a report too many is on its way no more, and the next request throws it away
	if anew {
		s.key.Close()
		s.open()
	}
	defer func() { s.key.Close() }()
	info, err := s.key.Info(t.Context())
	if err != nil {
		t.Errorf("getInfo afterwards: %v", err)
		return
	}
	if s.profile.Name == "u2f" {
		if _, err := s.key.U2FVersion(t.Context()); err != nil {
			t.Errorf("version afterwards: %v", err)
		}
		return
	}
	s.person.pin = s.pinIs()
	if info.ForcePINChange != nil && *info.ForcePINChange {
		if err := s.key.ChangePIN(t.Context()); err != nil {
			t.Errorf("change the PIN afterwards: %v", err)
		}
		s.person.pin = newPIN
	}
	r := registration()
	r.RP.ID = "another.example"
	if _, err := s.key.Register(t.Context(), r); err != nil {
		t.Errorf("register afterwards: %v", err)
	}
}
