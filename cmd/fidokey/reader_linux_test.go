//go:build cgo && pcsc

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/internal/pcsctest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/nfc"
)

func init() { programs["hold-card"] = holdCard }

// holdCard uses the card in the reader that it is called with until its input ends,
// so that pcscd does not switch the card off in between, after which it would count
// as laid on again.
func holdCard() {
	card, err := nfc.OpenReader(context.Background(), os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("held")
	io.Copy(io.Discard, os.Stdin)
	card.Close()
}

// hold runs holdCard.
func hold(t *testing.T, d *pcsctest.Daemon, reader string) (release func()) {
	t.Helper()
	cmd := exec.Command("hold-card", reader)
	cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+d.Socket)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(stdout).Scan() {
		t.Fatal("the card is not held")
	}
	return func() { stdin.Close(); cmd.Wait() }
}

// readers starts a smart-card service of the test's own.
func readers(t *testing.T, names ...string) *pcsctest.Daemon {
	t.Helper()
	if missing := pcsctest.Missing(); missing != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	d, err := pcsctest.Start(names...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// lay lays a key on a reader. It lies there until take is called.
func (s *station) lay(t *testing.T, r pcsctest.Reader, options ...simulator.CardOption) (take func()) {
	t.Helper()
	_, take, err := s.serve(func(ctx context.Context, ready func(net.Addr)) error {
		return simulator.ServeVPCD(ctx, s.key, simulator.DoorConfig{Address: fmt.Sprintf("127.0.0.1:%d", r.Port), Ready: ready}, options...)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(take)
	return take
}

// keyInReader is a key that was laid on a reader.
func keyInReader(t *testing.T, d *pcsctest.Daemon, n int, profile, pin string) *station {
	t.Helper()
	s := &station{}
	if err := s.make(profile, pin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.key.Close() })
	s.lay(t, d.Readers[n])
	return s
}

// atReaders is a call of the program that finds these readers.
func atReaders(t *testing.T, d *pcsctest.Daemon, args ...string) *exec.Cmd {
	t.Helper()
	call := exec.Command("fidokey", args...)
	call.Dir = t.TempDir()
	call.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+d.Socket, "FIDOKEY_SIMULATOR_STATE=:memory:")
	stuck := time.AfterFunc(time.Minute, func() {
		if call.Process != nil {
			call.Process.Kill()
		}
	})
	t.Cleanup(func() { stuck.Stop() })
	return call
}

// TestReaderNames finds readers by name, and keys without one.
func TestReaderNames(t *testing.T) {
	d := readers(t, "Red reader", "Green reader")
	// The simulator dials as soon as pcscd looks; a card of another kind is one, too.
	keyInReader(t, d, 0, "ctap-2.1", "")
	check := func(code int, says string, args ...string) {
		t.Helper()
		got, said := output(t, atReaders(t, d, args...))
		if got != code || !strings.Contains(said, says) {
			t.Errorf("fidokey %s: exit code %d, want %d with %q\n%s", strings.Join(args, " "), got, code, says, said)
		}
	}
	check(0, "pcsc:Red reader 00 00", "list")
	check(0, "FIDO_2_1", "info")
	check(0, "FIDO_2_1", "info", "--device", "pcsc:Red reader 00 00")
	check(0, "FIDO_2_1", "info", "--device", "pcsc:red")
	check(0, "FIDO_2_1", "info", "--device", "1")
	check(0, "Red reader 00 00: with a card", "doctor")
	check(exitNoKey, `no smart-card reader is called "blue"; there are`, "info", "--device", "pcsc:blue")
	check(exitNoKey, "several smart-card readers fit", "info", "--device", "pcsc:green")
	check(exitNoTouch, "no key was held to the reader within 300ms", "info", "--device", "pcsc:green reader 00 00", "--timeout", "300ms")

	keyInReader(t, d, 1, "ctap-2.3", "")
	check(exitNoKey, "choose one with --device", "info")
	check(exitNoKey, "several smart-card readers fit", "info", "--device", "pcsc:reader")
	check(0, "FIDO_2_3", "info", "--device", "2")
	check(0, "== pcsc:Green reader 00 00", "info", "--all")

	d.Stop()
	check(exitPermission, "pcscd does not run", "info", "--device", "pcsc:red")
	check(exitNoKey, "no security key found", "info")
}

// TestOtherCards: a card without the FIDO applet is no key.
func TestOtherCards(t *testing.T) {
	d := readers(t, "reader")
	bank, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", d.Readers[0].Port))
	if err != nil {
		t.Fatal(err)
	}
	defer bank.Close()
	go bankCard(bank)
	code, said := output(t, atReaders(t, d, "info", "--device", "pcsc:"+d.Readers[0].Name))
	if code == 0 || !strings.Contains(said, "6a82") {
		t.Errorf("info of the card: exit code %d\n%s", code, said)
	}
	code, said = output(t, atReaders(t, d, "info"))
	if code != exitNoKey || !strings.Contains(said, "no security key found") {
		t.Errorf("info: exit code %d\n%s", code, said)
	}
}

// bankCard knows no applet.
func bankCard(conn net.Conn) {
	frame := bufio.NewReader(conn)
	for {
		var head [2]byte
		if _, err := io.ReadFull(frame, head[:]); err != nil {
			return
		}
		message := make([]byte, int(head[0])<<8|int(head[1]))
		io.ReadFull(frame, message)
		switch {
		case len(message) > 1:
			conn.Write([]byte{0, 2, 0x6a, 0x82})
		case message[0] == 4:
			conn.Write([]byte{0, 4, 0x3b, 0x02, 0x14, 0x50})
		}
	}
}

// TestListWatch: a list that is watched has a line for each change.
func TestListWatch(t *testing.T) {
	d := readers(t, "reader")
	s := &station{}
	if err := s.make("ctap-2.1", ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.key.Close() })
	call := atReaders(t, d, "list", "--watch", "--json")
	stdout, err := call.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	keys := func(want int) {
		t.Helper()
		var answer struct{ Result struct{ Keys []any } }
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &answer) != nil || len(answer.Result.Keys) != want {
			t.Fatalf("want %d keys, got %s", want, lines.Text())
		}
	}
	keys(0)
	for range 3 {
		take := s.lay(t, d.Readers[0])
		keys(1)
		take()
		keys(0)
	}
	call.Process.Signal(os.Interrupt)
	if err := call.Wait(); err != nil {
		t.Error(err)
	}
}

