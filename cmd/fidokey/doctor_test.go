package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/metadata"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// built is when the program was made that examines made-up machines.
var built = time.Date(2026, time.October, 1, 0, 0, 0, 0, time.UTC)

// aKey is what the system says of a key.
var aKey = hid.Info{Path: "/dev/hidraw3", Product: "YubiKey FIDO", VendorID: 0x1050, ProductID: 0x0407}

// newMachine makes a Linux machine up that has nothing wrong: a key, and this user
// may open it.
func newMachine(t *testing.T) *machine {
	dir, err := os.MkdirTemp("", "fidokey") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &machine{
		goos: "linux", root: dir, keys: []hid.Info{aKey}, open: func(string) error { return nil },
		now: built.Add(24 * time.Hour), built: built, names: built,
		readers: func(context.Context) ([]nfc.ReaderInfo, error) { return nil, nil },
		stored:  func() (metadata.IndexInfo, error) { return metadata.IndexInfo{}, metadata.ErrNoCache },
	}
	write(t, m, "/sys/class/hidraw/hidraw3/dev", "240:3\n")
	write(t, m, aKey.Path, "")
	write(t, m, "/proc/version", "Linux version 6.18.0 (builder@example) #1 SMP\n")
	return m
}

func write(t *testing.T, m *machine, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, m *machine, name string) {
	t.Helper()
	if err := os.RemoveAll(m.path(name)); err != nil {
		t.Fatal(err)
	}
}

// storing has a metadata BLOB that another follows on a day.
func storing(next time.Time, err error) func(*testing.T, *machine) {
	return func(_ *testing.T, m *machine) {
		m.stored = func() (metadata.IndexInfo, error) {
			return metadata.IndexInfo{Entries: 7, NextUpdate: metadata.Day{Time: next}}, err
		}
	}
}

func noReaders(err error) func(context.Context) ([]nfc.ReaderInfo, error) {
	return func(context.Context) ([]nfc.ReaderInfo, error) { return nil, err }
}

// forbidden is what a node says to a user without rights.
func forbidden(string) error { return fmt.Errorf("open: %w", fs.ErrPermission) }

// usb plugs a USB device in whose interface has a class.
func usb(t *testing.T, m *machine, vendor, product, version, class string) {
	const dir = "/sys/bus/usb/devices/1-1"
	write(t, m, dir+"/idVendor", vendor+"\n")
	write(t, m, dir+"/idProduct", product+"\n")
	write(t, m, dir+"/bcdDevice", version+"\n")
	write(t, m, dir+"/manufacturer", "Acme\n")
	write(t, m, dir+"/product", "Key\x1b[2J\n")
	write(t, m, dir+":1.1/bInterfaceClass", class+"\n")
}

// pcscd listens where the smart-card service does.
func pcscd(t *testing.T, m *machine, each func(net.Conn)) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(pcscSocket)), 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", m.path(pcscSocket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			each(conn)
		}
	}()
}

