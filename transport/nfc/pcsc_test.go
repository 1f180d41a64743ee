//go:build linux && cgo && pcsc && !nopcsc

package nfc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ebfe/scard"

	"github.com/fidokey/fidokey/internal/pcsctest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/nfc"
)

// pcscd is the service of all tests here: libpcsclite reads once in the life of a
// process where it is. Tests that stop it start it again.
var pcscd *pcsctest.Daemon

var noPCSC string // why there is none

func TestMain(m *testing.M) {
	if noPCSC = pcsctest.Missing(); noPCSC == "" {
		d, err := pcsctest.Start("contact", "nfc one", "nfc two", "nfc three")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		pcscd = d
		os.Setenv("PCSCLITE_CSOCK_NAME", d.Socket)
	}
	code := m.Run()
	if pcscd != nil {
		pcscd.Close()
	}
	os.Exit(code)
}

func needPCSC(t testing.TB) {
	t.Helper()
	switch {
	case noPCSC != "" && os.Getenv("CI") == "true":
		t.Fatal(noPCSC)
	case noPCSC != "":
		t.Skip(noPCSC)
	}
}

var (
	contactlessATR = unhex("3b8380012f4631ee")
	contactATR     = unhex("3bfd1300008131fe158073c021c057597562694b657940")
)

// A plasticCard is what is laid on a virtual reader.
type plasticCard struct {
	atr      []byte
	power    func(on bool)
	transmit func(apdu []byte) []byte // nil: the card leaves
}

// always answers each APDU with the same.
func always(response string) plasticCard {
	return plasticCard{atr: contactlessATR, transmit: func([]byte) []byte { return unhex(response) }}
}

// put lays a card on a reader; take takes it away. PC/SC may need 0.4 s to see it.
func put(t testing.TB, reader pcsctest.Reader, card plasticCard) (take func()) {
	t.Helper()
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", reader.Port))
	if err != nil {
		t.Fatal(err)
	}
	go serveCard(conn.(*net.TCPConn), card)
	take = sync.OnceFunc(func() { conn.Close() })
	t.Cleanup(func() { take(); awaitReader(t, reader, false) })
	return take
}

func lay(t testing.TB, reader pcsctest.Reader, card plasticCard) (take func()) {
	t.Helper()
	take = put(t, reader, card)
	awaitReader(t, reader, true)
	return take
}

