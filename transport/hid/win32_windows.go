package hid

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/fidokey/fidokey/transport"
)

// win32 finds and opens devices through hid.dll.
type win32 struct{}

func newWin32() (system, error) { return win32{}, nil }

var (
	hidDLL = windows.NewLazySystemDLL("hid.dll")

	hidDGetAttributes         = hidDLL.NewProc("HidD_GetAttributes")
	hidDGetManufacturerString = hidDLL.NewProc("HidD_GetManufacturerString")
	hidDGetProductString      = hidDLL.NewProc("HidD_GetProductString")
	hidDGetSerialNumberString = hidDLL.NewProc("HidD_GetSerialNumberString")
	hidDGetPreparsedData      = hidDLL.NewProc("HidD_GetPreparsedData")
	hidDFreePreparsedData     = hidDLL.NewProc("HidD_FreePreparsedData")
	hidDSetNumInputBuffers    = hidDLL.NewProc("HidD_SetNumInputBuffers")
	hidDFlushQueue            = hidDLL.NewProc("HidD_FlushQueue")
	hidPGetCaps               = hidDLL.NewProc("HidP_GetCaps")

	setupDLL = windows.NewLazySystemDLL("setupapi.dll")

	setupDiEnumDeviceInterfaces     = setupDLL.NewProc("SetupDiEnumDeviceInterfaces")
	setupDiGetDeviceInterfaceDetail = setupDLL.NewProc("SetupDiGetDeviceInterfaceDetailW")
)

// hidInterfaces is GUID_DEVINTERFACE_HID.
var hidInterfaces = windows.GUID{
	Data1: 0x4d1e55b2, Data2: 0xf16f, Data3: 0x11cf, Data4: [8]byte{0x88, 0xcb, 0x00, 0x11, 0x11, 0x00, 0x00, 0x30},
}

// fidoHardwareID is among the hardware IDs that the HID class driver gives to a
// FIDO interface, made of its usage page and its usage.
const fidoHardwareID = "HID_DEVICE_UP:F1D0_U:0001"

// A collection is one HID interface of the system, FIDO or not.
type collection struct {
	Info
	usagePage, usage uint16
	in, out          int // bytes of a report, without its number
}

func (c collection) fido() bool { return c.usagePage == 0xf1d0 && c.usage == 1 }

func (win32) devices() ([]Info, error) {
	all, err := collections()
	if err != nil {
		return nil, fmt.Errorf("list HID devices: %w", err)
	}
	var infos []Info
	for _, c := range all {
		if c.fido() {
			infos = append(infos, c.Info)
		}
	}
	return infos, nil
}

// collections lists the HID interfaces that are there.
func collections() (all []collection, err error) {
	set, err := windows.SetupDiGetClassDevsEx(&hidInterfaces, "", 0, windows.DIGCF_PRESENT|windows.DIGCF_DEVICEINTERFACE, 0, "")
	if err != nil {
		return nil, err
	}
	defer set.Close()
	for i := 0; ; i++ {
		device, err := set.EnumDeviceInfo(i)
		if errors.Is(err, windows.ERROR_NO_MORE_ITEMS) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		path, err := interfacePath(set, device)
		if err != nil {
			continue // it has just been unplugged
		}
		c, err := collectionAt(path)
		if err != nil {
			// A key may be kept from this program so well that it says nothing.
			ids, _ := set.DeviceRegistryProperty(device, windows.SPDRP_HARDWAREID)
			known, _ := ids.([]string)
			c.identify(known)
		}
		all = append(all, c)
	}
}

// identify fills in what the hardware IDs of a device tell, such as
// HID\VID_1050&PID_0407&REV_0512&MI_01.
func (c *collection) identify(hardwareIDs []string) {
	for _, id := range hardwareIDs {
		if strings.EqualFold(id, fidoHardwareID) {
			c.usagePage, c.usage = 0xf1d0, 1
		}
		var vendor, product uint16
		if n, _ := fmt.Sscanf(strings.ToUpper(id), `HID\VID_%04X&PID_%04X`, &vendor, &product); n == 2 {
			c.VendorID, c.ProductID = vendor, product
		}
	}
}