// TestDoctorChecks shows each finding on a machine that is made up for it.
func TestDoctorChecks(t *testing.T) {
	for _, tt := range []struct {
		name, check string
		change      func(t *testing.T, m *machine)
		outcome     outcome
		code        int
		says        string // in what was seen or what to do
	}{
		{"a kernel without hidraw", "hidraw", func(t *testing.T, m *machine) { remove(t, m, "/sys/class/hidraw"); m.keys = nil },
			outcomeProblem, exitNoKey, "/sys/class/hidraw"},
		{"HID devices, none of them a key", "hidraw", func(_ *testing.T, m *machine) { m.keys = nil }, outcomeOK, 0, "1 HID devices, 0 of them"},
		{"no node", "device nodes", func(t *testing.T, m *machine) { remove(t, m, "/dev") }, outcomeProblem, exitFailure, "udevadm trigger"},
		{"no node in a container", "device nodes", func(t *testing.T, m *machine) { remove(t, m, "/dev"); write(t, m, "/.dockerenv", "") },
			outcomeProblem, exitPermission, "--device /dev/hidrawN"},
		{"no right, udev knows keys", "rights", func(t *testing.T, m *machine) { m.open = forbidden; write(t, m, "/usr/lib/udev/fido_id", "") },
			outcomeProblem, exitPermission, `KERNEL=="hidraw*", SUBSYSTEM=="hidraw", IMPORT{program}="fido_id", ENV{ID_FIDO_TOKEN}=="1", TAG+="uaccess"`},
		{"no right, udev knows none", "rights", func(_ *testing.T, m *machine) { m.open = forbidden },
			outcomeProblem, exitPermission, `ATTRS{idVendor}=="1050", ATTRS{idProduct}=="0407", TAG+="uaccess"`},
		{"no right, no screen", "rights", func(_ *testing.T, m *machine) { m.open = forbidden }, outcomeProblem, exitPermission, `GROUP="plugdev", MODE="0660"`},
		{"busy is not forbidden", "rights", func(_ *testing.T, m *machine) { m.open = func(string) error { return transport.ErrBusy } }, outcomeOK, 0, ""},
		{"another program", "use by other programs", func(t *testing.T, m *machine) {
			write(t, m, "/proc/4711/comm", "firefox\n")
			os.MkdirAll(m.path("/proc/4711/fd"), 0o755)
			os.Symlink(aKey.Path, m.path("/proc/4711/fd/33"))
			os.Symlink("/dev/hidraw33", m.path("/proc/4711/fd/34"))
		}, outcomeWarning, 0, "/dev/hidraw3 is open in firefox (process 4711)"},
		{"nobody", "use by other programs", nil, outcomeOK, 0, ""},
		{"Windows without elevation", "Windows administrator", func(_ *testing.T, m *machine) { m.goos = "windows" }, outcomeProblem, exitPermission, "Run as administrator"},
		{"Windows with elevation", "Windows administrator", func(_ *testing.T, m *machine) { m.goos, m.elevated = "windows", true }, outcomeOK, 0, ""},
		{"WSL without a key", "Windows Subsystem for Linux", func(t *testing.T, m *machine) {
			m.keys = nil
			write(t, m, "/proc/version", "Linux version 5.15.90.1-microsoft-standard-WSL2\n")
		}, outcomeProblem, exitNoKey, "usbipd attach --wsl"},
		{"WSL with a key", "Windows Subsystem for Linux", func(t *testing.T, m *machine) { write(t, m, "/proc/version", "Linux version 4.4.0-Microsoft\n") }, outcomeOK, 0, ""},
		{"no WSL", "Windows Subsystem for Linux", nil, outcomeNotApplicable, 0, ""},
		{"no metadata", "metadata", nil, outcomeNotApplicable, 0, ""},
		{"metadata", "metadata", storing(built.Add(30*24*time.Hour), nil), outcomeOK, 0, "7 models"},
		{"old metadata", "metadata", storing(built.Add(-90*24*time.Hour), nil), outcomeWarning, 0, "was due on 2026-07-03"},
		{"metadata that cannot be read", "metadata", storing(built, fs.ErrPermission), outcomeWarning, 0, "metadata update"},
		{"no reader", "smart-card readers", nil, outcomeNotApplicable, 0, ""},
		{"readers", "smart-card readers", func(_ *testing.T, m *machine) {
			m.readers = func(context.Context) ([]nfc.ReaderInfo, error) {
				return []nfc.ReaderInfo{{Name: "A\x1b[2J", Present: true}, {Name: "B"}, {Name: "C", Present: true, Pretender: "it pretends"}, {Name: "D", Present: true, Mute: true}}, nil
			}
		}, outcomeOK, 0, "A\ufffd[2J: with a card; B: empty; C: not asked, for it pretends; D: the card does not answer"},
		{"a build without readers, and none there", "smart-card readers", func(_ *testing.T, m *machine) { m.readers = noReaders(transport.ErrUnsupported) }, outcomeNotApplicable, 0, ""},
		{"a build without readers, and one there", "smart-card readers", func(t *testing.T, m *machine) {
			m.readers = noReaders(transport.ErrUnsupported)
			usb(t, m, "072f", "2200", "0100", "0b")
		}, outcomeWarning, 0, "libpcsclite-dev"},
		{"no service for readers", "smart-card readers", func(_ *testing.T, m *machine) { m.readers = noReaders(nfc.ErrNoService) }, outcomeNotApplicable, 0, ""},
		{"no right to readers", "smart-card readers", func(_ *testing.T, m *machine) { m.readers = noReaders(fs.ErrPermission) }, outcomeWarning, 0, "USB"},
		{"a container without keys", "container", func(t *testing.T, m *machine) { m.keys = nil; write(t, m, "/run/.containerenv", "") }, outcomeWarning, 0, "--device"},
		{"a container with keys", "container", func(t *testing.T, m *machine) { write(t, m, "/run/systemd/container", "lxc") }, outcomeOK, 0, "/run/systemd/container"},
		{"Input Monitoring", "macOS Input Monitoring", func(_ *testing.T, m *machine) {
			m.goos, m.open = "darwin", func(string) error { return errors.New("hidapi: failed") }
		}, outcomeWarning, 0, "Input Monitoring"},
		{"macOS, and it opens", "macOS Input Monitoring", func(_ *testing.T, m *machine) { m.goos = "darwin" }, outcomeOK, 0, ""},
		{"no smart cards at all", "PC/SC service", nil, outcomeNotApplicable, 0, ""},
		{"a reader without a service", "PC/SC service", func(t *testing.T, m *machine) { usb(t, m, "072f", "2200", "0100", "0b") },
			outcomeWarning, 0, "enable --now pcscd.socket"},
		{"a service", "PC/SC service", func(t *testing.T, m *machine) { pcscd(t, m, func(c net.Conn) { t.Cleanup(func() { c.Close() }) }) }, outcomeOK, 0, ""},
		{"a service that is blocked", "PC/SC service", func(t *testing.T, m *machine) { pcscd(t, m, func(c net.Conn) { c.Close() }) },
			outcomeWarning, 0, "org.debian.pcsc-lite.access_pcsc"},
		{"a service that is dead", "PC/SC service", func(t *testing.T, m *machine) { write(t, m, pcscSocket, "") }, outcomeWarning, 0, "systemctl restart"},
		{"a Nitrokey", "smart-card interfaces", func(t *testing.T, m *machine) { usb(t, m, "20a0", "42b2", "0107", "0b") }, outcomeWarning, 0, "takes the FIDO application"},
		{"a Solo 2", "smart-card interfaces", func(t *testing.T, m *machine) { usb(t, m, "1209", "beee", "0107", "0b") }, outcomeWarning, 0, "Acme Key\ufffd[2J"},
		{"an older YubiKey", "smart-card interfaces", func(t *testing.T, m *machine) { usb(t, m, "1050", "0407", "0574", "0b") }, outcomeWarning, 0, ""},
		{"a newer YubiKey", "smart-card interfaces", func(t *testing.T, m *machine) { usb(t, m, "1050", "0407", "0580", "0b") }, outcomeOK, 0, ""},
		{"another reader", "smart-card interfaces", func(t *testing.T, m *machine) { usb(t, m, "072f", "2200", "0100", "0b") }, outcomeOK, 0, ""},
		{"a keyboard", "smart-card interfaces", func(t *testing.T, m *machine) { usb(t, m, "20a0", "42b2", "0107", "03") }, outcomeNotApplicable, 0, ""},
		{"a clock that was reset", "clock", func(_ *testing.T, m *machine) { m.now = time.Unix(0, 0) }, outcomeWarning, 0, "before this program was built"},
		{"a clock far ahead", "clock", func(_ *testing.T, m *machine) { m.now = built.AddDate(30, 0, 0) }, outcomeWarning, 0, "very long after"},
		{"a clock", "clock", nil, outcomeOK, 0, ""},
		{"old names", "model names", func(_ *testing.T, m *machine) { m.now = built.AddDate(1, 1, 0) }, outcomeWarning, 0, "newer fidokey"},
		{"names", "model names", nil, outcomeOK, 0, "1 October 2026"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tt.check == "use by other programs" {
				t.Skip("links to devices of Linux are other links on Windows")
			}
			m := newMachine(t)
			if tt.change != nil {
				tt.change(t, m)
			}
			for _, d := range m.examine(t.Context()) {
				if d.Check != tt.check {
					continue
				}
				text := d.Seen + "\n" + strings.Join(d.Do, "\n")
				if d.Outcome != tt.outcome || d.code != tt.code || !strings.Contains(text, tt.says) {
					t.Errorf("%s, exit code %d, want %s, %d and %q:\n%s", d.Outcome, d.code, tt.outcome, tt.code, tt.says, text)
				}
				return
			}
			t.Fatalf("no check %q", tt.check)
		})
	}
}