// serveCard answers the driver until the card is taken away. Without quick
// acknowledgements each APDU takes 40 ms: the driver writes in two segments.
func serveCard(conn *net.TCPConn, card plasticCard) {
	defer conn.Close()
	raw, _ := conn.SyscallConn()
	read := func(n int) []byte {
		_ = raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		})
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			return nil
		}
		return b
	}
	for {
		head := read(2)
		if head == nil {
			return
		}
		msg := read(int(binary.BigEndian.Uint16(head)))
		var answer []byte
		switch {
		case len(msg) == 0:
			return
		case len(msg) > 1:
			if answer = card.transmit(msg); answer == nil {
				return
			}
		case msg[0] == 4:
			answer = card.atr
		default:
			if card.power != nil {
				card.power(msg[0] != 0)
			}
			continue
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// softKey is the simulator as a card.
func softKey(t testing.TB, config simulator.Config) plasticCard {
	t.Helper()
	key, err := simulator.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { key.Close() })
	card := simulator.NewCard(key)
	return plasticCard{
		atr: contactlessATR,
		power: func(on bool) {
			if on {
				card.PowerOn()
			} else {
				card.PowerOff()
			}
		},
		transmit: func(apdu []byte) []byte {
			response, err := card.Transmit(context.Background(), apdu)
			if err != nil {
				return nil
			}
			return response
		},
	}
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(stop)
	return ctx
}

func awaitReader(t testing.TB, reader pcsctest.Reader, present bool) {
	t.Helper()
	var err error
	if present {
		_, err = nfc.WaitForCard(soon(t), reader.Name)
	} else {
		err = nfc.NewSlot(reader.Name).Removed(soon(t))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func openReader(t testing.TB, reader pcsctest.Reader) nfc.Card {
	t.Helper()
	card, err := nfc.OpenReader(soon(t), reader.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { card.Close() })
	return card
}

func openKey(t testing.TB, reader pcsctest.Reader) *nfc.Device {
	t.Helper()
	dev, err := nfc.Open(soon(t), openReader(t, reader))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

// noLeaks fails if the test leaves goroutines or descriptors behind. Each context
// has a descriptor.
func noLeaks(t *testing.T) {
	t.Helper()
	goroutines, fds := runtime.NumGoroutine(), entries(t, "/proc/self/fd")
	t.Cleanup(func() {
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if runtime.NumGoroutine() <= goroutines && entries(t, "/proc/self/fd") <= fds {
				return
			}
		}
		stacks := make([]byte, 1<<16)
		t.Errorf("before: %d goroutines, %d descriptors; after: %d, %d\n%s", goroutines, fds,
			runtime.NumGoroutine(), entries(t, "/proc/self/fd"), stacks[:runtime.Stack(stacks, true)])
	})
}

func entries(t testing.TB, folder string) int {
	t.Helper()
	all, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestPCSCReaders: what is listed, and what cannot be opened.
func TestPCSCReaders(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	lay(t, pcscd.Readers[0], plasticCard{atr: contactATR})
	lay(t, pcscd.Readers[1], plasticCard{atr: contactlessATR})
	readers, err := nfc.Readers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]nfc.ReaderInfo{}
	for _, r := range readers {
		found[r.Name] = r
	}
	for name, want := range map[string]nfc.ReaderInfo{
		"contact 00 00": {Present: true, ATR: contactATR, Transport: "smart-card"},
		"nfc one 00 00": {Present: true, ATR: contactlessATR, Transport: "nfc"},
		"nfc two 00 00": {Transport: "nfc"},
		"contact 00 01": {},
	} {
		got := found[name]
		if got.Present != want.Present || !bytes.Equal(got.ATR, want.ATR) || got.Transport != want.Transport || got.Pretender != "" {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	for reader, want := range map[string]error{"nfc two 00 00": nfc.ErrNoCard, "nfc four": nfc.ErrNoReader} {
		if _, err := nfc.OpenReader(soon(t), reader); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", reader, err, want)
		}
	}
	if _, err := nfc.WaitForCard(soon(t), "nfc four"); !errors.Is(err, nfc.ErrNoReader) {
		t.Errorf("error %v", err)
	}
	card := openReader(t, pcscd.Readers[0])
	if c := card.(transport.Carrier); c.Transport() != "smart-card" {
		t.Errorf("a contact card is reached over %q", c.Transport())
	}
	if _, err := card.Transmit(t.Context(), nil); err == nil {
		t.Error("an empty APDU was sent")
	}
}

// TestPCSCKey speaks to the simulator through the service: long messages and
// answers, in both forms.
func TestPCSCKey(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	lay(t, pcscd.Readers[1], softKey(t, simulator.Config{}))
	for _, options := range [][]nfc.Option{nil, {nfc.ExtendedLength()}, {nfc.WithoutStatusUpdates()}} {
		dev, err := nfc.Open(t.Context(), openReader(t, pcscd.Readers[1]), options...)
		if err != nil {
			t.Fatal(err)
		}
		for _, msg := range [][]byte{{4}, longRegistration(t), {4}} {
			if answer, err := dev.Exchange(t.Context(), msg); err != nil || answer[0] != 0 {
				t.Errorf("command %#02x: status %x, error %v", msg[0], answer[:1], err)
			}
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPCSCNoService: without the service, and with one that comes back.
func TestPCSCNoService(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	if _, err := nfc.Readers(soon(t)); err != nil {
		t.Fatal(err)
	}
	pcscd.Stop()
	_, err := nfc.Readers(soon(t))
	_, opened := nfc.OpenReader(soon(t), pcscd.Readers[1].Name)
	_, waited := nfc.WaitForCard(soon(t), "")
	for _, err := range []error{err, opened, waited, nfc.NewSlot("any").Removed(soon(t))} {
		if !errors.Is(err, nfc.ErrNoService) {
			t.Errorf("error %v, want %v", err, nfc.ErrNoService)
		}
	}
	if err := pcscd.Restart(); err != nil {
		t.Fatal(err)
	}
	if readers, err := nfc.Readers(soon(t)); err != nil || len(readers) != 8 {
		t.Errorf("%d readers, error %v", len(readers), err)
	}
}

// exclusive is another program that has a card for itself.
func exclusive(t *testing.T, reader pcsctest.Reader) (end func()) {
	t.Helper()
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	card, err := ctx.Connect(reader.Name, scard.ShareExclusive, scard.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() { _ = card.Disconnect(scard.LeaveCard); _ = ctx.Release() })
}

// TestPCSCExclusive: a card that another program has for itself is waited for.
func TestPCSCExclusive(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	lay(t, pcscd.Readers[1], always("9000"))
	end := exclusive(t, pcscd.Readers[1])
	defer end()
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	if _, err := nfc.OpenReader(ctx, pcscd.Readers[1].Name); !errors.Is(err, transport.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %v", err, transport.ErrBusy)
	}
	readers, err := nfc.Readers(soon(t))
	if err != nil || !slices.ContainsFunc(readers, func(r nfc.ReaderInfo) bool { return r.Busy && r.Name == pcscd.Readers[1].Name }) {
		t.Errorf("readers %+v, error %v: none is busy", readers, err)
	}
	time.AfterFunc(200*time.Millisecond, end)
	openReader(t, pcscd.Readers[1])
}

// TestPCSCCardLeaves: before an APDU, noticed by the service or not yet, while it is
// under way, and after. The old Card stays closed when a card comes back.
func TestPCSCCardLeaves(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	reader := pcscd.Readers[1]
	leaves := always("9000")
	leaves.transmit = func(apdu []byte) []byte {
		if apdu[1] == 0xff {
			return nil
		}
		return unhex("9000")
	}
	for name, c := range map[string]struct {
		apdu   string
		before func(t *testing.T, take func())
	}{
		"unnoticed": {"00000000", func(_ *testing.T, take func()) { take() }},
		"noticed":   {"00000000", func(t *testing.T, take func()) { take(); awaitReader(t, reader, false) }},
		"under way": {"00ff0000", func(*testing.T, func()) {}},
		"back": {"00000000", func(t *testing.T, take func()) {
			take()
			awaitReader(t, reader, false)
			lay(t, reader, leaves)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			take := lay(t, reader, leaves)
			card := openReader(t, reader)
			if _, err := card.Transmit(soon(t), unhex("00000000")); err != nil {
				t.Fatal(err)
			}
			c.before(t, take)
			for range 2 {
				if response, err := card.Transmit(soon(t), unhex(c.apdu)); !errors.Is(err, transport.ErrClosed) {
					t.Errorf("response %x, error %v, want %v", response, err, transport.ErrClosed)
				}
			}
		})
	}
}

// other is another program that shares a card.
func other(t *testing.T, reader pcsctest.Reader) *scard.Card {
	t.Helper()
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	card, err := ctx.Connect(reader.Name, scard.ShareShared, scard.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = card.Disconnect(scard.LeaveCard); _ = ctx.Release() })
	return card
}

// TestPCSCResetByAnother: the applet is selected again, once, before the next
// message; one that tries a PIN is not sent, the one after it is.
func TestPCSCResetByAnother(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	reader := pcscd.Readers[1]
	card := softKey(t, simulator.Config{})
	var mu sync.Mutex
	var log []byte // instructions
	transmit := card.transmit
	card.transmit = func(apdu []byte) []byte {
		mu.Lock()
		log = append(log, apdu[1])
		mu.Unlock()
		return transmit(apdu)
	}
	logged := func() []byte { mu.Lock(); defer mu.Unlock(); l := log; log = nil; return l }
	lay(t, reader, card)
	dev := openKey(t, reader)
	stranger := other(t, reader)
	tryPIN := unhex("06a201010205")
	for _, c := range []struct {
		name, want string
		msg        []byte
		err        error
	}{
		{"getInfo", "a410", []byte{4}, nil},
		{"PIN", "a4", tryPIN, nfc.ErrReset},
		{"retries", "a410", unhex("06a201010201"), nil},
	} {
		if err := stranger.Reconnect(scard.ShareShared, scard.ProtocolAny, scard.ResetCard); err != nil {
			t.Fatal(err)
		}
		logged()
		answer, err := dev.Exchange(soon(t), c.msg)
		if got := logged(); !errors.Is(err, c.err) || !bytes.HasPrefix(got, unhex(c.want)) || bytes.Count(got, unhex("a4")) != 1 {
			t.Errorf("%s after a reset: the card got %x, answer %x, error %v, want %v", c.name, got, answer, err, c.err)
		}
		_, err = dev.Exchange(soon(t), c.msg)
		if got := logged(); err != nil || bytes.Contains(got, unhex("a4")) {
			t.Errorf("%s once more: the card got %x, error %v", c.name, got, err)
		}
	}
}

// TestPCSCCutPower: the card loses its power, who else has it is told, and the next
// who connects has it as new.
func TestPCSCCutPower(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	reader := pcscd.Readers[1]
	var cuts atomic.Int64
	card := always("9000")
	card.power = func(on bool) {
		if !on {
			cuts.Add(1)
		}
	}
	lay(t, reader, card)
	opened := openReader(t, reader)
	if _, err := opened.Transmit(soon(t), unhex("00000000")); err != nil {
		t.Fatal(err)
	}
	before := cuts.Load()
	if err := nfc.CutPower(soon(t), reader.Name); err != nil {
		t.Fatal(err)
	}
	if n := cuts.Load() - before; n != 1 {
		t.Errorf("the power was cut %d times", n)
	}
	if _, err := opened.Transmit(soon(t), unhex("00000000")); !errors.Is(err, nfc.ErrReset) && !errors.Is(err, transport.ErrClosed) {
		t.Errorf("who had it: %v", err)
	}
	if _, err := openReader(t, reader).Transmit(soon(t), unhex("00000000")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if err := nfc.CutPower(soon(t), "nowhere"); !errors.Is(err, nfc.ErrNoReader) {
		t.Errorf("nowhere: %v", err)
	}
}

// TestPCSCServiceDies: while a card works, and under a watch, which goes on when the
// service is back.
func TestPCSCServiceDies(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	reader := pcscd.Readers[1]
	busy := make(chan bool)
	stuck := always("")
	stuck.transmit = func([]byte) []byte { busy <- true; <-busy; return nil }
	lay(t, reader, stuck)
	card := openReader(t, reader)

	ctx, stop := context.WithCancel(t.Context())
	seen := make(chan error, 100)
	watched := make(chan error)
	go func() {
		watched <- nfc.Watch(ctx, func(_ []nfc.ReaderInfo, err error) { seen <- err })
	}()
	if err := <-seen; err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := card.Transmit(soon(t), unhex("00000000"))
		failed <- err
	}()
	<-busy
	pcscd.Kill()
	if err := <-failed; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Transmit: error %v, want %v", err, transport.ErrClosed)
	}
	for err := range seen {
		if errors.Is(err, nfc.ErrNoService) {
			break
		}
	}
	busy <- false
	if err := pcscd.Restart(); err != nil {
		t.Fatal(err)
	}
	for err := range seen {
		if err == nil {
			break
		}
	}
	stop()
	if err := <-watched; !errors.Is(err, context.Canceled) {
		t.Errorf("the watch ended with %v", err)
	}
	if _, err := card.Transmit(soon(t), unhex("00000000")); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("the old card: error %v, want %v", err, transport.ErrClosed)
	}
}

// TestPCSCBlockedCard: a card that does not answer holds up nobody else, nor its
// caller once the context has ended, nor Close for long.
func TestPCSCBlockedCard(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	answer := make(chan bool)
	stuck := always("")
	stuck.transmit = func([]byte) []byte { <-answer; return unhex("9000") }
	lay(t, pcscd.Readers[1], stuck)
	lay(t, pcscd.Readers[2], softKey(t, simulator.Config{}))
	card := openReader(t, pcscd.Readers[1])
	for range 2 {
		ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		if _, err := card.Transmit(ctx, unhex("00000000")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		stop()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("Transmit took %v", took)
		}
	}
	if _, err := nfc.Readers(soon(t)); err != nil {
		t.Error(err)
	}
	key := openKey(t, pcscd.Readers[2])
	if _, err := key.Exchange(soon(t), []byte{4}); err != nil {
		t.Error(err)
	}
	begin := time.Now()
	card.Close()
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("Close took %v", took)
	}
	if _, err := card.Transmit(soon(t), unhex("00000000")); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("error %v, want %v", err, transport.ErrClosed)
	}
	close(answer)
}

// TestPCSCCancelEverywhere ends the context while each APDU of a registration is
// under way. The answer is whole or there is none, and the next command gets its
// own.
func TestPCSCCancelEverywhere(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	var sent, at atomic.Int64
	var trip atomic.Value
	reached := false
	card := softKey(t, simulator.Config{})
	transmit := card.transmit
	card.transmit = func(apdu []byte) []byte {
		if sent.Add(1) == at.Load() {
			reached = true
			trip.Load().(context.CancelFunc)()
			time.Sleep(20 * time.Millisecond) // the caller has left
		}
		return transmit(apdu)
	}
	lay(t, pcscd.Readers[1], card)
	dev := openKey(t, pcscd.Readers[1])
	info, err := dev.Exchange(soon(t), []byte{4})
	if err != nil {
		t.Fatal(err)
	}
	made, cancelled := 0, 0
	for n := int64(1); ; n++ {
		ctx, end := context.WithCancel(soon(t))
		trip.Store(end)
		reached = false
		sent.Store(0)
		at.Store(n)
		answer, err := dev.Exchange(ctx, longRegistration(t))
		at.Store(0)
		switch {
		case err == nil && answer[0] == 0:
			made++
		case errors.Is(err, context.Canceled):
			cancelled++
		default:
			t.Errorf("APDU %d: answer %x, error %v", n, answer, err)
		}
		if again, err := dev.Exchange(soon(t), []byte{4}); err != nil || !bytes.Equal(again, info) {
			t.Errorf("APDU %d: the next answer is %x, error %v, want %x", n, again, err, info)
		}
		end()
		if !reached {
			break
		}
	}
	t.Logf("%d registered, %d cancelled", made, cancelled)
	if made < 2 || cancelled < 2 {
		t.Errorf("%d registrations went through, %d were cancelled", made, cancelled)
	}
}

// TestPCSCPrograms has programs take turns at one card, with messages in several
// blocks and answers in several parts.
func TestPCSCPrograms(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	lay(t, pcscd.Readers[1], softKey(t, simulator.Config{}))
	const programs, rounds = 3, 8
	var wg sync.WaitGroup
	for range programs {
		dev := openKey(t, pcscd.Readers[1])
		wg.Go(func() {
			for range rounds {
				if answer, err := dev.Exchange(soon(t), longRegistration(t)); err != nil || answer[0] != 0 {
					t.Errorf("answer %x, error %v", answer, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestPCSCTransaction: while one program has a transaction another waits, and says
// so in the end; it may go on later.
func TestPCSCTransaction(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	lay(t, pcscd.Readers[1], softKey(t, simulator.Config{}))
	dev := openKey(t, pcscd.Readers[1])
	stranger := other(t, pcscd.Readers[1])
	if err := stranger.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer stop()
	if _, err := dev.Exchange(ctx, []byte{4}); !errors.Is(err, transport.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %v", err, transport.ErrBusy)
	}
	if err := stranger.EndTransaction(scard.LeaveCard); err != nil {
		t.Fatal(err)
	}
	if _, err := dev.Exchange(soon(t), []byte{4}); err != nil {
		t.Error(err)
	}
	// And what was begun for a caller who left, or ended, is ended.
	done := make(chan error)
	go func() {
		err := stranger.BeginTransaction()
		_ = stranger.EndTransaction(scard.LeaveCard)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the transaction was not ended")
	}
}

// TestPCSCManyOpen opens cards until the service takes no more.
func TestPCSCManyOpen(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	lay(t, pcscd.Readers[1], always("9000"))
	const most = 220
	cards := make([]nfc.Card, most)
	errs := make([]error, most)
	var wg sync.WaitGroup
	for i := range most {
		wg.Go(func() { cards[i], errs[i] = nfc.OpenReader(soon(t), pcscd.Readers[1].Name) })
	}
	wg.Wait()
	opened := 0
	for i, card := range cards {
		if errs[i] == nil {
			opened++
			wg.Go(func() {
				if _, err := card.Transmit(soon(t), unhex("00000000")); err != nil {
					t.Error(err)
				}
				card.Close()
			})
		} else if !errors.Is(errs[i], nfc.ErrNoService) && !errors.Is(errs[i], fs.ErrPermission) {
			t.Errorf("error %v", errs[i])
		}
	}
	wg.Wait()
	t.Logf("%d opened at once", opened)
	if opened < 150 || opened == most {
		t.Errorf("%d cards were open at once", opened)
	}
	openReader(t, pcscd.Readers[1])
}

// TestPCSCManyWatch: each of many sees the card come and go.
func TestPCSCManyWatch(t *testing.T) {
	needPCSC(t)
	noLeaks(t)
	const watchers = 300
	reader := pcscd.Readers[1]
	name := reader.Name
	slot := nfc.NewSlot(name)
	var ready, wg sync.WaitGroup
	ready.Add(watchers)
	for range watchers {
		wg.Go(func() {
			ready.Done()
			if _, err := nfc.WaitForCard(soon(t), name); err != nil {
				t.Error(err)
			}
			if err := slot.Removed(soon(t)); err != nil {
				t.Error(err)
			}
		})
	}
	ready.Wait()
	take := lay(t, reader, always("9000"))
	time.Sleep(2 * 100 * time.Millisecond)
	take()
	wg.Wait()
}

// TestPCSCCycles: cards come and go, and are opened and closed, for long.
func TestPCSCCycles(t *testing.T) {
	needPCSC(t)
	opens, insertions := 2000, 12
	if testing.Short() {
		opens, insertions = 100, 2
	}
	noLeaks(t)
	reader := pcscd.Readers[1]
	card := softKey(t, simulator.Config{})
	take := lay(t, reader, card)
	threads := entries(t, "/proc/self/task")
	begin := time.Now()
	for range opens {
		dev, err := nfc.OpenReader(t.Context(), reader.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dev.Transmit(t.Context(), unhex("00a4040008a0000006472f0001")); err != nil {
			t.Fatal(err)
		}
		dev.Close()
	}
	t.Logf("%d times opened and closed in %v", opens, time.Since(begin))
	slot := nfc.NewSlot(reader.Name)
	for range insertions {
		dev := openKey(t, reader)
		take()
		if err := slot.Removed(soon(t)); err != nil {
			t.Fatal(err)
		}
		dev.Close()
		take = put(t, reader, card)
		back, err := slot.Inserted(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := back.Exchange(soon(t), []byte{4}); err != nil {
			t.Error(err)
		}
		back.Close()
	}
	// The runtime keeps threads that were blocked, and uses them again.
	if now := entries(t, "/proc/self/task"); now > threads+16 {
		t.Errorf("%d threads before, %d after", threads, now)
	}
}

// BenchmarkPCSC is one getInfo, there and back through the service.
func BenchmarkPCSC(b *testing.B) {
	needPCSC(b)
	lay(b, pcscd.Readers[1], softKey(b, simulator.Config{}))
	dev := openKey(b, pcscd.Readers[1])
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		if _, err := dev.Exchange(b.Context(), []byte{4}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/p99")
}