// interfacePath returns the path at which the HID interface of a device is opened.
func interfacePath(set windows.DevInfo, device *windows.DevInfoData) (string, error) {
	found := struct { // SP_DEVICE_INTERFACE_DATA
		size     uint32
		class    windows.GUID
		flags    uint32
		reserved uintptr
	}{}
	found.size = uint32(unsafe.Sizeof(found))
	if ok, _, err := setupDiEnumDeviceInterfaces.Call(uintptr(set), uintptr(unsafe.Pointer(device)),
		uintptr(unsafe.Pointer(&hidInterfaces)), 0, uintptr(unsafe.Pointer(&found))); ok == 0 {
		return "", err
	}
	var detail struct { // SP_DEVICE_INTERFACE_DETAIL_DATA_W
		size uint32
		path [1024]uint16
	}
	detail.size = 8 // that of the C struct with one character, which is packed on 32-bit systems
	if unsafe.Sizeof(uintptr(0)) == 4 {
		detail.size = 6
	}
	if ok, _, err := setupDiGetDeviceInterfaceDetail.Call(uintptr(set), uintptr(unsafe.Pointer(&found)),
		uintptr(unsafe.Pointer(&detail)), unsafe.Sizeof(detail), 0, 0); ok == 0 {
		return "", err
	}
	return windows.UTF16ToString(detail.path[:]), nil
}

// collectionAt asks what a device is. That needs no right to read or write it,
// which Windows gives to administrators only.
func collectionAt(path string) (collection, error) {
	c := collection{Info: Info{Path: path}}
	h, err := createFile(path, 0, 0)
	if err != nil {
		return c, err
	}
	defer windows.CloseHandle(h)
	var attributes struct {
		size                       uint32
		vendor, product, versionNo uint16
	}
	attributes.size = uint32(unsafe.Sizeof(attributes))
	if succeeded(hidDGetAttributes, uintptr(h), uintptr(unsafe.Pointer(&attributes))) {
		c.VendorID, c.ProductID = attributes.vendor, attributes.product
	}
	c.Manufacturer = deviceString(hidDGetManufacturerString, h)
	c.Product = deviceString(hidDGetProductString, h)
	c.Serial = deviceString(hidDGetSerialNumberString, h)
	caps, err := capabilities(h)
	if err != nil {
		return c, err
	}
	c.usagePage, c.usage = caps.usagePage, caps.usage
	c.in, c.out = max(int(caps.input)-1, 0), max(int(caps.output)-1, 0)
	return c, nil
}

// hidpCaps is HIDP_CAPS. The lengths have a byte for the report's number, which is
// there even if reports have none.
type hidpCaps struct {
	usage, usagePage       uint16
	input, output, feature uint16
	_                      [27]uint16
}

func capabilities(h windows.Handle) (caps hidpCaps, err error) {
	var preparsed uintptr
	if !succeeded(hidDGetPreparsedData, uintptr(h), uintptr(unsafe.Pointer(&preparsed))) {
		return caps, errors.New("HidD_GetPreparsedData failed")
	}
	defer hidDFreePreparsedData.Call(preparsed)
	const success = 0x00110000 // HIDP_STATUS_SUCCESS
	if status, _, _ := hidPGetCaps.Call(preparsed, uintptr(unsafe.Pointer(&caps))); uint32(status) != success {
		return caps, fmt.Errorf("HidP_GetCaps: status %#08x", uint32(status))
	}
	return caps, nil
}

// deviceString returns a text of the device, "" if it has none.
func deviceString(get *windows.LazyProc, h windows.Handle) string {
	var text [127]uint16 // 126 is the most of USB
	if !succeeded(get, uintptr(h), uintptr(unsafe.Pointer(&text)), unsafe.Sizeof(text)) {
		return ""
	}
	return windows.UTF16ToString(text[:])
}