// TestEveryCommandInReader: every command does in a reader what it does on USB.
func TestEveryCommandInReader(t *testing.T) {
	d := readers(t, "reader", "contact reader")
	var usb station
	device, stop, err := usb.start("ctap-2.3", "12345678")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	keyInReader(t, d, 0, "ctap-2.3", "12345678")
	var contact station
	if err := contact.make("ctap-2.3", "12345678"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { contact.key.Close() })
	contact.lay(t, d.Readers[1], simulator.ContactCard())

	opensKey := func(cmd *cobra.Command) bool { _, ok := callsOnAKey[strings.Join(words(cmd), " ")]; return ok }
	leaves(t, opensKey, func(t *testing.T, cmd *cobra.Command) {
		var codes []int
		var said []string
		for _, at := range []string{device, "pcsc:" + d.Readers[0].Name, "pcsc:" + d.Readers[1].Name} {
			args := slices.Concat(words(cmd), strings.Fields(callsOnAKey[strings.Join(words(cmd), " ")]), []string{"--device", at})
			call := atReaders(t, d, args...)
			if err := os.WriteFile(filepath.Join(call.Dir, "pin"), []byte("12345678\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, output := output(t, call)
			codes, said = append(codes, code), append(said, output)
		}
		if words(cmd)[0] == "wink" { // there is no such command for cards
			codes[0] = exitRefused
		}
		if codes[1] != codes[0] || codes[2] != codes[0] {
			t.Errorf("exit codes on USB, contactless, with contacts: %v\n%s", codes, strings.Join(said, "\n"))
		}
	})
}

// events runs a call with --events jsonl and calls on for each event.
func eventsOf(t *testing.T, call *exec.Cmd, on func(event string, fields map[string]any)) {
	t.Helper()
	call.Args = append(call.Args, "--events", "jsonl")
	stderr, err := call.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Start(); err != nil {
		t.Fatal(err)
	}
	var all []string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		all = append(all, lines.Text())
		var fields map[string]any
		if err := json.Unmarshal(lines.Bytes(), &fields); err != nil {
			t.Errorf("%v: %s", err, lines.Text())
			continue
		}
		on(fields["event"].(string), fields)
	}
	if err := call.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(all, "\n"))
	}
}

