package guest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// libusb is the program under test built with karalabe/hid, which reaches USB
// devices without the kernel's HID driver.
var libusb = os.Getenv("FIDOKEY_GUEST_LIBUSB")

// atUSBDoors runs a test with a key at each door behind which it is a USB device,
// and tells how long it took.
func atUSBDoors(t *testing.T, touch string, test func(t *testing.T, k *key)) {
	for _, d := range []door{vhci, usbip} {
		t.Run(string(d), func(t *testing.T) {
			begin := time.Now()
			k := plugAt(t, d, touch, filepath.Join(t.TempDir(), "state"))
			plugged := time.Since(begin)
			test(t, k)
			t.Logf("%s at %s: plugged in within %v, all in %v", d, k.node, plugged, time.Since(begin))
		})
	}
}

// TestUSBDevice: the system and libfido2 see what a USB key shows.
func TestUSBDevice(t *testing.T) {
	atUSBDoors(t, "auto", func(t *testing.T, k *key) {
		described := run(t, "", "lsusb", "-v", "-d", "1209:f1d0")
		wantLines(t, strings.Join(strings.Fields(described), " "),
			"bcdUSB 2.00", "iManufacturer 1 fidokey", "iProduct 2 fidokey simulator", "MaxPower 100mA",
			"bInterfaceClass 3 Human Interface Device", "bEndpointAddress 0x81 EP 1 IN", "bEndpointAddress 0x01 EP 1 OUT",
			"Transfer Type Interrupt", "wMaxPacketSize 0x0040", "wDescriptorLength 34", "Device Status: 0x0000")
		wantLines(t, run(t, "", "udevadm", "info", "-q", "property", k.node), "ID_FIDO_TOKEN=1", "ID_SECURITY_TOKEN=1")
		wantLines(t, run(t, "", "fido2-token", "-L"), k.node+": vendor=0x1209, product=0xf1d0 (fidokey fidokey simulator)")
		wantLines(t, run(t, "", "fido2-token", "-I", k.node), "FIDO_2_1", "maxmsgsiz: 7609")

		infos, err := hid.Devices(hid.Hidraw)
		if err != nil || len(infos) != 1 {
			t.Fatalf("devices: %v, %v", infos, err)
		}
		if i := infos[0]; i.Path != k.node || i.Manufacturer != "fidokey" || i.Product != "fidokey simulator" ||
			i.VendorID != 0x1209 || i.ProductID != 0xf1d0 {
			t.Errorf("device: %+v", i)
		}
	})
}

// TestUSBIPTool: Debian's tool lists, attaches and detaches the key, again and
// again, and nobody gets a key that somebody has. To be attached is to be plugged
// in: only then the key can be reset.
func TestUSBIPTool(t *testing.T) {
	begin := time.Now()
	k, control := plugControlled(t, usbip, "auto")
	remote := []string{"-r", "127.0.0.1"}
	attach := append([]string{"attach", "-b", "1-1"}, remote...)
	for cycle := range 3 {
		control("clock", "advance", "1m")
		if out, err := try(t, "", "fido2-token", "-R", nodes()[0]); err == nil {
			t.Errorf("reset long after it was plugged in:\n%s", out)
		}
		wantLines(t, run(t, "", "usbip", "port"), "Port 00", "127.0.0.1:3240/1-1", "(1209:f1d0)")
		if out, err := try(t, "", "usbip", attach...); err == nil {
			t.Errorf("attached twice:\n%s", out)
		}
		if out, err := try(t, "", "usbip", append([]string{"list"}, remote...)...); err == nil && strings.Contains(out, "1209:f1d0") {
			t.Errorf("offered while a host has it:\n%s", out)
		}
		wantLines(t, run(t, "", fidokey, "info"), "FIDO_2_1")

		run(t, "", "usbip", "detach", "-p", "0")
		waitFor(t, "the node to vanish", func() bool { return len(nodes()) == 0 })
		waitFor(t, "the key to be offered", func() bool {
			out, err := try(t, "", "usbip", append([]string{"list"}, remote...)...)
			return err == nil && strings.Contains(out, "(1209:f1d0)") && strings.Contains(out, "/sys/devices/fidokey/usb1/1-1")
		})
		run(t, "", "usbip", attach...)
		waitFor(t, "a node", func() bool { return len(nodes()) == 1 })
		t.Logf("cycle %d: %s after %v", cycle, nodes()[0], time.Since(begin))
	}
	k.node = nodes()[0]
	run(t, "", "fido2-token", "-R", k.node) // in time
}

