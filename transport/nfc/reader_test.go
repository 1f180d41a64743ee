package nfc_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/nfc"
)

// A desk is a smart-card service in memory. It fails its test where PC/SC would
// fail in ways that cannot be seen.
type desk struct {
	t       testing.TB
	mu      sync.Mutex
	names   []string
	readers map[string]uint32 // their states
	changed chan struct{}     // closed at each change
	fails   nfc.PCSCError     // with everything
	card    func(apdu []byte) []byte

	contexts, handles, most atomic.Int64
	waiting                 atomic.Int64 // within GetStatusChange
}

const (
	empty   = 0x10
	present = 0x20
)

func newDesk(t testing.TB, readers ...string) *desk {
	d := &desk{t: t, readers: map[string]uint32{}, changed: make(chan struct{}), card: func([]byte) []byte { return unhex("9000") }}
	d.set(func() {
		for _, name := range readers {
			d.names = append(d.names, name)
			d.readers[name] = empty
		}
	})
	return d
}

// set changes something.
func (d *desk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	close(d.changed)
	d.changed = make(chan struct{})
}

// move lays a card on a reader, or takes it away.
func (d *desk) move(reader string, state uint32) {
	d.set(func() { d.readers[reader] = (d.readers[reader]>>16+1)<<16 | state })
}

func (d *desk) service() nfc.TestService { return nfc.NewTestService(d.establish) }

func (d *desk) establish() (nfc.PCSCContext, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails != 0 {
		return nil, d.fails
	}
	d.most.Store(max(d.most.Load(), d.contexts.Add(1)))
	return &deskContext{desk: d}, nil
}

// done fails unless everything was given back.
func (d *desk) done() {
	d.t.Helper()
	if c, h := d.contexts.Load(), d.handles.Load(); c != 0 || h != 0 {
		d.t.Errorf("%d contexts and %d handles are left", c, h)
	}
}

type deskContext struct {
	*desk
	calls atomic.Int64
}

// call fails for a second call at a time on a context, which would stop all PC/SC
// calls of the process.
func (c *deskContext) call() (end func()) {
	if c.calls.Add(1) > 1 {
		c.t.Error("two calls at a time on one context")
	}
	return func() { c.calls.Add(-1) }
}

func (c *deskContext) ListReaders() ([]string, error) {
	defer c.call()()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.fails != 0:
		return nil, c.fails
	case len(c.names) == 0:
		return nil, nfc.PCSCError(0x8010002e)
	}
	return append([]string(nil), c.names...), nil
}

func (c *deskContext) GetStatusChange(states []nfc.ReaderState, timeout time.Duration) error {
	defer c.call()()
	if c.waiting.Add(1) > 1 {
		c.t.Error("two calls of GetStatusChange at a time")
	}
	defer c.waiting.Add(-1)
	if len(states) == 0 || len(states) > 16 || timeout > 250*time.Millisecond {
		c.t.Errorf("%d readers are asked, for %v", len(states), timeout)
	}
	end := time.After(timeout)
	for {
		c.mu.Lock()
		changed, fails, news := c.changed, c.fails, false
		for i := range states {
			now, ok := c.readers[states[i].Reader]
			if !ok {
				fails = 0x80100009
			}
			states[i].Event = now
			if now != states[i].Current {
				states[i].Event |= 2
				news = true
			}
		}
		c.mu.Unlock()
		if fails != 0 {
			return fails
		}
		if news {
			return nil
		}
		select {
		case <-changed:
		case <-end:
			return nfc.PCSCError(0x8010000a)
		}
	}
}

func (c *deskContext) Connect(reader string) (nfc.PCSCHandle, error) {
	defer c.call()()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state, ok := c.readers[reader]; {
	case c.fails != 0:
		return nil, c.fails
	case !ok:
		return nil, nfc.PCSCError(0x80100009)
	case state&present == 0:
		return nil, nfc.PCSCError(0x8010000c)
	}
	c.handles.Add(1)
	return &deskHandle{c, reader, c.readers[reader]}, nil
}

func (c *deskContext) Release() error {
	defer c.call()()
	c.contexts.Add(-1)
	return nil
}

type deskHandle struct {
	*deskContext
	reader string
	state  uint32 // when it was connected
}

// there returns the error of a card that is not there any more.
func (h *deskHandle) there() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch now := h.readers[h.reader]; {
	case h.fails != 0:
		return nfc.PCSCError(0x80100013)
	case now&present == 0:
		return nfc.PCSCError(0x80100069)
	case now != h.state:
		return nfc.PCSCError(0x80100068)
	}
	return nil
}

