package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/simulator/control"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// A soft is a simulated key on a bench: a program that runs, as far as the bench can
// tell, with its control interface.
type soft struct {
	key     *simulator.Authenticator
	plan    *simulator.TouchPlan
	clock   *simulator.VirtualClock
	device  string // "tcp:..."
	control string
	token   string // its file
}

func newSoft(t testing.TB, profileName string) *soft {
	t.Helper()
	profile, err := simulator.LoadProfile(profileName)
	if err != nil {
		t.Fatal(err)
	}
	s := &soft{clock: simulator.NewVirtualClock(), token: filepath.Join(t.TempDir(), "token")}
	s.plan = simulator.NewTouchPlan(s.clock, simulator.Touch{Action: simulator.TouchNever})
	if s.key, err = simulator.New(simulator.Config{Clock: s.clock, Presence: s.plan.Presence, Profile: profile}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.token, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(control.New(control.Config{Key: s.key, Touch: s.plan, Clock: s.clock, Token: "secret"}))
	s.control = strings.TrimPrefix(server.URL, "http://")
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan net.Addr, 100), make(chan error, 1)
	go func() {
		ended <- simulator.ServeTCP(ctx, s.key, simulator.DoorConfig{Address: "127.0.0.1:0", Ready: func(a net.Addr) { ready <- a }})
	}()
	s.device = "tcp:" + (<-ready).String()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		server.Close()
		s.key.Close()
	})
	return s
}

// client is a program past the bench.
func (s *soft) client(pin string) *client.Key {
	give := func() ([]byte, error) { return []byte(pin), nil }
	return client.New(s.key, client.Options{MinRetries: 1, PreferPIN: true, Prompt: client.Prompt{
		PIN:    func(context.Context, client.PINRequest) ([]byte, error) { return give() },
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return give() },
	}})
}