// TestDoctorIsContent: a machine that has nothing wrong has no problem, and one of
// another system is not asked for Linux's files.
func TestDoctorIsContent(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "freebsd"} {
		m := newMachine(t)
		m.goos = goos
		for _, d := range m.examine(t.Context()) {
			if d.Outcome == outcomeProblem || d.Outcome == outcomeWarning {
				t.Errorf("%s: %+v", goos, d)
			}
		}
	}
}

// TestDoctorKeys: what each key that cannot be asked is told.
func TestDoctorKeys(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links to devices of Linux are other links on Windows")
	}
	m := newMachine(t)
	write(t, m, "/proc/4711/comm", "firefox\n")
	if err := os.MkdirAll(m.path("/proc/4711/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(aKey.Path, m.path("/proc/4711/fd/33")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		err  error
		code int
		says string
	}{
		{forbidden(""), exitPermission, `TAG+="uaccess"`},
		{fmt.Errorf("open: %w", transport.ErrBusy), exitFailure, "It is open in firefox (process 4711)."},
		{context.DeadlineExceeded, exitFailure, "no answer"},
		{fmt.Errorf("open: %w", transport.ErrClosed), exitNoKey, "unplugged"},
		{errors.New("out of order"), exitFailure, "out of order"},
	} {
		p := place{describe(aKey), func(context.Context, client.Prompt) (*openedKey, error) { return nil, tt.err }}
		e := &env{}
		d := e.examineKeys(t.Context(), m, []place{p})[0]
		if text := d.Seen + "\n" + strings.Join(d.Do, "\n"); d.Outcome != outcomeProblem || d.code != tt.code || !strings.Contains(text, tt.says) {
			t.Errorf("%v: %+v, want exit code %d and %q", tt.err, d, tt.code, tt.says)
		}
	}
}