func (h *deskHandle) BeginTransaction() error { defer h.call()(); return h.there() }
func (h *deskHandle) EndTransaction() error   { defer h.call()(); return h.there() }
func (h *deskHandle) Reconnect() error        { defer h.call()(); h.state = h.readers[h.reader]; return nil }
func (h *deskHandle) Disconnect() error       { defer h.call()(); h.handles.Add(-1); return nil }
func (h *deskHandle) CutPower() error         { defer h.call()(); return h.there() }
func (h *deskHandle) Transmit(apdu []byte) ([]byte, error) {
	defer h.call()()
	if len(apdu) == 0 {
		h.t.Error("an empty APDU")
	}
	if err := h.there(); err != nil {
		return nil, err
	}
	return h.card(apdu), nil
}

// TestPretenders: the rule goes by the reader's name.
func TestPretenders(t *testing.T) {
	for name, want := range map[string]bool{
		"Nitrokey Nitrokey 3 [CCID/ICCD Interface] 00 00":        true,
		"Nitrokey CCID/ICCD Interface 0":                         true,
		"SoloKeys Solo 2 [CCID/ICCD Interface] 00 00":            true,
		"Yubico YubiKey OTP+FIDO+CCID 01 00":                     true,
		"ACS ACR122U PICC Interface 00 00":                       false,
		"HID Global OMNIKEY 5422 Smartcard Reader [OMNIKEY] 0":   false,
		"Identiv uTrust 3700 F CL Reader [uTrust 3700 F] 00 00":  false,
		"Generic reader with a very solo name and no key inside": false,
	} {
		reason := nfc.Pretend(name)
		if got := reason != ""; got != want {
			t.Errorf("%s: %q", name, reason)
		}
		if want && !strings.Contains(reason, "use it over USB") {
			t.Errorf("%s: %q does not say what to do", name, reason)
		}
	}
}

// TestCardTransport: contactless, contact, or not to be told.
func TestCardTransport(t *testing.T) {
	for _, c := range []struct{ reader, atr, want string }{
		{"any", "3b8380012f4631ee", "nfc"},
		{"any", "3b8d80018073c021c057597562694b6579f9", "nfc"}, // a YubiKey
		{"any", "3b8f8001804f0ca000000306030001000000006a", "nfc"},
		{"any", "3b8080 0101", "nfc"},
		{"any", "3bfd1300008131fe158073c021c057597562694b657940", "smart-card"}, // over USB
		{"any", "3b8f01805d4e6974726f6b657900000000006a", "smart-card"},
		{"any", "3b8380012f4631", "smart-card"}, // cut short
		{"any", "3b", "smart-card"},
		{"ACS ACR122U PICC Interface", "3b00", "nfc"},
		{"ACS ACR122U PICC Interface", "", "nfc"},
		{"Identiv uTrust 3700 F CL Reader", "", "nfc"},
		{"Yubico YubiKey OTP+FIDO+CCID 00 00", "", "smart-card"},
		{"Gemalto PC Twin Reader", "", ""},
		{"CLOUD Reader", "", ""},
	} {
		if got := nfc.CardTransport(c.reader, unhex(c.atr)); got != c.want {
			t.Errorf("%s, %s: %q, want %q", c.reader, c.atr, got, c.want)
		}
	}
}

// TestPCSCErrors: what the codes mean.
func TestPCSCErrors(t *testing.T) {
	for code, want := range map[nfc.PCSCError]error{
		0x80100009: nfc.ErrNoReader,
		0x8010000b: transport.ErrBusy,
		0x8010000c: nfc.ErrNoCard,
		0x80100013: transport.ErrClosed,
		0x80100016: transport.ErrClosed,
		0x8010001d: nfc.ErrNoService,
		0x8010001e: nfc.ErrNoService,
		0x80100027: fs.ErrPermission,
		0x80100066: nfc.ErrNoCard,
		0x80100068: nfc.ErrReset,
		0x80100069: transport.ErrClosed,
		0x8010006a: fs.ErrPermission,
		0x8010002e: nfc.ErrNoReader,
		0x80100003: transport.ErrClosed,
	} {
		err := nfc.Explain(code)
		if !errors.Is(err, want) || !errors.Is(err, code) || !strings.Contains(err.Error(), fmt.Sprintf("%#x", uint32(code))) {
			t.Errorf("%v is %v, want %v", code, err, want)
		}
	}
	for code, want := range map[nfc.PCSCError]string{
		0x8010006b: "PC/SC error 0x8010006b, SCARD_W_WRONG_CHV", // nothing that we ask for
		0x801000ff: "PC/SC error 0x801000ff",                    // nobody's
	} {
		if err := nfc.Explain(code); err.Error() != want {
			t.Error(err)
		}
	}
	if err := nfc.Explain(nil); err != nil {
		t.Error(err)
	}
}