func (s *soft) setPIN(t *testing.T, pin string) {
	t.Helper()
	if err := s.client(pin).SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// passkey is what somebody else makes on the key.
func (s *soft) passkey(t *testing.T, pin string) {
	t.Helper()
	s.plan.Next(simulator.Touch{Action: simulator.TouchKey})
	_, err := s.client(pin).Register(t.Context(), client.Registration{
		ClientDataHash: make([]byte, 32), RP: ctap2.RP{ID: "example.com"}, User: ctap2.User{ID: []byte{1}, Name: "alice"},
		Parameters: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}}, Discoverable: true,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// entry is the key in a bench file.
func (s *soft) entry(name, more string) string {
	driver := fmt.Sprintf("{driver: simulator, control: '%s', tokenFile: '%s'}", s.control, s.token)
	return fmt.Sprintf("  %s:\n    match: {device: '%s', aaguid: %v}\n    power: %s\n    touch: %s\n%s", name, s.device, s.key.Profile().GetInfo.AAGUID, driver, driver, more)
}

const (
	fastTimes = "times: {settle: 1ms, touch: 50ms, touchGap: 1ms}\n"
	released  = "    release: true\n"
)

// newBench writes a bench file and loads it.
func newBench(t testing.TB, o Options, entries ...string) *Bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bench.yaml")
	text := "state: state\n" + fastTimes + "keys:\n" + strings.Join(entries, "")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Load(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func place(t testing.TB, b *Bench, name string) *Place {
	t.Helper()
	p, err := b.Place(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func judge(t *testing.T, p *Place) *Verdict {
	t.Helper()
	v, err := p.Judge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestFind tells three keys from each other, one of which is another than the file
// says, and one of which is not there.
func TestFind(t *testing.T) {
	blue, green := newSoft(t, "ctap-2.3"), newSoft(t, "ctap-2.0")
	other := strings.Replace(green.entry("white", ""), fmt.Sprint(green.key.Profile().GetInfo.AAGUID), "9c835346-796b-4c27-8898-d6032f515cc5", 1)
	b := newBench(t, Options{}, blue.entry("blue", ""), green.entry("green", ""), other, "  red:\n    match: {device: 'tcp:127.0.0.1:1'}\n")
	for name, want := range map[string]error{"blue": nil, "green": nil, "white": ErrNotThere, "red": ErrNotThere} {
		found, err := place(t, b, name).Find(t.Context())
		if !errors.Is(err, want) || err == nil && !slices.Equal(found.Matched, []string{"aaguid", "device"}) {
			t.Errorf("%s: %+v, %v, want %v", name, found, err, want)
		}
		if name == "white" && !strings.Contains(err.Error(), "its AAGUID is") {
			t.Error(err)
		}
	}
	if _, err := b.Place("pink"); !errors.Is(err, ErrNoSuchKey) {
		t.Error(err)
	}
	if _, err := b.Place(""); !errors.Is(err, ErrNoSuchKey) {
		t.Errorf("one of four: %v", err)
	}
}

// TestFindUSB compares what USB says of keys.
func TestFindUSB(t *testing.T) {
	b := newBench(t, Options{},
		"  serial: {match: {vendor: '1050', product: '0407', serial: '42'}}\n",
		"  port: {match: {vendor: '1050', port: 1-4.2}}\n",
		"  name: {match: {name: titan}}\n",
		"  twins: {match: {vendor: '1050'}}\n",
		"  gone: {match: {serial: '43'}}\n")
	devices := []hid.Info{
		{Path: "/dev/hidraw0", VendorID: 0x1050, ProductID: 0x0407, Serial: "42", Manufacturer: "Yubico"},
		{Path: "/dev/hidraw1", VendorID: 0x1050, ProductID: 0x0402},
		{Path: "/dev/hidraw2", VendorID: 0x18d1, ProductID: 0x9470, Manufacturer: "Google", Product: "Titan Security Key"},
	}
	b.devices = func() ([]hid.Info, error) { return devices, nil }
	b.usbPort = func(path string) string {
		return map[string]string{"/dev/hidraw0": "1-4.1", "/dev/hidraw1": "1-4.2"}[path]
	}
	for name, want := range map[string]string{"serial": "/dev/hidraw0", "port": "/dev/hidraw1", "name": "/dev/hidraw2"} {
		if found, err := place(t, b, name).Find(t.Context()); err != nil || found.Path != want {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
	serial, err := place(t, b, "serial").Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if other := place(t, b, "serial").AlsoKnownAs(serial); other == nil || other.Name != "twins" {
		t.Errorf("serial is also %v", other)
	}
	name, err := place(t, b, "name").Find(t.Context())
	if err != nil || place(t, b, "name").AlsoKnownAs(name) != nil {
		t.Errorf("name is told from all others: %v", err)
	}
	for name, want := range map[string]error{"twins": ErrAmbiguous, "gone": ErrNotThere} {
		if _, err := place(t, b, name).Find(t.Context()); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFindFails: a key that cannot be asked is not one that is not there.
func TestFindFails(t *testing.T) {
	b := newBench(t, Options{}, "  blue: {match: {vendor: '1050', firmware: 5}}\n")
	b.devices = func() ([]hid.Info, error) { return []hid.Info{{Path: "/dev/hidraw0", VendorID: 0x1050}}, nil }
	b.usbPort = func(string) string { return "" }
	b.open = func(string) (hid.Port, error) { return nil, fs.ErrPermission }
	if _, err := place(t, b, "blue").Find(t.Context()); !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrNotThere) {
		t.Error(err)
	}
}

// TestPortsAreLocked: whoever opens the key takes it from other programs; what one of
// them has is not used.
func TestPortsAreLocked(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", ""))
	p := place(t, b, "blue")
	var locked int
	var fails error
	b.lock = func(_ context.Context, port hid.Port) error {
		if _, watched := port.(*watchedPort); watched {
			t.Error("what hid.Lock is given hides the device node")
		}
		locked++
		return fails
	}
	cases := p.Conformance(t.Context(), judge(t, p))
	b.Times.Enumerate = 0 // a case tries once
	for _, open := range []struct {
		by    string
		do    func() (io.Closer, error)
		times int
	}{
		{"a command", func() (io.Closer, error) { _, dev, err := p.Open(t.Context()); return dev, err }, 2}, // to see which key it is, too
		{"a case", func() (io.Closer, error) { return cases.Port() }, 1},
	} {
		locked, fails = 0, nil
		opened, err := open.do()
		if err != nil || locked != open.times {
			t.Fatalf("%s: locked %d times, %v", open.by, locked, err)
		}
		opened.Close()
		fails = transport.ErrBusy
		if _, err := open.do(); !errors.Is(err, transport.ErrBusy) {
			t.Errorf("%s, while another program has it: %v", open.by, err)
		}
	}
}

// twins are two keys that USB does not tell apart, one of which has a switch.
type twins struct {
	devices []hid.Info
	ours    hid.Info
}

func (w *twins) Set(_ context.Context, on bool) error {
	w.devices = slices.DeleteFunc(w.devices, func(i hid.Info) bool { return i == w.ours })
	if on {
		w.ours.Path = "/dev/hidraw7" // another node
		w.devices = append(w.devices, w.ours)
	}
	return nil
}
func (*twins) Probe(context.Context) (string, error) { return "", nil }

// TestTwins: of two keys that look alike before they are opened ours is the one that
// comes back, and neither is asked while the power is switched.
func TestTwins(t *testing.T) {
	b := newBench(t, Options{}, "  blue: {match: {vendor: '1050', firmware: 5}, power: {driver: person}}\n")
	p := place(t, b, "blue")
	ours, other := hid.Info{Path: "/dev/hidraw0", VendorID: 0x1050}, hid.Info{Path: "/dev/hidraw1", VendorID: 0x1050}
	w := &twins{[]hid.Info{ours, other}, ours}
	p.Power.Switch = w
	b.devices = func() ([]hid.Info, error) { return w.devices, nil }
	b.usbPort = func(string) string { return "" }
	b.open = func(path string) (hid.Port, error) { t.Errorf("%s was opened", path); return nil, fs.ErrPermission }
	p.lastPath = ours.Path // it was found before
	if _, err := p.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, err := p.candidates(t.Context()); err != nil || len(found) != 1 || found[0].Path != "/dev/hidraw7" {
		t.Errorf("%v, %v", found, err)
	}
}

// TestJudge: what may be done to a key, by what is on it.
func TestJudge(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	pin := filepath.Join(t.TempDir(), "pin")
	b := newBench(t, Options{},
		blue.entry("kept", ""),
		blue.entry("blue", released+"    pin: {file: '"+pin+"'}\n"),
		blue.entry("nopin", released))
	expect := func(name string, released bool, wantPIN, reason string) *Verdict {
		t.Helper()
		v := judge(t, place(t, b, name))
		if v.Released != released || v.PIN != wantPIN || !strings.Contains(v.Reason, reason) || (v.Err() == nil) != released {
			t.Errorf("%s: %+v, want %v, %s, %s", name, v, released, wantPIN, reason)
		}
		if err := v.Err(); err != nil && !errors.Is(err, ErrNotReleased) {
			t.Error(err)
		}
		return v
	}
	if err := os.WriteFile(pin, []byte("271828\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("kept", false, PINNone, "does not release it")
	expect("blue", false, PINNone, "hil adopt blue")

	// Somebody says that it may go; then it may, until there is more on it.
	if v, err := place(t, b, "blue").Adopt(t.Context()); err != nil || !v.Released {
		t.Errorf("%+v, %v", v, err)
	}
	expect("blue", true, PINNone, "")
	expect("nopin", false, PINNone, "hil adopt nopin") // another name, another file
	blue.passkey(t, "")
	expect("blue", false, PINNone, "room for 99 more, and had no PIN, room for 100 more")

	// With a PIN that is known the credentials are counted.
	blue.setPIN(t, "271828")
	v := expect("blue", false, PINKnown, "1 discoverable credentials")
	if v.Store.Credentials == nil || *v.Store.Credentials != 1 {
		t.Errorf("%+v", v.Store)
	}
	expect("nopin", false, PINUnknown, "a PIN that the bench does not know")
	if v, err := place(t, b, "blue").Adopt(t.Context()); err != nil || !v.Released {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := place(t, b, "nopin").Adopt(t.Context()); err != nil || v.Released {
		t.Errorf("a PIN that is not known: %+v, %v", v, err)
	}
}

// TestEmptyKey: a key that says that nothing is on it needs nobody's word.
func TestEmptyKey(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	t.Setenv("BLUE_PIN", "271828")
	b := newBench(t, Options{}, blue.entry("blue", released+"    pin: {env: BLUE_PIN}\n"))
	blue.setPIN(t, "271828")
	if v := judge(t, place(t, b, "blue")); !v.Released || v.PIN != PINKnown {
		t.Errorf("%+v", v)
	}
}

// TestWrongPIN: one try is spent, and none again before somebody changes the PIN of
// the bench.
func TestWrongPIN(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	blue.setPIN(t, "314159")
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("271828\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Options{}, blue.entry("blue", released+"    pin: {file: '"+pin+"'}\n"))
	for range 10 {
		if v := judge(t, place(t, b, "blue")); v.Released || v.PIN != PINRefused || v.pin != "" {
			t.Errorf("%+v", v)
		}
	}
	if s, err := blue.client("").PINState(t.Context()); err != nil || s.Retries.Left != 7 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := os.WriteFile(pin, []byte("314159\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(pin, later, later); err != nil {
		t.Fatal(err)
	}
	if v := judge(t, place(t, b, "blue")); v.PIN != PINKnown || v.pin != "314159" {
		t.Errorf("%+v", v)
	}
}

// TestLastTries: the bench's PIN is not tried when few tries are left.
func TestLastTries(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	blue.setPIN(t, "314159")
	for range 6 {
		if err := blue.client("000000").VerifyPIN(t.Context()); err == nil {
			t.Fatal("the wrong PIN is right")
		}
		blue.key.PowerCycle()
	}
	t.Setenv("BLUE_PIN", "314159")
	b := newBench(t, Options{}, blue.entry("blue", released+"    pin: {env: BLUE_PIN}\n"))
	if v := judge(t, place(t, b, "blue")); v.Released || v.PIN != PINUnknown {
		t.Errorf("%+v", v)
	}
	if s, err := blue.client("").PINState(t.Context()); err != nil || s.Retries.Left != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestPowerCycle(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", ""), fmt.Sprintf("  bare:\n    match: {device: '%s'}\n", blue.device))
	before := blue.key.Counters().PowerCycles
	if _, err := place(t, b, "blue").PowerCycle(t.Context()); err != nil {
		t.Error(err)
	}
	if n := blue.key.Counters().PowerCycles - before; n != 1 {
		t.Errorf("%d power cycles", n)
	}
	if _, err := place(t, b, "bare").PowerCycle(t.Context()); !errors.Is(err, ErrNoDriver) {
		t.Error(err)
	}
	if err := place(t, b, "bare").TouchNow(t.Context(), 0, false); !errors.Is(err, ErrNoDriver) {
		t.Error(err)
	}
}

// idle is a power driver that does nothing, as a hub that cuts data only.
type idle struct{}

func (idle) Set(context.Context, bool) error       { return nil }
func (idle) Probe(context.Context) (string, error) { return "", nil }

// TestPowerStays: a key that does not go when its power is off.
func TestPowerStays(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", ""))
	b.Times.Enumerate = 100 * time.Millisecond
	p := place(t, b, "blue")
	p.Power.Switch = idle{}
	if _, err := p.PowerCycle(t.Context()); !errors.Is(err, ErrPower) || !strings.Contains(err.Error(), "may cut the data lines only") {
		t.Error(err)
	}
	blue.key.PowerOff()
	if _, err := p.SwitchPower(t.Context(), true); !errors.Is(err, ErrNotThere) {
		t.Error(err)
	}
}

// TestReset wipes a key, with the touch that it asks for.
func TestReset(t *testing.T) {
	for _, long := range []bool{false, true} {
		t.Run(fmt.Sprint("long touch ", long), func(t *testing.T) {
			if long && testing.Short() {
				t.Skip("takes six seconds")
			}
			blue := newSoft(t, "ctap-2.3")
			b := newBench(t, Options{}, blue.entry("blue", released))
			p := place(t, b, "blue")
			if long {
				if err := blue.client("").EnableLongTouchForReset(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			blue.passkey(t, "")
			if _, err := p.Reset(t.Context(), judge(t, p)); !errors.Is(err, ErrNotReleased) {
				t.Fatal(err)
			}
			v, err := p.Adopt(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			blue.clock.Advance(time.Minute) // past the window
			r, err := p.Reset(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			if r.LongTouch != long || r.There > r.Sent || r.Sent > r.Done || long && r.Done < 5000 {
				t.Errorf("%+v", r)
			}
			if v := judge(t, p); !v.Released || *v.Store.Remaining != 100 {
				t.Errorf("%+v", v)
			}
			if u := blue.plan.Usual(); u.Action != simulator.TouchNever {
				t.Errorf("the finger stays: %v", u)
			}
		})
	}
}

// counted counts what a touch driver is told.
type counted struct {
	Switch
	mu    sync.Mutex
	told  []string
	fails error
}

func (c *counted) Set(ctx context.Context, on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, onOff(on))
	return errors.Join(c.Switch.Set(ctx, on), c.fails)
}

// TestTouches: the finger comes when the key blinks, and leaves before it comes
// again; it is off when the power comes.
func TestTouches(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", ""))
	p := place(t, b, "blue")
	touches := &counted{Switch: p.Touch.Switch}
	p.Touch.Switch = touches
	dev, err := p.device(t.Context(), blue.device)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for range 3 {
		if answer, err := dev.Exchange(t.Context(), []byte{byte(ctap2.CommandSelection)}); err != nil || answer[0] != 0 {
			t.Fatalf("%x, %v", answer, err)
		}
	}
	soon, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	p.finger.set(conformance.TouchNever)
	before := p.finger.count()
	if answer, err := dev.Exchange(soon, []byte{byte(ctap2.CommandSelection)}); err == nil && answer[0] == 0 {
		t.Error("touched by nobody")
	}
	if n := p.finger.count() - before; n != 0 {
		t.Errorf("%d touches", n)
	}
	p.finger.lift()
	want := []string{"on", "off", "on", "off", "on", "off"}
	if !slices.Equal(touches.told, want) {
		t.Errorf("the driver was told %q", touches.told)
	}
	if _, err := p.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last := touches.told[len(want):]; slices.Contains(last, "on") || len(last) != 2 {
		t.Errorf("around the power: %q", last)
	}
}

// TestDecliner: a simulated key can be refused.
func TestDecliner(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	p := place(t, newBench(t, Options{}, blue.entry("blue", "")), "blue")
	dev, err := p.device(t.Context(), blue.device)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	p.finger.set(conformance.TouchDecline)
	answer, err := dev.Exchange(t.Context(), []byte{byte(ctap2.CommandSelection)})
	if err != nil || ctap2.Status(answer[0]) != ctap2.ErrOperationDenied {
		t.Errorf("%x, %v", answer, err)
	}
}

// TestTouchFails: what the driver says is not lost.
func TestTouchFails(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	p := place(t, newBench(t, Options{}, blue.entry("blue", "")), "blue")
	relay := errors.New("the relay is gone")
	working := p.Touch.Switch
	p.Touch.Switch = &counted{Switch: working, fails: relay}
	if err := p.TouchNow(t.Context(), 0, false); !errors.Is(err, relay) {
		t.Error(err)
	}
	if err := p.close(); !errors.Is(err, relay) {
		t.Errorf("the finger stays on the key, and close says %v", err)
	}
	p.Touch.Switch = working
}

// TestPerson is told what to do.
func TestPerson(t *testing.T) {
	var told []string
	blue := newSoft(t, "ctap-2.3")
	entry := fmt.Sprintf("  blue:\n    match: {device: '%s'}\n    power: {driver: person}\n    touch: {driver: person}\n", blue.device)
	b := newBench(t, Options{Say: func(text string) {
		told = append(told, text)
		switch { // who does as they are told
		case strings.HasPrefix(text, "Unplug"):
			blue.key.PowerOff()
		case strings.HasPrefix(text, "Plug"):
			blue.key.PowerOn()
		}
	}}, entry)
	p := place(t, b, "blue")
	if _, err := p.PowerCycle(t.Context()); err != nil {
		t.Error(err)
	}
	p.finger.set(conformance.TouchNever)
	if err := p.TouchNow(t.Context(), time.Millisecond, false); err != nil {
		t.Error(err)
	}
	want := []string{"Unplug the key blue.", "Plug the key blue in again.", "Do not touch the key blue until you are told to.", "Touch the key blue."}
	if !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}

// TestInProcess is a simulator in this process, without a door.
func TestInProcess(t *testing.T) {
	b := newBench(t, Options{}, "  soft:\n    match: {device: simulator, aaguid: "+simulator.Full23().GetInfo.AAGUID.String()+"}\n    profile: ctap-2.3\n    power: {driver: simulator}\n    touch: {driver: simulator}\n"+released)
	p := place(t, b, "soft")
	v, err := p.Adopt(t.Context())
	if err != nil || !v.Released {
		t.Fatal(v, err)
	}
	if _, err := p.Reset(t.Context(), v); err != nil {
		t.Error(err)
	}
}

// TestOthersFinger: a program that does not touch a key leaves its finger alone, which
// another may have there.
func TestOthersFinger(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", ""))
	p := place(t, b, "blue")
	touches := &counted{Switch: p.Touch.Switch}
	p.Touch.Switch = touches
	if _, err := p.Find(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.close(); err != nil || len(touches.told) != 0 {
		t.Errorf("%v, %q", err, touches.told)
	}
	if err := p.HoldTouch(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := p.close(); err != nil || !slices.Equal(touches.told, []string{"on", "off"}) {
		t.Errorf("%v, %q", err, touches.told)
	}
}
