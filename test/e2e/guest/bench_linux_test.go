package guest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A relayBoard is a chip with four GPIO lines at USB (Microchip's MCP2221), which the
// kernel's driver makes a gpiochip of. It is a HID device by way of /dev/uhid.
type relayBoard struct {
	*testing.T
	uhid *os.File
	chip string // /dev/gpiochipN
	// unplug takes the board away, once what hangs on its wire is done.
	unplug func()

	mu     sync.Mutex
	values []string // that line 2 was set to
	wire   func(on bool)
}

// Events of /dev/uhid, and where a report stands in one that is read (linux/uhid.h).
const (
	uhidOutputEvent = 6
	uhidCreateEvent = 11
	uhidInputEvent  = 12
)

// plugRelays plugs the board in; wire is what hangs on its line 2.
func plugRelays(t *testing.T, wire func(on bool)) *relayBoard {
	t.Helper()
	run(t, "", "modprobe", "hid-mcp2221")
	f, err := os.OpenFile("/dev/uhid", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := &relayBoard{T: t, uhid: f, wire: wire}
	descriptor := []byte{
		0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 64,
		0x09, 0x02, 0x81, 0x02, 0x09, 0x03, 0x91, 0x02, 0xc0, // 64 bytes in, 64 out
	}
	create := binary.NativeEndian.AppendUint32(nil, uhidCreateEvent)
	create = append(create, append([]byte("MCP2221"), make([]byte, 128+64+64-7)...)...)
	create = binary.NativeEndian.AppendUint16(create, uint16(len(descriptor)))
	create = binary.NativeEndian.AppendUint16(create, 3) // USB
	create = binary.NativeEndian.AppendUint32(create, 0x04d8)
	create = binary.NativeEndian.AppendUint32(create, 0x00dd)
	create = append(create, make([]byte, 8)...)
	if _, err := f.Write(append(create, descriptor...)); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); b.serve() }()
	b.unplug = func() { f.Close(); <-served }
	waitFor(t, "a gpiochip", func() bool {
		chips, _ := filepath.Glob("/sys/bus/gpio/devices/gpiochip*")
		for _, c := range chips {
			if target, _ := filepath.EvalSymlinks(c); strings.Contains(target, ":04D8:00DD.") {
				b.chip = filepath.Join("/dev", filepath.Base(c))
			}
		}
		_, err := os.Stat(b.chip)
		return err == nil && b.chip != ""
	})
	return b
}

// serve answers the commands of the driver until the device is closed.
func (b *relayBoard) serve() {
	event := make([]byte, 4380)
	for {
		n, err := b.uhid.Read(event)
		if err != nil {
			return
		}
		if n < 4+64 || binary.NativeEndian.Uint32(event) != uhidOutputEvent {
			continue
		}
		answer := bytes.Clone(event[4 : 4+64])
		wire := b.set(answer)
		answer[1] = 0 // success
		if answer[0] == 0x51 {
			clear(answer[2:]) // all lines are outputs, and low
		}
		input := binary.NativeEndian.AppendUint32(nil, uhidInputEvent)
		input = binary.NativeEndian.AppendUint16(input, uint16(len(answer)))
		if _, err := b.uhid.Write(append(input, answer...)); err != nil {
			b.Error(err)
		}
		if wire != nil {
			wire()
		}
	}
}

// set looks at a command that sets lines: for each whether its value changes, the
// value, and the same for its direction. It returns what then happens on the wire.
func (b *relayBoard) set(command []byte) (wire func()) {
	const line2 = 2 + 2*4
	if command[0] != 0x50 || command[line2] == 0 {
		return nil
	}
	on := command[line2+1] != 0
	b.mu.Lock()
	b.values = append(b.values, map[bool]string{true: "on", false: "off"}[on])
	b.mu.Unlock()
	return func() { b.wire(on) }
}

func (b *relayBoard) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.values)
}

// TestBench has a USB key that is told by the port that it is in, a switch in its power
// supply, and a relay at a GPIO line of the kernel that touches it: all that belongs to
// a bench, but for the metal.
func TestBench(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const control = "127.0.0.1:8700"
	token := write("token", "secret")
	vhci.plug(t, "--state", ":memory:", "--touch", "never", "--profile", "ctap-2.3", "--control", control, "--control-token-file", token)
	touch := func(how string) {
		if out, err := try(t, "", fidokey, "simulator", "control", control, "--token-file", token, "touch", how); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	relays := plugRelays(t, func(on bool) {
		if on {
			touch("0")
		} else {
			touch("never")
		}
	})
	defer relays.unplug()
	port := usbPort(t)
	bench := write("bench.yaml", fmt.Sprintf(`
state: state
times: {settle: 200ms, enumerate: 30s, touch: 5s}
keys:
  blue:
    match: {vendor: "1209", product: "f1d0", port: %s, aaguid: f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c23}
    power: {driver: simulator, control: "%s", tokenFile: token}
    touch: {driver: gpio, chip: %s, line: 2}
    release: true
  elsewhere:
    match: {vendor: "1209", port: 9-9}
`, port, control, relays.chip))
	hil := func(args ...string) string {
		t.Helper()
		return run(t, "", fidokey, append(append([]string{"hil"}, args...), "--bench", bench)...)
	}
	list := hil("list")
	for _, want := range []string{"vendor and product, port", port, "gpio", "elsewhere: the key is not on the bench"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in the list:\n%s", want, list)
		}
	}
	hil("adopt", "blue", "--yes")
	checked := hil("check", "blue", "--try")
	if !strings.Contains(checked, "a touch was noticed after") || !strings.Contains(checked, "back ") {
		t.Errorf("%s", checked)
	}
	if v := relays.seen(); !slices.Contains(v, "on") || v[len(v)-1] != "off" {
		t.Errorf("the line was %q", v)
	}
	var answer struct {
		Result struct {
			Reset struct{ ThereMs, SentMs, DoneMs int64 }
		}
	}
	if err := json.Unmarshal([]byte(hil("reset", "blue", "--yes", "--json")), &answer); err != nil {
		t.Fatal(err)
	}
	if r := answer.Result.Reset; r.SentMs < r.ThereMs || r.SentMs > 10000 || r.DoneMs < r.SentMs {
		t.Errorf("%+v", r)
	}
	t.Logf("the reset: %+v", answer.Result.Reset)
	t.Setenv("FIDOKEY_BENCH", bench)
	lockedDuring(t, exec.Command(fidokey, "conformance", "run", "HID-001", "MC-001", "--device", "bench:blue"))
	if done := run(t, "", fidokey, "reset", "--device", "bench:blue", "--yes"); !strings.Contains(done, "The key was reset") {
		t.Error(done)
	}
}

// lockedDuring runs a command, during which others cannot lock the key's node.
func lockedDuring(t *testing.T, command *exec.Cmd) {
	t.Helper()
	ended := make(chan error)
	go func() {
		out, err := command.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		ended <- err
	}()
	// HID-001 listens for three seconds; to ask what the key is takes a fraction of one.
	for locked := 0; ; time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-ended:
			if err != nil || locked < 40 {
				t.Errorf("the node was locked %d times, %v", locked, err)
			}
			return
		default:
		}
		for _, path := range nodes() { // another one after each power cycle
			node, err := os.Open(path)
			if err != nil {
				continue
			}
			if err := unix.Flock(int(node.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
				locked++
			}
			node.Close()
		}
	}
}

// usbPort is where the only key is, by the kernel's word.
func usbPort(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(filepath.Join("/sys/class/hidraw", filepath.Base(nodes()[0]), "device"))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(filepath.Dir(filepath.Dir(dir)))
}