// succeeded calls a function that returns a BOOLEAN, which is one byte. The
// arguments may be addresses of variables, as in [windows.LazyProc.Call].
//
//go:uintptrescapes
func succeeded(f *windows.LazyProc, args ...uintptr) bool {
	r, _, _ := f.Call(args...)
	return byte(r) != 0
}

func createFile(path string, access, flags uint32) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return windows.InvalidHandle, err
	}
	return windows.CreateFile(name, access, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil, windows.OPEN_EXISTING, flags, 0)
}

func (win32) open(path string) (Port, error) {
	c, err := collectionAt(path)
	if err == nil && !c.fido() {
		return nil, fmt.Errorf("open key: %s is %q (%04x:%04x), not a FIDO device", path, c.Product, c.VendorID, c.ProductID)
	}
	if err == nil {
		var h windows.Handle
		if h, err = createFile(path, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_FLAG_OVERLAPPED); err == nil {
			return newWin32Port(h, c)
		}
	}
	return nil, win32OpenError(path, err)
}

// win32OpenError adds cause and remedy.
func win32OpenError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open key: %s: %w: Windows gives security keys to administrators only. "+
			"Start the program with 'Run as administrator'; its PIN can also be set in Settings > Accounts > Sign-in options", path, err)
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return fmt.Errorf("open key: %s: %w: %w", path, transport.ErrBusy, err)
	}
	return fmt.Errorf("open key: %s: %w", path, err)
}

// win32Port is an open device. Its file is overlapped, so that Go's poller carries
// the reads and ends them.
type win32Port struct {
	file            *os.File
	inSize, outSize int
	in, out         []byte // a report behind its number
}

// manyReports is more than a message has; what does not fit into the driver's
// queue is lost.
const manyReports = 256

func newWin32Port(h windows.Handle, c collection) (*win32Port, error) {
	succeeded(hidDSetNumInputBuffers, uintptr(h), manyReports) // else there are 32
	p := &win32Port{
		file:   os.NewFile(uintptr(h), c.Path),
		inSize: c.in, outSize: c.out,
		in: make([]byte, 1+c.in), out: make([]byte, 1+c.out),
	}
	// Without deadlines a read could not be ended.
	if err := p.file.SetReadDeadline(time.Time{}); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("open key: %w", err)
	}
	return p, nil
}

func (p *win32Port) Read(report []byte) (int, error) {
	n, err := p.file.Read(p.in)
	if err != nil {
		return 0, unpluggedWin32(err)
	}
	return copy(report, p.in[1:n]), nil
}

// Drain empties the driver's queue, of which each open file has one.
func (p *win32Port) Drain() {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return // closed, as the next Read says
	}
	_ = conn.Control(func(h uintptr) { succeeded(hidDFlushQueue, h) })
}

func (p *win32Port) Write(report []byte) (int, error) {
	n := copy(p.out[1:], report)
	clear(p.out[1+n:]) // the driver takes whole reports only
	if _, err := p.file.Write(p.out); err != nil {
		return 0, unpluggedWin32(err)
	}
	return n, nil
}

func (p *win32Port) SetReadDeadline(t time.Time) error {
	return unpluggedWin32(p.file.SetReadDeadline(t))
}

func (p *win32Port) ReportSizes() (in, out int) { return p.inSize, p.outSize }
func (p *win32Port) Close() error               { return p.file.Close() }

// unpluggedWin32 makes the errors of a device that was unplugged or closed wrap
// transport.ErrClosed.
func unpluggedWin32(err error) error {
	if err == io.EOF || errors.Is(err, os.ErrClosed) || slices.ContainsFunc([]error{
		windows.ERROR_DEVICE_NOT_CONNECTED, windows.ERROR_DEVICE_REMOVED, windows.ERROR_NO_SUCH_DEVICE,
		windows.ERROR_GEN_FAILURE, windows.ERROR_BAD_COMMAND, windows.ERROR_NOT_READY,
		windows.ERROR_OPERATION_ABORTED,
	}, func(gone error) bool { return errors.Is(err, gone) }) {
		return fmt.Errorf("%w: %w", transport.ErrClosed, err)
	}
	return err
}