// TestPCSCNames: no code of either header is a bare number. Windows' is read from the
// library that has it in Go.
func TestPCSCNames(t *testing.T) {
	list, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	headers := map[string]*regexp.Regexp{
		filepath.Join(strings.TrimSpace(string(list)), "windows", "zerrors_windows.go"): regexp.MustCompile(`(?m)^\s*(SCARD_[EFPW]_\w+)\s+Handle += (0x8010[0-9A-F]{4})$`),
		"/usr/include/PCSC/pcsclite.h": regexp.MustCompile(`(?m)^#define (SCARD_[EFPW]_\w+)\s+\(\(LONG\)(0x8010[0-9A-F]{4})\)`),
	}
	for file, constant := range headers {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(file, "/usr/include") {
			continue // a system without libpcsclite-dev
		}
		if err != nil {
			t.Fatal(err)
		}
		found := constant.FindAllStringSubmatch(string(text), -1)
		if len(found) < 60 {
			t.Errorf("%s has %d codes", file, len(found))
		}
		for _, m := range found {
			code, err := strconv.ParseUint(m[2], 0, 32)
			if err != nil {
				t.Fatal(err)
			}
			name := m[1]
			if code == 0x8010001f { // which has two in pcsclite
				name = "SCARD_E_UNEXPECTED"
			}
			if said := nfc.PCSCError(code).Error(); !strings.HasSuffix(said, ", "+name) {
				t.Errorf("%s is called %q", m[1], said)
			}
		}
	}
}

// TestNoReaders is no error.
func TestNoReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		readers, err := d.service().Readers(t.Context())
		if err != nil || len(readers) != 0 {
			t.Errorf("readers %v, error %v", readers, err)
		}
		synctest.Wait()
		d.done()
	})
}

// TestWatchReaders: a watch sees readers and cards come and go, more readers than
// PC/SC takes at a time, and a service that ends and comes back.
func TestWatchReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		var seen string
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- d.service().Watch(ctx, func(readers []nfc.ReaderInfo, err error) {
				cards := 0
				for _, r := range readers {
					if r.Present {
						cards++
					}
				}
				seen = fmt.Sprintf("%d readers, %d cards, error %t", len(readers), cards, err != nil)
			})
		}()
		for _, step := range []struct {
			change func()
			want   string
		}{
			{func() {}, "0 readers, 0 cards, error false"},
			{func() {
				d.set(func() {
					for i := range 40 {
						d.names = append(d.names, fmt.Sprint(i))
						d.readers[fmt.Sprint(i)] = empty
					}
				})
			}, "40 readers, 0 cards, error false"},
			{func() { d.move("39", present) }, "40 readers, 1 cards, error false"},
			{func() { d.move("39", empty); d.move("0", present); d.move("1", present) }, "40 readers, 2 cards, error false"},
			{func() { d.set(func() { d.fails = 0x80100013 }) }, "0 readers, 0 cards, error true"},
			{func() { d.set(func() { d.fails = 0x8010001d }) }, "0 readers, 0 cards, error true"},
			{func() { d.set(func() { d.fails = 0 }) }, "40 readers, 2 cards, error false"},
			{func() { d.set(func() { d.names = d.names[1:]; delete(d.readers, "0") }) }, "39 readers, 1 cards, error false"},
		} {
			step.change()
			time.Sleep(300 * time.Millisecond)
			synctest.Wait()
			if seen != step.want {
				t.Errorf("seen: %s, want %s", seen, step.want)
			}
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		time.Sleep(time.Second)
		d.done()
	})
}

// TestWaitForCard: any reader but a pretender's, or the one that is named.
func TestWaitForCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const solo, other = "SoloKeys Solo 2", "other"
		d := newDesk(t, solo, other)
		s := d.service()
		d.move(solo, present)
		if r, err := s.WaitForCard(t.Context(), solo); err != nil || r.Name != solo || r.Pretender == "" {
			t.Errorf("reader %+v, error %v", r, err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if r, err := s.WaitForCard(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("reader %+v, error %v", r, err)
		}
		time.AfterFunc(time.Minute, func() { d.move(other, present) })
		if r, err := s.WaitForCard(t.Context(), ""); err != nil || r.Name != other {
			t.Errorf("reader %+v, error %v", r, err)
		}
		time.Sleep(time.Second)
		d.done()
	})
}