// TestUSBLongMessages: messages of the greatest length go there and back, none of
// 129 reports each way lost.
func TestUSBLongMessages(t *testing.T) {
	atUSBDoors(t, "auto", func(t *testing.T, k *key) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		dev, err := openKey(ctx, t, k)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		const times, size = 6, 7609
		begin := time.Now()
		echo(ctx, t, dev, times, size)
		t.Logf("%d PINGs of %d bytes through hidraw: %v each", times, size, time.Since(begin)/times)
	})
}

// echo sends PINGs and compares the answers.
func echo(ctx context.Context, t *testing.T, dev *hid.Device, times, size int) {
	t.Helper()
	payload := make([]byte, size)
	for i := range times {
		rand.Read(payload)
		answer, err := dev.Ping(ctx, payload)
		if err != nil {
			t.Fatalf("PING %d: %v", i, err)
		}
		if !bytes.Equal(answer, payload) {
			t.Fatalf("PING %d came back changed", i)
		}
	}
}

// TestUSBUnplugged: a key that is pulled out while it waits for a touch is gone at
// once, for our client and for libfido2's tool.
func TestUSBUnplugged(t *testing.T) {
	begin := time.Now()
	k, control := plugControlled(t, vhci, "never")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dev, err := openKey(ctx, t, k)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	waits := make(chan bool, 10)
	withStatus := transport.WithStatus(ctx, func(s transport.Status) {
		if s == transport.StatusUPNeeded {
			select {
			case waits <- true:
			default:
			}
		}
	})
	ended := make(chan error, 1)
	go func() {
		_, err := dev.Exchange(withStatus, []byte{0x0b}) // authenticatorSelection
		ended <- err
	}()
	select {
	case <-waits:
	case err := <-ended:
		t.Fatalf("the key did not wait for a touch: %v", err)
	}
	pulled := time.Now()
	control("power", "off")
	if err := <-ended; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("error %v, want %v", err, transport.ErrClosed)
	}
	took := time.Since(pulled)
	waitFor(t, "the node to vanish", func() bool { return len(nodes()) == 0 })
	control("power", "on")
	waitFor(t, "the node to come back", func() bool { return len(nodes()) == 1 })
	wantLines(t, run(t, "", "fido2-token", "-I", nodes()[0]), "FIDO_2_1")
	t.Logf("the command ended %v after the key was pulled out, all in %v", took, time.Since(begin))
}

// plugControlled is plugAt for a key that is steered by what "simulator control"
// takes.
func plugControlled(t *testing.T, d door, touch string) (k *key, control func(args ...string)) {
	t.Helper()
	const address = "127.0.0.1:8700"
	token := write(t, "token", "secret")
	k = plugAt(t, d, touch, filepath.Join(t.TempDir(), "state"), "--control", address, "--control-token-file", token)
	return k, func(args ...string) {
		t.Helper()
		run(t, "", fidokey, append([]string{"simulator", "control", address, "--token-file", token}, args...)...)
	}
}