// TestTapAgain: a key without a button is to be laid on the reader again for the
// second touch, and the command goes on.
func TestTapAgain(t *testing.T) {
	d := readers(t, "reader")
	s := keyInReader(t, d, 0, "nfc-card-no-button", "1234")
	device := "pcsc:" + d.Readers[0].Name
	register := func(told func(event string, fields map[string]any)) {
		call := atReaders(t, d, "register", "--rp", "example.com", "--user", "alice", "--device", device, "--pin-file", "pin")
		if err := os.WriteFile(filepath.Join(call.Dir, "pin"), []byte("1234\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		eventsOf(t, call, told)
	}
	var stages []string
	hand := func(event string, fields map[string]any) {
		if event != eventReinsert {
			return
		}
		stage := fields["stage"].(string)
		stages = append(stages, stage)
		switch stage {
		case "remove":
			s.key.PowerOff()
		case "insert":
			s.key.PowerOn()
		}
	}
	release := hold(t, d, d.Readers[0].Name)
	register(hand)
	if len(stages) != 0 {
		t.Errorf("the first tap was not enough: %q", stages)
	}
	register(hand)
	if want := []string{"remove", "insert"}; !slices.Equal(stages, want) {
		t.Errorf("told %q, want %q", stages, want)
	}
	release()
	stages = nil
	call := atReaders(t, d, "reset", "--yes", "--device", device)
	eventsOf(t, call, hand)
	if want := []string{"remove", "insert", "reset"}; !slices.Equal(stages, want) {
		t.Errorf("reset: told %q, want %q", stages, want)
	}
}

// TestPINBeforeTap: where no key lies on the reader yet, the person types the PIN
// first, and holds the key there last.
func TestPINBeforeTap(t *testing.T) {
	d := readers(t, "reader")
	s := &station{}
	if err := s.make("nfc-card-no-button", "1234"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.key.Close() })
	call := atReaders(t, d, "register", "--rp", "example.com", "--user", "alice", "--device", "pcsc:READER 00 00")
	call.Env = append(call.Env, "TERM=xterm", "NO_COLOR=1")
	terminal, err := pty.StartWithSize(call, &pty.Winsize{Cols: 100, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var seen strings.Builder
	expect := func(words string) {
		t.Helper()
		for b := make([]byte, 1024); !strings.Contains(seen.String(), words); {
			n, err := terminal.Read(b)
			seen.Write(b[:n])
			if err != nil && !strings.Contains(seen.String(), words) {
				t.Fatalf("no %q (%v) in\n%s", words, err, seen.String())
			}
		}
	}
	expect("PIN of the key (none: just press Enter): ")
	if strings.Contains(seen.String(), "Hold") {
		t.Errorf("asked to hold the key there before the PIN:\n%s", seen.String())
	}
	io.WriteString(terminal, "1234\n")
	expect("Hold your security key to the reader")
	s.lay(t, d.Readers[0])
	expect("Registered alice at example.com.")
	if strings.Count(seen.String(), "PIN of the key") != 1 || strings.Contains(seen.String(), "PIN (") {
		t.Errorf("asked for the PIN twice:\n%s", seen.String())
	}
	io.Copy(io.Discard, terminal)
	var status *exec.ExitError
	if err := call.Wait(); errors.As(err, &status) {
		t.Errorf("%v\n%s", err, seen.String())
	}
}