// TestReaderSlot: a card that is exchanged between two looks was removed; one that
// lies badly at first is opened a little later.
func TestReaderSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "reader")
		s := d.service()
		slot := s.Slot("reader")
		d.move("reader", present)
		time.AfterFunc(time.Minute, func() {
			d.mu.Lock()
			d.readers["reader"] += 2 << 16 // out and in
			d.mu.Unlock()
		})
		if err := slot.Removed(t.Context()); err != nil {
			t.Error(err)
		}
		d.move("reader", empty)
		good := time.Now().Add(time.Minute + time.Second)
		d.card = func([]byte) []byte {
			if time.Now().Before(good) {
				return nil
			}
			return unhex("5532465f56329000")
		}
		time.AfterFunc(time.Minute, func() { d.move("reader", present) })
		dev, err := slot.Inserted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dev.Close()
		d.card = func([]byte) []byte { return unhex("6a82") }
		if _, err := slot.Inserted(t.Context()); !errors.Is(err, nfc.ErrFileNotFound) {
			t.Errorf("error %v, want %v", err, nfc.ErrFileNotFound)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := slot.Removed(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		time.Sleep(time.Second)
		d.done()
	})
}

// TestTwelveHours has a card come and go 2,000 times under many who watch, wait,
// open and close.
func TestTwelveHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "reader", "another")
		d.card = func([]byte) []byte { return unhex("5532465f56329000") }
		s := d.service()
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		views := 0
		for range 50 {
			wg.Go(func() { _ = s.Watch(ctx, func([]nfc.ReaderInfo, error) { d.mu.Lock(); views++; d.mu.Unlock() }) })
		}
		slot := s.Slot("reader")
		for range 2000 {
			time.AfterFunc(time.Second, func() { d.move("reader", present) })
			dev, err := slot.Inserted(ctx)
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Second, func() { d.move("reader", empty) })
			if err := slot.Removed(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Readers(ctx); err != nil {
				t.Fatal(err)
			}
			dev.Close()
		}
		stop()
		wg.Wait()
		time.Sleep(time.Second)
		d.done()
		if d.most.Load() > 2 || views < 50*4000 {
			t.Errorf("%d contexts at a time, %d views", d.most.Load(), views)
		}
	})
}

// TestBlockedCardKeepsItsAnswer: a card answers after the caller has left, within
// the two seconds that a Device gives it or after. What it said is not taken for the
// answer to the next command, and the applet is selected first if it took longer.
func TestBlockedCardKeepsItsAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		made  bool
	}{"soon": {time.Second, true}, "late": {10 * time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, "reader")
				d.move("reader", present)
				got := make(chan byte, 10) // instructions
				d.card = func(apdu []byte) []byte {
					got <- apdu[1]
					switch {
					case apdu[1] == 0xa4:
						return unhex("5532465f56329000")
					case apdu[1] == 0x10 && apdu[5] == 1:
						time.Sleep(c.takes)
						return unhex("00aa9000")
					case apdu[1] == 0x10:
						return unhex("00bb9000")
					}
					return unhex("6985")
				}
				card, err := d.service().OpenReader(t.Context(), "reader")
				if err != nil {
					t.Fatal(err)
				}
				dev, err := nfc.Open(t.Context(), card)
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer stop()
				begin := time.Now()
				answer, err := dev.Exchange(ctx, []byte{1})
				if made := err == nil && string(answer) == "\x00\xaa"; made != c.made || !made && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("answer %x, error %v", answer, err)
				}
				if took := time.Since(begin); took > 2200*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				for len(got) > 0 {
					<-got
				}
				if answer, err = dev.Exchange(t.Context(), []byte{4}); err != nil || string(answer) != "\x00\xbb" {
					t.Errorf("answer %x, error %v", answer, err)
				}
				if first := <-got; (first == 0xa4) == c.made {
					t.Errorf("the next instruction was %x", first)
				}
				dev.Close()
				synctest.Wait()
				d.done()
			})
		})
	}
}

// TestExchangedCard: PC/SC calls a card reset that was taken away and laid on again.
// It may be another one: nothing is sent to it.
func TestExchangedCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "reader")
		d.move("reader", present)
		sent := 0
		d.card = func([]byte) []byte { sent++; return unhex("5532465f56329000") }
		card, err := d.service().OpenReader(t.Context(), "reader")
		if err != nil {
			t.Fatal(err)
		}
		dev, err := nfc.Open(t.Context(), card)
		if err != nil {
			t.Fatal(err)
		}
		d.move("reader", empty)
		d.move("reader", present)
		for range 2 {
			if _, err := dev.Exchange(t.Context(), []byte{7}); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("error %v, want %v", err, transport.ErrClosed)
			}
		}
		dev.Close()
		synctest.Wait()
		if sent != 1 {
			t.Errorf("the card got %d APDUs", sent)
		}
		d.done()
	})
}
