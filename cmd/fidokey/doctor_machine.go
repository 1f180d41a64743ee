package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fidokey/fidokey/metadata"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// A machine is what the doctor looks at. Tests make one up.
type machine struct {
	goos     string
	root     string     // where its file system is
	keys     []hid.Info // that the system shows
	open     func(path string) error
	readers  func(ctx context.Context) ([]nfc.ReaderInfo, error)
	stored   func() (metadata.IndexInfo, error) // of the metadata BLOB
	elevated bool                               // an administrator, on Windows
	software bool                               // the key that is meant needs nothing of the system

	now, built, names time.Time
}

func thisMachine(backend hid.Backend) *machine {
	m := &machine{
		goos: runtime.GOOS, root: "/", elevated: isElevated(),
		now: time.Now(), built: builtAt(), names: metadata.Date(),
		open: func(path string) error {
			port, err := hid.OpenPath(backend, path)
			if err != nil {
				return err
			}
			return port.Close()
		},
		readers: nfc.Readers,
		stored:  storedMetadata,
	}
	m.keys, _ = hid.Devices(backend) // the error comes with the keys
	return m
}

// checks are those of the machine, in the order in which one thing needs another.
var checks = []struct {
	name string
	goos string // "": on every system
	hid  bool   // it matters only to keys behind HID
	run  func(m *machine, ctx context.Context) diagnosis
}{
	{"Windows administrator", "windows", true, (*machine).checkElevation},
	{"Windows Subsystem for Linux", "linux", true, (*machine).checkWSL},
	{"container", "linux", true, (*machine).checkContainer},
	{"hidraw", "linux", true, (*machine).checkHidraw},
	{"device nodes", "linux", true, (*machine).checkNodes},
	{"rights", "linux", true, (*machine).checkRights},
	{"use by other programs", "linux", true, (*machine).checkHolders},
	{"macOS Input Monitoring", "darwin", true, (*machine).checkInputMonitoring},
	{"PC/SC service", "linux", false, (*machine).checkPCSC},
	{"smart-card interfaces", "linux", false, (*machine).checkPretenders},
	{"smart-card readers", "", false, (*machine).checkReaders},
	{"clock", "", false, (*machine).checkClock},
	{"model names", "", false, (*machine).checkNames},
	{"metadata", "", false, (*machine).checkMetadata},
}