// TestUSBPlugSeries plugs in and unplugs the key again and again: it works each
// time, and neither the kernel nor the simulator keeps anything of it.
func TestUSBPlugSeries(t *testing.T) {
	k, control := plugControlled(t, vhci, "auto")
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	const times = 24
	begin := time.Now()
	var files []int
	for range times {
		control("power", "off")
		waitFor(t, "the node to vanish", func() bool { return len(nodes()) == 0 })
		control("power", "on")
		waitFor(t, "a node", func() bool { return len(nodes()) == 1 })
		k.node = nodes()[0]
		dev, err := openKey(ctx, t, k)
		if err != nil {
			t.Fatal(err)
		}
		echo(ctx, t, dev, 1, 100)
		dev.Close()
		open, err := os.ReadDir("/proc/" + strconv.Itoa(k.process.Pid) + "/fd")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, len(open))
	}
	if slices.Max(files) > slices.Min(files)+1 {
		t.Errorf("open files of the simulator: %v", files)
	}
	t.Logf("%d times off and on in %v; %d open files", times, time.Since(begin), files[times-1])
}

// TestUSBThroughLibusb: our client lists the key, asks it and registers with it
// through karalabe/hid, which takes the key from the kernel, and gives it back.
func TestUSBThroughLibusb(t *testing.T) {
	if libusb == "" {
		t.Skip("no C compiler to build fidokey with libusb")
	}
	atUSBDoors(t, "auto", func(t *testing.T, k *key) {
		direct := func(args ...string) string {
			t.Helper()
			return run(t, "", libusb, append([]string{"--hid-backend", "libusb"}, args...)...)
		}
		var list struct {
			Result struct {
				Keys []struct {
					Device struct{ Path, Product string }
				}
			}
		}
		out := direct("list", "--json")
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if l := list.Result.Keys; len(l) != 1 || l[0].Device.Path != "1-1:1.0" || l[0].Device.Product != "fidokey simulator" {
			t.Errorf("list: %s", out)
		}
		wantLines(t, direct("info"), "FIDO_2_1", "fidokey simulator")

		credential := filepath.Join(t.TempDir(), "alice.json")
		direct("register", "--rp", "example.com", "--user", "alice", "--credential", credential)
		waitFor(t, "the kernel to have the key again", func() bool { return len(nodes()) == 1 })
		run(t, "", "udevadm", "settle")
		run(t, "", fidokey, "authenticate", "--rp", "example.com", "--credential", credential)
		wantLines(t, run(t, "", "fido2-token", "-I", nodes()[0]), "FIDO_2_1")
	})
}

// TestLibusbTakesTheKey: while a program has the key through libusb the kernel has
// none, and another program is told so.
func TestLibusbTakesTheKey(t *testing.T) {
	if libusb == "" {
		t.Skip("no C compiler to build fidokey with libusb")
	}
	begin := time.Now()
	plugUSB(t, "never")
	cmd := exec.Command(libusb, "--hid-backend", "libusb", "select", "--timeout", "30s")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the node to vanish", func() bool { return len(nodes()) == 0 })
	if out, err := try(t, "", fidokey, "info"); err == nil {
		t.Errorf("two programs have the key:\n%s", out)
	}
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	waitFor(t, "the kernel to have the key again", func() bool { return len(nodes()) == 1 })
	run(t, "", "udevadm", "settle")
	wantLines(t, run(t, "", fidokey, "info"), "FIDO_2_1")
	t.Logf("all in %v", time.Since(begin))
}

// TestUSBShortReports: where reports have 32 bytes the descriptors say so, and our
// client does as they say.
func TestUSBShortReports(t *testing.T) {
	k := plugUSB(t, "auto", "--profile", "quirk-short-reports")
	wantLines(t, strings.Join(strings.Fields(run(t, "", "lsusb", "-v", "-d", "1209:f1d0")), " "), "wMaxPacketSize 0x0020")
	wantLines(t, run(t, "", fidokey, "info", "--device", k.node), "FIDO_2_")
}

// TestVHCINeedsRoot: a plain user is told what is missing.
func TestVHCINeedsRoot(t *testing.T) {
	out, err := try(t, "", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
		fidokey, "simulator", "run", "--vhci", "--state", ":memory:")
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 9 || !strings.Contains(err.Error(), "permission denied: run as root") {
		t.Errorf("%v\n%s", err, out)
	}
}