// TestDoctorExitCode: a right that is missing counts more than a key, and that
// more than anything else.
func TestDoctorExitCode(t *testing.T) {
	for want, checks := range map[int][]diagnosis{
		exitOK:         {ok("well"), warning("odd"), notApplicable("elsewhere")},
		exitFailure:    {ok("well"), problem(exitFailure, "bad")},
		exitNoKey:      {problem(exitFailure, "bad"), problem(exitNoKey, "none")},
		exitPermission: {problem(exitNoKey, "none"), problem(exitPermission, "no"), problem(exitFailure, "bad")},
	} {
		err := doctorReport{checks}.problems()
		if want == exitOK {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if code, _ := classify(err); code != want {
			t.Errorf("exit code %d for %+v, want %d", code, checks, want)
		}
	}
}

// TestDoctorFindings: what a key does otherwise than the specification is listed,
// and is no problem.
func TestDoctorFindings(t *testing.T) {
	doors := startSimulator(t, 1, "--tcp", "127.0.0.1:0", "--profile", "quirk-unsorted-maps")
	out, err := exec.Command("fidokey", "doctor", "--device", "tcp:"+doors["tcp"]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "otherwise than the specification") || !strings.Contains(string(out), "authenticatorGetInfo: ") {
		t.Errorf("%v\n%s", err, out)
	}
}