func (m *machine) examine(ctx context.Context) (all []diagnosis) {
	for _, c := range checks {
		var d diagnosis
		switch {
		case c.goos != "" && c.goos != m.goos:
			d = notApplicable("on %s only", c.goos)
		case c.hid && m.software:
			d = notApplicable("the key is software and no device of the system")
		default:
			d = c.run(m, ctx)
		}
		d.Check = c.name
		all = append(all, d)
	}
	return all
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

// text returns what is in a file, "" if it cannot be read.
func (m *machine) text(name string) string {
	b, err := os.ReadFile(m.path(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (m *machine) exists(name string) bool {
	_, err := os.Lstat(m.path(name))
	return err == nil
}

func (m *machine) checkElevation(context.Context) diagnosis {
	if m.elevated {
		return ok("this program runs as an administrator")
	}
	return problem(exitPermission, "since Windows 10 version 1903 only an administrator may open a security key",
		"Start the terminal with 'Run as administrator', or manage the key in Settings > Accounts > Sign-in options.",
		"'fidokey register' and 'fidokey authenticate' work all the same: they go through Windows.")
}

func (m *machine) checkWSL(context.Context) diagnosis {
	switch {
	case !strings.Contains(strings.ToLower(m.text("/proc/version")), "microsoft"):
		return notApplicable("the kernel is not that of WSL")
	case len(m.keys) > 0:
		return ok("a key is attached to it")
	}
	return problem(exitNoKey, "this is WSL, which sees no USB device before Windows attaches it",
		"In Windows: usbipd list, usbipd bind --busid ID, usbipd attach --wsl --busid ID.",
		"Old kernels of WSL have no hidraw: wsl --update.")
}

// inContainer says what shows that this is a container; "" if nothing does.
func (m *machine) inContainer() string {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv", "/run/systemd/container"} {
		if m.exists(mark) {
			return mark
		}
	}
	return ""
}

const containerRemedy = "Give the container the device: --device /dev/hidrawN, with the number that the host shows."

func (m *machine) checkContainer(context.Context) diagnosis {
	mark := m.inContainer()
	switch {
	case mark == "":
		return notApplicable("this is no container")
	case len(m.keys) == 0:
		return warning("this is a container ("+mark+") and it sees no key of the host", containerRemedy)
	}
	return ok("this is a container (%s) and it sees keys", mark)
}

func (m *machine) checkHidraw(context.Context) diagnosis {
	entries, err := os.ReadDir(m.path("/sys/class/hidraw"))
	if err != nil {
		return problem(exitNoKey, "the kernel shows no HID devices: "+strings.Replace(err.Error(), m.root, "/", 1),
			"sudo modprobe usbhid", "If that does not help, the kernel was built without CONFIG_HIDRAW: take another.")
	}
	return ok("%d HID devices, %d of them security keys", len(entries), len(m.keys))
}

func (m *machine) checkNodes(context.Context) diagnosis {
	var missing []string
	for _, key := range m.keys {
		if !m.exists(key.Path) {
			missing = append(missing, key.Path)
		}
	}
	switch {
	case len(m.keys) == 0:
		return notApplicable("no key is there")
	case missing == nil:
		return ok("every key has one")
	case m.inContainer() != "":
		return problem(exitPermission, "the host has the key, this container does not: "+strings.Join(missing, ", "), containerRemedy)
	}
	return problem(exitFailure, "the kernel has the key, /dev does not: "+strings.Join(missing, ", "),
		"udev makes the node: sudo udevadm trigger --subsystem-match=hidraw")
}

func (m *machine) checkRights(context.Context) diagnosis {
	if len(m.keys) == 0 {
		return notApplicable("no key is there")
	}
	for _, key := range m.keys {
		if m.exists(key.Path) && errors.Is(m.open(key.Path), fs.ErrPermission) {
			return problem(exitPermission, "this user may not open "+key.Path, m.permissionRemedy(describe(key))...)
		}
	}
	return ok("this user may open every key")
}

// permissionRemedy says how a user gets the right to a key.
func (m *machine) permissionRemedy(d deviceInfo) []string {
	switch {
	case m.goos == "windows":
		return m.checkElevation(context.Background()).Do
	case m.goos != "linux":
		return nil
	}
	var first []string
	if m.inContainer() != "" {
		first = []string{containerRemedy, "Or give this user the right to it on the host."}
	}
	match := `KERNEL=="hidraw*", SUBSYSTEM=="hidraw", `
	if m.exists("/usr/lib/udev/fido_id") || m.exists("/lib/udev/fido_id") {
		match += `IMPORT{program}="fido_id", ENV{ID_FIDO_TOKEN}=="1", ` // it looks for usage page 0xf1d0
	} else {
		match += fmt.Sprintf(`ATTRS{idVendor}=="%s", ATTRS{idProduct}=="%s", `, d.VendorID, d.ProductID)
	}
	return append(first,
		"For whoever sits at this computer, put into /etc/udev/rules.d/70-fido.rules:",
		"  "+match+`TAG+="uaccess"`,
		"For a group, also without a screen, instead:",
		"  "+match+`GROUP="plugdev", MODE="0660"`,
		"and put the user into it: sudo usermod -aG plugdev USER, then log in again.",
		"Then: sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=hidraw",
	)
}

func (m *machine) checkHolders(context.Context) diagnosis {
	if len(m.keys) == 0 {
		return notApplicable("no key is there")
	}
	var open []string
	for _, key := range m.keys {
		for _, holder := range m.holders(key.Path) {
			open = append(open, key.Path+" is open in "+holder)
		}
	}
	if open == nil {
		return ok("no program that this user may look into has a key open")
	}
	return warning(strings.Join(open, "; "), "If the key does not answer, end that program.")
}

// holders names the programs that have a device open, as far as this user may see
// that.
func (m *machine) holders(device string) (names []string) {
	links, _ := filepath.Glob(m.path("/proc/[0-9]*/fd/*"))
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != device {
			continue
		}
		process := filepath.Base(filepath.Dir(filepath.Dir(link)))
		if process == strconv.Itoa(os.Getpid()) {
			continue
		}
		name := fmt.Sprintf("%s (process %s)", printable(m.text("/proc/"+process+"/comm")), process)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (m *machine) checkInputMonitoring(context.Context) diagnosis {
	for _, key := range m.keys {
		if err := m.open(key.Path); err != nil {
			return warning(fmt.Sprintf("%s does not open: %v", key.Path, err),
				"A key with a keyboard interface may need it: System Settings > Privacy & Security > Input Monitoring,",
				"allow the terminal, and start it again. Another program may have the key, too.")
		}
	}
	if len(m.keys) == 0 {
		return notApplicable("no key is there")
	}
	return ok("every key opens, so it is not missing")
}

const (
	pcscSocket = "/run/pcscd/pcscd.comm"
	// pcscPatience is how long the service has to hang up on whom polkit refuses.
	// To others it says nothing before it is asked.
	pcscPatience = 300 * time.Millisecond
)

func (m *machine) checkPCSC(ctx context.Context) diagnosis {
	readers := m.smartCardInterfaces()
	if !m.exists(pcscSocket) {
		if len(readers) == 0 {
			return notApplicable("no smart-card reader is there, and no service for it")
		}
		return warning(fmt.Sprintf("%s is there, and the service for it does not run", readers[0].name),
			"sudo apt install pcscd && sudo systemctl enable --now pcscd.socket", "Keys on USB do not need it.")
	}
	dialer := net.Dialer{Timeout: pcscPatience}
	conn, err := dialer.DialContext(ctx, "unix", m.path(pcscSocket))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return warning("this user may not speak to the service", "ls -l "+pcscSocket+" shows who may. Keys on USB do not need it.")
	case err != nil:
		return warning("the service does not answer", "sudo systemctl restart pcscd.socket pcscd", "Keys on USB do not need it.")
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(pcscPatience))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return warning("the service hangs up on this user: polkit refuses org.debian.pcsc-lite.access_pcsc, or it has too many clients",
			"Log in at the computer itself, or allow it in /etc/polkit-1/rules.d/50-pcscd.rules:",
			`  polkit.addRule(function(action, subject) { if (action.id.indexOf("org.debian.pcsc-lite.") == 0 && subject.user == "USER") return polkit.Result.YES; });`,
			"Keys on USB do not need it.")
	}
	return ok("it takes this user's connection")
}

// A smartCardInterface is a USB interface of class 0x0b.
type smartCardInterface struct {
	name                    string
	vendor, product, device string // hexadecimal; device is its version
}

// smartCardInterfaces lists those that are plugged in.
func (m *machine) smartCardInterfaces() (all []smartCardInterface) {
	const usb = "/sys/bus/usb/devices"
	classes, _ := filepath.Glob(m.path(usb + "/*:*/bInterfaceClass"))
	for _, file := range classes {
		class, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(class)) != "0b" {
			continue
		}
		device, _, _ := strings.Cut(filepath.Base(filepath.Dir(file)), ":")
		of := func(attribute string) string { return m.text(filepath.Join(usb, device, attribute)) }
		all = append(all, smartCardInterface{
			name:   printable(strings.TrimSpace(of("manufacturer") + " " + of("product"))),
			vendor: of("idVendor"), product: of("idProduct"), device: of("bcdDevice"),
		})
	}
	return all
}

// pretends reports whether an interface is known to take the FIDO application and
// to refuse everything that follows: Nitrokey, Solo 2, and YubiKeys before 5.8.
func (s smartCardInterface) pretends() bool {
	switch s.vendor {
	case "20a0":
		return true
	case "1209":
		return s.product == "beee"
	case "1050":
		return s.device < "0580"
	}
	return false
}

func (m *machine) checkPretenders(context.Context) diagnosis {
	interfaces := m.smartCardInterfaces()
	for _, s := range interfaces {
		if s.pretends() {
			return warning(s.name+" has a smart-card interface that takes the FIDO application and does nothing with it",
				"Nothing, for fidokey takes its HID interface. Programs that look for keys among smart cards must skip it.")
		}
	}
	if len(interfaces) == 0 {
		return notApplicable("none is plugged in")
	}
	return ok("none that is known to pretend to be a security key")
}

// checkReaders lists the readers as PC/SC does.
func (m *machine) checkReaders(ctx context.Context) diagnosis {
	readers, err := m.readers(ctx)
	switch {
	case errors.Is(err, transport.ErrUnsupported) && len(m.smartCardInterfaces()) > 0:
		return warning("this fidokey was built without them", "Build it with the package libpcsclite-dev installed: make. Keys on USB do not need it.")
	case errors.Is(err, transport.ErrUnsupported):
		return notApplicable("this fidokey was built without them")
	case errors.Is(err, nfc.ErrNoService):
		return notApplicable("there is no service for them")
	case err != nil:
		return warning(err.Error(), "Keys on USB do not need them.")
	case len(readers) == 0:
		return notApplicable("none is plugged in")
	}
	var seen []string
	for _, r := range readers {
		state := "empty"
		switch {
		case r.Pretender != "":
			state = "not asked, for " + r.Pretender
		case r.Busy:
			state = "another program has the card for itself"
		case r.Mute:
			state = "the card does not answer: lay it on again"
		case r.Present:
			state = "with a card"
		}
		seen = append(seen, printable(r.Name)+": "+state)
	}
	return ok("%s", strings.Join(seen, "; "))
}

// farAhead is how much later than the build a clock is believed.
const farAhead = 20 * 365 * 24 * time.Hour

func (m *machine) checkClock(context.Context) diagnosis {
	const day = "2 January 2006"
	seen := "it says " + m.now.Format(day) + ", "
	switch {
	case m.now.Before(m.built.Add(-24 * time.Hour)):
		return warning(seen+"which is before this program was built ("+m.built.Format(day)+")", "Set the clock: sudo timedatectl set-ntp true, or as your system has it.")
	case m.now.After(m.built.Add(farAhead)):
		return warning(seen+"which is very long after this program was built ("+m.built.Format(day)+")", "Set the clock, or take a newer fidokey.")
	}
	return ok("%sand the program is of %s", seen, m.built.Format(day))
}

// namesAge is when models are likely to be missing.
const namesAge = 365 * 24 * time.Hour

func (m *machine) checkNames(context.Context) diagnosis {
	seen := fmt.Sprintf("%d models, as of %s", metadata.Count(), m.names.Format("2 January 2006"))
	if m.now.Sub(m.names) > namesAge {
		return warning(seen+": newer ones have no name here", "Run 'fidokey metadata update', or take a newer fidokey. Keys work without a name.")
	}
	return ok("%s", seen)
}

func storedMetadata() (info metadata.IndexInfo, err error) {
	x, err := openMetadata()
	if err != nil {
		return info, err
	}
	defer x.Close()
	return x.Info(), nil
}

// checkMetadata is about the metadata BLOB, which tells more of models than names.
func (m *machine) checkMetadata(context.Context) diagnosis {
	info, err := m.stored()
	switch {
	case errors.Is(err, metadata.ErrNoCache):
		return notApplicable("none is stored; 'fidokey metadata update' gets it")
	case err != nil:
		return warning(err.Error(), "Get it again: fidokey metadata update")
	case metadata.Stale(info.NextUpdate, m.now):
		return warning(fmt.Sprintf("%d models, and a newer BLOB was due on %v", info.Entries, info.NextUpdate), "fidokey metadata update")
	}
	return ok("%d models; the next BLOB is due on %v", info.Entries, info.NextUpdate)
}
